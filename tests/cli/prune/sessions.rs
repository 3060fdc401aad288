//! `prune`: removes the right sessions with all their rows, and nothing else.

use serde_json::Value;

use crate::support::cases::each;
use crate::support::history::{
    DAY_US, NOW, NOW_US, OLD_US, assert_whole, counts, insert_session, insert_whole_sessions, rows, session_ids,
};
use crate::support::prune::{prune, refuse_to_delete, rows_by_table};
use crate::support::sqlite_file::empty_index;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

/// The start of a session that is exactly 90 days old.
const EDGE_US: i64 = NOW_US - 90 * DAY_US;

#[apply(test)]
fn sessions_whose_interactions_a_damaged_index_lacks_stay_whole() {
    let database = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&database, 3, OLD_US);
    let before = rows(&database);
    each(["llm_interactions", "mcp_communications"], |table| {
        empty_index(&database, &format!("ix_{table}_session_id"));
        let refused = prune(&database, &["--yes"]).expect(74);
        refused.fails_with(&[&format!("an index of {table} is damaged"), &format!("`REINDEX {table}` in sqlite3")]);
        database.execute(&format!("REINDEX {table}"));
        assert!(rows(&database) == before, "a row is gone");
    });
    assert_eq!(prune(&database, &["--yes"]).expect(0).json()["removed"]["rows"]["llm_interactions"], 3);
    assert_eq!(rows(&database).len(), 0);
}

#[apply(test)]
fn a_row_that_the_index_of_its_key_lacks_is_not_blamed_on_a_trigger() {
    let database = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&database, 1, OLD_US);
    let before = rows(&database);
    empty_index(&database, "sqlite_autoindex_llm_interactions_1");
    let archive = database.directory().join("archive.db").display().to_string();
    let refused = prune(&database, &["--yes", "--archive", &archive]).expect(74);
    refused.fails_with(&["an index of llm_interactions is damaged", "`REINDEX llm_interactions` in sqlite3"]);
    database.execute("REINDEX llm_interactions");
    assert!(rows(&database) == before, "a row is gone");
}

#[apply(test)]
fn what_started_before_the_cutoff_goes_and_the_edge_stays(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "edge", "completed", Some(EDGE_US));
    insert_session(database, "one-microsecond-earlier", "completed", Some(EDGE_US - 1));
    insert_session(database, "without-a-start", "completed", None);
    insert_session(database, "new", "completed", Some(NOW_US));
    insert_session(database, "before-the-epoch", "failed", Some(-1));
    let pruned = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(session_ids(database), ["edge", "new", "without-a-start"]);
    assert_whole(database, 3);
    assert_eq!(pruned["cutoff"], "2025-11-03T00:00:00Z");
    assert_eq!(pruned["removed"]["sessions"], 2);
    assert_eq!(pruned["remaining_sessions"], 0);
}

#[apply(test)]
fn sessions_that_are_not_over_are_kept_and_listed(database: &Database) {
    database.create_schema(Schema::Baseline);
    for status in
        ["cancelled", "canceling", "completed", "failed", "in_progress", "paused", "pending", "timed_out", "?"]
    {
        insert_session(database, status, status, Some(OLD_US));
    }
    let pruned = prune(database, &["--yes"]).expect(0).json();
    let active = ["?", "canceling", "in_progress", "paused", "pending"];
    assert_eq!(session_ids(database), active);
    let kept: Vec<_> =
        pruned["plan"]["kept"].as_array().expect("a list").iter().map(|kept| &kept["session_id"]).collect();
    assert_eq!(kept, active);
    assert_eq!(pruned["remaining_sessions"], 5);
    assert_whole(database, 5);
    let pruned = prune(database, &["--yes", "--include-active"]).expect(0).json();
    assert_eq!(pruned["removed"]["sessions"], 5);
    assert_whole(database, 0);
}

