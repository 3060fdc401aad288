//! `init`: creates the baseline once, adopts it, or changes nothing.

use std::path::Path;
use std::time::Duration;

use crate::support::baseline;
use crate::support::history::{NOW_US, contents, insert_session};
use crate::support::process::Held;
use crate::support::revision::{init, ledger};
use crate::support::server::Server;
use crate::support::{Database, Outcome, Role, Running, Schema, apply, bare_tarsy_db, tarsy_db, test};

const BASELINE: &str = "ae85467a75d2";
const HEAD: &str = "b67c135119d7";

/// What `init --output json` says it did, and at which revision the database is.
#[track_caller]
fn outcome(database: &Database) -> (String, String) {
    let report = init(database, &["--output", "json"]).expect(0).json();
    let text = |name: &str| report[name].as_str().expect("a text").to_owned();
    (text("outcome"), text("revision"))
}

/// Makes sure of the file format's versions in the header.
#[track_caller]
fn is_in_wal_mode(path: &Path) {
    let header = std::fs::read(path).expect("the file is there");
    assert_eq!(header[18..20], [2, 2], "the journal mode is not WAL");
}

/// Makes sure that `init` refuses with 4, names `difference`, and changes nothing.
#[track_caller]
fn is_refused(database: &Database, difference: &str) {
    let before = baseline::listing(database);
    let refused = init(database, &[]).expect(4);
    assert!(refused.stderr.contains(difference), "{}", refused.stderr);
    assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    assert_eq!(baseline::listing(database), before);
}

#[apply(test)]
fn an_empty_database_gets_the_baseline_and_is_then_left_alone(database: &Database) {
    assert_eq!(outcome(database), ("created".to_owned(), BASELINE.to_owned()));
    assert_eq!(ledger(database), [Some(BASELINE.to_owned())]);
    baseline::is_there(database);
    assert_eq!(outcome(database), ("present".to_owned(), BASELINE.to_owned()));
    baseline::is_there(database);
}

#[apply(test)]
fn a_server_without_room_for_locks_is_busy_and_no_object_is_blamed() {
    let settings = ["max_locks_per_transaction = 10", "max_connections = 8", "autovacuum = off", "max_wal_senders = 0"];
    let server = Server::start(&settings);
    let database = Database::on(&server.url("postgres"));
    database.with_connection(|connection| {
        connection.execute(
            "DO $$ BEGIN
                 FOR i IN 1..100000 LOOP PERFORM pg_advisory_lock(i); END LOOP;
             EXCEPTION WHEN out_of_memory THEN NULL;
             END $$",
        );
        connection.execute("SELECT pg_advisory_unlock(i) FROM generate_series(1, 40) i");
        let refused = init(&database, &["--to", "head"]).expect(75);
        // PostgreSQL 18 has the name in quotes.
        refused.tells(&["out of shared memory", "hint: You might need to increase ", "max_locks_per_transaction"]);
        connection.execute("SELECT pg_advisory_unlock_all()");
    });
    init(&database, &["--to", "head"]).expect(0);
}

#[apply(test)]
fn ten_at_once_all_succeed(database: &Database) {
    let ten: Vec<_> = (0..10).map(|_| Running::start(database, &["init", "--output", "json"])).collect();
    let outcomes = ten.into_iter().map(|running| running.finish().expect(0).json()["outcome"].to_string());
    let mut outcomes: Vec<String> = outcomes.collect();
    outcomes.sort();
    assert_eq!(outcomes[0], "\"created\"");
    assert!(outcomes[1..].iter().all(|outcome| outcome == "\"present\""), "{outcomes:?}");
    assert_eq!(ledger(database), [Some(BASELINE.to_owned())]);
    baseline::is_there(database);
}

#[apply(test)]
fn tables_without_a_ledger_are_adopted_with_their_data_untouched(database: &Database) {
    init(database, &[]).expect(0);
    insert_session(database, "s-1", "completed", Some(NOW_US));
    insert_session(database, "s-2", "in_progress", None);
    let before = contents(database);
    assert_eq!(before.len(), 8);
    database.execute("DROP TABLE alembic_version");
    assert_eq!(outcome(database), ("adopted".to_owned(), BASELINE.to_owned()));
    assert_eq!(ledger(database), [Some(BASELINE.to_owned())]);
    assert_eq!(contents(database), before);
    baseline::is_there(database);
}

#[apply(test)]
fn an_empty_ledger_is_filled(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("DELETE FROM alembic_version");
    assert_eq!(outcome(database).0, "adopted");
    assert_eq!(ledger(database), [Some(BASELINE.to_owned())]);
}

