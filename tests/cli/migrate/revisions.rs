//! `migrate-sqlite-to-postgres` at TARSy's revisions: all columns and rows of the source arrive.

use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::check::{check, is_found};
use crate::support::migration::migrate;
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// The tables, each with the first revision that has it and a row in the columns that it was born with.
const ROWS: [(u32, &str, &str, &str); 9] = [
    (
        1,
        "alert_sessions",
        "session_id, agent_type, status, started_at_us, chain_id, alert_data",
        r#"'s-1', 'kubernetes', 'completed', 1769904000000001, 'chain', '{"a":  1, "\u00e9": null}'"#,
    ),
    (
        1,
        "stage_executions",
        "execution_id, session_id, stage_id, stage_index, stage_name, agent, status",
        "'e-1', 's-1', 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed'",
    ),
    (
        1,
        "stage_executions",
        "execution_id, session_id, stage_id, stage_index, stage_name, agent, status",
        "'e-2', 's-1', 'analysis', 1, 'Analysis', 'KubernetesAgent', 'completed'",
    ),
    (
        1,
        "llm_interactions",
        "interaction_id, session_id, stage_execution_id, duration_ms, success, model_name, temperature, conversation",
        r#"'i-1', 's-1', 'e-1', 12, 1, 'gemini', 0.1, '{"messages": []}'"#,
    ),
    (
        1,
        "mcp_communications",
        "communication_id, step_description, request_id, session_id, duration_ms, success, server_name, communication_type",
        "'c-1', 'look', 'r-1', 's-1', 3, 0, 'kubernetes', 'tool_list'",
    ),
    (3, "events", "id, channel, payload, created_at", "7, 'sessions', 'null', '2026-01-31 12:00:00'"),
    (3, "events", "id, channel, payload, created_at", "343, 'session:s-1', NULL, '2026-01-31 12:00:00.000001'"),
    (11, "chats", "chat_id, session_id, conversation_history, chain_id", "'chat-1', 's-1', 'history', 'chain'"),
    (11, "chat_user_messages", "message_id, chat_id, content, author", "'m-1', 'chat-1', 'why?', 'me'"),
];

/// The columns that revisions add, each with a value that is not the default.
const ADDED: [(u32, &str, &str, &str); 23] = [
    (2, "llm_interactions", "interaction_type", "final_analysis"),
    (5, "alert_sessions", "pod_id", "pod-1"),
    (5, "alert_sessions", "last_interaction_at", "1769904000000002"),
    (7, "llm_interactions", "mcp_event_id", "event"),
    (8, "alert_sessions", "author", "é"),
    (9, "alert_sessions", "runbook_url", "runbook"),
    (10, "alert_sessions", "mcp_selection", r#"{"servers":  []}"#),
    (11, "chats", "mcp_selection", "null"),
    (11, "chats", "created_at_us", "-1"),
    (11, "stage_executions", "chat_id", "chat-1"),
    (12, "stage_executions", "current_iteration", "3"),
    (13, "alert_sessions", "pause_metadata", "{}"),
    (14, "llm_interactions", "response_metadata", "[1.50]"),
    (15, "llm_interactions", "native_tools_config", "[ ]"),
    (16, "alert_sessions", "final_analysis_summary", ""),
    (17, "llm_interactions", "thinking_content", "hm"),
    (18, "stage_executions", "parallel_index", "1"),
    (18, "stage_executions", "parallel_type", "replica"),
    (19, "stage_executions", "expected_parallel_count", "2"),
    (20, "stage_executions", "paused_at_us", "9007199254740993"),
    (21, "stage_executions", "iteration_strategy", "react"),
    (22, "alert_sessions", "executive_summary_error", "none"),
    (23, "alert_sessions", "slack_message_fingerprint", "f"),
];

/// A source at a revision, with a value in each column that a revision has added.
fn source_at(revision: u32) -> Database {
    let source = Database::sqlite();
    Outcome::of(tarsy_db(&source).args(["init", "--to", &revision.to_string()])).expect(0);
    for (_, table, columns, values) in ROWS.iter().filter(|(since, ..)| *since <= revision) {
        match (*table, revision < 4) {
            ("alert_sessions", true) => {
                source.execute(&format!("INSERT INTO {table} ({columns}, alert_id) VALUES ({values}, 'alert-1')"));
            }
            _ => source.execute(&format!("INSERT INTO {table} ({columns}) VALUES ({values})")),
        }
    }
    for (_, table, column, value) in added_until(revision) {
        source.execute(&format!("UPDATE {table} SET {column} = '{value}'"));
    }
    if revision >= 18 {
        source.execute("UPDATE stage_executions SET parent_stage_execution_id = 'e-1' WHERE execution_id = 'e-2'");
    }
    source
}

fn added_until(revision: u32) -> impl Iterator<Item = &'static (u32, &'static str, &'static str, &'static str)> {
    ADDED.iter().filter(move |(since, ..)| *since <= revision)
}

