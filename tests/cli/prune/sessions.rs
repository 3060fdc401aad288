//! `prune`: the right sessions go with all that hangs on them, and nothing else.

use serde_json::Value;

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::history::{DAY_US, NOW, NOW_US, OLD_US, TABLES, insert_many, insert_session, session_ids};
use crate::support::process::{Held, wait_until};
use crate::support::prune::{prune, refuse_to_delete, rows_by_table};
use crate::support::{Database, Outcome, Running, Schema, apply, tarsy_db, test};

/// The start of a session that is exactly 90 days old.
const EDGE_US: i64 = NOW_US - 90 * DAY_US;

fn counts(database: &Database) -> [i64; 4] {
    TABLES.map(|table| database.count(table))
}

/// Makes sure that every row that is left has all it points to, and each session its four rows.
fn assert_whole(database: &Database, sessions: i64) {
    assert_eq!(counts(database), [sessions; 4]);
    for table in &TABLES[1..] {
        let orphans = "SELECT count(*) FROM {} WHERE session_id NOT IN (SELECT session_id FROM alert_sessions)";
        assert_eq!(database.number(&orphans.replace("{}", table)), 0, "{table}");
    }
    if database.is_sqlite() {
        assert!(database.texts("PRAGMA foreign_key_check").is_empty());
    }
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
fn sessions_that_the_database_keeps_end_the_run(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "kept", "completed", Some(OLD_US));
    match database.is_sqlite() {
        true => database.execute("CREATE TRIGGER keep BEFORE DELETE ON alert_sessions BEGIN SELECT RAISE(IGNORE); END"),
        false => database.execute("CREATE RULE keep AS ON DELETE TO alert_sessions DO INSTEAD NOTHING"),
    }
    let failed = prune(database, &["--yes"]).expect(1);
    assert!(failed.stderr.contains("removed 0 of 1 rows of alert_sessions"), "{}", failed.stderr);
    assert_whole(database, 1);
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
fn a_run_that_fails_halfway_gives_its_error_the_form_that_all_errors_have(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "one", "completed", Some(OLD_US));
    refuse_to_delete(database, "alert_sessions", "OLD.session_id = 'one'");
    let outcome = prune(database, &["--yes"]);
    assert_eq!(outcome.json()["error"]["exit_code"].as_i64(), outcome.code.map(i64::from), "{}", outcome.stdout);
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
fn without_yes_and_without_a_terminal_nothing_is_removed(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let refused = prune(database, &[]).expect(7);
    assert!(refused.json()["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--yes")), "{}", refused.stdout);
    assert_whole(database, 1);
    // Where there is nothing to remove there is nothing to confirm.
    prune(database, &["--older-than", "1000d"]).expect(0);
}

#[apply(test)]
fn what_is_not_over_when_the_time_is_up_can_be_made_a_failure(database: &Database) {
    database.create_schema(Schema::Head);
    database
        .execute("INSERT INTO events (id, channel, payload, created_at) VALUES (1, 'c', '{}', '2020-01-01 00:00:00')");
    let flags = ["--yes", "--events", "--max-duration", "0s", "--fail-if-remaining"];
    assert_eq!(prune(database, &flags).expect(6).json()["remaining_sessions"], 0);
    let flags = ["--yes", "--events", "--fail-if-remaining"];
    assert_eq!(prune(database, &flags).expect(0).json()["removed"]["rows"]["events"], 1);
}

#[apply(test)]
fn a_schema_that_is_newer_is_left_alone(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'");
    for flag in ["--yes", "--dry-run"] {
        let refused = prune(database, &[flag]).expect(5);
        assert!(refused.stderr.contains("ffffffffffff"), "{}", refused.stderr);
    }
    assert_whole(database, 1);
}

