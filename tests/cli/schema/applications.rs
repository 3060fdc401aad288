//! Databases of other applications, whose tables have the names of TARSy's: every command names them and changes nothing.

use crate::support::baseline;
use crate::support::cases::each;
use crate::support::check::{check, is_found};
use crate::support::history::contents;
use crate::support::migration::{arguments, source_and_target};
use crate::support::{Database, Outcome, Role, Schema, apply, tarsy_db, test};

/// What TARSy's successor creates, as far as its tables have names of TARSy's.
const SUCCESSOR: &str = "
    CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
    CREATE TABLE alert_sessions (session_id varchar PRIMARY KEY, alert_data text NOT NULL, agent_type varchar NOT NULL,
                                 status varchar NOT NULL, created_at timestamp NOT NULL, started_at timestamp);
    CREATE TABLE agent_executions (execution_id varchar PRIMARY KEY, session_id varchar NOT NULL);
    CREATE TABLE llm_interactions (interaction_id varchar PRIMARY KEY, created_at timestamp NOT NULL);
    CREATE TABLE events (id bigint PRIMARY KEY, channel varchar NOT NULL, payload text NOT NULL);
    CREATE TABLE chats (chat_id varchar PRIMARY KEY, session_id varchar NOT NULL, created_at timestamp NOT NULL);
    CREATE TABLE chat_user_messages (message_id varchar PRIMARY KEY, chat_id varchar NOT NULL)";

const SUCCESSORS: &str =
    "the database belongs to TARSy's successor: it has the tables `agent_executions`, `schema_migrations`";

/// The tables of an application that has nothing to do with TARSy.
const CALENDAR: &str =
    "CREATE TABLE events (id integer PRIMARY KEY, title text); CREATE TABLE chats (id integer PRIMARY KEY)";

const CALENDARS: &str = "the database belongs to another application: `events`, `chats` have none of the columns";

/// The ledger of an application that migrates its tables with Alembic, too.
const LEDGER: &str = "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY);
                      INSERT INTO alembic_version VALUES ('0123456789ab'); CREATE TABLE invoices (id integer PRIMARY KEY)";

const LEDGERS: &str = "`alembic_version` belongs to another application: it names revision `0123456789ab`";

const COMMANDS: [&[&str]; 10] = [
    &["init"],
    &["init", "--to", "head"],
    &["init", "--dry-run"],
    &["init", "--sql"],
    &["info"],
    &["check"],
    &["check", "--fix"],
    &["prune", "--older-than", "90d", "--yes"],
    &["prune", "--older-than", "90d", "--dry-run"],
    &["wait", "--for", "schema", "--timeout", "1m"],
];

#[apply(test)]
fn every_command_names_the_application_and_changes_nothing(database: &Database) {
    each([(SUCCESSOR, SUCCESSORS), (CALENDAR, CALENDARS), (LEDGER, LEDGERS)], |(tables, words)| {
        let database = database.another();
        database.execute(tables);
        let before = (baseline::listing(&database), contents(&database));
        for arguments in COMMANDS {
            let refused = Outcome::of(tarsy_db(&database).args(arguments)).expect(4);
            assert!((refused.stdout.clone() + &refused.stderr).contains(words), "{arguments:?}: {refused:?}");
        }
        is_found(&check(&database, &[]), "revision", "failed", words);
        assert!((baseline::listing(&database), contents(&database)) == before, "something changed");
    });
}

#[apply(test)]
fn a_migration_names_the_application_on_either_end() {
    each([(SUCCESSOR, SUCCESSORS), (CALENDAR, CALENDARS)], |(tables, words)| {
        let (source, target) = source_and_target();
        target.execute(tables);
        for more in [&[][..], &["--append"], &["--dry-run"], &["--verify-only"]] {
            Outcome::of(tarsy_db(&source).args(arguments(&target)).args(more)).expect(4).tells(&[words]);
        }
        let (source, target) = (Database::sqlite(), Database::postgresql());
        source.execute(tables);
        Outcome::of(tarsy_db(&source).args(arguments(&target))).expect(4).tells(&[words]);
        assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
    });
}

