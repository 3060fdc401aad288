//! `prune --orphans`: rows whose session, stage or chat does not exist are removed, and no others.

use serde_json::{Value, json};

use crate::support::archive::archive_path;
use crate::support::cases::each;
use crate::support::check::{check, is_found};
use crate::support::history::{NOW_US, OLD_US, Rows, insert_session, insert_whole_sessions, rows};
use crate::support::process::{Held, wait_until};
use crate::support::prune::{prune, start_to_prune};
use crate::support::sqlite_file::empty_every_index;
use crate::support::{Database, Schema, apply, test};

/// Four sessions at the newest revision. One is gone, one lost a stage, one a chat, and one is whole. Returns what is
/// to be removed, and what stays.
fn damaged(database: &Database) -> (Rows, Rows) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 4, NOW_US);
    let child =
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                               parallel_index, parallel_type, parent_stage_execution_id) VALUES";
    database.execute_unguarded(&format!(
        // Behind its parent in the order of the keys; the other one is before it.
        "{child} ('z-child@s1', 's1', 'a', 0, 'A', 'k', 'completed', 2, 'replica', 'stage@s1');
             DELETE FROM alert_sessions WHERE session_id = 's1';
             UPDATE llm_interactions SET stage_execution_id = NULL WHERE interaction_id = 'llm@s2';
             DELETE FROM stage_executions WHERE execution_id = 'stage@s2';
             DELETE FROM chats WHERE chat_id = 'chat@s3'"
    ));
    let goes = |(_, key): &(&str, String)| {
        let hangs_on_stage = ["child@s2", "mcp@s2"].contains(&key.as_str());
        key.ends_with("@s1") || hangs_on_stage || key == "message@s3"
    };
    rows(database).into_iter().partition(|(key, _)| goes(key))
}

/// Child, column and rows of what is planned.
fn planned(plan: &Value) -> Value {
    let orphans = plan["orphans"].as_array().expect("a list").iter();
    orphans.map(|orphans| json!([orphans["child"], orphans["column"], orphans["rows"]])).collect()
}

#[apply(test)]
fn an_orphan_stage_that_a_living_session_needs_stays(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, NOW_US);
    database.execute_unguarded(
        "UPDATE stage_executions SET session_id = 'gone' WHERE execution_id IN ('stage@s1', 'child@s1');
         UPDATE mcp_communications SET session_id = 'gone' WHERE communication_id = 'mcp@s1'",
    );
    // The interaction of the living session refers to the child, and that to its parent.
    let mut expected = rows(database);
    expected.retain(|(_, key), _| key != "mcp@s1");
    prune(database, &["--orphans", "--yes"]).expect(0);
    assert_eq!(rows(database), expected);
}

#[apply(test)]
fn a_stage_without_its_parent_stays_with_the_interactions_of_its_own_session(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, NOW_US);
    database.execute_unguarded(
        "UPDATE stage_executions SET parent_stage_execution_id = 'missing' WHERE execution_id = 'child@s1'",
    );
    let before = rows(database);
    let pruned = prune(database, &["--before", "2020-01-01T00:00:00Z", "--orphans", "--yes"]).expect(0).json();
    assert_eq!((planned(&pruned["plan"]), &pruned["removed"]), (json!([]), &Value::Null));
    assert_eq!(rows(database), before);
    // `check` still counts it.
    check(database, &["--deep"]).expect(4);

    // Without the interaction nothing refers to it.
    database.execute("DELETE FROM llm_interactions WHERE interaction_id = 'llm@s1'");
    let pruned = prune(database, &["--before", "2020-01-01T00:00:00Z", "--orphans", "--yes"]).expect(0).json();
    assert_eq!(planned(&pruned["plan"]), json!([["stage_executions", "parent_stage_execution_id", 1]]));
    assert_eq!(pruned["removed"]["rows"]["stage_executions"], 1);
    check(database, &["--deep"]).expect(0);
}

