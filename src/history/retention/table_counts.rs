//! The rows and bytes of a table that would be removed.

use std::time::Instant;

use sea_orm::sea_query::{Condition, Expr, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend};
use serde::Serialize;

use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::Column;
use crate::history::entity::count_rows;
use crate::history::id_set::IdSet;
use crate::history::tables::{DEPENDENTS, SESSIONS};
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::Schema;

/// What would be removed from one table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TableCounts {
    pub table: &'static str,
    pub rows: u64,
    /// The size of their values as stored: compressed, and with those that PostgreSQL keeps out of line (TOAST).
    pub bytes: u64,
    /// Whether both were counted, not estimated from a part of the sessions.
    #[serde(rename = "exact")]
    pub is_exact: bool,
}

impl TableCounts {
    /// Leaves out what some of the sessions have in the same table.
    pub(super) fn subtract(&mut self, some: &Self) {
        self.rows = self.rows.saturating_sub(some.rows);
        self.bytes = self.bytes.saturating_sub(some.bytes);
    }

    /// What `all` sessions have if this is what `some` of them have.
    pub(super) fn scaled(self, all: u64, some: u64) -> Self {
        let scaled = |number: u64| {
            let number = u128::from(number) * u128::from(all) / u128::from(std::cmp::max(some, 1));
            u64::try_from(number).unwrap_or(u64::MAX)
        };
        Self { table: self.table, rows: scaled(self.rows), bytes: scaled(self.bytes), is_exact: false }
    }
}

/// Makes sure that it is not too late for another query.
///
/// # Errors
/// [`DatabaseError`] of the class [`ErrorClass::TimedOut`].
pub(super) fn require_time(until: Option<Instant>) -> Result<(), DatabaseError> {
    match until {
        Some(until) if Instant::now() >= until => {
            let cause = DatabaseCause::new(ErrorClass::TimedOut, "no time is left to count rows");
            Err(DatabaseError { action: (Verb::Plan, "the removal").into(), cause })
        }
        _ => Ok(()),
    }
}

/// The tables of sessions that are known by their keys, children first, with the condition for their rows.
pub(super) fn conditions_of(namespace: &Namespace, schema: &Schema, ids: &IdSet) -> Vec<(&'static str, Condition)> {
    let dependents = DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table));
    let dependents = dependents.map(|dependent| (dependent.table, dependent.of_sessions(namespace, ids)));
    let sessions = (SESSIONS, ids.contains(Column::SessionId.as_column_ref()));
    dependents.chain([sessions]).map(|(table, is_meant)| (table, Condition::all().add(is_meant))).collect()
}

/// The query for rows of a table that meet a condition, without columns.
pub(super) fn rows_of(namespace: &Namespace, table: &'static str, condition: Condition) -> SelectStatement {
    Query::select().from(namespace.table_ref(table)).cond_where(condition).to_owned()
}

/// Counts the rows of a table that meet a condition, and their bytes.
pub(crate) async fn table_plan(
    connection: &Transaction,
    schema: &Schema,
    table: &'static str,
    condition: Condition,
) -> Result<TableCounts, DatabaseError> {
    let columns = schema.tables.get(table).into_iter().flat_map(|table| &table.columns);
    let sizes = columns.map(|(name, column)| size_of(connection.backend(), &quoted(name), &column.kind));
    // The columns are those of the database, with the operator's own, and SeaORM does not know how they are measured.
    let bytes = format!("CAST(coalesce(sum({}), 0) AS BIGINT)", sizes.collect::<Vec<_>>().join(" + "));
    let mut query = rows_of(connection.namespace(), table, condition);
    query.expr_as(count_rows(), "row_count").expr_as(Expr::cust(bytes), "byte_count");
    let action = Action::from((Verb::Count, format!("the rows to remove from {table}")));
    let row = connection.query_one(&query).await.context(&action)?;
    let number = |name| row.as_ref().map_or(Ok(0), |row| row.try_get::<i64>("", name).map(i64::unsigned_abs));
    Ok(TableCounts {
        table,
        rows: number("row_count").context(&action)?,
        bytes: number("byte_count").context(&action)?,
        is_exact: true,
    })
}

/// Whether SQLite stores numbers in a column of this type.
fn is_number(kind: &ColumnKind) -> bool {
    use ColumnKind::{BigInt, Boolean, Integer, Other, SmallInt};
    match kind {
        BigInt | Boolean | Integer | SmallInt => true,
        Other(name) => name.ends_with("int"),
        _ => false,
    }
}

/// The size of a column's value in bytes.
fn size_of(backend: DbBackend, column: &str, kind: &ColumnKind) -> String {
    match backend {
        DbBackend::Postgres => format!("coalesce(pg_column_size({column}), 0)"),
        // SQLite would convert a number to text only to measure it.
        _ if is_number(kind) => format!("8 * ({column} IS NOT NULL)"),
        _ => format!("coalesce(octet_length({column}), 0)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tables::STAGES;

    #[test]
    fn what_a_sample_has_is_scaled_and_called_an_estimate() {
        let counts = TableCounts { table: STAGES, rows: 30, bytes: 7, is_exact: true }.scaled(1_000_000, 1000);
        assert_eq!((counts.rows, counts.bytes, counts.is_exact), (30_000, 7000, false));
    }

    #[test]
    fn a_number_of_sqlite_is_measured_without_making_a_text_of_it() {
        for kind in ["bigint", "integer", "boolean"] {
            assert_eq!(size_of(DbBackend::Sqlite, "c", &ColumnKind::of(kind)), "8 * (c IS NOT NULL)", "{kind}");
        }
        assert_eq!(size_of(DbBackend::Sqlite, "c", &ColumnKind::of("varchar")), "coalesce(octet_length(c), 0)");
        assert_eq!(size_of(DbBackend::Postgres, "c", &ColumnKind::of("bigint")), "coalesce(pg_column_size(c), 0)");
    }
}
