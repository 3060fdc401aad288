//! TARSy's tables and the references between them, whatever a database enforces.

use serde::Serialize;

use super::id_set::IdSet;
use crate::schema::model::{ForeignKey, Schema};

/// The terminal statuses of a session; [`ACTIVE_STATUSES`] and any other value are active.
pub(crate) const TERMINAL_STATUSES: [&str; 4] = ["completed", "failed", "cancelled", "timed_out"];

/// The other statuses of a session.
pub(crate) const ACTIVE_STATUSES: [&str; 4] = ["pending", "in_progress", "paused", "canceling"];

pub(crate) const SESSIONS: &str = "alert_sessions";

pub(crate) const STAGES: &str = "stage_executions";

/// The column with the parent of a parallel stage.
pub(crate) const PARENT_STAGE: &str = "parent_stage_execution_id";

pub(crate) const CHATS: &str = "chats";

const MESSAGES: &str = "chat_user_messages";
const LLM_INTERACTIONS: &str = "llm_interactions";
const MCP_COMMUNICATIONS: &str = "mcp_communications";

/// The primary keys of the tables whose rows belong to a session.
const PRIMARY_KEYS: [(&str, &str); 5] = [
    (STAGES, "execution_id"),
    (LLM_INTERACTIONS, "interaction_id"),
    (MCP_COMMUNICATIONS, "communication_id"),
    (CHATS, "chat_id"),
    (MESSAGES, "message_id"),
];

pub(crate) fn primary_key(table: &str) -> Option<&'static str> {
    PRIMARY_KEYS.iter().find(|(name, _)| *name == table).map(|(_, key)| *key)
}

/// A table whose rows belong to a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dependent {
    pub table: &'static str,
    /// The table and column that lead from a row to its session, if the row does not name it itself.
    by_way_of: Option<(&'static str, &'static str)>,
}

/// The tables with rows of a session, children first. Older databases have no chats; no foreign key removes chats.
pub(crate) const DEPENDENTS: [Dependent; 5] = [
    Dependent { table: MESSAGES, by_way_of: Some((CHATS, "chat_id")) },
    Dependent { table: CHATS, by_way_of: None },
    Dependent { table: LLM_INTERACTIONS, by_way_of: None },
    Dependent { table: MCP_COMMUNICATIONS, by_way_of: None },
    Dependent { table: STAGES, by_way_of: None },
];

/// The tables with rows of a session, and that of the sessions, children first.
pub(crate) fn session_tables() -> impl Iterator<Item = &'static str> {
    DEPENDENTS.iter().map(|dependent| dependent.table).chain([SESSIONS])
}

impl Dependent {
    /// The condition for rows of these sessions.
    pub(crate) fn of_sessions(&self, sessions: &IdSet<'_>) -> String {
        let is_of_session = sessions.contains("session_id");
        match self.by_way_of {
            None => is_of_session,
            Some((table, column)) => {
                let rows = format!("SELECT {column} FROM {table} WHERE {is_of_session}");
                sessions.with_query(&rows).contains(column)
            }
        }
    }
}

/// A column that refers to a row of another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Reference {
    pub child: &'static str,
    /// Its column; NULL refers to nothing.
    pub column: &'static str,
    pub parent: &'static str,
    pub key: &'static str,
}

/// All references of TARSy's, with those to parents first.
pub(crate) const REFERENCES: [Reference; 8] = [
    Reference::to_session(STAGES),
    Reference::to_stage(STAGES, PARENT_STAGE),
    Reference::to_session(LLM_INTERACTIONS),
    Reference::to_stage(LLM_INTERACTIONS, "stage_execution_id"),
    Reference::to_session(MCP_COMMUNICATIONS),
    Reference::to_stage(MCP_COMMUNICATIONS, "stage_execution_id"),
    Reference::to_session(CHATS),
    Reference { child: MESSAGES, column: "chat_id", parent: CHATS, key: "chat_id" },
];

/// The references to stages that a schema has.
pub(crate) fn references_to_stages(schema: &Schema) -> impl Iterator<Item = Reference> {
    REFERENCES.into_iter().filter(|reference| reference.parent == STAGES && reference.is_in(schema))
}

/// The references to rows of a table from other tables: without the referenced row the referring one is an orphan, or a
/// cascade removes it uncounted.
pub(crate) fn references_from_others(table: &str) -> impl Iterator<Item = Reference> {
    REFERENCES.into_iter().filter(move |reference| reference.parent == table && reference.child != table)
}

impl Reference {
    const fn to_session(child: &'static str) -> Self {
        Self { child, column: "session_id", parent: SESSIONS, key: "session_id" }
    }

    const fn to_stage(child: &'static str, column: &'static str) -> Self {
        Self { child, column, parent: STAGES, key: "execution_id" }
    }

    /// Whether a schema has both ends; older schemas lack some.
    #[must_use]
    pub(crate) fn is_in(&self, schema: &Schema) -> bool {
        schema.has_column(self.child, self.column) && schema.has_column(self.parent, self.key)
    }

    /// Whether a foreign key of the table is the same reference.
    #[must_use]
    pub(crate) fn is_enforced_by(&self, table: &str, key: &ForeignKey) -> bool {
        table == self.child
            && key.columns == [self.column]
            && key.referenced_table == self.parent
            // Without a referenced column SQLite uses the primary key.
            && (key.referenced_columns.is_empty() || key.referenced_columns == [self.key])
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;

    #[test]
    fn references_lead_to_primary_keys_and_from_every_table_that_belongs_to_a_session() {
        for reference in REFERENCES.iter().filter(|reference| reference.parent != SESSIONS) {
            assert_eq!(Some(reference.key), primary_key(reference.parent), "{reference:?}");
        }
        for table in DEPENDENTS.map(|dependent| dependent.table) {
            assert!(primary_key(table).is_some() && REFERENCES.iter().any(|reference| reference.child == table));
        }
    }

    #[test]
    fn what_refers_to_a_row_from_other_tables_goes_with_it() {
        let from = |table| references_from_others(table).map(|reference| reference.child).collect::<Vec<_>>();
        assert_eq!(from(STAGES), [LLM_INTERACTIONS, MCP_COMMUNICATIONS]);
        assert_eq!(from(CHATS), [MESSAGES]);
        assert!(from(LLM_INTERACTIONS).is_empty());
    }

    #[test]
    fn rows_name_their_session_or_lead_to_it() {
        let sessions = IdSet::all("SELECT 's'", DbBackend::Sqlite, 1);
        let [messages, chats, ..] = DEPENDENTS;
        assert_eq!(chats.of_sessions(&sessions), "session_id IN (SELECT 's')");
        let expected = "chat_id IN (SELECT chat_id FROM chats WHERE session_id IN (SELECT 's'))";
        assert_eq!(messages.of_sessions(&sessions), expected);
    }
}
