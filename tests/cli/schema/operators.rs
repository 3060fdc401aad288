//! Databases with objects of the operator's: they are kept, or named if they block an upgrade.

use crate::support::activity::wait_for_lock;
use crate::support::baseline;
use crate::support::cases::each;
use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{NOW_US, contents, insert_session};
use crate::support::process::Held;
use crate::support::revision::{init_to, ledger, stands_at};
use crate::support::{Database, Outcome, Role, Running, apply, tarsy_db, test};

/// Makes sure that an upgrade to head exits with 4 and these words, and changes nothing.
#[track_caller]
fn blocks(database: &Database, words: &str) {
    let before = (baseline::listing(database), contents(database), ledger(database));
    let refused = Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(4);
    assert!(refused.stderr.contains(words), "no `{words}` in {}", refused.stderr);
    assert!((baseline::listing(database), contents(database), ledger(database)) == before, "something changed");
}

/// A baseline with a session, after these statements.
fn altered(database: &Database, sql: &str) -> Database {
    let database = database.another();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    database.execute(sql);
    database
}

/// Runs the output of `--sql`.
fn run_printed_sql(database: &Database, printed: &Outcome) {
    database.execute(&printed.stdout);
}

#[apply(test)]
fn tables_and_columns_with_the_names_of_later_ones_block_the_upgrade(database: &Database) {
    let cases = [
        ("CREATE TABLE events (id INTEGER, channel VARCHAR(10))", "created_at"),
        ("CREATE TABLE chats (chat_id INTEGER, created_at_us BIGINT)", "chats"),
        ("ALTER TABLE stage_executions ADD COLUMN parallel_index VARCHAR", "stage_executions.parallel_index is"),
    ];
    each(cases, |(sql, words)| {
        blocks(&altered(database, sql), words);
    });
}

#[apply(test)]
fn a_table_of_a_later_name_is_an_addition_before_and_drift_after(database: &Database) {
    database.execute("CREATE TABLE events (id INTEGER, channel VARCHAR(100), payload JSON, created_at TIMESTAMP)");
    let refused = Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(4);
    assert!(refused.stderr.contains("events"), "{}", refused.stderr);
    init_to(database, "baseline");
    is_found(&check(database, &[]).expect(0), "schema", "note", "additional table events");
    blocks(database, "events");
}

#[apply(test)]
fn an_index_on_a_dropped_column_is_not_dropped_silently(database: &Database) {
    let database = altered(database, "CREATE INDEX mine ON alert_sessions (agent_type, alert_id)");
    blocks(&database, "mine");
    database.execute("DROP INDEX mine");
    init_to(&database, "head");
    stands_at(&database, 23);
}

#[apply(test)]
fn columns_of_a_later_revision_are_of_no_earlier_one(database: &Database) {
    init_to(database, "head");
    for index in ["ix_chats_session_id", "ix_chats_created_at", "ix_chats_pod_last_interaction"] {
        database.execute(&format!("DROP INDEX {index}"));
    }
    let (_, detail) = finding(&check(database, &[]).expect(4), "schema");
    assert!(detail.contains("missing index ix_chats_session_id on chats(session_id)"), "{detail}");
    assert!(!detail.contains("UPDATE"), "{detail}");
    database.execute("DROP TABLE alembic_version");
    let refused = Outcome::of(tarsy_db(database).arg("init")).expect(4);
    assert!(refused.stderr.contains("b67c135119d7 (23 of 23): missing index ix_chats_"), "{}", refused.stderr);
    assert!(refused.stderr.contains("run `tarsy-db check --fix`"), "{}", refused.stderr);
}

#[apply(test)]
fn a_ledger_with_an_empty_text_is_an_empty_one(database: &Database) {
    init_to(database, "11");
    database.execute("UPDATE alembic_version SET version_num = ''");
    Outcome::of(tarsy_db(database).arg("init")).expect(0);
    stands_at(database, 11);
}

#[apply(test)]
fn printed_sql_fails_on_a_database_that_has_changed(database: &Database) {
    let database = altered(database, "SELECT 1");
    let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
    assert!(printed.stdout.starts_with("-- run with: "), "{}", printed.stdout);
    init_to(&database, "2");
    let before = (baseline::listing(&database), contents(&database));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run_printed_sql(&database, &printed)));
    assert!(run.is_err(), "the script ran");
    assert!((baseline::listing(&database), contents(&database)) == before);
}

