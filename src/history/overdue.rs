//! Old sessions that are still there: a retention that stopped without a word shows in them.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend};

use super::orphans::references_to_stages;
use super::policy::{Policy, has_key, has_start};
use super::{SESSIONS, TERMINAL_STATUSES};
use crate::connection::row;
use crate::failure::{DatabaseError, Doing};
use crate::schema::Schema;

/// A session may be this much older than the retention: it is applied once a day.
pub const GRACE: Duration = Duration::from_hours(24);

/// The sessions that started before the cutoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldSessions {
    /// Those that a run of `prune` would remove.
    pub removable: u64,
    /// Those of them that started before the cutoff by more than [`GRACE`].
    pub overdue: u64,
    /// The start of the oldest of them, in microseconds since the epoch.
    pub oldest_us: Option<i64>,
    /// Those that stay: they are not over, or rows of other sessions refer to their stages.
    pub kept: u64,
}

/// Counts the sessions that started before the policy's cutoff. Reads only; where there are none, one look into an
/// index is all.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    schema: &Schema,
    policy: &Policy,
) -> Result<OldSessions, DatabaseError> {
    let grace_us = i64::try_from(GRACE.as_micros()).unwrap_or(i64::MAX);
    let sql = format!(
        // Materialised, because otherwise the condition would be worked out for each of the sums.
        "WITH old_sessions AS MATERIALIZED (
             SELECT started_at_us, {is_removable} AS removable FROM {SESSIONS}
             WHERE {has_start} AND started_at_us < {cutoff})
         SELECT count(*) AS old, count(*) FILTER (WHERE removable) AS removable,
                count(*) FILTER (WHERE removable AND started_at_us < {overdue}) AS overdue,
                min(started_at_us) FILTER (WHERE removable) AS oldest
         FROM old_sessions",
        overdue = policy.cutoff_us.saturating_sub(grace_us),
        is_removable = is_removable(schema, connection.get_database_backend()),
        has_start = has_start(connection.get_database_backend()),
        cutoff = policy.cutoff_us,
    );
    let action = "count old sessions";
    let row = row(connection, &sql).await.doing(action)?;
    let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs).doing(action);
    let removable = number("removable")?;
    Ok(OldSessions {
        removable,
        overdue: number("overdue")?,
        oldest_us: row.try_get("", "oldest").doing(action)?,
        kept: number("old")? - removable,
    })
}

/// The condition that a session is over, and that no row of another one refers to its stages. None of the selections
/// depends on the session, so that each of them runs once at most.
fn is_removable(schema: &Schema, backend: DbBackend) -> String {
    let has_key = has_key(backend).map(|condition| format!(" AND {condition}")).unwrap_or_default();
    let needed = references_to_stages(schema).map(|reference| {
        format!(
            " AND session_id NOT IN (SELECT s.session_id FROM {child} o
                  JOIN stage_executions s ON s.execution_id = o.{column}
                  WHERE s.session_id IS NOT NULL AND (o.session_id IS NULL OR o.session_id <> s.session_id))",
            child = reference.child,
            column = reference.column,
        )
    });
    format!("status IN ('{}'){has_key}{}", TERMINAL_STATUSES.join("', '"), needed.collect::<String>())
}
