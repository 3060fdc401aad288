//! Plans of more sessions than are counted one by one, and of many that are kept.

use std::fs;

use assert_cmd::Command;
use serde_json::Value;

use crate::support::history::{DAY_US, NOW, NOW_US, OLD_US, insert_many, insert_session};
use crate::support::prune::prune;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

/// How much later each of many sessions starts than the one before it.
const MINUTE_US: i64 = 60_000_000;

/// The rows and whether they were counted, of a table of a plan.
fn counted(plan: &Value, table: &str) -> (u64, bool) {
    let tables = plan["plan"]["tables"].as_array().expect("a list of tables");
    let table = tables.iter().find(|found| found["table"] == table).expect("the table");
    (table["rows"].as_u64().expect("a number"), table["exact"].as_bool().expect("true or false"))
}

#[apply(test)]
fn what_more_than_a_thousand_sessions_have_is_an_estimate_and_marked_as_one(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 9000, 32, OLD_US);
    let plan = prune(database, &["--dry-run"]).expect(0).json();
    assert_eq!(plan["plan"]["sessions"], 9000);
    assert_eq!(counted(&plan, "llm_interactions"), (9000, false));
    assert_eq!(counted(&plan, "alert_sessions"), (9000, false));
    let exact = prune(database, &["--dry-run", "--exact"]).expect(0).json();
    assert_eq!(counted(&exact, "llm_interactions"), (9000, true));
    let mut command = tarsy_db(database);
    command.env("HISTORY_RETENTION_DAYS", "90");
    let shown = Outcome::of(command.args(["prune", "--now", NOW, "--max-share", "100%", "--dry-run"])).expect(0).stdout;
    assert!(shown.contains(" ~9,000 ") && shown.contains("~ is an estimate"), "{shown}");
    let removed = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(removed["removed"]["rows"]["llm_interactions"], 9000);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn sessions_that_others_need_are_kept_however_many_they_are(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 5000, 32, OLD_US);
    refer_to_stages_of(database, &format!("(started_at_us / {MINUTE_US}) % 2 = 0"));
    let file = database.directory().join("kept.jsonl");
    let path = file.to_str().expect("a path as text");
    let plan = prune(database, &["--dry-run", "--exact", "--kept-file", path]).expect(0).json();
    assert_eq!((&plan["plan"]["kept_counts"]["needed"], &plan["plan"]["sessions"]), (&2500.into(), &2500.into()));
    assert_eq!((counted(&plan, "llm_interactions"), counted(&plan, "stage_executions")), ((2500, true), (2500, true)));
    let kept = fs::read_to_string(file).expect("the list");
    let starts = kept.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["started_at_us"].as_i64());
    let starts: Vec<_> = starts.collect();
    assert!(starts.len() == 2500 && starts.is_sorted(), "{}", starts.len());
    let removed = prune(database, &["--yes"]).expect(0).json();
    assert_eq!((&removed["removed"]["sessions"], &removed["remaining_sessions"]), (&2500.into(), &2500.into()));
    assert_eq!(database.count("alert_sessions"), 2501);
    // Those of `young` itself, and all that it refers to.
    assert_eq!(database.count("mcp_communications"), 2501);
}

/// Gives each session a stage, and a younger session that refers to those of the sessions that meet a condition.
fn refer_to_stages_of(database: &Database, condition: &str) {
    database.execute(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         SELECT 'e-' || session_id, session_id, 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed'
         FROM alert_sessions",
    );
    insert_session(database, "young", "completed", Some(NOW_US));
    database.execute(&format!(
        "INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                         duration_ms, success, server_name, communication_type)
         SELECT 'c-' || session_id, 'look', 'r', 'young', 'e-' || session_id, 1, true, 'kubernetes', 'tool_call'
         FROM alert_sessions WHERE {condition} AND session_id <> 'young'"
    ));
}

#[apply(test)]
fn a_batch_meets_no_session_of_which_the_plan_knows_that_it_is_kept(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 2510, 32, OLD_US);
    database.execute(&format!(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                       started_at_us)
         SELECT 'e-' || session_id, session_id, 'chat', 0, 'Chat', 'ChatAgent', 'active', {NOW_US}
         FROM alert_sessions WHERE started_at_us <= {}",
        OLD_US + 2500 * MINUTE_US
    ));
    let removed = prune(database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!((&removed["removed"]["sessions"], &removed["remaining_sessions"]), (&10.into(), &2500.into()));
    // Each has a batch of its own.
    assert_eq!(removed["removed"]["batches"], 10, "{removed:#}");
}

