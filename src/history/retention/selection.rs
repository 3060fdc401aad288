//! The condition for the sessions that a policy removes from a database, and other queries about sessions.

use std::fmt;

use sea_orm::DbBackend;
use serde::Serialize;

use super::in_use;
use super::policy::{ActiveSessions, RetentionPolicy, has_start};
use crate::database::connection::{row, rows};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::quote::literal;
use crate::database::transaction::Transaction;
use crate::history::tables::{Reference, SESSIONS, STAGES, TERMINAL_STATUSES, references_to_stages};
use crate::schema::model::Schema;

/// The sessions of a database that a policy removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub policy: RetentionPolicy,
    backend: DbBackend,
    /// Sessions that are kept because rows of other sessions refer to their stages. Such rows are damage, but a cascade
    /// would remove them uncounted, and without a cascade they would stop every batch.
    needed: Vec<String>,
    /// Sessions that are kept because they are in use: see [`in_use`].
    in_use: Vec<String>,
}

impl Selection {
    /// What a policy removes if no row refers to another session's stage, as in every intact database.
    #[must_use]
    pub(crate) fn optimistic(connection: &Transaction, policy: RetentionPolicy) -> Self {
        Self { policy, backend: connection.backend(), needed: Vec::new(), in_use: Vec::new() }
    }

    /// Applies a policy to a database. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub(crate) async fn of(
        connection: &Transaction,
        schema: &Schema,
        policy: RetentionPolicy,
    ) -> Result<Self, DatabaseError> {
        let backend = connection.backend();
        let is_removable = policy.is_removable(backend);
        let needed = needed(connection, schema, &is_removable).await?;
        let in_use = match policy.active {
            ActiveSessions::Keep => in_use::find(connection, schema, policy.cutoff_us, &is_removable).await?,
            ActiveSessions::Remove => Vec::new(),
        };
        Ok(Self { policy, backend, needed, in_use })
    }

    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The condition for sessions to remove.
    pub(crate) fn condition(&self) -> String {
        let is_removable = self.policy.is_removable(self.backend);
        match self.needed.is_empty() && self.in_use.is_empty() {
            true => is_removable,
            false => format!("{is_removable} AND {}", is_none_of(self.needed.iter().chain(&self.in_use))),
        }
    }

    /// Why an old session is kept.
    pub(crate) fn reason(&self, session_id: &str, status: &str) -> KeptReason {
        let is_in = |ids: &[String]| ids.iter().any(|id| id == session_id);
        match self.policy.active {
            ActiveSessions::Keep if !TERMINAL_STATUSES.contains(&status) => KeptReason::NotOver,
            _ if is_in(&self.in_use) => KeptReason::InUse,
            _ if is_in(&self.needed) => KeptReason::Needed,
            _ => KeptReason::NoKey,
        }
    }
}

/// The sessions, among those that meet a condition, whose stages other sessions refer to. They are passed to later
/// queries as values: PostgreSQL would evaluate a `NOT IN` over a large query again for each row.
async fn needed(connection: &Transaction, schema: &Schema, is_removable: &str) -> Result<Vec<String>, DatabaseError> {
    let mut needed = Vec::new();
    for Reference { child: table, column, .. } in references_to_stages(schema) {
        let sql = needed_query(connection.backend(), table, column, is_removable);
        let action = Action::from((Verb::Find, format!("references from {table} to other sessions")));
        for row in rows(connection, &sql).await.context(&action)? {
            needed.push(row.try_get("", "session_id").context(&action)?);
        }
    }
    Ok(needed)
}

/// The query for sessions to remove whose stages are referenced by rows of another session in a table.
fn needed_query(backend: DbBackend, table: &str, column: &str, is_removable: &str) -> String {
    let is_old = format!("s.session_id IN (SELECT session_id FROM {SESSIONS} WHERE {is_removable})");
    if backend == DbBackend::Postgres {
        // Nearly every row has its stage in its own session. PostgreSQL expects few rows of an anti join, and joins
        // whole tables in parallel; for `<>` it expects all rows to match.
        return format!(
            "SELECT DISTINCT s.session_id FROM {table} o JOIN {STAGES} s ON s.execution_id = o.{column}
             WHERE o.{column} IS NOT NULL AND {is_old} AND NOT EXISTS (
                 SELECT FROM {STAGES} own WHERE own.execution_id = o.{column} AND own.session_id = o.session_id)"
        );
    }
    // A cross join runs in this order: from the few stages of old sessions by an index, or, without an index, from the
    // few stages that have a parent.
    let tables = match table {
        STAGES => format!("{table} o CROSS JOIN {STAGES} s"),
        _ => format!("{STAGES} s CROSS JOIN {table} o"),
    };
    format!(
        "SELECT DISTINCT s.session_id AS session_id FROM {tables}
         WHERE o.{column} IS NOT NULL AND o.{column} = s.execution_id AND {is_old}
           AND (o.session_id IS NULL OR o.session_id <> s.session_id)"
    )
}

