//! The retention of events. The backend sends them to browsers, which need them for a few hours.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, DbBackend, DbErr, IdenStatic, Iterable, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use super::entity::{self, count_rows, events};
use super::id_set::IdSet;
use super::removal::batch::Batch;
use super::removal::batch_error::{BatchError, gave_way};
use super::retention::plan::{TableCounts, table_plan};
use super::retention::policy::RetentionError;
use crate::database::failure::DatabaseError;
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

pub(crate) const EVENTS: &str = "events";

/// The number of events in one statement on SQLite, which takes less than a tenth of a second.
const PART: u32 = 20_000;

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

/// Begins to remove at most `size` old events behind the id `after`, in the order in which they were written. Events that
/// another session has locked are skipped. Returns the last id, too; `None` means that there are no others. On SQLite
/// `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`gave_way`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    policy: &EventPolicy,
    after: Option<i64>,
    size: u32,
    may_continue: impl Fn() -> bool,
) -> Result<Option<(Batch, i64)>, BatchError> {
    let backend = batch.backend();
    if backend == DbBackend::Sqlite {
        let last = remove_parts(&mut batch, policy, after, size, may_continue).await?;
        return Ok(last.map(|last| (batch, last)));
    }
    let found = batch.lock(next(batch.namespace(), policy, backend, after, size)).await?;
    let ids = found.iter().map(|row| row.try_get("", "event")).collect::<Result<Vec<i64>, DbErr>>()?;
    let Some(last) = ids.last().copied() else { return Ok(None) };
    let wanted = ids.len();
    let is_found = IdSet::bound(backend, ids).contains(events::Column::Id.as_column_ref());
    batch.delete_exactly(wanted, EVENTS, is_found).await?;
    Ok(Some((batch, last)))
}

/// The same on SQLite, in parts. Returns the last id of a removed event.
async fn remove_parts(
    batch: &mut Batch,
    policy: &EventPolicy,
    after: Option<i64>,
    size: u32,
    may_continue: impl Fn() -> bool,
) -> Result<Option<i64>, BatchError> {
    let (backend, mut removed, mut last) = (batch.backend(), 0, None);
    for start in (0..size).step_by(PART as usize) {
        let (after, part) = (last.or(after), std::cmp::min(PART, size - start));
        let next = next(batch.namespace(), policy, backend, after, part);
        let Some((found, id)) = extent(batch, next).await? else { break };
        let ids = policy.is_old(backend).add(is_after(after)).add(events::Column::Id.lte(id));
        removed += found;
        batch.delete_exactly(removed, EVENTS, ids.into()).await?;
        last = Some(id);
        if !may_continue() {
            return Err(gave_way());
        }
        if found < part as usize {
            break;
        }
    }
    Ok(last)
}

/// The number of events that a query finds, and the last id. SQLite has no locks of rows, and a batch of seconds may have
/// millions of events, so they are not listed.
async fn extent(batch: &Batch, next: SelectStatement) -> Result<Option<(usize, i64)>, DbErr> {
    let query = Query::select()
        .expr_as(count_rows(), "events")
        .expr_as(Expr::col("event").max(), "last")
        .from_subquery(next, "next")
        .to_owned();
    let Some(row) = batch.one(&query).await? else { return Ok(None) };
    let (events, last): (i64, Option<i64>) = (row.try_get("", "events")?, row.try_get("", "last")?);
    Ok(usize::try_from(events).ok().zip(last))
}

/// The condition for events behind an id: from the beginning each batch would read again what is kept, and on PostgreSQL
/// what is removed, as long as a snapshot still sees it.
fn is_after(after: Option<i64>) -> Condition {
    Condition::all().add_option(after.map(|after| events::Column::Id.gt(after)))
}

