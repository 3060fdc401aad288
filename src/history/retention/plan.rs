//! What a policy would remove, counted beforehand.

use sea_orm::sea_query::{Condition, Expr, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, IdenStatic, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
};
use serde::Serialize;

use super::selection::{KeptReason, Selection};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::{self, Column};
use crate::history::entity::{count_rows, keys_of_sessions, select, text};
use crate::history::id_set::IdSet;
use crate::history::orphans::OrphanCount;
use crate::history::removal::batch::Removed;
use crate::history::tables::{DEPENDENTS, SESSIONS, STAGES};
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::Schema;

/// What a policy would remove.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RetentionPlan {
    /// The number of sessions to remove.
    pub sessions: u64,
    /// The number of all sessions.
    pub of_sessions: u64,
    /// The start of the oldest session to remove, in microseconds since the epoch.
    pub oldest_us: Option<i64>,
    /// The start of the newest session to remove, in microseconds since the epoch.
    pub newest_us: Option<i64>,
    /// Rows and bytes to remove, children first.
    pub tables: Vec<TableCounts>,
    /// Rows whose session, stage or chat does not exist, which are removed as well.
    pub orphans: Vec<OrphanCount>,
    /// Old sessions that are kept, and why.
    pub kept: Vec<KeptSession>,
}

/// What would be removed from one table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TableCounts {
    pub table: &'static str,
    pub rows: u64,
    /// The size of their values as stored: compressed, and with those that PostgreSQL keeps out of line (TOAST).
    pub bytes: u64,
}

/// An old session that is kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeptSession {
    pub session_id: String,
    pub status: String,
    pub reason: KeptReason,
    /// In microseconds since the epoch.
    pub started_at_us: i64,
}

impl RetentionPlan {
    /// All rows to remove; a row that lacks both its session and its stage counts twice.
    #[must_use]
    pub(crate) fn rows(&self) -> u64 {
        let orphans = self.orphans.iter().map(|orphans| orphans.rows);
        self.tables.iter().map(|table| table.rows).chain(orphans).sum()
    }

    /// The rows to remove, by table.
    #[must_use]
    pub(crate) fn rows_by_table(&self) -> Removed {
        let tables = self.tables.iter().map(|table| (table.table, table.rows));
        let orphans = self.orphans.iter().map(|orphans| (orphans.reference.child, orphans.rows));
        let mut rows = Removed::new();
        for (table, count) in tables.chain(orphans) {
            *rows.entry(table).or_default() += count;
        }
        rows
    }

    /// The sessions to remove as a share of all, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no history has 2^52 sessions")]
    pub(crate) fn share(&self) -> f64 {
        if self.of_sessions == 0 { 0.0 } else { self.sessions as f64 / self.of_sessions as f64 }
    }

    /// The number of stages that are removed with their sessions.
    #[must_use]
    pub(crate) fn stages(&self) -> u64 {
        self.tables.iter().find(|table| table.table == STAGES).map_or(0, |table| table.rows)
    }

    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// Counts what would be removed. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn plan(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
) -> Result<RetentionPlan, DatabaseError> {
    let span = span(connection, selection).await.context(PLAN)?;
    let mut tables = Vec::new();
    for (table, condition) in conditions(connection.namespace(), schema, selection, span.sessions) {
        tables.push(table_plan(connection, schema, table, condition).await?);
    }
    let kept = kept(connection, selection).await.context(PLAN)?;
    let Span { sessions, of_sessions, oldest_us, newest_us } = span;
    Ok(RetentionPlan { sessions, of_sessions, oldest_us, newest_us, tables, orphans: Vec::new(), kept })
}

const PLAN: (Verb, &str) = (Verb::Plan, "the removal");

/// The number of sessions to remove, and their first and last start.
struct Span {
    sessions: u64,
    of_sessions: u64,
    oldest_us: Option<i64>,
    newest_us: Option<i64>,
}

async fn span(connection: &Transaction, selection: &Selection) -> Result<Span, DbErr> {
    let all = select::<alert_sessions::Entity>(connection.namespace()).expr(count_rows()).into_query();
    let sessions = select::<alert_sessions::Entity>(connection.namespace())
        .expr(count_rows())
        .expr(Column::StartedAtUs.min())
        .expr(Column::StartedAtUs.max())
        .expr_as(Expr::SubQuery(None, Box::new(all.into())), "of_sessions")
        .filter(selection.condition());
    let span = sessions.into_tuple::<(i64, Option<i64>, Option<i64>, i64)>().one(connection).await?;
    let (sessions, oldest_us, newest_us, of_sessions) = span.unwrap_or_default();
    Ok(Span { sessions: sessions.unsigned_abs(), of_sessions: of_sessions.unsigned_abs(), oldest_us, newest_us })
}