#[apply(test)]
fn chats_go_with_their_session(database: &Database) {
    database.create_schema(Schema::Baseline);
    // As in revision 11, but without the cascade that some shapes of it lack.
    database.execute(
        "CREATE TABLE chats (chat_id VARCHAR NOT NULL PRIMARY KEY,
             session_id VARCHAR REFERENCES alert_sessions (session_id), conversation_history VARCHAR NOT NULL);
         CREATE TABLE chat_user_messages (message_id VARCHAR NOT NULL PRIMARY KEY,
             chat_id VARCHAR REFERENCES chats (chat_id), content VARCHAR NOT NULL)",
    );
    for (session, started) in [("old", OLD_US), ("new", NOW_US)] {
        insert_session(database, session, "completed", Some(started));
        database.execute(&format!(
            "INSERT INTO chats VALUES ('chat-{session}', '{session}', 'x');
             INSERT INTO chat_user_messages VALUES ('one-{session}', 'chat-{session}', 'x'), ('two-{session}', 'chat-{session}', 'x')"
        ));
    }
    let planned = prune(database, &["--dry-run"]).expect(0).json();
    assert_eq!(rows_by_table(&planned["plan"]["tables"]), expected_rows());
    let removed = prune(database, &["--yes"]).expect(0).json()["removed"]["rows"].clone();
    for (table, rows) in expected_rows() {
        assert_eq!(removed[&table], rows, "{table}");
    }
    assert_eq!(database.texts("SELECT chat_id FROM chats"), [Some("chat-new".to_owned())]);
    assert_eq!(database.count("chat_user_messages"), 2);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_session_whose_stage_another_one_needs_is_kept_and_listed(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "needed", "completed", Some(OLD_US));
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_session(database, "new", "completed", Some(NOW_US));
    database.execute("UPDATE llm_interactions SET stage_execution_id = 'stage-needed' WHERE session_id = 'new'");
    let pruned = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(session_ids(database), ["needed", "new"]);
    assert_eq!(pruned["plan"]["kept"][0]["session_id"], "needed");
    assert_eq!(pruned["removed"]["rows"]["llm_interactions"], 1);
    assert_whole(database, 2);
}

#[apply(test)]
fn a_session_whose_stage_is_the_parent_of_anothers_is_kept(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "needed", "completed", Some(OLD_US));
    insert_session(database, "new", "completed", Some(NOW_US));
    // As revision 18 has it.
    database.execute(
        "ALTER TABLE stage_executions ADD COLUMN parent_stage_execution_id VARCHAR
             REFERENCES stage_executions (execution_id);
         UPDATE stage_executions SET parent_stage_execution_id = 'stage-needed' WHERE session_id = 'new'",
    );
    prune(database, &["--yes"]).expect(0);
    assert_eq!(session_ids(database), ["needed", "new"]);
}

#[apply(test)]
fn a_dry_run_changes_nothing_and_plans_what_the_run_removes(database: &Database) {
    database.create_schema(Schema::Baseline);
    for (number, started) in [OLD_US, OLD_US + 7, EDGE_US - 1, EDGE_US, NOW_US].into_iter().enumerate() {
        insert_session(database, &number.to_string(), "completed", Some(started));
    }
    insert_session(database, "active", "in_progress", Some(OLD_US));
    let file = database.file();
    let bytes = || database.is_sqlite().then(|| std::fs::read(&file).expect("the file"));
    let before = bytes();
    let planned = prune(database, &["--dry-run"]).expect(0).json();
    assert!(before == bytes() && counts(database) == [6; 4], "the dry run changed something");
    assert_eq!(planned["removed"], Value::Null);
    assert_eq!(planned["remaining_sessions"], 1);
    let plan = &planned["plan"];
    assert_eq!(
        (plan["sessions"].as_u64(), plan["oldest_us"].as_i64(), plan["newest_us"].as_i64()),
        (Some(3), Some(OLD_US), Some(EDGE_US - 1))
    );
    assert!(plan["tables"].as_array().expect("a list").iter().all(|table| table["bytes"].as_u64() > Some(10)));
    let pruned = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(pruned["plan"], *plan);
    assert_eq!(pruned["removed"]["sessions"], plan["sessions"]);
    for (table, rows) in rows_by_table(&plan["tables"]) {
        assert_eq!(pruned["removed"]["rows"][&table], rows, "{table}");
    }
    assert_whole(database, 3);
}

