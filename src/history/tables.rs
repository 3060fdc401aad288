//! TARSy's tables, and how their rows hang together.

use sea_orm::DbBackend;

/// The statuses of a session that is over; every other one counts as active.
pub(crate) const TERMINAL_STATUSES: [&str; 4] = ["completed", "failed", "cancelled", "timed_out"];

/// The table of the sessions themselves.
pub(crate) const SESSIONS: &str = "alert_sessions";

/// The table of the stages.
pub(crate) const STAGES: &str = "stage_executions";

/// The column of a stage that names its parent, of parallel stages.
pub(crate) const PARENT_STAGE: &str = "parent_stage_execution_id";

/// The table of the chats.
pub(crate) const CHATS: &str = "chats";

/// A table whose rows belong to a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dependent {
    /// Its name.
    pub table: &'static str,
    /// The table and its column that lead from the rows to the session, if the rows do not name it themselves.
    pub(crate) by_way_of: Option<(&'static str, &'static str)>,
}

/// What hangs on a session, children first. Older databases have no chats; where they exist, no
/// foreign key removes them.
pub(crate) const DEPENDENTS: [Dependent; 5] = [
    Dependent { table: "chat_user_messages", by_way_of: Some((CHATS, "chat_id")) },
    Dependent { table: CHATS, by_way_of: None },
    Dependent { table: "llm_interactions", by_way_of: None },
    Dependent { table: "mcp_communications", by_way_of: None },
    Dependent { table: STAGES, by_way_of: None },
];

/// The tables whose rows go with a session, and that of the sessions, children first.
pub(crate) fn session_tables() -> impl Iterator<Item = &'static str> {
    DEPENDENTS.iter().map(|dependent| dependent.table).chain([SESSIONS])
}

impl Dependent {
    /// The condition that rows belong to a session for which a condition on `session_id` holds.
    pub(crate) fn belongs(&self, sessions: &IdSet<'_>) -> String {
        let is_of_session = sessions.holds("session_id");
        match self.by_way_of {
            None => is_of_session,
            Some((table, column)) => {
                let rows = format!("SELECT {column} FROM {table} WHERE {is_of_session}");
                IdSet { query: &rows, ..*sessions }.holds(column)
            }
        }
    }
}

/// So many values cost less to look up in an index of PostgreSQL's, one by one, than to read a table that grows.
const FEW: u64 = 1000;

/// The values that a query gives, as something to be one of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdSet<'q> {
    pub(crate) query: &'q str,
    /// Whether the values are few: PostgreSQL is to look each of them up in an index, however small it takes the table
    /// for, and however dear it takes the index for.
    pub(crate) are_few: bool,
}

impl<'q> IdSet<'q> {
    /// All values of a query, so many of them.
    pub(crate) fn all(query: &'q str, backend: DbBackend, count: u64) -> Self {
        Self { query, are_few: backend == DbBackend::Postgres && count <= FEW }
    }

    /// The elements of the JSON array that is bound to a statement as `$1`.
    pub(crate) fn given(backend: DbBackend) -> IdSet<'static> {
        match backend {
            DbBackend::Postgres => IdSet { query: "SELECT jsonb_array_elements_text($1::jsonb)", are_few: true },
            _ => IdSet { query: "SELECT value FROM json_each($1)", are_few: false },
        }
    }

    /// The condition that a column has one of them.
    pub(crate) fn holds(&self, column: &str) -> String {
        match self.are_few {
            true => format!("{column} = ANY (ARRAY({}))", self.query),
            false => format!("{column} IN ({})", self.query),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_looked_up_in_postgresql_and_sqlite_knows_best() {
        let condition = |backend, count| IdSet::all("SELECT 'a'", backend, count).holds("id");
        assert_eq!(condition(DbBackend::Postgres, FEW), "id = ANY (ARRAY(SELECT 'a'))");
        assert_eq!(condition(DbBackend::Postgres, FEW + 1), "id IN (SELECT 'a')");
        assert_eq!(condition(DbBackend::Sqlite, 1), "id IN (SELECT 'a')");
    }
}
