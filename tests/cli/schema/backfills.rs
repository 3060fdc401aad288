//! The values that revisions 02 and 05 write into existing rows, and that all other values are kept.

use crate::support::cases::each;
use crate::support::history::{Columns, NOW_US, insert_many, insert_session, lasting_columns, values};
use crate::support::revision::{init_to, stands_at};
use crate::support::{Database, apply, test};

/// Writes an LLM interaction of session `s-1`.
fn insert_conversation(database: &Database, id: &str, conversation: &str) {
    database.execute(&format!(
        "INSERT INTO llm_interactions (interaction_id, session_id, duration_ms, success, model_name, conversation)
         VALUES ('{id}', 's-1', 1, true, 'm', {conversation})"
    ));
}

/// The rows of a query with two text columns, one line each.
fn lines(database: &Database, first: &str, second: &str, table: &str) -> Vec<String> {
    let sql = format!("SELECT {first} || ' ' || coalesce({second}, 'NULL') FROM {table} ORDER BY 1");
    database.texts(&sql).into_iter().flatten().collect()
}

/// The current time by the database's own clock.
fn now_us(database: &Database) -> i64 {
    database.number(match database.is_sqlite() {
        true => "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
        false => "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    })
}

/// The columns that exist at every revision.
fn lasting(database: &Database) -> Columns {
    let columns = lasting_columns(database);
    assert_eq!((columns.len(), columns[0].1.len()), (4, 14));
    columns
}

#[apply(test)]
fn old_conversations_are_classified_by_their_text(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute("DELETE FROM llm_interactions");
    let summarizing = "You are an expert at summarizing technical output";
    for (id, conversation) in [
        ("a-analysis", r#"'{"messages": [{"role": "assistant", "content": "Thought: done\nFinal Answer: 42"}]}'"#),
        ("b-of-the-user", r#"'{"messages": [{"role": "user", "content": "say Final Answer: when done"}]}'"#),
        ("c-other-case", r#"'{"messages": [{"role": "assistant", "content": "final answer: 42"}]}'"#),
        ("d-escaped", r#"'{"messages": [{"role": "assistant", "content": "Final Answer\u003a 42"}]}'"#),
        ("e-without-colon", r#"'{"messages": [{"role": "assistant", "content": "Final Answer 42"}]}'"#),
        ("f-null", "NULL"),
        ("g-json-null", "'null'"),
        ("h-neither", r#"'{"messages": []}'"#),
        ("i-both", &format!(r#"'{{"messages": ["{summarizing}", "Final Answer: short"]}}'"#)),
        ("j-summary", &format!(r#"'{{"messages": ["{summarizing}."]}}'"#)),
        ("k-summary-other-case", &format!(r#"'{{"messages": ["{}"]}}'"#, summarizing.to_uppercase())),
    ] {
        insert_conversation(database, id, conversation);
    }
    init_to(database, "2");
    let [other_case, escaped, summary_other_case] = match database.is_sqlite() {
        true => ["final_analysis", "investigation", "summarization"],
        // Case matters, and jsonb keeps only the escapes that JSON needs.
        false => ["investigation", "final_analysis", "investigation"],
    };
    assert_eq!(
        lines(database, "interaction_id", "interaction_type", "llm_interactions"),
        [
            "a-analysis final_analysis",
            "b-of-the-user final_analysis",
            &format!("c-other-case {other_case}"),
            &format!("d-escaped {escaped}"),
            "e-without-colon investigation",
            "f-null investigation",
            "g-json-null investigation",
            "h-neither investigation",
            "i-both summarization",
            "j-summary summarization",
            &format!("k-summary-other-case {summary_other_case}"),
        ]
    );
}

#[apply(test)]
fn an_existing_column_is_not_filled_again(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    insert_conversation(database, "analysis", r#"'{"messages": ["Final Answer: 42"]}'"#);
    let column = "interaction_type VARCHAR(50) NOT NULL DEFAULT 'investigation'";
    database.execute(&format!("ALTER TABLE llm_interactions ADD COLUMN {column}"));
    init_to(database, "2");
    stands_at(database, 2);
    assert_eq!(
        lines(database, "interaction_id", "interaction_type", "llm_interactions"),
        ["analysis investigation", "llm-s-1 investigation"]
    );
}

#[apply(test)]
fn sessions_get_an_unknown_pod_and_are_idle_since_their_start(database: &Database) {
    init_to(database, "baseline");
    let statuses = ["pending", "in_progress", "canceling", "paused", "completed", "failed", "cancelled", "timed_out"];
    for (number, status) in (1..).zip(statuses) {
        insert_session(database, status, status, Some(NOW_US + number));
    }
    insert_session(database, "without-start", "pending", None);
    let before = now_us(database);
    init_to(database, "5");
    let after = now_us(database);

    let ninth = database.number("SELECT last_interaction_at FROM alert_sessions WHERE session_id = 'without-start'");
    assert!((before - 1000..=after + 1000).contains(&ninth), "{before} {ninth} {after}");
    assert_eq!(database.number("SELECT count(*) FROM alert_sessions WHERE pod_id = 'unknown'"), 9);
    assert_eq!(database.number("SELECT count(*) FROM alert_sessions WHERE last_interaction_at = started_at_us"), 8);
}

#[apply(test)]
fn known_pods_and_timestamps_are_kept(database: &Database) {
    init_to(database, "4");
    database.execute(&format!(
        "ALTER TABLE alert_sessions ADD COLUMN pod_id VARCHAR(255);
         ALTER TABLE alert_sessions ADD COLUMN last_interaction_at BIGINT;
         INSERT INTO alert_sessions (session_id, agent_type, status, chain_id, started_at_us, pod_id, last_interaction_at)
         VALUES ('a', 'k', 'completed', 'c', {NOW_US}, 'pod-7', 5), ('b', 'k', 'completed', 'c', {NOW_US}, 'pod-7', NULL),
                ('c', 'k', 'completed', 'c', {NOW_US}, NULL, 5), ('d', 'k', 'completed', 'c', {NOW_US}, NULL, NULL),
                ('e', 'k', 'completed', 'c', NULL, '', 0)"
    ));
    init_to(database, "5");
    stands_at(database, 5);
    assert_eq!(
        lines(database, "session_id", "pod_id || ' ' || CAST(last_interaction_at AS VARCHAR)", "alert_sessions"),
        [
            "a pod-7 5".to_owned(),
            format!("b pod-7 {NOW_US}"),
            "c unknown 5".to_owned(),
            format!("d unknown {NOW_US}"),
            "e  0".to_owned(),
        ]
    );
}

#[apply(test)]
fn existing_stages_are_single(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    init_to(database, "head");
    let stage = "parallel_type || ' ' || CAST(parallel_index AS VARCHAR)";
    assert_eq!(lines(database, "execution_id", stage, "stage_executions"), ["stage-s-1 single 0"]);
    let null = "SELECT count(*) FROM alert_sessions WHERE mcp_selection IS NULL AND pause_metadata IS NULL";
    assert_eq!(database.number(null), 1);
}

#[apply(test)]
fn values_of_remaining_columns_are_unchanged(database: &Database) {
    init_to(database, "baseline");
    insert_many(database, 20, 4096, NOW_US);
    insert_session(database, "s", "completed", Some(NOW_US));
    insert_session(database, "s-none", "pending", None);
    let odd = if database.is_sqlite() { ODD_ON_SQLITE } else { ODD_ON_POSTGRESQL };
    database.execute(odd);
    let lasting = lasting(database);
    let before = values(database, &lasting);
    assert_eq!(before.len(), 20 * 2 + 2 * 4 + 3);
    each(["4", "6", "18", "head"], |target| {
        init_to(database, target);
        assert!(values(database, &lasting) == before, "{target} changed a value");
    });
    stands_at(database, 23);
}

#[apply(test)]
fn values_of_remaining_columns_are_unchanged_in_one_upgrade(database: &Database) {
    init_to(database, "baseline");
    database.execute(if database.is_sqlite() { ODD_ON_SQLITE } else { ODD_ON_POSTGRESQL });
    let lasting = lasting(database);
    let before = values(database, &lasting);
    init_to(database, "head");
    assert_eq!(values(database, &lasting), before);
}

/// Values that SQLite stores although the column has another type: bytes, half a character, a NUL, numbers and texts
/// for each other, numbers at the limits.
const ODD_ON_SQLITE: &str = "
    INSERT INTO alert_sessions (session_id, alert_id, alert_data, agent_type, alert_type, status, started_at_us,
                                completed_at_us, error_message, final_analysis, session_metadata, chain_id,
                                chain_definition, current_stage_index, current_stage_id)
    VALUES ('odd', x'00ff', x'7b7d', CAST(x'ff80c3' AS TEXT), CAST(x'610062' AS TEXT), '', 9223372036854775807,
            'yesterday', 1.5, x'', 12345678901234567890, char(128640), 0.1, 'three', -9223372036854775808);
    INSERT INTO llm_interactions (interaction_id, session_id, timestamp_us, duration_ms, success, model_name,
                                  temperature, conversation, input_tokens)
    VALUES (x'01', 'odd', '007', 4294967296, 'yes', 'm', 'warm', x'46696e616c20416e737765723aff', 2.5);
    INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, timestamp_us,
                                    duration_ms, success, server_name, communication_type, tool_result)
    VALUES ('odd', 1, 2, 'odd', x'c0', '1e3', 7, x'00', 9.75, '1.0')";

/// Values at the limits of their types, and JSON that other writers would format otherwise.
const ODD_ON_POSTGRESQL: &str = r#"
    INSERT INTO alert_sessions (session_id, alert_id, alert_data, agent_type, status, started_at_us, completed_at_us,
                                final_analysis, session_metadata, chain_id, current_stage_index)
    VALUES ('odd', '', ' {"a" : 1.00, "a": 2}', E'\x01\t\u200b', '', 9223372036854775807, -9223372036854775808,
            U&'\+01F680', 'null', '', -2147483648);
    INSERT INTO llm_interactions (interaction_id, session_id, duration_ms, success, model_name, temperature, conversation)
    VALUES ('odd', 'odd', 2147483647, false, '', 'NaN', '{"big": 123456789012345678901234567890.10}');
    INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, duration_ms, success,
                                    server_name, communication_type, tool_result)
    VALUES ('odd', '', '', 'odd', -1, true, '', '', '"text"')"#;
