//! Tables with the names of TARSy's, which another role created in a later schema of the path: they are not TARSy's, and
//! nothing is created beside them or written to them.

use crate::support::cases::each;
use crate::support::history::full_history;
use crate::support::migration::migrate_to;
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// Schemas of the role's path, with the name of one of TARSy's tables in the later one.
fn with_namesake(relation: &str) -> Database {
    let database = Database::postgresql();
    database.execute(&format!(
        "CREATE SCHEMA tarsy; ALTER DATABASE {} SET search_path = tarsy, public; CREATE {relation}",
        database.name()
    ));
    database
}

/// The schemas of TARSy's sessions and events.
fn places(database: &Database) -> Vec<Option<String>> {
    database.texts(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname IN ('alert_sessions', 'alembic_version', 'chats') AND n.nspname = 'tarsy' ORDER BY 1",
    )
}

#[apply(test)]
fn the_tables_are_created_in_the_first_schema_of_the_path() {
    let namesakes = [
        "TABLE public.events (id integer)",
        "VIEW public.events AS SELECT 1 AS id",
        "TABLE public.chats (id integer)",
        "TABLE public.alembic_version (version_num varchar)",
    ];
    each(namesakes, |namesake| {
        let database = with_namesake(namesake);
        Outcome::of(tarsy_db(&database).args(["init"])).expect(0);
        Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(0);
        let expected = ["tarsy.alembic_version", "tarsy.alert_sessions", "tarsy.chats"];
        assert_eq!(places(&database), expected.map(|place| Some(place.to_owned())));
        Outcome::of(tarsy_db(&database).args(["check"])).expect(0);
    });
}

#[apply(test)]
fn a_history_is_moved_past_a_namesake_with_the_same_columns() {
    let events = "TABLE public.events (id serial PRIMARY KEY, channel varchar(100) NOT NULL, payload json,
                      created_at timestamp NOT NULL DEFAULT now())";
    each([&["baseline"][..], &[]], |revisions| {
        let database = with_namesake(events);
        for revision in revisions {
            Outcome::of(tarsy_db(&database).args(["init", "--to", revision])).expect(0);
        }
        Outcome::of(&mut migrate_to(&full_history(), database.url())).expect(0);
        let rows = ["tarsy.events", "public.events"].map(|table| database.count(table));
        assert_eq!(rows, [100, 0]);
    });
}