#[apply(test)]
fn what_may_lose_or_refuse_rows_on_postgresql_is_drift() {
    let cases = [
        ("ALTER TABLE events SET UNLOGGED", "events is UNLOGGED"),
        (
            "DROP INDEX ix_events_channel; CREATE INDEX ix_events_channel ON events (channel DESC)",
            "index ix_events_channel is btree(channel DESC), expected btree(channel)",
        ),
        (
            "ALTER TABLE chats ALTER CONSTRAINT chats_session_id_fkey DEFERRABLE INITIALLY DEFERRED",
            "chats(session_id) to alert_sessions(session_id) has NO ACTION on delete, deferrable",
        ),
        (
            "ALTER TABLE alert_sessions ADD CONSTRAINT one EXCLUDE USING btree (chain_id WITH =)",
            "additional constraint on alert_sessions: one EXCLUDE",
        ),
        (
            r#"ALTER TABLE chats ALTER created_by TYPE varchar COLLATE "C""#,
            r#"chats.created_by is varchar COLLATE "C", expected varchar"#,
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE other.alert_sessions (session_id varchar PRIMARY KEY);
             ALTER TABLE chats DROP CONSTRAINT chats_session_id_fkey,
                   ADD CONSTRAINT chats_session_id_fkey FOREIGN KEY (session_id) REFERENCES other.alert_sessions",
            "additional foreign key chats(session_id) to other.alert_sessions",
        ),
    ];
    each(cases, |(sql, detail)| {
        let database = Database::postgresql();
        init_to(&database, "head");
        database.execute(sql);
        finds(&database, 4, "schema", "failed", detail);
    });
}

#[apply(test)]
fn an_identity_of_the_operators_needs_no_default() {
    let database = Database::postgresql();
    init_to(&database, "head");
    database.execute("ALTER TABLE alert_sessions ADD COLUMN mine bigint GENERATED ALWAYS AS IDENTITY");
    finds(&database, 0, "schema", "note", "additional column alert_sessions.mine (bigint)");
}

#[apply(test)]
fn a_sequence_without_an_owner_is_checked_and_one_of_a_text_column_is_not() {
    let database = Database::postgresql();
    init_to(&database, "head");
    database.execute(
        "ALTER SEQUENCE events_id_seq OWNED BY NONE; INSERT INTO events (id, channel) VALUES (99, 'c');
         CREATE SEQUENCE jobs_seq; CREATE TABLE jobs (id text PRIMARY KEY DEFAULT 'J-' || nextval('jobs_seq'));
         INSERT INTO jobs DEFAULT VALUES",
    );
    finds(&database, 4, "sequences", "failed", "the next value of `events_id_seq` is 1, but `events.id` goes up to 99");
    check(&database, &["--fix"]).expect(0);
    database.execute("INSERT INTO events (channel) VALUES ('c')");
    assert_eq!(database.number("SELECT max(id)::bigint FROM events"), 100);
}

#[apply(test)]
fn tables_of_modules_are_ignored_on_sqlite() {
    let database = Database::sqlite();
    init_to(&database, "baseline");
    database.execute("CREATE VIRTUAL TABLE mine USING fts5(words)");
    check(&database, &[]).expect(0);
    Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
    init_to(&database, "head");
    finds(&database, 0, "revision", "ok", "b67c135119d7");
}

#[apply(test)]
fn a_foreign_key_to_a_dropped_column_blocks_the_upgrade_on_sqlite() {
    let database =
        altered(&Database::sqlite(), "CREATE TABLE mine (alert_id VARCHAR REFERENCES alert_sessions (alert_id))");
    blocks(&database, "`alert_id` is used by foreign key on mine");
}

#[apply(test)]
fn a_complete_copy_without_its_original_is_distinguished_from_an_unfinished_one() {
    let database = Database::sqlite();
    init_to(&database, "baseline");
    database.execute("ALTER TABLE stage_executions RENAME TO _alembic_tmp_stage_executions");
    let refused = Outcome::of(tarsy_db(&database).arg("init")).expect(4);
    let hint = "`ALTER TABLE _alembic_tmp_stage_executions RENAME TO stage_executions` restores it";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
}