#[apply(test)]
fn a_session_that_cannot_be_removed_stops_no_other(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 1..=5 {
        insert_session(database, &number.to_string(), "completed", Some(OLD_US + number));
    }
    refuse_to_delete(database, "alert_sessions", "OLD.session_id = '4'");
    let outcome = prune(database, &["--yes"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{}", outcome.stdout);
    assert_eq!(session_ids(database), ["4"]);
    assert_whole(database, 1);
    let summary = outcome.json();
    assert_eq!((&summary["removed"]["sessions"], &summary["remaining_sessions"]), (&4.into(), &1.into()));
    assert_eq!(summary["stuck"][0]["session_id"], "4");
    assert!(summary["stuck"][0]["reason"].as_str().is_some_and(|reason| reason.contains("not this one")));
    assert!(outcome.stderr.contains("not this one"), "{}", outcome.stderr);
}

#[apply(test)]
fn five_sessions_go_in_batches(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 1..=5 {
        insert_session(database, &number.to_string(), "completed", Some(OLD_US));
    }
    let pruned = prune(database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["removed"]["batches"]), (&5.into(), &5.into()));
    assert_whole(database, 0);
    let again = prune(database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!(again["plan"]["sessions"], 0);
    assert_eq!(again["remaining_sessions"], 0);
}

#[apply(test)]
fn before_and_the_retention_setting_choose_the_cutoff(database: &Database) {
    database.create_schema(Schema::Baseline);
    for days in [10, 20, 30] {
        insert_session(database, &days.to_string(), "completed", Some(NOW_US - days * DAY_US));
    }
    let plan = |arguments: &[&str], days: &str| {
        let mut command = tarsy_db(database);
        command.env("HISTORY_RETENTION_DAYS", days).args(["prune", "--dry-run", "--now", NOW, "--output", "json"]);
        Outcome::of(command.args(arguments)).expect(0).json()["plan"]["sessions"].as_u64()
    };
    assert_eq!(plan(&[], "25"), Some(1));
    assert_eq!(plan(&[], "30"), Some(0));
    assert_eq!(plan(&["--older-than", "15d"], "25"), Some(2));
    // The same time, written in another zone.
    assert_eq!(plan(&["--before", "2026-01-12T02:00:00.000001+02:00"], "25"), Some(2));
    assert_eq!(plan(&["--before", "2026-01-12T00:00:00Z"], "25"), Some(1));
}

/// Children first.
fn expected_rows() -> Vec<(String, u64)> {
    [
        ("chat_user_messages", 2),
        ("chats", 1),
        ("llm_interactions", 1),
        ("mcp_communications", 1),
        ("stage_executions", 1),
        ("alert_sessions", 1),
    ]
    .map(|(table, rows)| (table.to_owned(), rows))
    .to_vec()
}

#[apply(test)]
fn values_that_no_column_should_hold_stop_no_other_session() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    for number in 1..=5 {
        insert_session(&database, &number.to_string(), "completed", Some(OLD_US + number));
    }
    database.execute(
        "PRAGMA foreign_keys = OFF;
         UPDATE alert_sessions SET status = x'636f6d706c65746564' WHERE session_id = '1';
         UPDATE alert_sessions SET session_id = x'32' WHERE session_id = '2';
         UPDATE alert_sessions SET session_id = CAST(x'35ff' AS TEXT) WHERE session_id = '5'",
    );
    let pruned = prune(&database, &["--yes"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["stuck"]), (&2.into(), &serde_json::json!([])));
    let kept: Vec<_> =
        pruned["plan"]["kept"].as_array().expect("a list").iter().map(|kept| &kept["session_id"]).collect();
    assert_eq!(kept, ["1", "X'32'", "X'35FF'"]);
    assert_eq!(pruned["plan"]["kept"][0]["status"], "X'636F6D706C65746564'");
    assert_eq!(pruned["plan"]["kept"][2]["reason"], "no_key");
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
fn a_stage_whose_session_is_no_text_stops_nothing() {
    let database = Database::sqlite().with_schema(Schema::Head);
    // So many that all references between stages are searched.
    insert_whole_sessions(&database, 1002, OLD_US);
    let to_other = |child: u32, stage: u32| {
        format!(
            "UPDATE stage_executions SET parent_stage_execution_id = 'stage@s{stage}' WHERE execution_id = 'child@s{child}';"
        )
    };
    database.execute_unguarded(&format!(
        "UPDATE stage_executions SET session_id = x'6162' WHERE execution_id = 'stage@s1';
         UPDATE stage_executions SET session_id = CAST(x'61ff' AS TEXT) WHERE execution_id = 'stage@s2';
         UPDATE alert_sessions SET started_at_us = {NOW_US} WHERE session_id IN ('s3', 's4');
         {} {}",
        to_other(3, 1),
        to_other(4, 2),
    ));
    each([&[][..], &["--orphans"]], |more| {
        prune(&database, &[&["--dry-run"], more].concat()).expect(0);
    });
    let pruned = prune(&database, &["--yes", "--orphans"]).expect(0).json();
    assert_eq!(pruned["removed"]["sessions"], 1000);
    assert_eq!(session_ids(&database), ["s3", "s4"]);
    // Stages of the sessions that are left are their children.
    assert_eq!(
        database.number("SELECT count(*) FROM stage_executions WHERE execution_id IN ('stage@s1', 'stage@s2')"),
        2
    );
}

#[apply(test)]
fn a_start_that_is_no_number_is_never_old_and_stops_nothing() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    for (id, start) in [("text", "'2025-01-01'"), ("real", "1.5"), ("old", "0")] {
        insert_session(&database, id, "completed", Some(NOW_US));
        database.execute(&format!("UPDATE alert_sessions SET started_at_us = {start} WHERE session_id = '{id}'"));
    }
    prune(&database, &["--yes"]).expect(0);
    assert_eq!(session_ids(&database), ["real", "text"]);
    Outcome::of(tarsy_db(&database).arg("info")).expect(0);
}
