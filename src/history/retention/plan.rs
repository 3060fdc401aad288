//! What a policy would remove, counted beforehand.

use sea_orm::{DbBackend, DbErr};
use serde::Serialize;

use super::selection::{KeptReason, Selection};
use crate::database::connection::{row, rows};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
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
    for (table, condition) in conditions(schema, selection, span.sessions) {
        tables.push(table_plan(connection, schema, table, &condition).await?);
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
    let sql = format!(
        "SELECT count(*) AS sessions, min(started_at_us) AS oldest, max(started_at_us) AS newest,
                (SELECT count(*) FROM {SESSIONS}) AS of_sessions
         FROM {SESSIONS} WHERE {}",
        selection.condition()
    );
    let row = row(connection, &sql).await?;
    let count = |name| row.try_get("", name).map(i64::unsigned_abs);
    Ok(Span {
        sessions: count("sessions")?,
        of_sessions: count("of_sessions")?,
        oldest_us: row.try_get("", "oldest")?,
        newest_us: row.try_get("", "newest")?,
    })
}

/// The old sessions that are kept.
async fn kept(connection: &Transaction, selection: &Selection) -> Result<Vec<KeptSession>, DbErr> {
    let kept = rows(connection, &kept_query(selection)).await?;
    let kept = kept.iter().map(|row| {
        let (session_id, status) = (row.try_get::<String>("", "id")?, row.try_get::<String>("", "shown_status")?);
        Ok(KeptSession {
            reason: selection.reason(&session_id, &status),
            session_id,
            status,
            started_at_us: row.try_get("", "started_at_us")?,
        })
    });
    kept.collect()
}

fn kept_query(selection: &Selection) -> String {
    let [session_id, status] = ["session_id", "status"].map(|column| match selection.backend() {
        DbBackend::Postgres => column.to_owned(),
        // SQLite may hold any value in it.
        _ => format!("iif(typeof({column}) = 'text', {column}, quote({column}))"),
    });
    format!(
        "SELECT {session_id} AS id, {status} AS shown_status, started_at_us FROM {SESSIONS} WHERE {} AND NOT ({}) \
         ORDER BY started_at_us, session_id",
        selection.policy.is_old(selection.backend()),
        selection.condition()
    )
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
    for (table, condition) in conditions(schema, selection, u64::MAX) {
        let sql = format!("SELECT count(*) AS row_count FROM {table} WHERE {condition}");
        let counted = row(connection, &sql).await.and_then(|row| row.try_get::<i64>("", "row_count"));
        counts.insert(table, counted.context((Verb::Count, format!("the remaining rows of {table}")))?.unsigned_abs());
    }
    Ok(counts)
}

/// The tables of a selection, children first, with the condition for their rows. `sessions` is the number of sessions.
fn conditions(schema: &Schema, selection: &Selection, sessions: u64) -> Vec<(&'static str, String)> {
    let keys = format!("SELECT session_id FROM {SESSIONS} WHERE {}", selection.condition());
    let ids = IdSet::all(&keys, selection.backend(), sessions);
    let dependents = DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table));
    let dependents = dependents.map(|dependent| (dependent.table, dependent.of_sessions(&ids)));
    dependents.chain([(SESSIONS, selection.condition())]).collect()
}

/// Counts the rows of a table that meet a condition, and their bytes.
pub(crate) async fn table_plan(
    connection: &Transaction,
    schema: &Schema,
    table: &'static str,
    condition: &str,
) -> Result<TableCounts, DatabaseError> {
    let backend = connection.backend();
    let columns = schema.tables.get(table).into_iter().flat_map(|table| &table.columns);
    let sizes: Vec<_> = columns.map(|(name, column)| size_of(backend, &quoted(name), &column.kind)).collect();
    let sql = format!(
        "SELECT count(*) AS row_count, CAST(coalesce(sum({}), 0) AS BIGINT) AS byte_count FROM {table} WHERE {condition}",
        sizes.join(" + ")
    );
    let action = Action::from((Verb::Count, format!("the rows to remove from {table}")));
    let row = row(connection, &sql).await.context(&action)?;
    let number = |name| row.try_get("", name).map(i64::unsigned_abs).context(&action);
    Ok(TableCounts { table, rows: number("row_count")?, bytes: number("byte_count")? })
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