#[apply(test)]
fn a_table_that_only_a_later_revision_needs_is_no_obstacle_before(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("CREATE TABLE events (id integer PRIMARY KEY, title text)");
    for arguments in [&["init"][..], &["info"], &["check"], &["prune", "--older-than", "90d", "--dry-run"]] {
        Outcome::of(tarsy_db(database).args(arguments)).expect(0);
    }
    let words = "`events`, which TARSy did not create, blocks the upgrade";
    let refused = Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(4);
    refused.tells(&[words, "rename the table that has it"]);
    assert!(!refused.stderr.contains("belongs to another application"), "{}", refused.stderr);
}

#[apply(test)]
fn a_later_tarsy_is_not_called_another_application(database: &Database) {
    database.create_schema(Schema::Head);
    database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'");
    for column in ["created_at_us", "context_captured_at_us"] {
        database.execute(&format!("ALTER TABLE chats RENAME COLUMN {column} TO later_{column}"));
    }
    for arguments in [&["check"][..], &["prune", "--older-than", "90d", "--yes"]] {
        let refused = Outcome::of(tarsy_db(database).args(arguments)).expect(5);
        let text = refused.stdout.clone() + &refused.stderr;
        assert!(text.contains("ffffffffffff") && !text.contains("another application"), "{text}");
    }
}

#[apply(test)]
fn tables_outside_the_search_path_are_named() {
    let database = Database::postgresql();
    database.execute("CREATE SCHEMA tenant");
    database.execute(&format!("ALTER DATABASE {} SET search_path = tenant", database.name()));
    Outcome::of(tarsy_db(&database).arg("init")).expect(0);
    database.execute(&format!("ALTER DATABASE {} RESET search_path", database.name()));
    let words = "TARSy's tables are in the schema `tenant`, which is not in this role's search path";
    is_found(&check(&database, &[]).expect(3), "revision", "failed", words);
    let prune = Outcome::of(tarsy_db(&database).args(["prune", "--older-than", "90d", "--yes"])).expect(3);
    prune.tells(&[words, "ALTER ROLE ... SET search_path = \"tenant\""]);
    let waited = Outcome::of(tarsy_db(&database).args(["wait", "--for", "schema", "--max-attempts", "1"])).expect(3);
    waited.tells(&[words]);
    // Several histories may share a database, each in a schema of its own.
    let init = Outcome::of(tarsy_db(&database).arg("init")).expect(0);
    assert!(init.stderr.contains(words), "{}", init.stderr);
    init.tells(&["a second, empty history was created", "SET search_path = \"tenant\", public`"]);
    check(&database, &[]).expect(0);
}

#[apply(test)]
fn tables_in_a_schema_that_the_role_may_not_use_are_named() {
    let database = Database::postgresql();
    database.execute("CREATE SCHEMA tenant");
    database.execute(&format!("ALTER DATABASE {} SET search_path = tenant", database.name()));
    Outcome::of(tarsy_db(&database).arg("init")).expect(0);
    database.execute(&format!("ALTER DATABASE {} RESET search_path", database.name()));
    let role = Role::new(&database);
    let words = "TARSy's tables are in the schema `tenant`, which is not in this role's search path";
    for arguments in [&["check"][..], &["prune", "--older-than", "90d", "--yes"]] {
        let refused = Outcome::of(tarsy_db(&database).env("DATABASE_URL", role.url()).args(arguments)).expect(3);
        assert!((refused.stdout.clone() + &refused.stderr).contains(words), "{arguments:?}: {refused:?}");
    }
}

/// TARSy's tables were lost, and another application has its `events` in the same database.
#[apply(test)]
fn a_lost_table_is_named_beside_the_table_of_another_application(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute_unguarded(if database.is_sqlite() {
        "DROP TABLE alert_sessions"
    } else {
        "DROP TABLE alert_sessions CASCADE"
    });
    database.execute("CREATE TABLE events (id integer PRIMARY KEY, title text)");
    is_found(&check(database, &[]).expect(4), "revision", "failed", "these tables are missing: alert_sessions");
    // Only what is to be reached needs the name.
    let mut to_head = tarsy_db(database);
    let to_head = Outcome::of(to_head.env("TARSY_DB_SCHEMA", "head").args(["check", "--output", "json"])).expect(4);
    is_found(&to_head, "revision", "failed", "`events`, which TARSy did not create, blocks the upgrade");
}