#[apply(test)]
fn they_are_planned_archived_and_removed_with_what_hangs_on_them(database: &Database) {
    let (orphans, others) = damaged(database);
    check(database, &["--deep"]).expect(4);
    let expected = json!([
        ["stage_executions", "session_id", 3],
        ["stage_executions", "parent_stage_execution_id", 1],
        ["mcp_communications", "session_id", 1],
        ["mcp_communications", "stage_execution_id", 1],
        ["llm_interactions", "session_id", 1],
        ["chats", "session_id", 1],
        ["chat_user_messages", "chat_id", 1],
    ]);
    let dry = prune(database, &["--orphans", "--dry-run"]).expect(0).json();
    assert_eq!(planned(&dry["plan"]), expected);
    // They are not removed without the flag.
    assert_eq!(prune(database, &["--yes"]).expect(0).json()["removed"], Value::Null);
    assert_eq!(rows(database).len(), orphans.len() + others.len());

    let archive = Database::sqlite();
    let pruned = prune(database, &["--orphans", "--yes", "--archive", &archive_path(&archive)]).expect(0).json();
    assert_eq!(planned(&pruned["plan"]), expected);
    let removed = pruned["removed"]["rows"].as_object().expect("rows by table").values();
    assert_eq!(removed.filter_map(Value::as_u64).sum::<u64>(), orphans.len() as u64);
    assert_eq!(rows(database), others);
    assert_eq!(rows(&archive), orphans);
    check(database, &["--deep"]).expect(0);
    let again = prune(database, &["--orphans", "--yes"]).expect(0).json();
    assert_eq!((&again["removed"], planned(&again["plan"])), (&Value::Null, json!([])));
}

#[apply(test)]
fn sessions_and_orphans_go_in_one_run(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_session(database, "new", "completed", Some(NOW_US));
    insert_session(database, "gone", "completed", Some(NOW_US));
    database.execute_unguarded("DELETE FROM alert_sessions WHERE session_id = 'gone'");
    let pruned = prune(database, &["--orphans", "--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!(
        pruned["removed"]["rows"],
        json!({
            "alert_sessions": 1, "llm_interactions": 2, "mcp_communications": 2, "stage_executions": 2,
        })
    );
    assert!(rows(database).keys().all(|(_, key)| key.ends_with("new")));
    check(database, &["--deep"]).expect(0);
}

#[apply(test)]
fn the_time_may_be_up_among_them(database: &Database) {
    let (orphans, others) = damaged(database);
    let cut = prune(database, &["--orphans", "--yes", "--max-duration", "0s"]).expect(0).json();
    assert_eq!(cut["removed"]["stopped"], "deadline");
    assert_eq!(rows(database).len(), orphans.len() + others.len());
    prune(database, &["--orphans", "--yes", "--max-duration", "1h"]).expect(0);
    assert_eq!(rows(database), others);
}

#[apply(test)]
fn on_a_file_whose_foreign_keys_are_enforced_they_go_as_well() {
    let database = Database::sqlite();
    let (_, others) = damaged(&database);
    // A table of the operator's that points to TARSy's keeps the enforcement on.
    database
        .execute("CREATE TABLE ours (session_id VARCHAR REFERENCES alert_sessions); INSERT INTO ours VALUES ('s4')");
    prune(&database, &["--orphans", "--yes"]).expect(0);
    assert_eq!(rows(&database), others);
}

#[apply(test)]
fn on_a_server_without_foreign_keys_they_go_as_well() {
    let database = Database::postgresql();
    let (_, others) = damaged(&database);
    let keys = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
                WHERE contype = 'f' AND connamespace = 'public'::regnamespace";
    let keys: Vec<_> = database.texts(keys).into_iter().flatten().collect();
    assert!(!keys.is_empty());
    database.execute(&keys.join("; "));
    prune(&database, &["--orphans", "--yes"]).expect(0);
    assert_eq!(rows(&database), others);
}

#[apply(test)]
fn rows_whose_parents_a_damaged_index_lacks_are_no_orphans() {
    let database = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&database, 3, NOW_US);
    let before = rows(&database);
    empty_every_index(&database);
    let recent = ["--before", "1971-01-01T00:00:00Z", "--orphans"];
    each([&["--yes"][..], &["--dry-run"]], |more| {
        let refused = prune(&database, &[&recent[..], more].concat()).expect(74);
        for word in ["integrity check reports", "may have a parent", "REINDEX"] {
            assert!(refused.stderr.contains(word), "{more:?}: {}", refused.stderr);
        }
    });
    let checked = check(&database, &[]).expect(4);
    is_found(&checked, "integrity", "failed", "\nrestore a backup, or recover the readable rows");
    let checked = checked.json();
    let keys = checked["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "foreign keys");
    let detail = keys.expect("the check")["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("may have a parent") && !detail.contains("point to no row"), "{detail}");

    // The way that it names leads back.
    database.execute("REINDEX");
    let done = prune(&database, &[&recent[..], &["--yes"]].concat()).expect(0).json();
    assert_eq!(done["plan"]["orphans"], json!([]));
    assert!(rows(&database) == before, "a row is gone");
}

/// Writes this many communications of sessions that do not exist, four to a block.
fn insert_lost_communications(database: &Database, count: u32) {
    database.execute_unguarded(&format!(
        "INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, duration_ms, success,
                                         server_name, communication_type)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
         SELECT 'lost-' || n, '{}', 'request', 'gone-' || n, 30, true, 'kubernetes', 'tool_call' FROM numbers",
        "x".repeat(1800)
    ));
}

#[apply(test)]
fn a_table_is_not_read_again_for_each_batch() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, 2, NOW_US);
    let before = rows(&database);
    insert_lost_communications(&database, 300);
    let scanned = "FROM pg_stat_user_tables WHERE relname = 'mcp_communications'";
    let earlier = database.number(&format!("SELECT seq_tup_read {scanned}"));
    let pruned = prune(&database, &["--orphans", "--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["mcp_communications"], 300);
    assert!(pruned["removed"]["batches"].as_u64() >= Some(100), "{}", pruned["removed"]["batches"]);
    assert_eq!(rows(&database), before);
    // The server counts a session's work at its end.
    database.wait_until(&format!("SELECT CAST(CAST(n_tup_del >= 300 AS int) AS bigint) {scanned}"));
    let read = database.number(&format!("SELECT seq_tup_read {scanned}")) - earlier;
    assert!(read < 3000, "{read} rows were read");
}

#[apply(test)]
fn chains_of_stages_go_in_one_run_whatever_their_order(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 1, NOW_US);
    let expected = rows(database);
    let stages: Vec<_> =
        [("a1", "NULL"), ("a2", "'a1'"), ("a3", "'a2'"), ("b1", "'b2'"), ("b2", "'b3'"), ("b3", "NULL")]
            .iter()
            .map(|(stage, parent)| {
                format!("('{stage}', 'gone', 'a', 0, 'A', 'k', 'completed', 0, 'replica', {parent})")
            })
            .collect();
    database.execute_unguarded(&format!(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                       parallel_index, parallel_type, parent_stage_execution_id) VALUES {}",
        stages.join(", ")
    ));
    let pruned = prune(database, &["--orphans", "--yes"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["stage_executions"], 6);
    assert_eq!(rows(database), expected);
}