#[apply(test)]
fn after_an_upgrade_in_mid_run_nothing_more_goes(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let upgrade = "UPDATE alembic_version SET version_num = '7c617b3e7c2c'";
    database.execute(&match database.is_sqlite() {
        true => format!("CREATE TRIGGER upgrade BEFORE DELETE ON alert_sessions BEGIN {upgrade}; END"),
        false => format!(
            "CREATE FUNCTION upgrade() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {upgrade}; RETURN OLD; END $$;
             CREATE TRIGGER upgrade BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION upgrade()"
        ),
    });
    let refused = prune(database, &["--yes"]).expect(75);
    assert!(refused.stderr.contains("somebody has upgraded the schema"), "{}", refused.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_filter_that_no_session_meets_is_warned_of(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let flags = ["--yes", "--status", "complete", "--status", "completed", "--agent-type", "Kubernetes"];
    let warned = prune(database, &flags).expect(0);
    for words in ["no session has the status `complete`", "no session has the agent type `Kubernetes`"] {
        assert!(warned.stderr.contains(words), "{}", warned.stderr);
    }
    assert!(!warned.stderr.contains("`completed`"), "{}", warned.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn minutes_and_a_cutoff_in_the_future_are_refused(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let refused = prune(database, &["--yes", "--older-than", "3m"]).expect(78);
    assert!(refused.stderr.contains("3m is less than an hour"), "{}", refused.stderr);
    let arguments = ["prune", "--yes", "--max-share", "100%", "--now", "2999-01-01T00:00:00Z"];
    let refused = Outcome::of(tarsy_db(database).args(arguments)).expect(78);
    assert!(refused.stderr.contains("would remove the whole history"), "{}", refused.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn sessions_that_remain_can_be_made_a_failure(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "active", "in_progress", Some(OLD_US));
    insert_session(database, "old", "completed", Some(OLD_US));
    prune(database, &["--dry-run", "--fail-if-remaining"]).expect(6);
    let pruned = prune(database, &["--yes", "--fail-if-remaining"]).expect(6).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&1.into(), &1.into()));
    prune(database, &["--yes", "--fail-if-remaining"]).expect(6);
    prune(database, &["--yes", "--fail-if-remaining", "--include-active"]).expect(0);
}

#[apply(test)]
fn a_retention_that_would_remove_everything_is_a_configuration_error(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    for arguments in [
        ["--older-than", "0d"],
        ["--older-than", "-5d"],
        ["--older-than", "0s"],
        ["--before", "2026-02-01T00:00:00Z"],
        ["--before", "2199-01-01T00:00:00Z"],
    ] {
        let refused = prune(database, &[&arguments[..], &["--yes"]].concat()).expect(78);
        assert_eq!(refused.json()["error"]["exit_code"], 78, "{arguments:?}");
    }
    for days in ["0", "-5", "ninety"] {
        Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", days).args([
            "prune",
            "--max-share",
            "100%",
            "--yes",
        ]))
        .expect(78);
    }
    assert_whole(database, 1);
    // A sound flag makes a senseless setting irrelevant.
    Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "0").args([
        "prune",
        "--max-share",
        "100%",
        "--yes",
        "--older-than",
        "1d",
        "--now",
        NOW,
    ]))
    .expect(0);
    assert_whole(database, 0);
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
    // The same moment, written in another zone.
    assert_eq!(plan(&["--before", "2026-01-12T02:00:00.000001+02:00"], "25"), Some(2));
    assert_eq!(plan(&["--before", "2026-01-12T00:00:00Z"], "25"), Some(1));
}

#[apply(test)]
fn a_database_without_the_schema_needs_init(database: &Database) {
    database.execute("CREATE TABLE something_else (id int)");
    prune(database, &["--yes"]).expect(3);
}

#[apply(test)]
fn killed_in_the_middle_whole_sessions_are_gone_and_the_next_run_finishes(database: &Database) {
    let left = many(database);
    let run = Running::start(database, &["prune", "--max-share", "100%", "--yes", "--now", NOW, "--batch-time", "1us"]);
    wait_until("some sessions are gone", || left() < MANY);
    run.signal("KILL");
    assert_eq!(run.finish().code, None);
    wait_for_no_session_of_the_tool(database);
    let rest = left();
    assert!(rest > 0, "it was over before it was killed");
    assert_eq!(database.count("llm_interactions"), rest);
    let pairs = "SELECT count(*) FROM alert_sessions s JOIN llm_interactions l ON l.session_id = s.session_id";
    assert_eq!(database.number(pairs), rest);
    let again = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(again["removed"]["sessions"].as_i64(), Some(rest));
    assert_eq!(counts(database), [0; 4]);
}

#[apply(test)]
fn interrupted_it_tells_what_is_gone(database: &Database) {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let left = many(database);
        let run = Running::start(
            database,
            &["prune", "--max-share", "100%", "--yes", "--now", NOW, "--batch-time", "1us", "--output", "json"],
        );
        wait_until("some sessions are gone", || left() < MANY);
        run.signal(signal);
        let outcome = run.finish().expect(code);
        wait_for_no_session_of_the_tool(database);
        let rest = left();
        assert!(rest > 0, "it was over before it was interrupted");
        assert_eq!(outcome.json()["removed"]["sessions"].as_i64(), Some(MANY - rest));
        assert_eq!(database.count("llm_interactions"), rest);
        prune(database, &["--yes"]).expect(0);
    }
}

