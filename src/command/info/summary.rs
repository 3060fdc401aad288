//! The report of `info` as data.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::command::retention::Retention;
use crate::database::url::{Backend, Protection};
use crate::history::retention::plan::RetentionPlan;
use crate::history::space::Space;
use crate::schema::row_policy::RowPolicies;

#[derive(Serialize)]
pub(crate) struct InfoSummary {
    pub(crate) database: String,
    pub(crate) backend: Backend,
    pub(crate) server_version: String,
    pub(crate) role: Option<String>,
    /// How the connection is protected; `None` on SQLite.
    pub(crate) protection: Option<Protection>,
    pub(crate) revision: Option<String>,
    /// Why no revision is known, in words.
    #[serde(skip)]
    pub(crate) unrecorded: String,
    /// Why there is no revision, or why other commands refuse this database.
    pub(crate) schema_error: Option<String>,
    /// The size of the whole database; `None` if it cannot be measured.
    pub(crate) bytes: Option<u64>,
    /// The size of the `-wal` beside SQLite's file, if it is larger than the file.
    pub(crate) wal_bytes: Option<u64>,
    pub(crate) tables: Vec<TableInfo>,
    pub(crate) space: Option<SpaceSummary>,
    pub(crate) sessions: Option<SessionSummary>,
    /// Why the retention of the settings cannot be applied, and what to do.
    pub(crate) retention_error: Option<String>,
    /// The row policies that hide rows from the role: the figures of these tables are incomplete.
    pub(crate) row_policies: Vec<RowPolicies>,
    /// The parts that were cancelled because they took too long.
    pub(crate) skipped: Vec<String>,
    /// The parts that cannot be read.
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) settings: BTreeMap<&'static str, SettingSummary>,
}

/// A part that cannot be read, such as one that the role may not read or that another session has locked.
#[derive(Serialize)]
pub(crate) struct Unreadable {
    pub(crate) part: String,
    pub(crate) reason: String,
}

#[derive(Serialize)]
pub(crate) struct TableInfo {
    pub(crate) table: String,
    /// Its schema on PostgreSQL.
    #[serde(skip)]
    pub(crate) schema: Option<String>,
    #[serde(flatten)]
    pub(crate) rows: RowCount,
    pub(crate) table_bytes: Option<u64>,
    pub(crate) index_bytes: Option<u64>,
    pub(crate) toast_bytes: Option<u64>,
}

/// The number of rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowCount {
    Exact(u64),
    Estimated(u64),
    /// Counting took too long, or could run what the owner of the table planted.
    Unknown,
}

impl Serialize for RowCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (rows, exact) = match self {
            Self::Exact(rows) => (Some(rows), true),
            Self::Estimated(rows) => (Some(rows), false),
            Self::Unknown => (None, true),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("rows", &rows)?;
        map.serialize_entry("exact", &exact)?;
        map.end()
    }
}

#[derive(Serialize)]
pub(crate) struct SpaceSummary {
    /// The reclaimable space in bytes; an estimate on PostgreSQL.
    pub(crate) reclaimable_bytes: u64,
    /// The command that reclaims it; `None` if there is too little.
    pub(crate) next_command: Option<String>,
    #[serde(flatten)]
    pub(crate) parts: Space,
}

#[derive(Serialize)]
pub(crate) struct SessionSummary {
    pub(crate) oldest: Option<String>,
    pub(crate) oldest_us: Option<i64>,
    pub(crate) newest: Option<String>,
    pub(crate) newest_us: Option<i64>,
    pub(crate) by_status: Option<Vec<StatusCount>>,
    pub(crate) by_week: Option<Vec<Week>>,
    pub(crate) retention_days: u32,
    pub(crate) retention: Retention,
    /// What `prune` would remove; if no retention is set, with the longer of TARSy's defaults. Absent if the retention is
    /// not valid, or counting failed or took too long.
    pub(crate) would_remove: Option<RetentionPlan>,
}

#[derive(Serialize)]
pub(crate) struct StatusCount {
    pub(crate) status: String,
    pub(crate) sessions: u64,
}

#[derive(Serialize)]
pub(crate) struct Week {
    /// The first day of the week.
    pub(crate) monday: String,
    pub(crate) sessions: u64,
}

#[derive(Serialize)]
pub(crate) struct SettingSummary {
    /// Null if no retention is set.
    pub(crate) value: Value,
    pub(crate) source: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_says_whether_its_rows_were_counted() {
        let table = |rows| {
            let table = TableInfo {
                table: "t".to_owned(),
                schema: None,
                rows,
                table_bytes: None,
                index_bytes: None,
                toast_bytes: None,
            };
            json!(table).to_string()
        };
        let rest = r#""table_bytes":null,"index_bytes":null,"toast_bytes":null}"#;
        assert_eq!(table(RowCount::Exact(3)), format!(r#"{{"table":"t","rows":3,"exact":true,{rest}"#));
        assert_eq!(table(RowCount::Estimated(3)), format!(r#"{{"table":"t","rows":3,"exact":false,{rest}"#));
        assert_eq!(table(RowCount::Unknown), format!(r#"{{"table":"t","rows":null,"exact":true,{rest}"#));
    }
}