#[apply(test)]
fn a_history_at_any_revision_arrives_whole() {
    each([1, 2, 3, 5, 10, 11, 17, 18, 23], |revision| {
        let target = Database::postgresql();
        let source = source_at(revision);
        let before = std::fs::read(source.file()).expect("the source is there");
        Outcome::of(&mut migrate(&source, &target)).expect(0);

        let number = "SELECT version_num FROM alembic_version";
        assert_eq!(target.texts(number), source.texts(number));
        for (since, table, ..) in ROWS {
            if since <= revision {
                assert_eq!(target.count(table), source.count(table), "{table} at {revision}");
            }
        }
        for (_, table, column, value) in added_until(revision) {
            let texts = target.texts(&format!("SELECT DISTINCT {column}::text FROM {table}"));
            assert_eq!(texts, [Some((*value).to_owned())], "{table}.{column} at {revision}");
        }
        if revision < 4 {
            assert_eq!(target.texts("SELECT alert_id FROM alert_sessions"), [Some("alert-1".to_owned())]);
        }
        Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
        assert_eq!(std::fs::read(source.file()).expect("the source is there"), before);
    });
}

#[apply(test)]
fn events_keep_their_timestamps_and_the_next_one_its_number() {
    let target = Database::postgresql();
    Outcome::of(&mut migrate(&source_at(23), &target)).expect(0);
    let timestamps = target.texts("SELECT to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US') FROM events ORDER BY id");
    assert_eq!(timestamps, [Some("2026-01-31 12:00:00.000000".into()), Some("2026-01-31 12:00:00.000001".into())]);
    assert_eq!(target.texts("SELECT payload::text FROM events ORDER BY id"), [Some("null".into()), None]);
    target.execute("INSERT INTO events (channel) VALUES ('sessions')");
    assert_eq!(target.number("SELECT max(id)::bigint FROM events"), 344);
}

#[apply(test)]
fn an_event_without_a_timestamp_is_named() {
    let target = Database::postgresql();
    let source = source_at(3);
    source.execute("UPDATE events SET created_at = 'yesterday' WHERE id = 7");
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(65);
    assert!(refused.stderr.contains("events `7` created_at: not a timestamp like"), "{}", refused.stderr);
    assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

#[apply(test)]
fn a_target_that_was_prepared_is_brought_to_the_sources_revision() {
    let target = Database::postgresql();
    Outcome::of(tarsy_db(&target).arg("init")).expect(0);
    Outcome::of(&mut migrate(&source_at(23), &target)).expect(0);
    assert_eq!(target.texts("SELECT version_num FROM alembic_version"), [Some("b67c135119d7".to_owned())]);
    assert_eq!(target.count("chat_user_messages"), 1);
    Outcome::of(tarsy_db(&target).arg("check")).expect(0);
}

#[apply(test)]
fn rows_in_a_table_of_a_later_revision_are_rows() {
    let target = Database::postgresql();
    Outcome::of(tarsy_db(&target).args(["init", "--to", "head"])).expect(0);
    target.execute("INSERT INTO events (channel) VALUES ('theirs')");
    let refused = Outcome::of(&mut migrate(&source_at(23), &target)).expect(7);
    assert!(refused.stderr.contains("events holds 1 row"), "{}", refused.stderr);
    assert_eq!(target.count("events"), 1);
}

#[apply(test)]
fn a_history_of_any_birth_arrives_in_a_target_that_takes_its_rows() {
    let births = [
        (Born::Before, 23, "as in revision"),
        (Born::A, 10, "as in revision"),
        (Born::A, 23, "as in revision"),
        (Born::B, 5, "variant B"),
        (Born::C, 10, "variant C"),
        (Born::C, 23, "variant C"),
        (Born::D, 23, "variant D"),
    ];
    each(births, |(born, revision, shape)| {
        let target = Database::postgresql();
        let source = Database::sqlite();
        birth::create(&source, born, revision);
        let long = "x".repeat(300);
        if born >= Born::B {
            source.execute(&format!("UPDATE alert_sessions SET pod_id = '{long}'"));
        }
        if born >= Born::C {
            source.execute("UPDATE llm_interactions SET session_id = NULL");
        }
        Outcome::of(&mut migrate(&source, &target)).expect(0);
        for (table, since) in
            [("alert_sessions", 1), ("llm_interactions", 1), ("events", 3), ("chat_user_messages", 11)]
        {
            if since <= revision {
                assert_eq!(target.count(table), 1, "{table} of {born:?} at {revision}");
            }
        }
        if born >= Born::B {
            assert_eq!(target.texts("SELECT pod_id FROM alert_sessions"), [Some(long)]);
        }
        let sessions = target.texts("SELECT session_id FROM llm_interactions");
        assert_eq!(sessions, [(born < Born::C).then(|| "s".to_owned())], "{born:?}");
        is_found(&check(&target, &[]).expect(0), "schema", "ok", shape);
    });
}

#[apply(test)]
fn a_prepared_target_takes_what_the_source_may_hold() {
    let target = Database::postgresql();
    Outcome::of(tarsy_db(&target).args(["init", "--to", "head"])).expect(0);
    let source = Database::sqlite();
    birth::create(&source, Born::D, 23);
    source.execute("UPDATE stage_executions SET session_id = NULL");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.texts("SELECT session_id FROM stage_executions"), [None]);
    is_found(&check(&target, &[]).expect(0), "schema", "ok", "variant D");
}