/// Writes stages of sessions that do not exist.
fn insert_lost_stages(database: &Database, count: u32) {
    database.execute_unguarded(&format!(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                       parallel_index, parallel_type)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
         SELECT 'lost-' || n, 'gone-' || n, 'a', 0, 'A', 'k', 'completed', 0, 'single' FROM numbers"
    ));
}

#[apply(test)]
fn a_child_stage_that_is_written_during_the_run_keeps_its_parent(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 1, NOW_US);
    insert_lost_stages(database, 500);
    let begun = database.count("stage_executions");
    let run = start_to_prune(database, &["--orphans", "--before", "1971-01-01T00:00:00Z"]);
    wait_until("it removes stages", || database.count("stage_executions") < begun);
    // The last one that is removed.
    database
        .execute("UPDATE stage_executions SET parent_stage_execution_id = 'lost-1' WHERE execution_id = 'child@s1'");
    let left = database.count("stage_executions");
    assert!(left > 100, "the run is too fast for this test: {left}");
    run.finish().expect(0);
    let stages = database.texts("SELECT execution_id FROM stage_executions ORDER BY 1").into_iter().flatten();
    assert_eq!(stages.collect::<Vec<_>>(), ["child@s1", "lost-1", "stage@s1"]);
}

#[apply(test)]
fn orphans_that_stay_do_not_take_a_transaction_each() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, 1, NOW_US);
    insert_lost_stages(&database, 3000);
    database.execute_unguarded(
        "INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
         SELECT execution_id, 's1', execution_id, 1, true, 'gemini' FROM stage_executions
         WHERE execution_id LIKE 'lost-%' AND execution_id <> 'lost-7'",
    );
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let before = database.number(transactions);
    let pruned = prune(&database, &["--orphans", "--yes"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["stage_executions"], 1);
    // The server counts a session's work at its end.
    let removed = "SELECT CAST(n_tup_del AS bigint) FROM pg_stat_user_tables WHERE relname = 'stage_executions'";
    database.wait_until(removed);
    let transactions = database.number(transactions) - before;
    assert!(transactions < 1500, "{transactions}");
}

