//! `check --fix`: repairs indexes and sequences while other sessions are active, and nothing else.

use std::time::Duration;

use crate::support::baseline;
use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{NOW_US, contents, insert_session};
use crate::support::process::Held;
use crate::support::revision::{init_to, stands_at};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, tarsy_db, test};

/// Makes sure that `check --fix` exits with `code` and reports these repairs.
#[track_caller]
fn repairs(database: &Database, code: i32, status: &str, detail: &str) {
    is_found(&check(database, &["--fix"]).expect(code), "repairs", status, detail);
}

#[apply(test)]
fn indexes_that_are_missing_are_created(database: &Database) {
    database.create_schema(Schema::Head);
    birth::fill(database, 23);
    let before = contents(database);
    let lost = ["ix_chats_session_id", "ix_chats_pod_last_interaction", "ix_llm_interactions_conversation"];
    for index in lost {
        database.execute(&format!("DROP INDEX {index}"));
    }
    let missing = "missing index ix_chats_pod_last_interaction on chats(pod_id, last_interaction_at)";
    finds(database, 4, "schema", "failed", missing);
    let fixed = check(database, &["--fix"]).expect(0);
    for index in lost {
        is_found(&fixed, "repairs", "note", &format!("created index {index}"));
    }
    is_found(&fixed, "schema", "ok", "");
    stands_at(database, 23);
    assert_eq!(contents(database), before);
}

#[apply(test)]
fn a_unique_index_is_created_as_one(database: &Database) {
    init_to(database, "baseline");
    database.execute("DROP INDEX ix_alert_sessions_alert_id");
    repairs(database, 0, "note", "created index ix_alert_sessions_alert_id");
    baseline::is_there(database);
}

#[apply(test)]
fn a_unique_index_that_the_data_refuses_is_not_left_in_part(database: &Database) {
    init_to(database, "baseline");
    database.execute("DROP INDEX ix_alert_sessions_alert_id");
    database.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('a', 'same', 'k', 'completed', 'c'), ('b', 'same', 'k', 'completed', 'c')",
    );
    let before = (baseline::listing(database), contents(database));
    repairs(database, 4, "failed", "create index ix_alert_sessions_alert_id");
    finds(database, 4, "schema", "failed", "missing index ix_alert_sessions_alert_id");
    assert_eq!((baseline::listing(database), contents(database)), before);
}

#[apply(test)]
fn a_sound_database_is_not_changed(database: &Database) {
    database.create_schema(Schema::Head);
    let before = baseline::listing(database);
    repairs(database, 0, "ok", "nothing to repair");
    assert_eq!(baseline::listing(database), before);
    let without = check(database, &[]).expect(0).json();
    let checks = without["checks"].as_array().expect("a list");
    assert!(checks.iter().all(|check| check["name"] != "repairs"), "{without}");
}

#[apply(test)]
fn drift_that_cannot_be_repaired_stays(database: &Database) {
    database.create_schema(Schema::Head);
    database.execute("ALTER TABLE alert_sessions DROP COLUMN author; DROP INDEX ix_chats_session_id");
    let fixed = check(database, &["--fix"]).expect(4);
    is_found(&fixed, "repairs", "note", "created index ix_chats_session_id");
    is_found(&fixed, "schema", "failed", "missing column alert_sessions.author");
}

#[apply(test)]
fn no_index_is_made_of_columns_that_are_not_there(database: &Database) {
    database.execute(&birth::tables(database, Born::A, 1));
    birth::stamp(database, 23);
    birth::fill(database, 1);
    let before = baseline::listing(database);
    repairs(database, 4, "ok", "nothing to repair");
    assert_eq!(baseline::listing(database), before);
}

#[apply(test)]
fn an_index_of_that_name_elsewhere_is_not_touched(database: &Database) {
    database.create_schema(Schema::Head);
    database.execute("DROP INDEX ix_chats_session_id; CREATE INDEX ix_chats_session_id ON alert_sessions (chain_id)");
    let before = baseline::listing(database);
    repairs(database, 4, "failed", "create index ix_chats_session_id");
    assert_eq!(baseline::listing(database), before);
}

#[apply(test)]
fn an_empty_database_has_nothing_to_repair(database: &Database) {
    database.execute("SELECT 1");
    repairs(database, 3, "ok", "nothing to repair");
    assert_eq!(baseline::listing(database), "");
}

#[apply(test)]
fn a_file_that_is_not_there_is_not_created() {
    let database = Database::sqlite();
    let failed = Outcome::of(tarsy_db(&database).args(["check", "--fix"]));
    assert_ne!(failed.code, Some(0));
    assert!(!database.file().exists());
}

#[apply(test)]
fn an_index_is_created_while_others_write() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    database.execute("DROP INDEX ix_alert_sessions_status");
    let insert = |id: &str| {
        format!(
            "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
             VALUES ('{id}', '{id}', 'k', 'pending', 'c')"
        )
    };
    let writer = Held::begin(&database, &insert("open"));
    let mut fix = Running::start(&database, &["check", "--fix"]);
    fix.says("index ix_alert_sessions_status: waiting up to 30s until pid ");
    database.execute(&format!("SET lock_timeout = '2s'; {}", insert("meanwhile")));
    assert!(!fix.is_over());
    writer.close();
    let fixed = fix.finish().expect(0);
    assert!(fixed.stdout.contains("created index ix_alert_sessions_status"), "{}", fixed.stdout);
    baseline::is_there(&database);
    assert_eq!(database.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
}