/// Why an old session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptReason {
    /// Its status is not a terminal one.
    NotOver,
    /// It has a chat in progress, or a stage that started after the cutoff.
    InUse,
    /// Rows of other sessions refer to its stages.
    Needed,
    /// In SQLite: its key is not text.
    NoKey,
}

impl fmt::Display for KeptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptReason::NotOver => "not in a terminal status",
            KeptReason::InUse => "in use after the cutoff",
            KeptReason::Needed => "other sessions refer to its stages",
            KeptReason::NoKey => "its key is not text",
        })
    }
}

/// The condition for sessions with none of these ids.
pub(super) fn is_none_of<'i>(ids: impl IntoIterator<Item = &'i String>) -> String {
    let ids: Vec<_> = ids.into_iter().map(|id| literal(id)).collect();
    format!("session_id NOT IN ({})", ids.join(", "))
}

/// Counts the sessions that match the filter and started before the cutoff, whatever their status.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count_old(connection: &Transaction, policy: &RetentionPolicy) -> Result<u64, DatabaseError> {
    let is_old = policy.is_old(connection.backend());
    let sql = format!("SELECT count(*) AS sessions FROM {SESSIONS} WHERE {is_old}");
    let action = (Verb::Count, "old sessions");
    let row = row(connection, &sql).await.context(action)?;
    row.try_get("", "sessions").map(i64::unsigned_abs).context(action)
}

/// The start of the oldest session, in microseconds since the epoch.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn oldest(connection: &Transaction) -> Result<Option<i64>, DatabaseError> {
    let has_start = has_start(connection.backend());
    let sql = format!("SELECT min(started_at_us) AS oldest FROM {SESSIONS} WHERE {has_start}");
    let action = (Verb::Find, "the oldest session");
    row(connection, &sql).await.context(action)?.try_get("", "oldest").context(action)
}

/// Whether any session has this value in a column.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn is_met(connection: &Transaction, column: &str, value: &str) -> Result<bool, DatabaseError> {
    let value = literal(value);
    let sql = format!("SELECT CAST(EXISTS (SELECT 1 FROM {SESSIONS} WHERE {column} = {value}) AS INTEGER) AS is_met");
    let action = Action::from((Verb::Find, format!("sessions by {column}")));
    let met = row(connection, &sql).await.and_then(|row| row.try_get::<i32>("", "is_met")).context(action)?;
    Ok(met != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::retention::policy::Filter;

    fn selection(active: ActiveSessions) -> Selection {
        let policy = RetentionPolicy { cutoff_us: 5, active, filter: Filter::default() };
        let [needed, in_use] = ["needed", "used"].map(|id| vec![id.to_owned()]);
        Selection { policy, backend: DbBackend::Postgres, needed, in_use }
    }

    #[test]
    fn what_other_sessions_need_and_what_is_in_use_is_left_out() {
        let selection = selection(ActiveSessions::Remove);
        let expected = "started_at_us IS NOT NULL AND started_at_us < 5 AND session_id NOT IN ('needed', 'used')";
        assert_eq!(selection.condition(), expected);
        let optimistic = Selection { needed: Vec::new(), in_use: Vec::new(), ..selection };
        assert_eq!(optimistic.condition(), "started_at_us IS NOT NULL AND started_at_us < 5");
    }

    #[test]
    fn a_session_that_is_kept_has_one_reason() {
        let keep = selection(ActiveSessions::Keep);
        assert_eq!(keep.reason("needed", "in_progress"), KeptReason::NotOver);
        assert_eq!(keep.reason("used", "completed"), KeptReason::InUse);
        assert_eq!(keep.reason("needed", "failed"), KeptReason::Needed);
        assert_eq!(keep.reason("7", "failed"), KeptReason::NoKey);
        assert_eq!(selection(ActiveSessions::Remove).reason("needed", "in_progress"), KeptReason::Needed);
    }
}
