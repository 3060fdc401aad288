//! What a policy would remove, counted beforehand.

use std::collections::BTreeMap;
use std::time::Instant;

use sea_orm::sea_query::Condition;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QuerySelect};
use serde::Serialize;

use super::estimate::tables_of_sample;
use super::kept::{KeptCounts, KeptSession, MOST_KEPT, count_kept, each_kept};
use super::selection::{Precision, Selection, count};
pub(crate) use super::table_counts::{TableCounts, table_plan};
use super::table_counts::{conditions_of, require_time, rows_of};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::{self, Column};
use crate::history::entity::{count_rows, keys_of_sessions, select};
use crate::history::id_set::IdSet;
use crate::history::orphans::count::OrphanCount;
use crate::history::removal::batch_error::Removed;
use crate::history::tables::{Reference, SESSIONS, STAGES};
use crate::schema::model::Schema;

/// Rows by table in sets that may have rows in common: those of sessions, or the orphans of a reference.
pub(crate) type RowSets = BTreeMap<(&'static str, Option<Reference>), u64>;

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
    /// Rows and bytes to remove, children first; of sessions none if `is_interrupted`.
    pub tables: Vec<TableCounts>,
    /// Rows whose session, stage or chat does not exist, which are removed as well.
    pub orphans: Vec<OrphanCount>,
    /// The first [`MOST_KEPT`] old sessions that are kept, and why.
    pub kept: Vec<KeptSession>,
    /// How many old sessions are kept.
    pub kept_counts: KeptCounts,
    /// Whether `--max-duration` ended the planning before the rows and the kept sessions were counted.
    #[serde(rename = "interrupted")]
    pub is_interrupted: bool,
    /// Whether events are removed that were not counted, because `--max-duration` left no time for it.
    #[serde(skip)]
    pub has_uncounted_events: bool,
}

impl RetentionPlan {
    /// Whether there is nothing to remove.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions == 0 && self.rows() == 0 && !self.has_uncounted_events
    }

    /// The number of old sessions that are kept; `None` if the planning was interrupted.
    #[must_use]
    pub(crate) fn kept_total(&self) -> Option<u64> {
        (!self.is_interrupted).then(|| self.kept_counts.total())
    }

    /// Whether all rows were counted, not estimated.
    #[must_use]
    pub(crate) fn is_exact(&self) -> bool {
        !self.is_interrupted && self.tables.iter().all(|table| table.is_exact)
    }

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

    /// The rows to remove, by set.
    #[must_use]
    pub(crate) fn row_sets(&self) -> RowSets {
        let tables = self.tables.iter().map(|table| ((table.table, None), table.rows));
        let orphans =
            self.orphans.iter().map(|orphans| ((orphans.reference.child, Some(orphans.reference)), orphans.rows));
        tables.chain(orphans).collect()
    }

    /// The sessions to remove as a share of all, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no history has 2^52 sessions")]
    pub(crate) fn share(&self) -> f64 {
        if self.of_sessions == 0 { 0.0 } else { self.sessions as f64 / self.of_sessions as f64 }
    }

    /// The number of stages that are removed; if they were not counted, at least one for each session.
    #[must_use]
    pub(crate) fn stages(&self) -> u64 {
        if self.is_interrupted {
            return self.sessions;
        }
        self.rows_by_table().get(STAGES).copied().unwrap_or_default()
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
    precision: Precision,
) -> Result<RetentionPlan, DatabaseError> {
    let mut plan = begin(connection, selection).await?;
    complete(connection, schema, selection, precision, &mut plan, None).await?;
    Ok(plan)
}

/// Counts the sessions: what a run has to know before it removes any. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn begin(connection: &Transaction, selection: &Selection) -> Result<RetentionPlan, DatabaseError> {
    let Span { sessions, of_sessions, oldest_us, newest_us } = span(connection, selection).await?;
    Ok(RetentionPlan {
        sessions,
        of_sessions,
        oldest_us,
        newest_us,
        tables: Vec::new(),
        orphans: Vec::new(),
        kept: Vec::new(),
        kept_counts: KeptCounts::default(),
        is_interrupted: true,
        has_uncounted_events: false,
    })
}

/// Counts the rows, and the sessions that are kept. Reads only. No query of a table begins after `until`.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read, or no time is left; the plan is unchanged.
pub(crate) async fn complete(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
    precision: Precision,
    plan: &mut RetentionPlan,
    until: Option<Instant>,
) -> Result<(), DatabaseError> {
    let tables = match precision {
        Precision::Exact => all_tables(connection, schema, selection, plan.sessions, until).await?,
        Precision::Estimated => tables_of_sample(connection, schema, selection, plan.sessions, until).await?,
    };
    let kept_counts = count_kept(connection, selection).await?;
    let mut kept = Vec::new();
    if kept_counts.total() > 0 {
        let add = async |session| {
            kept.push(session);
            Ok::<_, DbErr>(())
        };
        each_kept(connection, selection, Some(MOST_KEPT), add).await.context(PLAN)?;
    }
    plan.tables.splice(0..0, tables);
    (plan.kept, plan.kept_counts, plan.is_interrupted) = (kept, kept_counts, false);
    Ok(())
}