/// The old sessions that are kept.
async fn kept(connection: &Transaction, selection: &Selection) -> Result<Vec<KeptSession>, DbErr> {
    let kept = kept_query(connection.namespace(), selection).into_tuple::<(String, String, i64)>().all(connection);
    let kept = kept.await?.into_iter().map(|(session_id, status, started_at_us)| {
        let reason = selection.reason(&session_id, &status);
        KeptSession { session_id, status, reason, started_at_us }
    });
    Ok(kept.collect())
}

fn kept_query(namespace: &Namespace, selection: &Selection) -> Select<alert_sessions::Entity> {
    let shown = |column: Column| {
        if selection.backend() == DbBackend::Postgres {
            return text(selection.backend(), column.as_column_ref());
        }
        // SQLite may hold any value in it.
        let name = quoted(column.as_str());
        Expr::cust(format!("iif(typeof({name}) = 'text', {name}, quote({name}))"))
    };
    select::<alert_sessions::Entity>(namespace)
        .expr_as(shown(Column::SessionId), "id")
        .expr_as(shown(Column::Status), "shown_status")
        .column(Column::StartedAtUs)
        .filter(selection.policy.is_old(selection.backend()))
        .filter(selection.condition().not())
        .order_by_asc(Column::StartedAtUs)
        .order_by_asc(Column::SessionId)
}

/// Counts the rows of a selection that exist now, by table. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
) -> Result<Removed, DatabaseError> {
    let mut counts = Removed::new();
    for (table, condition) in conditions(connection.namespace(), schema, selection, u64::MAX) {
        let query = rows_of(connection.namespace(), table, condition).expr_as(count_rows(), "row_count").to_owned();
        let action = Action::from((Verb::Count, format!("the remaining rows of {table}")));
        let row = connection.query_one(&query).await.context(&action)?;
        let counted = row.map(|row| row.try_get::<i64>("", "row_count")).transpose().context(&action)?;
        counts.insert(table, counted.unwrap_or_default().unsigned_abs());
    }
    Ok(counts)
}

/// The tables of a selection, children first, with the condition for their rows. `sessions` is the number of sessions.
fn conditions(
    namespace: &Namespace,
    schema: &Schema,
    selection: &Selection,
    sessions: u64,
) -> Vec<(&'static str, Condition)> {
    let keys = keys_of_sessions(namespace, selection.condition());
    let ids = IdSet::all(keys, selection.backend(), sessions);
    let dependents = DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table));
    let dependents =
        dependents.map(|dependent| (dependent.table, Condition::all().add(dependent.of_sessions(namespace, &ids))));
    dependents.chain([(SESSIONS, selection.condition())]).collect()
}

/// The query for rows of a table that meet a condition, without columns.
fn rows_of(namespace: &Namespace, table: &'static str, condition: Condition) -> SelectStatement {
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
    use crate::history::tables::Reference;

    fn plan(tables: Vec<TableCounts>) -> RetentionPlan {
        let (oldest_us, newest_us) = (None, None);
        let (orphans, kept) = (Vec::new(), Vec::new());
        RetentionPlan { sessions: 1, of_sessions: 4, oldest_us, newest_us, tables, orphans, kept }
    }

    #[test]
    fn rows_of_sessions_and_orphans_of_one_table_are_added_up() {
        let counts = |table, rows| TableCounts { table, rows, bytes: 10 * rows };
        let mut plan = plan(vec![counts(STAGES, 3), counts(SESSIONS, 1)]);
        let reference = Reference { child: STAGES, column: "session_id", parent: SESSIONS, key: "session_id" };
        plan.orphans.push(OrphanCount { reference, rows: 2 });
        assert_eq!((plan.rows(), plan.bytes(), plan.stages()), (6, 40, 3));
        assert_eq!(plan.rows_by_table(), Removed::from([(SESSIONS, 1), (STAGES, 5)]));
        assert!((plan.share() - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn an_empty_history_has_no_share() {
        let plan = RetentionPlan { sessions: 0, of_sessions: 0, ..plan(Vec::new()) };
        assert!(plan.share() == 0.0 && plan.stages() == 0);
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