#[apply(test)]
fn a_stamp_without_tables_gets_its_tables(database: &Database) {
    database.execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
                                       CONSTRAINT \"alembic_version_pkc\" PRIMARY KEY (version_num));
         INSERT INTO alembic_version VALUES ('ae85467a75d2')",
    );
    assert_eq!(outcome(database).0, "created");
    assert_eq!(ledger(database), [Some(BASELINE.to_owned())]);
    baseline::is_there(database);
}

#[apply(test)]
fn a_lost_index_is_no_reason_to_adopt(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("DROP TABLE alembic_version; DROP INDEX ix_alert_sessions_status");
    is_refused(database, "missing index ix_alert_sessions_status on alert_sessions(status)");
}

#[apply(test)]
fn a_lost_column_is_no_reason_to_adopt(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("DROP TABLE alembic_version; ALTER TABLE llm_interactions DROP COLUMN provider");
    is_refused(database, "missing column llm_interactions.provider");
}

#[apply(test)]
fn a_column_of_the_operator_does_not_prevent_adoption(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("DROP TABLE alembic_version; ALTER TABLE alert_sessions ADD COLUMN note TEXT");
    assert_eq!(outcome(database).0, "adopted");
}

#[apply(test)]
fn lost_tables_are_named_with_or_without_a_ledger(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("DROP TABLE mcp_communications");
    is_refused(database, "mcp_communications missing, although the ledger names revision `ae85467a75d2`");
    database.execute("DROP TABLE alembic_version");
    is_refused(database, "the database is incomplete: mcp_communications missing");
}

#[apply(test)]
fn two_rows_in_the_ledger_are_refused(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("INSERT INTO alembic_version VALUES ('7c617b3e7c2c')");
    is_refused(
        database,
        "`alembic_version` has 2 rows, and must have one: 7c617b3e7c2c (2 of 23), ae85467a75d2 (1 of 23)",
    );
}

#[apply(test)]
fn a_later_revision_is_left_alone_and_named(database: &Database) {
    init(database, &["--to", "head"]).expect(0);
    database.execute("DROP INDEX ix_alert_sessions_status");
    let before = baseline::listing(database);
    let present = init(database, &["--strict"]).expect(0);
    assert!(
        present.stdout.contains("is already at revision b67c135119d7 (23 of 23): nothing to do"),
        "{}",
        present.stdout
    );
    assert_eq!(outcome(database), ("present".to_owned(), HEAD.to_owned()));
    assert_eq!(baseline::listing(database), before);
}

