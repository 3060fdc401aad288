//! TARSy's tables in other schemas than `public`: what is created, read and printed is as in `public`.

use crate::support::cases::each;
use crate::support::check::{check, finding};
use crate::support::history::{NOW_US, insert_session};
use crate::support::revision::{init_to, ledger};
use crate::support::role::give_tables_to;
use crate::support::{Database, Outcome, Role, apply, tarsy_db, test};

/// A database with a search path of its own, and these schemas.
fn with_path(schemas: &[&str], path: &str) -> Database {
    let database = Database::postgresql();
    for schema in schemas {
        database.execute(&format!("CREATE SCHEMA {schema}"));
    }
    database.execute(&format!("ALTER DATABASE {} SET search_path = {path}", database.name()));
    database
}

/// The schemas in which tables are, without those of PostgreSQL.
fn schemas_of_tables(database: &Database) -> Vec<Option<String>> {
    database.texts(
        "SELECT DISTINCT schemaname::text FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
}

#[apply(test)]
fn the_first_schema_of_the_path_gets_the_tables_which_are_as_expected_there() {
    let cases = [
        (&["other"][..], "other, public", "other"),
        (&[r#""My ""own"" s'chema""#], r#""My ""own"" s'chema", public"#, r#"My "own" s'chema"#),
        (&[r#""user""#], r#""user""#, "user"),
    ];
    each(cases, |(schemas, path, schema)| {
        let database = with_path(schemas, path);
        init_to(&database, "baseline");
        insert_session(&database, "s-1", "completed", Some(NOW_US));
        let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "4", "--sql"])).expect(0);
        database.execute(&printed.stdout);
        assert_eq!(ledger(&database), [Some("9d8fd988188d".to_owned())]);
        init_to(&database, "head");
        assert_eq!(schemas_of_tables(&database), [Some(schema.to_owned())]);
        database.execute("DROP INDEX ix_chats_session_id; INSERT INTO events (id, channel) VALUES (99, 'c')");
        let fixed = check(&database, &["--fix", "--deep"]).expect(0);
        let (_, repairs) = finding(&fixed, "repairs");
        assert_eq!(repairs, "created index ix_chats_session_id\nadvanced sequence events_id_seq past the data");
        assert_eq!(finding(&fixed, "schema").0, "ok");
        assert_eq!(database.number("SELECT nextval('events_id_seq')"), 100);
    });
}

#[apply(test)]
fn a_role_with_a_schema_of_its_own_upgrades_the_tables_of_public() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let role = Role::new(&database);
    let name = &role.name;
    // The owner of the tables with a schema of its own before theirs in the path.
    database.execute(&format!(
        "GRANT CREATE ON SCHEMA public TO {name}; CREATE SCHEMA {name} AUTHORIZATION {name};
         CREATE TABLE {name}.notes (id integer PRIMARY KEY);
         GRANT CREATE, TEMPORARY ON DATABASE {} TO {name}",
        database.name()
    ));
    give_tables_to(&database, name);
    database.execute(&format!("ALTER TABLE {name}.notes OWNER TO {name}"));
    let mut init = tarsy_db(&database);
    Outcome::of(init.env("DATABASE_URL", role.url()).args(["init", "--to", "head"])).expect(0);
    stands_at_head_in_public(&database);
}

#[track_caller]
fn stands_at_head_in_public(database: &Database) {
    let in_public = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.number(in_public), 8);
    assert_eq!(ledger(database), [Some("b67c135119d7".to_owned())]);
}

#[apply(test)]
fn what_operators_add_is_named_without_the_schemas_of_the_path() {
    let database = with_path(&["other", "apart"], "other, public");
    init_to(&database, "head");
    database.execute(
        "CREATE DOMAIN public.kind AS text;
         CREATE FUNCTION public.is_good(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         CREATE FUNCTION apart.is_good(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE alert_sessions ADD COLUMN mine public.kind DEFAULT 'public.x'::public.kind;
         CREATE INDEX mine ON chats ((created_by || 'public.y')) WHERE public.is_good(created_by);
         CREATE TABLE public.parents (id text PRIMARY KEY); CREATE TABLE apart.parents (id text PRIMARY KEY);
         CREATE TABLE children (id text REFERENCES public.parents, other text REFERENCES apart.parents)",
    );
    lists(
        &database,
        &[
            "additional column alert_sessions.mine (kind)",
            "additional index mine on chats((created_by::text || 'public.y'::text))",
            "additional table children",
            "additional table parents",
        ],
    );
    database.execute(
        "ALTER TABLE alert_sessions ADD CONSTRAINT good CHECK (public.is_good(status)),
             ADD CONSTRAINT apart CHECK (apart.is_good(status));
         ALTER TABLE chats ADD FOREIGN KEY (created_by) REFERENCES public.parents,
             ADD FOREIGN KEY (created_by) REFERENCES apart.parents",
    );
    lists(
        &database,
        &[
            "additional constraint on alert_sessions: apart CHECK (apart.is_good((status)::text))",
            "additional constraint on alert_sessions: good CHECK (is_good((status)::text))",
            "additional foreign key chats(created_by) to apart.parents with NO ACTION on delete",
            "additional foreign key chats(created_by) to parents with NO ACTION on delete",
        ],
    );
    database.execute("SET session_replication_role = replica; INSERT INTO children VALUES ('a', 'b')");
    let (_, lost) = finding(&check(&database, &["--deep"]), "foreign keys");
    assert_eq!(lost, "children: 1 row without a parent in parents\nchildren: 1 row without a parent in apart.parents");
}

/// Makes sure that `check` lists exactly these differences.
#[track_caller]
fn lists(database: &Database, differences: &[&str]) {
    let (_, schema) = finding(&check(database, &[]), "schema");
    let listed: Vec<_> = schema.lines().filter(|line| !line.starts_with("as in revision ")).collect();
    assert_eq!(listed, differences);
}
