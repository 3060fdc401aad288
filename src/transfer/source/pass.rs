//! One pass over a table of the source: which rows are read, and for which purpose.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::orphans::Orphans;
use super::row::AnyRow;
use super::table::rows_of;
use crate::database::failure::DatabaseCause;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::hazard::Values;
use crate::transfer::value::policy::Policies;

/// One pass over a table.
#[derive(Clone)]
pub(crate) struct Pass {
    pub(crate) table: Arc<TablePlan>,
    /// A condition for the rows; `None` for all rows and the placeholders.
    pub(crate) only: Option<String>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) orphans: Arc<Orphans>,
    pub(crate) purpose: Purpose,
}

/// The purpose of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To encode rows, up to the first value that cannot be converted exactly.
    Copy,
    /// To find every value that cannot be converted exactly.
    Scan(Values),
}

impl Pass {
    /// Reads the rows: the placeholders, then those of the source.
    pub(crate) fn for_each_row(
        &self,
        connection: &Connection,
        mut visit: impl FnMut(AnyRow<'_>) -> Result<ControlFlow<()>, DatabaseCause>,
    ) -> Result<(), DatabaseCause> {
        if self.only.is_none() {
            // A placeholder has no hazard, so that the pass never ends here.
            let visit = |placeholder: &[Value]| visit(AnyRow::Placeholder(placeholder)).map(|_| ());
            self.orphans.for_each_placeholder(connection, &self.table, visit)?;
        }
        let mut statement = connection.prepare(&self.select())?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if visit(AnyRow::Stored(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether a row is left out: the column after those of the plan says so.
    pub(crate) fn drops(&self, row: AnyRow<'_>) -> bool {
        match row {
            AnyRow::Stored(row) => row.get(self.table.columns.len()).unwrap_or(false),
            AnyRow::Placeholder(_) => false,
        }
    }

    /// The primary key of a row as text.
    pub(crate) fn shown_key(&self, row: AnyRow<'_>) -> String {
        row.shown_key(self.table.primary_key.iter().copied())
    }

    fn select(&self) -> String {
        let condition = self.only.as_ref().map(|only| format!(" WHERE {only}"));
        let is_dropped = self.orphans.is_dropped(&self.table).map(|condition| format!(", {condition}"));
        format!(
            "SELECT {}{} FROM {}{}",
            self.table.column_list(),
            is_dropped.unwrap_or_default(),
            rows_of(&self.table.name),
            condition.unwrap_or_default()
        )
    }
}