#[apply(test)]
fn printed_sql_takes_keys_by_the_names_that_they_have() {
    let database = Database::postgresql();
    let database =
        altered(&database, "ALTER TABLE stage_executions RENAME CONSTRAINT stage_executions_session_id_fkey TO mine");
    let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
    run_printed_sql(&database, &printed);
    stands_at(&database, 23);
}

#[apply(test)]
fn new_tables_are_created_in_the_schema_of_the_others() {
    each([false, true], |is_printed| {
        let database = Database::postgresql();
        init_to(&database, "baseline");
        database.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER");
        if is_printed {
            let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
            run_printed_sql(&database, &printed);
        } else {
            init_to(&database, "head");
        }
        let in_public = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(database.number(in_public), 8);
        finds(&database, 0, "schema", "ok", "b67c135119d7");
    });
}

/// Begins an upgrade of TARSy's backend, which does not use our lock, and waits until `init` waits for it.
fn init_behind(database: &Database, backend: &str, arguments: &[&str]) -> (Held, Running) {
    let backend = Held::begin(database, backend);
    let init = Running::start(database, arguments);
    wait_for_lock(database);
    (backend, init)
}

const LOCK: &str = "LOCK TABLE alert_sessions IN ACCESS EXCLUSIVE MODE;";
const TO_HEAD: [&str; 3] = ["init", "--to", "head"];

#[apply(test)]
fn an_upgrade_that_the_backend_finishes_first_is_not_repeated() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    let upgrade = format!(
        "{LOCK} ALTER TABLE llm_interactions ADD COLUMN interaction_type VARCHAR(50) DEFAULT 'investigation' NOT NULL;
         UPDATE alembic_version SET version_num = '7c617b3e7c2c'"
    );
    let (mut backend, init) = init_behind(&database, &upgrade, &TO_HEAD);
    backend.execute("COMMIT");
    let done = init.finish().expect(0);
    assert!(done.stdout.contains("from revision 7c617b3e7c2c (2 of 23)"), "{}", done.stdout);
    stands_at(&database, 23);
}

#[apply(test)]
fn a_revision_that_a_newer_backend_writes_first_is_not_overwritten() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    let newer = format!(
        "{LOCK} UPDATE alembic_version SET version_num = 'ffff00000024';
         CREATE TABLE events (channel text); CREATE TABLE chats (created_at_us bigint);
         CREATE TABLE chat_user_messages (chat_id text)"
    );
    let (mut backend, init) = init_behind(&database, &newer, &TO_HEAD);
    backend.execute("COMMIT");
    let done = init.finish().expect(0);
    assert!(done.stdout.contains("ffff00000024 (unknown to this version): nothing to do"), "{}", done.stdout);
    assert_eq!(ledger(&database), [Some("ffff00000024".to_owned())]);
}

#[apply(test)]
fn a_row_policy_does_not_silently_prevent_the_update_of_rows() {
    let database = Database::postgresql();
    let database = altered(&database, "ALTER TABLE alert_sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
    let role = Role::new(&database);
    for table in ["alembic_version", "alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"] {
        database.execute(&format!("ALTER TABLE {table} OWNER TO {}", role.name));
    }
    database.execute(&format!("GRANT CREATE ON SCHEMA public TO {}", role.name));
    let before = (baseline::listing(&database), contents(&database));
    let init = Running::start_at(&role.url(), database.directory(), &["init", "--to", "5"]).finish().expect(77);
    assert!(init.stderr.contains("row-level security"), "{}", init.stderr);
    assert!((baseline::listing(&database), contents(&database)) == before);
    database.execute("ALTER TABLE alert_sessions NO FORCE ROW LEVEL SECURITY");
    Running::start_at(&role.url(), database.directory(), &["init", "--to", "5"]).finish().expect(0);
    assert_eq!(database.texts("SELECT pod_id FROM alert_sessions"), [Some("unknown".to_owned())]);
}

#[apply(test)]
fn a_ledger_that_the_backend_writes_first_gets_no_second_row() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    database.execute("DELETE FROM alembic_version");
    let upgrade = "INSERT INTO alembic_version VALUES ('ae85467a75d2');
                   ALTER TABLE llm_interactions ADD COLUMN interaction_type VARCHAR(50) DEFAULT 'investigation' NOT NULL;
                   UPDATE alembic_version SET version_num = '7c617b3e7c2c'";
    let (mut backend, init) = init_behind(&database, upgrade, &["init"]);
    backend.execute("COMMIT");
    init.finish().expect(0);
    stands_at(&database, 2);
}

