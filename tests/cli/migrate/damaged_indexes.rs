//! `migrate-sqlite-to-postgres`: a damaged index does not decide which rows a source has.

use std::fs;

use serde_json::Value;

use crate::support::history::{NOW_US, insert_session, insert_whole_sessions};
use crate::support::migration::{compare, migrate, source_and_target};
use crate::support::sqlite_file::empty_every_index;
use crate::support::{Database, Outcome, Schema, apply, test};

/// Sessions of a history, which has two stages for each.
const SESSIONS: u32 = 3;

/// A history at the newest revision, and an empty target.
fn whole_history() -> (Database, Database) {
    let source = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&source, SESSIONS, NOW_US);
    (source, Database::postgresql())
}

/// Adds a stage of the first session whose parent stage is not there.
fn insert_orphan(source: &Database) {
    source.execute(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO stage_executions (execution_id, session_id, parent_stage_execution_id, stage_id, stage_index,
                                       stage_name, agent, status)
         VALUES ('orphan', 's1', 'gone', 'analysis', 1, 'Analysis', 'agent', 'completed')",
    );
}

/// A move that accepts damage, with more options.
fn accepting(source: &Database, target: &Database, options: &[&str]) -> Outcome {
    Outcome::of(migrate(source, target).args(["--accept-damage", "--report", "move.json"]).args(options))
}

fn changes(source: &Database) -> Vec<Value> {
    let report = fs::read(source.directory().join("move.json")).expect("the report is there");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    report["changes"].as_array().expect("a list of changes").clone()
}

#[apply(test)]
fn rows_whose_parents_an_index_lacks_are_no_orphans() {
    let (source, target) = whole_history();
    empty_every_index(&source);
    let moved = accepting(&source, &target, &["--on", "orphan=drop"]).expect(0);
    assert!(moved.stderr.contains("the source is damaged"), "{}", moved.stderr);
    assert_eq!(changes(&source), Vec::<Value>::new());
    assert_eq!(target.count("alert_sessions"), i64::from(SESSIONS));
    assert_eq!(target.count("stage_executions"), i64::from(2 * SESSIONS));
    assert_eq!(target.count("chat_user_messages"), i64::from(SESSIONS));
}

#[apply(test)]
fn a_comparison_takes_no_row_for_an_orphan_because_of_an_index() {
    let (source, target) = whole_history();
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    empty_every_index(&source);
    compare(&source, &target).expect(0);
}

#[apply(test)]
fn an_orphan_is_found_among_rows_that_an_index_lacks() {
    let (source, target) = whole_history();
    insert_orphan(&source);
    empty_every_index(&source);
    let refused = accepting(&source, &target, &[]).expect(65).json();
    let hazards = refused["error"]["details"].as_array().expect("a list of hazards").clone();
    assert_eq!(hazards.len(), 1, "{hazards:?}");
    assert_eq!(hazards[0]["primary_key"], "orphan");
    accepting(&source, &target, &["--on", "orphan=drop"]).expect(0);
    let keys = changes(&source).iter().map(|change| change["primary_key"].clone()).collect::<Vec<_>>();
    assert!(!keys.is_empty() && keys.iter().all(|key| key == "orphan"), "{keys:?}");
    assert_eq!(target.count("stage_executions"), i64::from(2 * SESSIONS));
}

#[apply(test)]
fn a_placeholder_is_made_only_for_a_row_that_the_table_lacks() {
    let (source, target) = whole_history();
    insert_orphan(&source);
    empty_every_index(&source);
    // The placeholder stage belongs to an existing session.
    accepting(&source, &target, &["--on", "orphan=adopt"]).expect(0);
    assert_eq!(target.count("alert_sessions"), i64::from(SESSIONS));
    assert_eq!(target.count("stage_executions"), i64::from(2 * SESSIONS) + 2);
    let adopted = "SELECT session_id FROM stage_executions WHERE execution_id = 'gone'";
    assert_eq!(target.texts(adopted), [Some("s1".to_owned())]);
}

#[apply(test)]
fn a_plan_counts_the_rows_of_the_tables() {
    let (source, target) = whole_history();
    empty_every_index(&source);
    let planned = accepting(&source, &target, &["--dry-run"]).expect(0).json();
    let tables = planned["tables"].as_array().expect("a list of tables").iter();
    let rows: Vec<_> = tables.map(|table| (table["table"].clone(), table["rows"].clone())).collect();
    for (table, expected) in [("alert_sessions", SESSIONS), ("stage_executions", 2 * SESSIONS), ("chats", SESSIONS)] {
        assert!(rows.contains(&(table.into(), expected.into())), "{table}: {rows:?}");
    }
}

#[apply(test)]
fn rows_of_a_table_that_stays_behind_are_counted_in_the_table() {
    let (source, target) = whole_history();
    source.execute(
        "CREATE TABLE ours (a, b); CREATE INDEX of_ours ON ours (a); INSERT INTO ours VALUES (1, 'b'), (2, 'b')",
    );
    empty_every_index(&source);
    let refused = accepting(&source, &target, &[]).expect(7);
    assert!(refused.stderr.contains("ours (2 rows)"), "{}", refused.stderr);
}

#[apply(test)]
fn a_row_that_is_there_twice_is_named_although_its_unique_index_has_it_once() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    insert_session(&source, "two", "completed", Some(NOW_US));
    empty_every_index(&source);
    // The index does not know of the first one.
    source.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('three', 'alert-one', 'kubernetes', 'completed', 'chain')",
    );
    let refused = accepting(&source, &target, &[]).expect(65).json();
    let hazards = refused["error"]["details"].as_array().expect("a list of hazards").iter();
    let mut named: Vec<_> = hazards.map(|hazard| format!("{} {}", hazard["primary_key"], hazard["column"])).collect();
    named.sort();
    assert_eq!(named, [r#""one" "alert_id""#, r#""three" "alert_id""#]);
}
