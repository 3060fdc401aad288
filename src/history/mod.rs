//! What the tables mean: sessions, what hangs on them, events, and how long all of that is kept.

pub mod archive;
pub mod batch;
pub mod events;
pub mod exclusive;
pub mod neighbours;
pub mod orphans;
pub mod overdue;
pub mod pace;
pub mod parent_index;
pub mod plan;
pub mod policy;
pub mod retention;
pub mod space;
pub mod sqlite;
pub mod zstd_file;

/// The statuses of a session that is over; every other one counts as active.
pub const TERMINAL_STATUSES: [&str; 4] = ["completed", "failed", "cancelled", "timed_out"];

/// The table of the sessions themselves.
pub const SESSIONS: &str = "alert_sessions";

/// A table whose rows belong to a session.
#[derive(Debug, Clone, Copy)]
pub struct Dependent {
    /// Its name.
    pub table: &'static str,
    /// The condition that its rows belong to one of the sessions that `{sessions}` selects.
    pub belongs: &'static str,
}

/// What hangs on a session, children first. Older databases have no chats; where they exist, no
/// foreign key removes them.
pub const DEPENDENTS: [Dependent; 5] = [
    Dependent {
        table: "chat_user_messages",
        belongs: "chat_id IN (SELECT chat_id FROM chats WHERE session_id IN ({sessions}))",
    },
    Dependent { table: "chats", belongs: "session_id IN ({sessions})" },
    Dependent { table: "llm_interactions", belongs: "session_id IN ({sessions})" },
    Dependent { table: "mcp_communications", belongs: "session_id IN ({sessions})" },
    Dependent { table: "stage_executions", belongs: "session_id IN ({sessions})" },
];
