//! One altered value of each type, for the tests that have to detect it.

/// Each type of a column, and one value of it altered: table, primary key as a condition and as it is shown, column,
/// and its new value.
pub(crate) type Alteration = [&'static str; 6];

pub(crate) const ALTERATIONS: [Alteration; 12] = [
    ["text", "alert_sessions", "session_id = 's-7'", "s-7", "status", "'Completed'"],
    ["text that was NULL", "alert_sessions", "session_id = 's-7'", "s-7", "author", "''"],
    // One space less: `json` keeps every byte.
    ["json", "alert_sessions", "session_id = 's-7'", "s-7", "alert_data", r#"'{"number": 7}'"#],
    ["json that was NULL", "alert_sessions", "session_id = 's-7'", "s-7", "mcp_selection", "'null'"],
    ["jsonb", "llm_interactions", "interaction_id = 'l-7'", "l-7", "conversation", "conversation || '{\"x\": null}'"],
    ["jsonb that is NULL", "llm_interactions", "interaction_id = 'l-7'", "l-7", "conversation", "NULL"],
    ["bigint", "alert_sessions", "session_id = 's-7'", "s-7", "started_at_us", "started_at_us + 1"],
    ["integer", "llm_interactions", "interaction_id = 'l-7'", "l-7", "duration_ms", "-duration_ms"],
    ["boolean", "llm_interactions", "interaction_id = 'l-7'", "l-7", "success", "NOT success"],
    // The next representable number.
    ["double precision", "llm_interactions", "interaction_id = 'l-7'", "l-7", "temperature", "0.10000000000000002"],
    ["timestamp", "events", "id = 21", "21", "created_at", "created_at + interval '1 microsecond'"],
    ["a foreign key", "chats", "chat_id = 'c-7'", "c-7", "session_id", "'s-8'"],
];
