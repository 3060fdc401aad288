//! Sessions that the retention should have removed: they show that the retention silently stopped.

use std::time::Duration;

use sea_orm::sea_query::{Expr, Func};
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

use super::entity::{self, alert_sessions};
use super::retention::policy::RetentionPolicy;
use super::retention::selection::{self, Precision, Selection};
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
    precision: Precision,
) -> Result<OldSessions, DatabaseError> {
    let old = selection::count_old(connection, policy).await?;
    if old == 0 {
        return Ok(OldSessions::default());
    }
    let selection = Selection::of(connection, schema, policy.clone(), precision).await?;
    let grace_us = i64::try_from(GRACE.as_micros()).unwrap_or(i64::MAX);
    let overdue_us = policy.cutoff_us.saturating_sub(grace_us);
    let started_at_us = alert_sessions::Column::StartedAtUs;
    let mut counted = OldSessions::default();
    for stretch in selection.stretches() {
        let sessions = entity::select::<alert_sessions::Entity>(connection.namespace())
            .expr_as(entity::count_rows(), "removable")
            .expr_as(Func::count(Expr::case(started_at_us.lt(overdue_us), Expr::cust("1"))), "overdue")
            .expr_as(started_at_us.min(), "oldest")
            .filter(stretch.is_removable());
        let of_stretch = sessions.into_tuple::<(i64, i64, Option<i64>)>().one(connection).await;
        let (removable, overdue, oldest_us) = of_stretch.context((Verb::Count, "old sessions"))?.unwrap_or_default();
        counted.removable += removable.unsigned_abs();
        counted.overdue += overdue.unsigned_abs();
        counted.oldest_us = counted.oldest_us.or(oldest_us);
    }
    Ok(OldSessions { kept: old.saturating_sub(counted.removable), ..counted })
}
