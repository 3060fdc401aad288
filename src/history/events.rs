//! The retention of events. The backend sends them to browsers, which need them for a few hours.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, SelectStatement};
use sea_orm::{ColumnTrait, DbBackend, DbErr, IdenStatic, Iterable, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use super::entity::{self, events};
use super::id_set::IdSet;
use super::removal::batch::{Batch, BatchError, Limits};
use super::retention::plan::{TableCounts, table_plan};
use super::retention::policy::RetentionError;
use crate::database::connection::Connection;
use crate::database::failure::DatabaseError;
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

pub(crate) const EVENTS: &str = "events";

/// The revision that adds the table.
pub(crate) const SINCE: &str = "3eafea61046d";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPolicy {
    /// Events that were created before this time are old. In whole microseconds.
    pub cutoff: DateTime<Utc>,
}

impl EventPolicy {
    /// Calculates the cutoff from the retention in hours.
    ///
    /// # Errors
    /// [`RetentionError::Events`] for zero hours, which would remove every event, and for a cutoff before the year 1.
    pub(crate) fn new(hours: u32, now: DateTime<Utc>) -> Result<Self, RetentionError> {
        let cutoff = TimeDelta::try_hours(hours.into()).and_then(|age| now.checked_sub_signed(age));
        // Neither backend has a text for times before the year 1.
        let cutoff = cutoff.filter(|cutoff| hours > 0 && cutoff.year() > 0);
        cutoff.map(|cutoff| Self { cutoff: cutoff.trunc_subsecs(6) }).ok_or(RetentionError::Events(hours))
    }

    /// The condition for events before the cutoff.
    fn is_old(&self, backend: DbBackend) -> Condition {
        let cutoff = self.cutoff.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        Condition::all().add(match backend {
            // A constant, because a text that is cast would be parsed again for each row of a scan.
            DbBackend::Postgres => Expr::cust(format!("created_at < timestamp '{cutoff}'")),
            _ => Expr::cust(is_timestamp()).and(Expr::cust(PADDED).lt(cutoff)),
        })
    }
}

/// SQLite's timestamp padded to six digits of a second: `CURRENT_TIMESTAMP` writes none and Python six, and only texts
/// of the same length compare as timestamps do.
const PADDED: &str = "(replace(created_at, 'T', ' ') || substr('.000000', octet_length(created_at) - 18))";

/// The condition that SQLite's text is a timestamp, with whole seconds or up to six more digits. The age of any other
/// text is unknown, so the event is kept. Adding zero seconds changes a date that does not exist.
fn is_timestamp() -> String {
    let second = format!("substr({PADDED}, 1, 19)");
    let digit = "[0-9]";
    format!(
        "typeof(created_at) = 'text' AND created_at NOT GLOB '*.' AND octet_length({PADDED}) = 26
         AND datetime({second}, '+0 seconds') = {second} AND substr({PADDED}, 20) GLOB '.{}'",
        digit.repeat(6)
    )
}

/// Whether the database has TARSy's table of events.
#[must_use]
pub(crate) fn are_in(schema: &Schema) -> bool {
    events::Column::iter().all(|column| schema.has_column(EVENTS, column.as_str()))
}

/// Counts the events that would be removed. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn plan(
    connection: &Transaction,
    schema: &Schema,
    policy: &EventPolicy,
) -> Result<TableCounts, DatabaseError> {
    table_plan(connection, schema, EVENTS, policy.is_old(connection.backend())).await
}

/// Begins to remove at most `size` old events in one transaction, in the order in which they were written. Events that
/// another session has locked are skipped; `None` means that there are no others.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back.
pub(crate) async fn remove_batch(
    connection: &Connection,
    policy: &EventPolicy,
    size: u32,
    limits: Limits,
) -> Result<Option<Batch>, BatchError> {
    let backend = connection.backend();
    let mut batch = Batch::begin(connection, limits, None).await?;
    let found = batch.lock(next(batch.namespace(), policy, backend, size)).await?;
    let ids = found.iter().map(|row| row.try_get("", "event")).collect::<Result<Vec<i64>, DbErr>>()?;
    if ids.is_empty() {
        return Ok(None);
    }
    let wanted = ids.len();
    let is_found = IdSet::bound(backend, ids).contains(events::Column::Id.as_column_ref());
    batch.delete_exactly(wanted, EVENTS, is_found).await?;
    Ok(Some(batch))
}

fn next(namespace: &Namespace, policy: &EventPolicy, backend: DbBackend, size: u32) -> SelectStatement {
    // The alias avoids a sort: PostgreSQL would call the cast `id`, sort by it and not use the index.
    entity::select::<events::Entity>(namespace)
        .expr_as(events::Column::Id.into_expr().cast_as("bigint"), "event")
        .filter(policy.is_old(backend))
        .order_by_asc(events::Column::Id)
        .limit(u64::from(size))
        .into_query()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_769_904_000_000_001).expect("a valid time")
    }

    #[test]
    fn the_cutoff_is_exact_to_the_microsecond() {
        let policy = EventPolicy::new(24, now()).expect("a valid retention");
        let next = |backend: DbBackend| backend.build(&next(&Namespace::default(), &policy, backend, 7));
        let expected = r#"SELECT CAST("events"."id" AS bigint) AS "event" FROM "events" WHERE created_at < timestamp '2026-01-31 00:00:00.000001' ORDER BY "events"."id" ASC LIMIT $1"#;
        assert_eq!(next(DbBackend::Postgres).sql, expected);
        let found = next(DbBackend::Sqlite);
        assert_eq!(found.values.expect("values").0, ["2026-01-31 00:00:00.000001".into(), 7_u64.into()]);
        let end = r#") < ? ORDER BY "events"."id" ASC LIMIT ?"#;
        assert!(found.sql.ends_with(end), "{}", found.sql);
    }

    #[test]
    fn a_retention_that_removes_everything_or_ends_before_the_year_1_is_refused() {
        for hours in [0, 2026 * 366 * 24, u32::MAX] {
            assert!(matches!(EventPolicy::new(hours, now()), Err(RetentionError::Events(_))), "{hours}");
        }
        assert!(EventPolicy::new(1, now()).is_ok());
    }
}
