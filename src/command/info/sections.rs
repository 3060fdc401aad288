//! Reads the parts of the report, each in its own transaction, and records those that were cancelled or cannot be read.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend};

use super::queries::{self, LockedTables, Owner};
use super::summary::{RowCount, SessionSummary, TableInfo, Unreadable};
use crate::cli::info::Info;
use crate::command::retention::Retention;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::namespace::is_tarsys;
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::transaction::Transaction;
use crate::error::Error;
use crate::format;
use crate::history::retention::plan::{self, RetentionPlan};
use crate::history::retention::policy::{ActiveSessions, RetentionPolicy};
use crate::history::retention::selection::{Precision, Selection};
use crate::schema::model::Schema;

/// SQLite reads every page to measure a table. Larger files are not measured.
const SMALL_FILE: u64 = 1 << 30;

const MEASURE: (Verb, &str) = (Verb::Measure, "the tables");
const OWN_SIZES: &str = "the sizes of the tables";
const OTHER_SIZES: &str = "the sizes of the other tables";

/// Once a lock has outlasted the usual limit.
const SHORT_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '100ms'";

fn owner_of(table: &str) -> Owner {
    if is_tarsys(table) { Owner::Tarsy } else { Owner::Others }
}

impl Precision {
    /// Exact figures have no time limit; of others slow queries are cancelled.
    pub(crate) fn of(arguments: &Info) -> Self {
        if arguments.exact { Self::Exact } else { Self::Estimated }
    }

    /// Whether the tables of a SQLite file of this size are measured.
    fn measures(self, file_bytes: u64) -> bool {
        self == Self::Exact || file_bytes <= SMALL_FILE
    }

    /// Whether rows with this estimate are counted.
    fn counts(self, rows: RowCount) -> bool {
        self == Self::Exact || rows == RowCount::Unknown
    }
}

pub(crate) struct Sections<'c> {
    pub(crate) reader: BoundedReader<'c>,
    pub(crate) skipped: Vec<String>,
    pub(crate) unreadable: Vec<Unreadable>,
    /// The first failure to read something of TARSy's.
    pub(crate) failure: Option<DatabaseError>,
    /// Whether a lock has outlasted the time limit: the other parts do not wait as long for it again.
    pub(crate) is_locked: bool,
}