#[apply(test)]
fn a_session_that_a_batch_keeps_is_not_picked_again(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 1100, 32, OLD_US);
    refer_to_stages_of(database, &format!("started_at_us <= {}", OLD_US + 100 * MINUTE_US));
    // With a limit the plan does not look for those that only interactions and communications refer to.
    let limited = ["--yes", "--batch-time", "1us", "--max-duration", "1h"];
    let removed = prune(database, &limited).expect(0).json();
    assert_eq!((&removed["removed"]["sessions"], &removed["remaining_sessions"]), (&1000.into(), &100.into()));
    assert_eq!(removed["removed"]["batches"], 1100, "{removed:#}");
}

#[apply(test)]
fn of_many_sessions_that_are_kept_the_first_are_listed_and_a_file_has_all(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 0..25 {
        insert_session(database, &format!("active-{number:02}"), "in_progress", Some(OLD_US + number * DAY_US / 24));
    }
    insert_session(database, "old", "completed", Some(OLD_US));
    let file = database.directory().join("kept.jsonl");
    let path = file.to_str().expect("a path as text");
    let plan = prune(database, &["--dry-run", "--kept-file", path]).expect(0).json();
    let kept = plan["plan"]["kept"].as_array().expect("a list");
    assert_eq!((kept.len(), &kept[19]["session_id"]), (20, &"active-19".into()));
    assert_eq!((&plan["plan"]["kept_counts"]["not_over"], &plan["remaining_sessions"]), (&25.into(), &25.into()));
    let lines = fs::read_to_string(&file).expect("the file");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]), (25, &kept[0]));
    assert_eq!((&lines[24]["session_id"], &lines[24]["reason"]), (&"active-24".into(), &"not_over".into()));
    // It could be the database.
    let refused = prune(database, &["--dry-run", "--kept-file", path]);
    refused.fails_with(&["cannot write the list of kept sessions to ", "name a file that does not exist"]);
    let mut command = tarsy_db(database);
    let shown = Outcome::of(command.args(["prune", "--now", NOW, "--dry-run"])).expect(0).stdout;
    assert!(shown.contains("these are the first of 25 that are kept: 25 not in a terminal status;"), "{shown}");
}

#[apply(test)]
fn the_command_that_a_report_recommends_is_about_the_same_sessions(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 0..25 {
        insert_session(database, &format!("active-{number:02}"), "in_progress", Some(OLD_US + number));
    }
    insert_session(database, "other", "in_progress", Some(OLD_US));
    insert_session(database, "old", "completed", Some(OLD_US));
    database.execute("UPDATE alert_sessions SET alert_type = 'it''s' WHERE session_id <> 'other'");
    let arguments =
        ["prune", "--now", NOW, "--older-than", "36h", "--alert-type", "it's", "--max-share", "100%", "--yes"];
    let shown = Outcome::of(tarsy_db(database).args(arguments)).expect(0).stdout;
    let (_, recommended) = shown.split_once("25 not in a terminal status; `").expect("the recommendation");
    let (recommended, _) = recommended.split_once("` writes all of them").expect("the recommendation");
    let pasted = recommended.replacen("tarsy-db", env!("CARGO_BIN_EXE_tarsy-db"), 1).replace("FILE", "kept.jsonl");
    let mut shell = Command::new("sh");
    shell.args(["-c", &pasted]).env_clear().env("DATABASE_URL", database.url()).current_dir(database.directory());
    Outcome::of(&mut shell).expect(0);
    let lines = fs::read_to_string(database.directory().join("kept.jsonl")).expect("the file");
    assert_eq!(lines.lines().count(), 25);
}

#[apply(test)]
fn a_run_with_a_limit_removes_a_batch_however_long_it_planned(database: &Database) {
    database.create_schema(Schema::Baseline);
    for session in ["one", "two"] {
        insert_session(database, session, "completed", Some(OLD_US));
    }
    let removed = prune(database, &["--yes", "--batch-time", "1us", "--max-duration", "1ms"]).expect(0).json();
    assert_eq!(removed["removed"]["batches"], 1, "{removed:#}");
    assert_eq!(removed["removed"]["stopped"], "deadline");
    assert!(database.count("alert_sessions") < 2);
}
