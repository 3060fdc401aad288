//! An upgrade happens completely or not at all, exactly once, and blocks other sessions only briefly.

use std::time::{Duration, Instant};

use crate::support::baseline;
use crate::support::cases::each;
use crate::support::history::{NOW_US, contents, insert_many, insert_session, lasting_columns, values};
use crate::support::process::Held;
use crate::support::revision::{IDS, init_to, ledger, stands_at};
use crate::support::{Database, Outcome, Running, apply, tarsy_db, test};

const TO_HEAD: [&str; 3] = ["init", "--to", "head"];

/// Makes sure that the upgrade to head fails with this exit code and these words, and changes nothing.
#[track_caller]
fn fails_without_a_trace(database: &Database, code: i32, words: &str) {
    let before = (baseline::listing(database), contents(database), ledger(database));
    let failed = Outcome::of(tarsy_db(database).args(TO_HEAD)).expect(code);
    assert!(failed.stderr.contains(words), "{}", failed.stderr);
    assert!((baseline::listing(database), contents(database), ledger(database)) == before, "something changed");
}

/// The session of a backend at any revision from 04 to 23.
const INSERT: &str = "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
                      VALUES ('new', 'new', 'k', 'pending', 'c')";

#[apply(test)]
fn a_view_on_a_dropped_column_stops_the_upgrade(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute("CREATE VIEW mine AS SELECT alert_id FROM alert_sessions");
    fails_without_a_trace(database, 4, "9d8fd988188d (4 of 23)");
    database.execute("DROP VIEW mine");
    init_to(database, "head");
    stands_at(database, 23);
}

#[apply(test)]
fn a_view_with_the_name_of_a_table_stops_the_upgrade(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute("CREATE VIEW chats AS SELECT 1 AS chat_id");
    fails_without_a_trace(database, 4, "11b500f06df2 (11 of 23)");
}

#[apply(test)]
fn a_column_of_another_kind_stops_the_upgrade_at_its_end(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute("ALTER TABLE stage_executions ADD COLUMN parallel_type INTEGER");
    fails_without_a_trace(database, 4, "stage_executions.parallel_type is integer, expected varchar");
}

#[apply(test)]
fn objects_of_the_operator_are_kept(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute(
        "CREATE TABLE mine (id INTEGER); CREATE INDEX ix_mine ON alert_sessions (chain_id);
                      ALTER TABLE llm_interactions ADD COLUMN note VARCHAR;
                      UPDATE llm_interactions SET note = 'kept';
                      CREATE VIEW seen AS SELECT session_id, note FROM llm_interactions",
    );
    init_to(database, "head");
    assert_eq!(database.texts("SELECT note FROM seen"), [Some("kept".to_owned())]);
    let listing = baseline::listing(database);
    assert!(listing.contains("mine.id ") && listing.contains("INDEX ix_mine "), "{listing}");
    Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "3650").arg("check")).expect(0);
}