#[apply(test)]
fn an_orphan_that_another_session_has_locked_is_retried_and_then_an_error() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_lost_communications(&database, 20);
    let writer =
        Held::begin(&database, "UPDATE mcp_communications SET duration_ms = 7 WHERE communication_id = 'lost-7'");
    let pruned = prune(&database, &["--orphans", "--yes", "--retry-for", "1s"]).expect(75).json();
    assert_eq!(pruned["removed"]["rows"]["mcp_communications"], 19);
    assert_eq!(pruned["error"]["causes"], json!(["another session has locked 1 orphan of mcp_communications"]));
    let mut run = start_to_prune(&database, &["--orphans", "--older-than", "90d"]);
    run.says("another session has locked 1 orphan of mcp_communications; retrying for up to 1m");
    writer.close();
    let pruned = run.finish().expect(0).json();
    assert_eq!(
        (&pruned["removed"]["rows"]["mcp_communications"], database.count("mcp_communications")),
        (&1.into(), 0)
    );
}

#[apply(test)]
fn rows_of_another_partition_stay() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, 40, NOW_US);
    // Half of the rows that a place leads to are orphans.
    database.execute_unguarded(
        "ALTER TABLE mcp_communications RENAME TO whole;
         CREATE TABLE mcp_communications (LIKE whole) PARTITION BY LIST (session_id);
         CREATE TABLE lost PARTITION OF mcp_communications FOR VALUES IN ('gone');
         CREATE TABLE kept PARTITION OF mcp_communications DEFAULT;
         ALTER TABLE mcp_communications ADD PRIMARY KEY (communication_id, session_id);
         INSERT INTO mcp_communications SELECT * FROM whole;
         UPDATE whole SET session_id = 'gone', communication_id = 'lost-' || communication_id;
         INSERT INTO mcp_communications SELECT * FROM whole; DROP TABLE whole",
    );
    let pruned = prune(&database, &["--orphans", "--yes"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["mcp_communications"], 40);
    assert_eq!(database.number("SELECT count(*) FROM mcp_communications WHERE communication_id LIKE 'mcp@s%'"), 40);
}

#[apply(test)]
fn a_column_may_have_the_name_of_sqlites_rowid() {
    let database = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&database, 2, NOW_US);
    insert_lost_communications(&database, 3);
    database.execute_unguarded("ALTER TABLE mcp_communications ADD COLUMN rowid INTEGER DEFAULT 1");
    let pruned = prune(&database, &["--orphans", "--yes"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["mcp_communications"], 3);
    assert_eq!(database.count("mcp_communications"), 2);
}

#[apply(test)]
fn a_table_without_a_rowid_is_named_before_anything_is_removed() {
    let recreate = "PRAGMA legacy_alter_table = ON; ALTER TABLE stage_executions RENAME TO before; TABLE WITHOUT ROWID;
                    INSERT INTO stage_executions SELECT * FROM before; DROP TABLE before";
    each([recreate, "ALTER TABLE stage_executions ADD COLUMN _rowid_ INTEGER DEFAULT 1"], |change| {
        let database = Database::sqlite().with_schema(Schema::Head);
        insert_whole_sessions(&database, 2, OLD_US);
        insert_lost_communications(&database, 1);
        let table = database.texts("SELECT sql FROM sqlite_schema WHERE name = 'stage_executions'").remove(0);
        database.execute_unguarded(&change.replace("TABLE WITHOUT", &format!("{} WITHOUT", table.expect("a table"))));
        let words = "`stage_executions` has no `_rowid_`, by which `--orphans` finds rows again";
        let (before, orphans) = (rows(&database), ["--orphans", "--yes"]);
        let planned = prune(&database, &["--orphans", "--dry-run"]).expect(0).json();
        assert_eq!(planned["in_the_way"], json!([words]));
        prune(&database, &orphans).expect(7).fails_with(&[words, "without `--orphans`"]);
        assert!(before == rows(&database), "a row is gone");
        // It matters only if there are orphans.
        database.execute("DELETE FROM mcp_communications WHERE communication_id = 'lost-1'");
        prune(&database, &orphans).expect(0);
        assert_eq!(rows(&database).len(), 0);
    });
}