#[apply(test)]
fn an_unknown_revision_is_an_error_only_if_strict(database: &Database) {
    init(database, &[]).expect(0);
    database.execute("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    let present = init(database, &[]).expect(0);
    assert!(present.stdout.contains("feedfacecafe (unknown to this version): nothing to do"), "{}", present.stdout);
    let strict = init(database, &["--strict"]).expect(5);
    assert!(strict.stderr.contains("`feedfacecafe`"), "{}", strict.stderr);
    assert_eq!(ledger(database), [Some("feedfacecafe".to_owned())]);
}

#[apply(test)]
fn a_killed_init_leaves_nothing_or_everything(database: &Database) {
    for delay_ms in (0..60).step_by(6) {
        let database = database.another();
        let running = Running::start(&database, &["init"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        running.kill();
        if !database.is_sqlite() {
            // The server finishes what it was sent before it notices.
            database.wait_until(
                "SELECT 1 - count(*) FROM pg_stat_activity
                                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
        if !baseline::listing(&database).is_empty() {
            baseline::is_there(&database);
        }
        init(&database, &[]).expect(0);
        baseline::is_there(&database);
        assert_eq!(ledger(&database), [Some(BASELINE.to_owned())]);
        if database.is_sqlite() {
            is_in_wal_mode(&database.file());
        }
    }
}

#[apply(test)]
fn a_disabled_history_needs_no_database(database: &Database) {
    let disabled = Outcome::of(tarsy_db(database).env("HISTORY_ENABLED", "false").arg("init")).expect(0);
    assert!(disabled.stdout.contains("history is disabled (HISTORY_ENABLED)"), "{}", disabled.stdout);
    assert_eq!(std::fs::read_dir(database.directory()).expect("a directory").count(), 0);
    assert_eq!(baseline::listing(database), "");
}

#[apply(test)]
fn a_reader_is_not_named_where_another_session_has_the_stronger_lock() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    database.execute("DELETE FROM alembic_version");
    let mut reader = Held::connect(&database);
    reader.execute("SET application_name = 'reader'; BEGIN; SELECT count(*) FROM stage_executions");
    let mut holder = Held::connect(&database);
    holder.execute("SET application_name = 'holder'; BEGIN; LOCK TABLE llm_interactions IN SHARE MODE");
    let busy = init(&database, &["--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains("application `holder`"), "{}", busy.stderr);
    reader.close();
    holder.close();
}

#[apply(test)]
fn a_prepared_transaction_that_has_created_a_table_is_named() {
    let server = Server::start(&["max_prepared_transactions = 2"]);
    let database = Database::on(&server.url("postgres"));
    database.execute("BEGIN; CREATE TABLE alembic_version (version_num VARCHAR(32)); PREPARE TRANSACTION 'left over'");
    let busy = init(&database, &["--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains("locked by the prepared transaction `left over` ("), "{}", busy.stderr);
    database.execute("ROLLBACK PREPARED 'left over'");
    init(&database, &[]).expect(0);
}

#[apply(test)]
fn the_holder_of_the_lock_is_named_on_postgresql() {
    let database = Database::postgresql();
    let mut holder = Held::connect(&database);
    // `tarsy-db` in ASCII.
    let key = i64::from_be_bytes(*b"tarsy-db");
    holder.execute(&format!("SET application_name = 'holder'; BEGIN; SELECT pg_advisory_xact_lock({key})"));
    let pid = database.number(
        "SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'holder'
                               AND datname = current_database()",
    );

    let busy = init(&database, &["--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains(&format!("locked by pid {pid} (")), "{}", busy.stderr);
    assert!(busy.stderr.contains("application `holder`"), "{}", busy.stderr);
    assert!(busy.stderr.contains("gave up after 300ms"), "{}", busy.stderr);

    let waiting = Running::start(&database, &["init"]);
    database.wait_until(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    holder.close();
    waiting.finish().expect(0);
}

#[apply(test)]
fn a_lock_in_another_database_is_not_named() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    // Copies of one template: their tables have the same numbers.
    let other = database.another().with_schema(Schema::Baseline);
    let number = |database: &Database| database.number("SELECT 'alert_sessions'::regclass::oid::bigint");
    assert_eq!(number(&database), number(&other));
    let lock = "LOCK TABLE alert_sessions IN ACCESS EXCLUSIVE MODE";
    let elsewhere = Held::begin(&other, &format!("SET application_name = 'elsewhere'; {lock}"));
    let holder = Held::begin(&database, &format!("SET application_name = 'holder'; {lock}"));
    let busy = init(&database, &["--to", "head", "--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains("application `holder`"), "{}", busy.stderr);
    holder.close();
    init(&database, &["--to", "head", "--lock-timeout", "10s"]).expect(0);
    elsewhere.close();
}

/// Makes sure that `init` names this very process as the one that holds the lock.
fn this_process_is_named(database: &Database) {
    let mut holder = Held::connect(database);
    holder.execute("BEGIN IMMEDIATE");
    let busy = init(database, &["--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains(&format!("locked by process {} (", std::process::id())), "{}", busy.stderr);
    assert!(busy.stderr.contains("gave up after 300ms"), "{}", busy.stderr);
    holder.close();
    init(database, &[]).expect(0);
}

#[apply(test)]
#[cfg(target_os = "linux")]
fn the_holder_of_the_lock_is_named_on_sqlite() {
    this_process_is_named(&Database::sqlite());
}

#[apply(test)]
#[cfg(target_os = "linux")]
fn the_holder_of_the_lock_is_named_on_sqlite_in_wal_mode() {
    let database = Database::sqlite();
    init(&database, &[]).expect(0);
    database.execute("DROP TABLE alembic_version");
    this_process_is_named(&database);
}

#[apply(test)]
fn a_database_that_is_there_takes_no_lock() {
    let database = Database::sqlite();
    init(&database, &[]).expect(0);
    let mut writer = Held::connect(&database);
    writer.execute("BEGIN IMMEDIATE");
    assert_eq!(outcome(&database).0, "present");
    writer.close();
}

#[apply(test)]
fn a_role_that_may_only_select_is_told_that_all_is_there() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let as_role = |code| Running::start_at(&role.url(), database.directory(), &["init"]).finish().expect(code);
    let refused = as_role(77);
    assert!(refused.stderr.contains("permission denied"), "{}", refused.stderr);
    assert_eq!(baseline::listing(&database), "");
    init(&database, &[]).expect(0);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    as_role(0);
}

#[apply(test)]
fn a_locked_table_is_waited_for_and_the_session_named() {
    let database = Database::postgresql();
    init(&database, &[]).expect(0);
    let mut backend = Held::connect(&database);
    backend.execute("SET application_name = 'backend'; BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE");
    let busy = init(&database, &["--lock-timeout", "300ms"]).expect(75);
    assert!(busy.stderr.contains("application `backend`"), "{}", busy.stderr);
    backend.close();
}

#[apply(test)]
fn a_role_that_may_not_use_the_schema_is_77() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    Running::start_at(&role.url(), database.directory(), &["init"]).finish().expect(77);
}

#[apply(test)]
fn missing_directories_are_created_and_the_journal_is_wal() {
    let database = Database::sqlite();
    let path = database.directory().join("state/tarsy/history.db");
    let url = format!("sqlite:///{}", path.display());
    Running::start_at(&url, database.directory(), &["init"]).finish().expect(0);
    is_in_wal_mode(&path);
}

#[apply(test)]
fn three_slashes_are_a_relative_path() {
    let database = Database::sqlite();
    Outcome::of(bare_tarsy_db(database.directory()).env("DATABASE_URL", "sqlite:///x.db").arg("init")).expect(0);
    assert!(database.directory().join("x.db").is_file());
    assert!(!Path::new("/x.db").exists());
}

#[apply(test)]
fn a_directory_that_cannot_be_created_is_73() {
    let database = Database::sqlite();
    std::fs::write(database.directory().join("file"), "").expect("the file can be written");
    let url = format!("sqlite:///{}/file/below/history.db", database.directory().display());
    let failed = Running::start_at(&url, database.directory(), &["init"]).finish().expect(73);
    assert!(failed.stderr.contains("cannot create the directory"), "{}", failed.stderr);
}

#[apply(test)]
fn init_waits_for_a_server_that_starts_later() {
    let server = Server::create(&[]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut init = Running::start_at(&server.url("postgres"), directory.path(), &["init", "--wait=1m"]);
    init.says("connection refused");
    server.launch();
    let created = init.finish().expect(0);
    assert!(created.stdout.starts_with("created the schema"), "{}", created.stdout);
}

#[apply(test)]
fn init_that_may_wait_no_longer_is_124() {
    let started = std::time::Instant::now();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = "postgresql://tarsy:secret@nosuchhost..invalid/tarsy";
    let failed = Running::start_at(url, directory.path(), &["init", "--wait=1s"]).finish().expect(124);
    assert!(failed.stderr.contains("did not become usable within 1s"), "{}", failed.stderr);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[apply(test)]
fn a_schema_of_the_roles_own_does_not_hide_the_history() {
    let database = Database::postgresql();
    init(&database, &[]).expect(0);
    database.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER");
    assert_eq!(outcome(&database).0, "present");
    assert_eq!(database.number("SELECT count(*) FROM pg_tables WHERE tablename = 'alert_sessions'"), 1);
    Outcome::of(tarsy_db(&database).arg("check")).expect(0);
}

#[apply(test)]
fn ten_at_once_all_succeed_in_any_isolation() {
    let database = Database::postgresql();
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", database.name()));
    let ten: Vec<_> = (0..10).map(|_| Running::start(&database, &["init"])).collect();
    for running in ten {
        running.finish().expect(0);
    }
    assert_eq!(ledger(&database).len(), 1);
}

#[apply(test)]
fn terminated_while_it_commits_it_hears_the_commit_out() {
    let database = Database::postgresql();
    init(&database, &[]).expect(0);
    database.execute("DELETE FROM alembic_version");
    let halt = Held::halt_commits(&database, "alembic_version", "INSERT");
    let running = Running::start(&database, &["init", "--output", "json"]);
    Held::wait_for_halted_commit(&database);
    running.signal("TERM");
    halt.close();
    assert_eq!(running.finish().expect(0).json()["outcome"], "adopted");
    assert_eq!(ledger(&database).len(), 1);
}

#[apply(test)]
#[cfg(target_os = "linux")]
fn the_holder_of_a_file_that_cannot_even_be_read_is_named() {
    let database = Database::sqlite();
    database.execute("CREATE TABLE mine (id INTEGER)");
    let mut holder = Held::connect(&database);
    holder.execute("BEGIN EXCLUSIVE");
    let refused = init(&database, &["--lock-timeout", "300ms"]).expect(75);
    holder.close();
    assert!(refused.stderr.contains(&format!("process {}", std::process::id())), "{}", refused.stderr);
}