/// Counts the rows of all sessions.
async fn all_tables(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
    sessions: u64,
    until: Option<Instant>,
) -> Result<Vec<TableCounts>, DatabaseError> {
    let mut tables = Vec::new();
    for (table, condition) in tables_of_policy(connection.namespace(), schema, selection, sessions) {
        require_time(until)?;
        tables.push(table_plan(connection, schema, table, condition).await?);
    }
    for kept in selection.kept_in_parts(connection.namespace()) {
        for (all, (table, condition)) in tables.iter_mut().zip(conditions_of(connection.namespace(), schema, &kept)) {
            require_time(until)?;
            all.subtract(&table_plan(connection, schema, table, condition).await?);
        }
    }
    Ok(tables)
}

const PLAN: (Verb, &str) = (Verb::Plan, "the removal");

/// The number of sessions to remove, and their first and last start.
struct Span {
    sessions: u64,
    of_sessions: u64,
    oldest_us: Option<i64>,
    newest_us: Option<i64>,
}

async fn span(connection: &Transaction, selection: &Selection) -> Result<Span, DatabaseError> {
    let of_sessions = count(connection, Condition::all()).await?;
    let mut span = Span { sessions: 0, of_sessions, oldest_us: None, newest_us: None };
    for stretch in selection.stretches() {
        let sessions = select::<alert_sessions::Entity>(connection.namespace())
            .expr(count_rows())
            .expr(Column::StartedAtUs.min())
            .expr(Column::StartedAtUs.max())
            .filter(stretch.is_removable());
        let of_stretch = sessions.into_tuple::<(i64, Option<i64>, Option<i64>)>().one(connection).await;
        let (sessions, oldest_us, newest_us) = of_stretch.context(PLAN)?.unwrap_or_default();
        span.sessions += sessions.unsigned_abs();
        span.oldest_us = span.oldest_us.or(oldest_us);
        span.newest_us = newest_us.or(span.newest_us);
    }
    Ok(span)
}

/// Counts the rows of a selection that exist now, by table; if the plan is not exact, only the sessions. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count_remaining(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
    plan: &RetentionPlan,
) -> Result<Removed, DatabaseError> {
    let namespace = connection.namespace();
    let is_counted = |table: &'static str| plan.is_exact() || table == SESSIONS;
    let mut counts = Removed::new();
    for (table, condition) in tables_of_policy(namespace, schema, selection, u64::MAX) {
        if is_counted(table) {
            counts.insert(table, remaining_rows(connection, table, condition).await?);
        }
    }
    for kept in selection.kept_in_parts(namespace) {
        for (table, condition) in conditions_of(namespace, schema, &kept) {
            if let Some(rows) = counts.get_mut(table) {
                *rows = rows.saturating_sub(remaining_rows(connection, table, condition).await?);
            }
        }
    }
    Ok(counts)
}

async fn remaining_rows(
    connection: &Transaction,
    table: &'static str,
    condition: Condition,
) -> Result<u64, DatabaseError> {
    let query = rows_of(connection.namespace(), table, condition).expr_as(count_rows(), "row_count").to_owned();
    let action = Action::from((Verb::Count, format!("the remaining rows of {table}")));
    let row = connection.query_one(&query).await.context(&action)?;
    let counted = row.map(|row| row.try_get::<i64>("", "row_count")).transpose().context(&action)?;
    Ok(counted.unwrap_or_default().unsigned_abs())
}

/// The tables of the sessions that the policy removes, children first, with the condition for their rows; those of kept
/// sessions as well. `sessions` is the number of sessions.
fn tables_of_policy(
    namespace: &Namespace,
    schema: &Schema,
    selection: &Selection,
    sessions: u64,
) -> Vec<(&'static str, Condition)> {
    let is_removable = || selection.policy.is_removable(selection.backend());
    let keys = keys_of_sessions(namespace, is_removable());
    let mut conditions = conditions_of(namespace, schema, &IdSet::all(keys, selection.backend(), sessions));
    conditions.pop();
    conditions.push((SESSIONS, is_removable()));
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(tables: Vec<TableCounts>) -> RetentionPlan {
        let (oldest_us, newest_us) = (None, None);
        let (orphans, kept, kept_counts) = (Vec::new(), Vec::new(), KeptCounts::default());
        RetentionPlan {
            sessions: 1,
            of_sessions: 4,
            oldest_us,
            newest_us,
            tables,
            orphans,
            kept,
            kept_counts,
            is_interrupted: false,
            has_uncounted_events: false,
        }
    }

    #[test]
    fn rows_of_sessions_and_orphans_of_one_table_are_added_up() {
        let counts = |table, rows| TableCounts { table, rows, bytes: 10 * rows, is_exact: true };
        let mut plan = plan(vec![counts(STAGES, 3), counts(SESSIONS, 1)]);
        let reference = Reference { child: STAGES, column: "session_id", parent: SESSIONS, key: "session_id" };
        plan.orphans.push(OrphanCount { reference, rows: 2 });
        assert_eq!((plan.rows(), plan.bytes(), plan.stages()), (6, 40, 5));
        assert_eq!(plan.rows_by_table(), Removed::from([(SESSIONS, 1), (STAGES, 5)]));
        assert!((plan.share() - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn an_empty_history_has_no_share() {
        let plan = RetentionPlan { sessions: 0, of_sessions: 0, ..plan(Vec::new()) };
        assert!(plan.share() == 0.0 && plan.stages() == 0);
    }
}