fn next(
    namespace: &Namespace,
    policy: &EventPolicy,
    backend: DbBackend,
    after: Option<i64>,
    size: u32,
) -> SelectStatement {
    // The alias avoids a sort: PostgreSQL would call the cast `id`, sort by it and not use the index.
    entity::select::<events::Entity>(namespace)
        .expr_as(events::Column::Id.into_expr().cast_as("bigint"), "event")
        .filter(policy.is_old(backend))
        .filter(is_after(after))
        .order_by_asc(events::Column::Id)
        .limit(u64::from(size))
        .into_query()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;
    use crate::database::connection::Connection;
    use crate::database::failure::ErrorClass;
    use crate::history::removal::batch::{DeleteTriggers, Limits};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_769_904_000_000_001).expect("a valid time")
    }

    #[test]
    fn the_cutoff_is_exact_to_the_microsecond() {
        let policy = EventPolicy::new(24, now()).expect("a valid retention");
        let next = |backend: DbBackend, after| backend.build(&next(&Namespace::default(), &policy, backend, after, 7));
        let expected = r#"SELECT CAST("events"."id" AS bigint) AS "event" FROM "events" WHERE created_at < timestamp '2026-01-31 00:00:00.000001' ORDER BY "events"."id" ASC LIMIT $1"#;
        assert_eq!(next(DbBackend::Postgres, None).sql, expected);
        let expected = r#" AND "events"."id" > $1 ORDER BY "events"."id" ASC LIMIT $2"#;
        assert!(next(DbBackend::Postgres, Some(4)).sql.ends_with(expected));
        let found = next(DbBackend::Sqlite, None);
        assert_eq!(found.values.expect("values").0, ["2026-01-31 00:00:00.000001".into(), 7_u64.into()]);
        let end = r#") < ? ORDER BY "events"."id" ASC LIMIT ?"#;
        assert!(found.sql.ends_with(end), "{}", found.sql);
    }

    /// What the batches of a number of events remove from a file with kept ones among the old ones.
    async fn batches(size: u32) -> Vec<(usize, i64)> {
        let connection = Connection::in_memory().await;
        let sql = "CREATE TABLE events (id INTEGER PRIMARY KEY, channel VARCHAR, payload JSON, created_at VARCHAR);
            INSERT INTO events (created_at) VALUES ('unreadable'), ('2020-01-01 00:00:00'), ('2020-01-01 00:00:00'),
                ('2030-01-01 00:00:00'), ('2020-01-01 00:00:00')";
        connection.execute_alone(sql).await.expect("sound SQL");
        let policy = EventPolicy::new(24, now()).expect("a valid retention");
        let limits = Limits { lock: Duration::ZERO, statement: None };
        let (mut after, mut batches) = (None, Vec::new());
        loop {
            let batch = Batch::begin(&connection, limits, None, DeleteTriggers::None).await.expect("a transaction");
            let removed = remove_batch(batch, &policy, after, size, || true).await.expect("a batch");
            let Some((batch, last)) = removed else { return batches };
            let (removed, _) = batch.commit().await.expect("a commit");
            batches.push((usize::try_from(removed[EVENTS]).expect("a number"), last));
            after = Some(last);
        }
    }

    #[tokio::test]
    async fn a_batch_continues_behind_the_last_one_and_lists_no_event_of_sqlite() {
        assert_eq!(batches(2).await, [(2, 3), (1, 5)]);
        assert_eq!(batches(u32::MAX).await, [(3, 5)]);
    }

    #[tokio::test]
    async fn a_large_batch_goes_in_parts_and_gives_way_between_them() {
        let connection = Connection::in_memory().await;
        let events = PART * 2 + 5;
        let sql = format!(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, channel VARCHAR, payload JSON, created_at VARCHAR);
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {events})
             INSERT INTO events (id, created_at) SELECT n * 2, '2020-01-01 00:00:00' FROM numbers"
        );
        connection.execute_alone(&sql).await.expect("sound SQL");
        let policy = EventPolicy::new(24, now()).expect("a valid retention");
        let remove = async |may_go_on: u32| {
            let (asked, limits) = (Cell::new(0), Limits { lock: Duration::ZERO, statement: None });
            let batch = Batch::begin(&connection, limits, None, DeleteTriggers::None).await.expect("a transaction");
            let may_continue = || asked.replace(asked.get() + 1) < may_go_on;
            let removed = remove_batch(batch, &policy, None, u32::MAX, may_continue).await;
            (removed.map(|removed| removed.map(|(batch, last)| (batch.removed()[EVENTS], last))), asked.get())
        };
        for parts in [0, 1] {
            let (removed, asked) = remove(parts).await;
            let error = removed.expect_err("it gave way");
            assert_eq!((error.cause.class, asked), (ErrorClass::Busy, parts + 1));
        }
        let (removed, asked) = remove(3).await;
        assert_eq!((removed.expect("a batch"), asked), (Some((events.into(), i64::from(events) * 2)), 3));
    }

    #[test]
    fn a_retention_that_removes_everything_or_ends_before_the_year_1_is_refused() {
        for hours in [0, 2026 * 366 * 24, u32::MAX] {
            assert!(matches!(EventPolicy::new(hours, now()), Err(RetentionError::Events(_))), "{hours}");
        }
        assert!(EventPolicy::new(1, now()).is_ok());
    }
}