#[apply(test)]
fn a_ledger_that_the_backend_creates_first_is_no_drift() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    database.execute("DROP TABLE alembic_version");
    let ledger_of_its_own = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
                                 CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
                             INSERT INTO alembic_version VALUES ('ae85467a75d2')";
    let (mut backend, init) = init_behind(&database, ledger_of_its_own, &["init"]);
    backend.execute("COMMIT");
    init.finish().expect(0);
    stands_at(&database, 1);
}

#[apply(test)]
fn new_tables_have_the_grants_of_the_others() {
    each([false, true], |is_printed| {
        let database = Database::postgresql();
        init_to(&database, "baseline");
        let backend = Role::new(&database);
        let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO";
        database.execute(&format!("{grant} {}", backend.name));
        if is_printed {
            let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
            run_printed_sql(&database, &printed);
        } else {
            init_to(&database, "head");
        }
        stands_at(&database, 23);
        let check = Running::start_at(&backend.url(), database.directory(), &["check", "--output", "json"]);
        is_found(&check.finish().expect(0), "privileges", "ok", "can read and write all tables");
        let numbers =
            format!("SELECT has_sequence_privilege('{}', 'events_id_seq', 'USAGE')::int::bigint", backend.name);
        assert_eq!(database.number(&numbers), 1);
    });
}

#[apply(test)]
fn new_tables_have_the_owner_of_the_others() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    let owner = Role::new(&database);
    for table in ["alembic_version", "alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"] {
        database.execute(&format!("ALTER TABLE {table} OWNER TO {}", owner.name));
    }
    init_to(&database, "head");
    let owners = database.texts("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(owners, [Some(owner.name.clone())]);
    let sequence = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 'events_id_seq'";
    assert_eq!(database.texts(sequence), [Some(owner.name.clone())]);
}

#[apply(test)]
fn a_trigger_that_would_act_on_updated_rows_is_named() {
    let skip = "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;";
    each([("llm_interactions", 2), ("alert_sessions", 5)], |(table, revision)| {
        let sqlite = Database::sqlite();
        let trigger = format!("CREATE TRIGGER mine BEFORE UPDATE ON {table}");
        let words = format!("trigger mine of {table} would act on the rows that this revision updates");
        blocks(&altered(&sqlite, &format!("{trigger} BEGIN SELECT raise(IGNORE); END")), &words);
        let database = Database::postgresql();
        let database = altered(&database, &format!("{skip} {trigger} FOR EACH ROW EXECUTE FUNCTION skip()"));
        blocks(&database, &words);
        is_found(&check(&database, &[]).expect(0), "schema", "note", &format!("additional trigger mine on {table}"));
        database.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER mine"));
        init_to(&database, &revision.to_string());
    });
}

#[apply(test)]
fn sequences_of_the_operators_tables_are_not_moved() {
    let database = Database::postgresql();
    init_to(&database, "head");
    database.execute(
        "CREATE SCHEMA other; CREATE SEQUENCE other.s; CREATE SEQUENCE s;
         CREATE TABLE mine (id bigint PRIMARY KEY DEFAULT nextval('other.s')); INSERT INTO mine VALUES (50);
         CREATE SEQUENCE round MAXVALUE 10 CYCLE;
         CREATE TABLE yours (id bigint DEFAULT nextval('round')); ALTER SEQUENCE round OWNED BY yours.id;
         INSERT INTO yours VALUES (10)",
    );
    check(&database, &["--fix"]).expect(0);
    assert_eq!(database.number("SELECT last_value FROM s"), 1);
    assert_eq!(database.number("SELECT last_value FROM round"), 1);
}

#[apply(test)]
fn a_constraint_trigger_blocks_a_revision_that_updates_its_rows() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    init_to(&database, "4");
    database.execute(
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON alert_sessions DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION mine()",
    );
    let refused = Outcome::of(tarsy_db(&database).args(["init", "--to", "5"])).expect(4);
    let words = "trigger late of alert_sessions would act on the rows that this revision updates";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
}