impl Sections<'_> {
    /// Reads one part of TARSy's in its own transaction. `None` if a query took too long, or failed.
    pub(crate) async fn read<T>(
        &mut self,
        part: impl Into<String>,
        read: impl AsyncFnOnce(&Transaction) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.read_of(Owner::Tarsy, part.into(), read).await
    }

    /// What cannot be read of other applications is named, and is no failure.
    async fn read_of<T>(
        &mut self,
        owner: Owner,
        part: String,
        read: impl AsyncFnOnce(&Transaction) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let waits = !self.is_locked || self.reader.connection().backend() != DbBackend::Postgres;
        let reading = async |reading: &Transaction| {
            if !waits {
                let set = reading.execute_unprepared(SHORT_LOCK_TIMEOUT).await;
                set.context((Verb::Set, "the parameters of the connection"))?;
            }
            read(reading).await
        };
        let error = match self.reader.read(Rows::Visible, reading).await.context((Verb::Read, part.clone()))? {
            Err(Error::Database(error)) => error,
            result => return result.map(Some),
        };
        self.is_locked |= error.cause.class == ErrorClass::Busy;
        match error.cause.class {
            ErrorClass::TimedOut if self.reader.limit().is_some() => self.skipped.push(part),
            class if class.is_before_login() => return Err(error.into()),
            _ => self.leave_out(owner, part, error),
        }
        Ok(None)
    }

    fn leave_out(&mut self, owner: Owner, part: String, error: DatabaseError) {
        self.unreadable.push(Unreadable { part, reason: error.cause.to_string() });
        if owner == Owner::Tarsy {
            self.failure.get_or_insert(error);
        }
    }

    async fn count(&mut self, table: &TableInfo) -> Result<RowCount, Error> {
        let part = format!("the rows of {}", table.table);
        let action = Action::from((Verb::Count, part.clone()));
        let count = async |reading: &Transaction| Ok(queries::count(reading, table).await.context(action)?);
        let counted = self.read_of(owner_of(&table.table), part, count).await?;
        Ok(counted.flatten().map_or(RowCount::Unknown, RowCount::Exact))
    }

    pub(crate) async fn postgresql_tables(&mut self, precision: Precision) -> Result<Vec<TableInfo>, Error> {
        let sizes = async |reading: &Transaction, owner, locked| {
            Ok::<_, Error>(queries::postgresql_sizes(reading, owner, locked).await.context(MEASURE)?)
        };
        let all = async |reading: &Transaction| match sizes(reading, Owner::Tarsy, LockedTables::Measured).await {
            Err(Error::Database(error)) if error.cause.class == ErrorClass::Busy => Ok(None),
            measured => measured.map(Some),
        };
        let mut of_tarsy = self.read(OWN_SIZES, all).await?.flatten();
        if of_tarsy.is_none() {
            self.is_locked = true;
            let free = async |reading: &Transaction| sizes(reading, Owner::Tarsy, LockedTables::NotMeasured).await;
            of_tarsy = self.read(OWN_SIZES, free).await?;
        }
        let others = async |reading: &Transaction| sizes(reading, Owner::Others, LockedTables::NotMeasured).await;
        let others = self.read_of(Owner::Others, OTHER_SIZES.to_owned(), others).await?;
        let mut tables: Vec<_> = of_tarsy.into_iter().chain(others).flatten().collect();
        for table in &mut tables {
            if table.table_bytes.is_none() {
                let cause = DatabaseCause::new(ErrorClass::Busy, "another session has locked it");
                let action = (Verb::Measure, table.table.clone()).into();
                self.leave_out(owner_of(&table.table), table.table.clone(), DatabaseError { action, cause });
                continue;
            }
            if precision.counts(table.rows) {
                table.rows = self.count(table).await?;
            }
        }
        Ok(tables)
    }

    /// `file_bytes` is the size of the whole file.
    pub(crate) async fn sqlite_tables(
        &mut self,
        found: &Schema,
        precision: Precision,
        file_bytes: u64,
    ) -> Result<Vec<TableInfo>, Error> {
        let [mut of_tarsy, mut of_others] = [None, None];
        if precision.measures(file_bytes) {
            let sizes = async |reading: &Transaction, owner| {
                Ok::<_, Error>(queries::sqlite_sizes(reading, owner).await.context(MEASURE)?)
            };
            of_tarsy = self.read(OWN_SIZES, async |reading| sizes(reading, Owner::Tarsy).await).await?;
            let others = async |reading: &Transaction| sizes(reading, Owner::Others).await;
            of_others = self.read_of(Owner::Others, OTHER_SIZES.to_owned(), others).await?;
        }
        let mut tables = Vec::new();
        for table in found.tables.keys() {
            let sizes = if is_tarsys(table) { &of_tarsy } else { &of_others };
            let size = |is_index| Some(sizes.as_ref()?.get(&(table.clone(), is_index)).copied().unwrap_or_default());
            let mut table = TableInfo {
                table: table.clone(),
                schema: None,
                rows: RowCount::Unknown,
                table_bytes: size(false),
                index_bytes: size(true),
                toast_bytes: None,
            };
            table.rows = self.count(&table).await?;
            tables.push(table);
        }
        Ok(tables)
    }

    pub(crate) async fn sessions(
        &mut self,
        retention: &Retention,
        found: &Schema,
        now: DateTime<Utc>,
        precision: Precision,
    ) -> Result<SessionSummary, Error> {
        let action = (Verb::Count, "the sessions");
        let edges = self.read("the oldest and the newest session", async |reading| {
            Ok(queries::edges(reading).await.context(action)?)
        });
        let (oldest, newest) = edges.await?.unwrap_or_default();
        let mut retention = retention.clone();
        self.read("the sessions that TARSy's defaults would remove", async |reading| {
            retention.count(reading, found, now, precision).await
        })
        .await?;
        let would_remove = match retention.policy(ActiveSessions::Keep, now) {
            Ok(policy) => self.would_remove(policy, found, precision).await?,
            // The summary has the error.
            Err(_) => None,
        };
        let by_status = async |reading: &Transaction| Ok(queries::by_status(reading).await.context(action)?);
        let by_week = async |reading: &Transaction| Ok(queries::by_week(reading).await.context(action)?);
        Ok(SessionSummary {
            oldest: oldest.and_then(format::exact_time),
            oldest_us: oldest,
            newest: newest.and_then(format::exact_time),
            newest_us: newest,
            by_status: self.read("sessions by status", by_status).await?,
            by_week: self.read("sessions by week", by_week).await?,
            retention_days: retention.days(),
            retention,
            would_remove,
        })
    }

    async fn would_remove(
        &mut self,
        policy: RetentionPolicy,
        found: &Schema,
        precision: Precision,
    ) -> Result<Option<RetentionPlan>, Error> {
        let plan = async |reading: &Transaction| {
            let selection = Selection::of(reading, found, policy, precision).await?;
            Ok(plan::plan(reading, found, &selection, precision).await?)
        };
        self.read("the sessions that the retention would remove", plan).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_measured_and_estimated_rows_counted_on_demand_only() {
        let [estimated, exact] = [Precision::Estimated, Precision::Exact];
        assert!(estimated.measures(SMALL_FILE) && !estimated.measures(SMALL_FILE + 1));
        assert!(exact.measures(SMALL_FILE + 1));
        assert!(estimated.counts(RowCount::Unknown) && !estimated.counts(RowCount::Estimated(3)));
        assert!(exact.counts(RowCount::Estimated(3)));
    }
}
