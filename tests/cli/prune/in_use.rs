//! Old closed sessions with an active chat: `prune` keeps them and reports why.

use crate::support::history::{
    DAY_US, NOW_US, OLD_US, insert_many, insert_old_sessions, insert_session, insert_whole_sessions, session_ids,
};
use crate::support::process::{Held, wait_until};
use crate::support::prune::{prune, start_to_prune};
use crate::support::revision::init_to;
use crate::support::{Database, Schema, apply, test};

/// A time after the cutoff of 90 days.
const RECENT_US: i64 = NOW_US - DAY_US;

const OLDER: [&str; 3] = ["--older-than", "90d", "--yes"];

fn insert_stage(database: &Database, session: &str, status: &str, started_at_us: &str) {
    database.execute(&format!(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status, started_at_us)
         VALUES ('extra@{session}', '{session}', 'chat', 9, 'Chat', 'ChatAgent', '{status}', {started_at_us})"
    ));
}

/// The reasons of the kept sessions, by their keys.
fn kept<'p>(plan: &'p serde_json::Value) -> Vec<(&'p str, &'p str)> {
    let text = |value: &'p serde_json::Value| value.as_str().expect("a text");
    let list = plan["plan"]["kept"].as_array().expect("a list");
    let mut kept: Vec<_> =
        list.iter().map(|session| (text(&session["session_id"]), text(&session["reason"]))).collect();
    kept.sort_unstable();
    kept
}

#[apply(test)]
fn a_session_in_use_is_kept_and_one_that_a_crash_left_open_is_removed(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 8, OLD_US);
    database.execute(&format!(
        "UPDATE alert_sessions SET last_interaction_at = {RECENT_US} WHERE session_id = 's1';
         UPDATE chats SET last_interaction_at = {NOW_US} WHERE session_id = 's2';
         UPDATE alert_sessions SET last_interaction_at = {OLD_US} WHERE session_id = 's5';
         UPDATE chats SET last_interaction_at = {OLD_US} WHERE session_id = 's5';
         UPDATE alert_sessions SET status = 'paused' WHERE session_id = 's8'"
    ));
    insert_stage(database, "s3", "active", &RECENT_US.to_string());
    insert_stage(database, "s4", "active", &OLD_US.to_string());
    insert_stage(database, "s6", "completed", &RECENT_US.to_string());
    insert_stage(database, "s7", "pending", "NULL");
    let expected = [("s1", "in_use"), ("s2", "in_use"), ("s3", "in_use"), ("s8", "not_over")];

    let plan = prune(database, &["--older-than", "90d", "--dry-run"]).expect(0).json();
    assert_eq!((kept(&plan), &plan["plan"]["sessions"]), (expected.to_vec(), &4.into()));
    let removed = prune(database, &OLDER).expect(0).json();
    assert_eq!((kept(&removed), &removed["removed"]["sessions"]), (expected.to_vec(), &4.into()));
    assert_eq!(session_ids(database), ["s1", "s2", "s3", "s8"]);
    assert_eq!(database.count("chat_user_messages"), 4);

    let nothing = prune(database, &OLDER).expect(0).json();
    assert_eq!(nothing["remaining_sessions"], 4);
    prune(database, &[&OLDER[..], &["--include-active"]].concat()).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn older_revisions_have_only_stages_to_go_by(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 3, 64, OLD_US);
    insert_stage(database, "s-2", "active", &RECENT_US.to_string());
    assert_eq!(kept(&prune(database, &OLDER).expect(0).json()), [("s-2", "in_use")]);
    assert_eq!(session_ids(database), ["s-2"]);
    init_to(database, "5");
    database.execute(&format!(
        "UPDATE stage_executions SET status = 'failed'; UPDATE alert_sessions SET last_interaction_at = {RECENT_US}"
    ));
    assert_eq!(kept(&prune(database, &OLDER).expect(0).json()), [("s-2", "in_use")]);
    database.execute("UPDATE alert_sessions SET last_interaction_at = NULL");
    prune(database, &OLDER).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_chat_that_begins_while_others_are_removed_keeps_its_session(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 1500, 64, OLD_US);
    let run = start_to_prune(database, &["--older-than", "90d"]);
    wait_until("some sessions are gone", || database.count("alert_sessions") < 1500);
    insert_stage(database, "s-1500", "active", &NOW_US.to_string());
    let told = run.finish().expect(0).json();
    assert_eq!(session_ids(database), ["s-1500"]);
    assert_eq!((database.count("llm_interactions"), &told["removed"]["sessions"]), (1, &1499.into()));
    assert_eq!(told["remaining_sessions"], 1);
}

#[apply(test)]
fn with_an_archive_a_session_that_others_need_since_the_plan_is_kept() {
    let database = Database::postgresql();
    insert_old_sessions(&database, 5);
    insert_session(&database, "recent", "completed", Some(NOW_US));
    let mut writer = Held::begin(&database, "SELECT session_id FROM alert_sessions WHERE session_id = '1' FOR UPDATE");
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let run = start_to_prune(&database, &["--older-than", "90d", "--archive", "archive.db"]);
    Held::wait_for_halted_commit(&database);
    writer.execute("UPDATE llm_interactions SET stage_execution_id = 'stage-1' WHERE session_id = 'recent'; COMMIT");
    halt.close();
    assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], 4);
    assert_eq!(session_ids(&database), ["1", "recent"]);
    assert_eq!(database.count("llm_interactions"), 2);
}