#[apply(test)]
fn a_killed_upgrade_leaves_nothing_or_everything(database: &Database) {
    let fresh = || {
        let database = database.another();
        init_to(&database, "baseline");
        insert_many(&database, 300, 16384, NOW_US);
        insert_session(&database, "s", "completed", Some(NOW_US));
        database
    };
    let mut database = fresh();
    let lasting = lasting_columns(&database);
    let (whole, before) = (contents(&database), values(&database, &lasting));
    let started = Instant::now();
    init_to(&database, "head");
    let duration = started.elapsed();
    let mut reached = Vec::new();
    for step in 0..14 {
        if ledger(&database) != [Some(IDS[0].to_owned())] {
            database = fresh();
        }
        let running = Running::start(&database, &TO_HEAD);
        std::thread::sleep(duration * step / 12);
        running.kill();
        if !database.is_sqlite() {
            // The server finishes the statements that it has received before it notices.
            database.wait_until(
                "SELECT 1 - count(*) FROM pg_stat_activity
                                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
        if ledger(&database) == [Some(IDS[0].to_owned())] {
            baseline::is_there(&database);
            assert!(contents(&database) == whole, "a killed upgrade changed the data");
            reached.push("baseline");
        } else {
            stands_at(&database, 23);
            assert!(values(&database, &lasting) == before, "a killed upgrade lost data");
            reached.push("head");
        }
    }
    assert_eq!(reached[0], "baseline");
    init_to(&database, "head");
    stands_at(&database, 23);
    assert!(values(&database, &lasting) == before, "an upgrade after a kill lost data");
}

#[apply(test)]
fn one_of_ten_upgrades_and_all_succeed(database: &Database) {
    init_to(database, "baseline");
    insert_many(database, 50, 4096, NOW_US);
    let lasting = lasting_columns(database);
    let before = values(database, &lasting);
    let arguments = [&TO_HEAD[..], &["--output", "json"]].concat();
    let ten: Vec<_> = (0..10).map(|_| Running::start(database, &arguments)).collect();
    let outcomes = ten.into_iter().map(|running| running.finish().expect(0).json()["outcome"].to_string());
    let mut outcomes: Vec<String> = outcomes.collect();
    outcomes.sort();
    assert_eq!(outcomes[9], "\"upgraded\"");
    assert!(outcomes[..9].iter().all(|outcome| outcome == "\"present\""), "{outcomes:?}");
    stands_at(database, 23);
    assert!(values(database, &lasting) == before, "a value changed");
}

/// Waits until the binary queues for a table.
fn wait_for_queue(database: &Database) {
    database.wait_until(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
}

#[apply(test)]
fn writers_continue_while_an_upgrade_waits_for_a_reader() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let reader = Held::begin(&database, "SELECT count(*) FROM alert_sessions");
    let mut running = Running::start(&database, &TO_HEAD);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        wait_for_queue(&database);
        let started = Instant::now();
        database.execute(&format!(
            "SET lock_timeout = '2s'; {INSERT}; DELETE FROM alert_sessions WHERE session_id = 'new'"
        ));
        slowest = slowest.max(started.elapsed());
        // The reader still has its lock, so the upgrade must have stepped back.
        assert!(!running.is_over());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    baseline::is_there(&database);
    reader.close();
    running.finish().expect(0);
    stands_at(&database, 23);
}

#[apply(test)]
fn an_upgrade_that_may_wait_no_longer_names_the_reader() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    each(["alert_sessions", "stage_executions"], |table| {
        let mut reader = Held::connect(&database);
        reader.execute(&format!("SET application_name = 'reader of {table}'; BEGIN; SELECT count(*) FROM {table}"));
        let before = contents(&database);
        let started = Instant::now();
        let busy = Outcome::of(tarsy_db(&database).args(TO_HEAD).args(["--lock-timeout", "1s"])).expect(75);
        assert!(busy.stderr.contains(&format!("application `reader of {table}`")), "{}", busy.stderr);
        assert!(busy.stderr.contains("gave up after 1s"), "{}", busy.stderr);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        reader.close();
        baseline::is_there(&database);
        assert_eq!(contents(&database), before);
        assert_eq!(ledger(&database), [Some(IDS[0].to_owned())]);
    });
}

#[apply(test)]
fn an_upgrade_waits_for_a_writer_of_the_file() {
    let database = Database::sqlite();
    init_to(&database, "baseline");
    let mut writer = Held::connect(&database);
    writer.execute(&format!("BEGIN IMMEDIATE; {INSERT}"));
    let busy = Outcome::of(tarsy_db(&database).args(TO_HEAD).args(["--lock-timeout", "300ms"])).expect(75);
    assert!(busy.stderr.contains(&format!("process {} (", std::process::id())), "{}", busy.stderr);
    let running = Running::start(&database, &TO_HEAD);
    writer.execute("COMMIT");
    writer.close();
    running.finish().expect(0);
    stands_at(&database, 23);
    assert_eq!(database.count("alert_sessions"), 1);
}

#[apply(test)]
fn limits_of_the_role_do_not_end_an_upgrade() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    database.execute(&format!(
        "CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN true; END $$;
         ALTER TABLE alert_sessions ADD CONSTRAINT slow CHECK (slow()) NOT VALID;
         ALTER DATABASE {} SET statement_timeout = '2s'",
        database.name()
    ));
    init_to(&database, "head");
    database.execute("ALTER TABLE alert_sessions DROP CONSTRAINT slow");
    stands_at(&database, 23);
}

#[apply(test)]
fn new_tables_are_created_in_the_schema_of_the_history() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    database.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER");
    init_to(&database, "head");
    let elsewhere = "SELECT count(*) FROM pg_tables WHERE tablename IN ('events', 'chats') AND schemaname <> 'public'";
    assert_eq!(database.number(elsewhere), 0);
    database.execute("DO $$ BEGIN EXECUTE format('DROP SCHEMA %I', current_user); END $$");
    stands_at(&database, 23);
}

#[apply(test)]
fn no_table_is_rewritten() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let files = "SELECT relname || ' ' || pg_relation_filenode(oid) FROM pg_class
                 WHERE relname IN ('alert_sessions', 'stage_executions', 'llm_interactions', 'mcp_communications',
                                   'ix_llm_interactions_conversation') ORDER BY 1";
    let before = database.texts(files);
    assert_eq!(before.len(), 5);
    init_to(&database, "head");
    assert_eq!(database.texts(files), before);
}

#[apply(test)]
fn a_database_at_its_target_waits_for_no_lock() {
    let database = Database::postgresql();
    init_to(&database, "head");
    let writer = Held::begin(&database, "LOCK TABLE alert_sessions, events, llm_interactions IN ACCESS EXCLUSIVE MODE");
    let present = Outcome::of(tarsy_db(&database).args(TO_HEAD).args(["--lock-timeout", "1s"])).expect(0);
    assert!(present.stdout.contains("nothing to do"), "{}", present.stdout);
    writer.close();
}
