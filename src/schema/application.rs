//! Recognises other applications, whose tables have the names of TARSy's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Columns that each table has at every revision, and that no other known application gives a table of that name.
const IDENTIFYING: [(&str, &[&str]); 7] = [
    ("alert_sessions", &["started_at_us", "completed_at_us"]),
    ("stage_executions", &["started_at_us", "completed_at_us"]),
    ("llm_interactions", &["timestamp_us", "conversation"]),
    ("mcp_communications", &["timestamp_us", "start_time_us", "end_time_us"]),
    ("events", &["channel", "payload"]),
    ("chats", &["created_at_us", "context_captured_at_us"]),
    ("chat_user_messages", &["created_at_us", "chat_id"]),
];

/// Tables of TARSy's successor. It also has an `alert_sessions`, in the same database by default.
pub(crate) const OF_SUCCESSOR: [&str; 2] = ["agent_executions", "schema_migrations"];

/// To whom a database belongs if it is not TARSy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Application {
    /// The program that replaced TARSy's Python backend.
    Successor,
    /// One that has tables of these names.
    Tables(Vec<String>),
    /// One that has tables of these names beside TARSy's.
    Stranger(Vec<String>),
    /// One that has only the ledger in common, which names this revision.
    Ledger(String),
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Successor => write!(
                f,
                "the database belongs to TARSy's successor: it has the tables `{}`, and not the columns of TARSy's tables",
                OF_SUCCESSOR.join("`, `")
            ),
            Self::Tables(tables) => write!(
                f,
                "the database belongs to another application: `{}` {} none of the columns by which TARSy's are known",
                tables.join("`, `"),
                if tables.len() == 1 { "has" } else { "have" }
            ),
            Self::Stranger(tables) => write!(
                f,
                "`{}`, which TARSy did not create, {} the upgrade",
                tables.join("`, `"),
                if tables.len() == 1 { "blocks" } else { "block" }
            ),
            Self::Ledger(revision) => write!(
                f,
                "`alembic_version` belongs to another application: it names revision `{revision}`, which this version \
                 does not know, and none of TARSy's tables exist"
            ),
        }
    }
}

impl Application {
    /// What the operator can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Successor => {
                "check the database URL; the successor upgrades its own database, and tarsy-db changes nothing in it"
            }
            Self::Tables(_) => {
                "check the database URL; if it is right, give TARSy a database or a schema of its own; tarsy-db changes \
                 nothing here"
            }
            Self::Stranger(_) => {
                "TARSy needs this name for a table of its own: rename the table that has it, then run the same command \
                 again; nothing was changed"
            }
            Self::Ledger(_) => {
                "check the database URL; if it is right, give TARSy a database or a schema of its own, or restore its \
                 tables from a backup"
            }
        }
    }
}

/// The tables of these names that are not TARSy's, because they have none of the identifying columns.
#[must_use]
pub(crate) fn namesakes(tables: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_foreign = |(table, columns): &(&str, &[&str])| {
        tables.get(*table).is_some_and(|found| columns.iter().all(|column| !found.contains(*column)))
    };
    IDENTIFYING.into_iter().filter(is_foreign).map(|(table, _)| table.to_owned()).collect()
}

/// A table with its identifying columns, for tests.
#[cfg(test)]
pub(crate) fn identified(table: &str) -> (String, BTreeSet<String>) {
    let columns = IDENTIFYING.into_iter().find(|(name, _)| *name == table).map(|(_, columns)| columns);
    (table.to_owned(), columns.unwrap_or_default().iter().map(|column| (*column).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use migration::Revision;

    use super::*;

    #[test]
    fn every_table_is_identified_and_one_of_its_columns_is_enough() {
        let all = Revision::HEAD.tables();
        assert_eq!(IDENTIFYING.map(|(table, _)| table).as_slice(), all.as_slice());
        for (table, columns) in IDENTIFYING {
            let with = |columns: &[&str]| {
                let columns = columns.iter().map(|column| (*column).to_owned()).collect();
                namesakes(&BTreeMap::from([(table.to_owned(), columns)]))
            };
            assert_eq!(with(&["id"]), [table]);
            assert!(columns.iter().all(|column| with(&["id", column]).is_empty()), "{table}");
        }
    }
}