const MANY: i64 = 1000;

/// Fills a database with sessions to remove; the returned function counts them.
fn many(database: &Database) -> impl Fn() -> i64 + '_ {
    database.create_schema(Schema::Baseline);
    insert_many(database, u32::try_from(MANY).expect("few"), 640, OLD_US);
    move || database.count("alert_sessions")
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

/// Makes the database refuse to delete one session.
#[apply(test)]
fn a_lock_at_the_start_is_waited_for() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let writer = Held::begin(&database, "LOCK TABLE alert_sessions");
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes", "--output", "json"];
    let mut run = Running::start(&database, &arguments);
    run.says("trying again for 1m");
    writer.close();
    assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], 1);

    let writer = Held::begin(&database, "LOCK TABLE alert_sessions");
    for (flag, time) in [("--retry-for", "1s"), ("--max-duration", "3s")] {
        Running::start(&database, &[&arguments[..], &[flag, time]].concat()).finish().expect(75);
    }
    writer.close();
}

#[apply(test)]
fn sessions_in_use_are_told_of() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    for session in ["one", "two"] {
        insert_session(&database, session, "completed", Some(OLD_US));
    }
    let writer = Held::begin(&database, "UPDATE alert_sessions SET agent_type = 'a' WHERE session_id = 'two'");
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes"];
    let shown = Outcome::of(tarsy_db(&database).args(arguments)).expect(0).stdout;
    assert!(shown.contains("1 more sessions from before the cutoff were in use"), "{shown}");
    writer.close();
}

#[apply(test)]
fn values_that_no_column_should_hold_stop_no_other_session() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    for number in 1..=4 {
        insert_session(&database, &number.to_string(), "completed", Some(OLD_US + number));
    }
    database.execute(
        "PRAGMA foreign_keys = OFF;
         UPDATE alert_sessions SET status = x'636f6d706c65746564' WHERE session_id = '1';
         UPDATE alert_sessions SET session_id = x'32' WHERE session_id = '2'",
    );
    let pruned = prune(&database, &["--yes"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["stuck"]), (&2.into(), &serde_json::json!([])));
    let kept: Vec<_> =
        pruned["plan"]["kept"].as_array().expect("a list").iter().map(|kept| &kept["session_id"]).collect();
    assert_eq!(kept, ["1", "X'32'"]);
    assert_eq!(pruned["plan"]["kept"][0]["status"], "X'636F6D706C65746564'");
    assert_eq!(database.count("alert_sessions"), 2);
}

#[apply(test)]
fn a_session_that_somebody_has_locked_is_passed_over_and_counted() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    for session in ["one", "two", "three"] {
        insert_session(&database, session, "completed", Some(OLD_US));
    }
    let backend = Held::begin(&database, "SELECT session_id FROM alert_sessions WHERE session_id = 'two' FOR UPDATE");
    let pruned = prune(&database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&2.into(), &1.into()));
    assert_eq!(session_ids(&database), ["two"]);
    prune(&database, &["--yes", "--fail-if-remaining"]).expect(6);
    backend.close();
    assert_whole(&database, 1);
    prune(&database, &["--yes", "--fail-if-remaining"]).expect(0);
    assert_whole(&database, 0);
}

#[apply(test)]
fn a_file_that_somebody_writes_to_is_busy_and_loses_nothing() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let writer = Held::begin(&database, "UPDATE alert_sessions SET status = 'failed'");
    // The driver's own wait would be 5 seconds.
    let mut command = tarsy_db(&database);
    command.env("DATABASE_URL", "sqlite:///history.db?timeout=0.2");
    command.args(["prune", "--max-share", "100%", "--retry-for", "500ms", "--yes", "--now", NOW]);
    Outcome::of(&mut command).expect(75);
    writer.close();
    assert_whole(&database, 1);
    Outcome::of(&mut command).expect(0);
    assert_whole(&database, 0);
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

#[apply(test)]
fn a_batch_whose_commit_is_on_its_way_is_counted() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    insert_session(&database, "two", "completed", Some(OLD_US + 1));
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let running = Running::start(
        &database,
        &["prune", "--max-share", "100%", "--now", NOW, "--output", "json", "--yes", "--batch-time", "1us"],
    );
    Held::wait_for_halted_commit(&database);
    running.signal("TERM");
    halt.close();
    let stopped = running.finish().expect(143).json();
    assert_eq!(stopped["removed"]["sessions"], 1);
    assert_eq!(stopped["error"]["exit_code"], 143);
    assert_eq!(session_ids(&database), ["two"]);
}