#[apply(test)]
fn an_index_that_another_transaction_holds_up_is_given_up_and_not_left_invalid() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute(
        "DROP INDEX ix_chats_session_id;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_chats_pod_last_interaction'::regclass",
    );
    let before = baseline::listing(&database);
    let held = Held::begin(&database, "LOCK TABLE chats IN SHARE UPDATE EXCLUSIVE MODE");
    let started = std::time::Instant::now();
    let fixed = check(&database, &["--fix"]).expect(75);
    // Both together would take twice as long.
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    is_found(&fixed, "repairs", "failed", "has an open transaction that would hold it up; gave up after 30s");
    assert_eq!(baseline::listing(&database), before);
    held.close();
    check(&database, &["--fix"]).expect(0);
    stands_at(&database, 23);
}

#[apply(test)]
fn a_writer_and_an_older_snapshot_are_waited_for_and_named() {
    let holders = [
        "INSERT INTO chats (chat_id, conversation_history, chain_id) VALUES ('c', '', 'c')",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM events",
    ];
    each(holders, |holder| {
        let database = Database::postgresql();
        database.create_schema(Schema::Head);
        database.execute("DROP INDEX ix_chats_session_id");
        let held = Held::begin(&database, holder);
        let mut fix = Running::start(&database, &["check", "--fix"]);
        fix.says("index ix_chats_session_id: waiting up to 30s until pid ");
        assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname = 'ix_chats_session_id'"), 0);
        held.close();
        fix.finish().expect(0);
    });
}

#[apply(test)]
fn two_at_once_do_not_spoil_the_index() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute("DROP INDEX ix_chats_session_id");
    let writer =
        Held::begin(&database, "INSERT INTO chats (chat_id, conversation_history, chain_id) VALUES ('c', '', 'c')");
    let mut first = Running::start(&database, &["check", "--fix"]);
    first.says("index ix_chats_session_id: waiting ");
    let second = check(&database, &["--fix"]).expect(75);
    is_found(&second, "repairs", "failed", "another `check --fix` is running");
    writer.close();
    first.finish().expect(0);
    stands_at(&database, 23);
    assert_eq!(database.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
}

#[apply(test)]
fn many_at_once_all_find_a_sound_database_in_the_end(database: &Database) {
    database.create_schema(Schema::Head);
    birth::fill(database, 23);
    for _ in 0..3 {
        database.execute("DROP INDEX ix_chats_session_id; DROP INDEX ix_llm_interactions_conversation");
        let all: Vec<_> = (0..4).map(|_| Running::start(database, &["check", "--fix"])).collect();
        for one in all {
            let fixed = one.finish().expect(0);
            assert!(fixed.stdout.contains("is sound"), "{}", fixed.stdout);
        }
        stands_at(database, 23);
    }
}

#[apply(test)]
fn a_sound_database_is_sound_beside_another_repair() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    // The lock of a repair.
    let _repair = Held::begin(&database, "SELECT pg_advisory_xact_lock(8386109821420397667)");
    repairs(&database, 0, "ok", "nothing to repair");
}

#[apply(test)]
fn an_invalid_index_is_built_again() {
    let database = Database::postgresql();
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    // As a build leaves it that was interrupted.
    database.execute(
        "UPDATE pg_index SET indisvalid = false, indisready = false
         WHERE indexrelid = 'ix_llm_interactions_conversation'::regclass",
    );
    finds(&database, 4, "schema", "failed", "index ix_llm_interactions_conversation on llm_interactions is invalid");
    repairs(&database, 0, "note", "rebuilt index ix_llm_interactions_conversation");
    baseline::is_there(&database);
    assert_eq!(database.number("SELECT count(*) FROM pg_index WHERE NOT (indisvalid AND indisready)"), 0);
}

#[apply(test)]
fn a_sequence_behind_its_data_is_put_ahead_of_it() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute("INSERT INTO events (id, channel) VALUES (1, 'sessions'), (41, 'sessions')");
    finds(&database, 4, "sequences", "failed", "the next value of `events_id_seq` is 1, but `events.id` goes up to 41");
    let fixed = check(&database, &["--fix"]).expect(0);
    is_found(&fixed, "repairs", "note", "advanced sequence events_id_seq past the data");
    is_found(&fixed, "sequences", "ok", "1 sequence ahead of the data");
    database.execute("INSERT INTO events (channel) VALUES ('sessions')");
    assert_eq!(database.number("SELECT max(id)::bigint FROM events"), 42);
    repairs(&database, 0, "ok", "nothing to repair");
}

#[apply(test)]
fn a_sequence_waits_only_so_long_for_a_writer() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute("INSERT INTO events (id, channel) VALUES (41, 'sessions'); DROP INDEX ix_chats_session_id");
    let mut writer = Held::begin(&database, "INSERT INTO events (id, channel) VALUES (43, 'sessions')");
    let started = std::time::Instant::now();
    let fixed = check(&database, &["--fix"]);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    is_found(&fixed.expect(75), "repairs", "failed", "cannot set sequence events_id_seq");
    writer.execute("COMMIT");
    writer.close();
    repairs(&database, 0, "note", "advanced sequence events_id_seq past the data");
    database.execute("INSERT INTO events (channel) VALUES ('sessions')");
    assert_eq!(database.number("SELECT max(id)::bigint FROM events"), 44);
}

#[apply(test)]
fn a_role_that_may_only_select_is_told_so() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    database.execute("DROP INDEX ix_chats_session_id");
    let before = baseline::listing(&database);
    let arguments = ["check", "--fix", "--output", "json"];
    let refused = Running::start_at(&role.url(), database.directory(), &arguments).finish().expect(77);
    let (status, detail) = finding(&refused, "repairs");
    assert_eq!(status, "failed");
    assert!(detail.contains("must be owner of table chats"), "{detail}");
    assert_eq!(baseline::listing(&database), before);
}
