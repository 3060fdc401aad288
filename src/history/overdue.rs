//! Sessions that the retention should have removed: they show that the retention silently stopped.

use std::time::Duration;

use super::retention::policy::RetentionPolicy;
use super::retention::selection::{self, Selection};
use super::tables::SESSIONS;
use crate::database::connection::row;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

/// A session may be older than the retention by this much, because the retention runs once a day.
pub(crate) const GRACE: Duration = Duration::from_hours(24);

/// The sessions that started before the cutoff.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OldSessions {
    /// The number that `prune` would remove.
    pub removable: u64,
    /// The number of those that started before the cutoff by more than [`GRACE`].
    pub overdue: u64,
    /// The start of the oldest of them, in microseconds since the epoch.
    pub oldest_us: Option<i64>,
    /// The number that is kept: active, in use, or with stages that other sessions refer to.
    pub kept: u64,
}

/// Counts the sessions that started before the policy's cutoff. Reads only; without such sessions it costs one index
/// lookup.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count(
    connection: &Transaction,
    schema: &Schema,
    policy: &RetentionPolicy,
) -> Result<OldSessions, DatabaseError> {
    let old = selection::count_old(connection, policy).await?;
    if old == 0 {
        return Ok(OldSessions::default());
    }
    let selection = Selection::of(connection, schema, policy.clone()).await?;
    let grace_us = i64::try_from(GRACE.as_micros()).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT count(*) AS removable, count(*) FILTER (WHERE started_at_us < {overdue}) AS overdue,
                min(started_at_us) AS oldest
         FROM {SESSIONS} WHERE {is_removable}",
        overdue = policy.cutoff_us.saturating_sub(grace_us),
        is_removable = selection.condition(),
    );
    let action = (Verb::Count, "old sessions");
    let row = row(connection, &sql).await.context(action)?;
    let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs).context(action);
    let removable = number("removable")?;
    Ok(OldSessions {
        removable,
        overdue: number("overdue")?,
        oldest_us: row.try_get("", "oldest").context(action)?,
        kept: old.saturating_sub(removable),
    })
}
