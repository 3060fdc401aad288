//! Plans the removal: which sessions, and how many rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use migration::ledger::Ledger;
use sea_orm::IdenStatic;

use super::bounds::{Bounds, out_of_time};
use super::history::{BEGIN_TO_PLAN, OpenHistory, OpenedDatabase, every_row};
use super::request::Request;
use crate::cli::prune::Prune;
use crate::command::retention::Retention;
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::transaction::Transaction;
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::format;
use crate::history::entity::alert_sessions::Column;
use crate::history::events::{self, EventPolicy};
use crate::history::index_check;
use crate::history::orphans::count::{self as orphans, Counted};
use crate::history::removal::batch::{DeleteTriggers, is_upgraded};
use crate::history::removal::batch_error::upgraded_concurrently;
use crate::history::removal::contention::Contention;
use crate::history::retention::needed::Needed;
use crate::history::retention::plan::{self, RetentionPlan};
use crate::history::retention::policy::{RetentionError, RetentionPolicy};
use crate::history::retention::selection::{self, Precision, Selection};
use crate::history::tables::{ACTIVE_STATUSES, TERMINAL_STATUSES};
use crate::schema::lock::{Blocked, with_holder};
use crate::schema::model::Schema;

/// The pause before the next attempt to plan.
const PAUSE: Duration = Duration::from_secs(1);

/// However little time is left, the rows of few sessions are counted.
const SHORTEST: Duration = Duration::from_millis(100);

/// Plans, and retries while the server cannot be reached, accepts no writes or holds a lock of another session. `None` if
/// another `prune` is running.
pub(crate) async fn prepare(
    request: &Request<'_>,
    started: Instant,
    bounds: &Bounds<'_>,
) -> Result<Option<OpenHistory>, Error> {
    let Prune { max_duration, retry_for, dry_run, .. } = *request.arguments;
    let limit = max_duration.map_or(retry_for, |limit| limit.min(retry_for));
    let mut is_first = true;
    loop {
        let attempt = bounds.watch.over(open_and_plan(request, bounds.watch, started));
        let Ok(attempted) = tokio::time::timeout(bounds.left(), attempt).await else {
            bounds.watch.end_sessions().await;
            return Err(out_of_time(BEGIN_TO_PLAN).into());
        };
        let Err(error) = attempted else { return attempted };
        let Some(cause) = passing_cause(&error, dry_run).filter(|_| started.elapsed() < limit) else {
            return Err(error);
        };
        if is_first {
            let limit = format::duration(limit);
            tracing::warn!("{error}: {}; retrying for up to {limit}", cause.described());
            is_first = false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The cause of a failure after which another attempt may succeed. A dry run has a reader, and waits only for a lock.
fn passing_cause(error: &Error, dry_run: bool) -> Option<&DatabaseCause> {
    let cause = match error {
        Error::Connect(error) => &error.cause,
        // The server cancels the same query again.
        Error::Database(error) if error.cause.class == ErrorClass::TimedOut => return None,
        Error::Database(error) => &error.cause,
        _ => return None,
    };
    let is_passing = if dry_run { cause.class == ErrorClass::Busy } else { cause.class.is_transient() };
    is_passing.then_some(cause)
}

async fn open_and_plan(
    request: &Request<'_>,
    watch: &Arc<Watch<'static>>,
    started: Instant,
) -> Result<Option<OpenHistory>, Error> {
    match OpenedDatabase::connect(request, watch).await? {
        Some(opened) => Ok(Some(plan(opened, request, watch, started).await?)),
        None => Ok(None),
    }
}

/// Decides which sessions, events and orphans to remove.
async fn plan(
    opened: OpenedDatabase,
    request: &Request<'_>,
    watch: &Arc<Watch<'static>>,
    started: Instant,
) -> Result<OpenHistory, Error> {
    let url = &request.settings.database.value;
    let OpenedDatabase { state, schema, definitions, revision, unwritable, prune_lock, .. } = opened;
    // Declared first, so that it is dropped last: see [`Contention`].
    let contention;
    let (connection, second) = (opened.connection, opened.second);
    let retention = Retention::of_prune(request.arguments, request.settings, &state);
    let policy = request.chosen_policy(&retention)?;
    let holder = async |error| named(&connection, url, error).await;
    if let Err(error) = look_for_unknown_values(&connection, &policy).await {
        return Err(holder(error).await);
    }
    let see = (Verb::Determine, "the activity of other sessions");
    contention = Contention::of(&connection, url.sqlite_path()).await.context(see)?;
    let precision = if request.arguments.exact { Precision::Exact } else { Precision::Estimated };
    let planning = Planning {
        connection: &connection,
        is_parallel: second.is_some(),
        schema: &schema,
        search: request.search(),
        precision,
        until: request.counts_until(started),
    };
    let events = request.event_policy.filter(|_| events::are_in(&schema));
    let planned = planning.plan_all(policy, events.as_ref(), request.arguments.orphans).await;
    let (selection, plan) = match planned {
        Err(error) => return Err(holder(or_upgraded(&connection, &state.ledger, error).await.into()).await),
        Ok(planned) => planned,
    };
    Ok(OpenHistory {
        url: url.clone(),
        watch: Arc::clone(watch),
        connection,
        is_connected: true,
        second,
        ledger: state.ledger,
        revision,
        schema,
        definitions,
        retention,
        unwritable,
        selection,
        events,
        plan,
        archive: None,
        contention,
        triggers: DeleteTriggers::Fire,
        prune_lock,
    })
}

/// The same error with the session or process that has locked what the plan needs.
async fn named(connection: &Connection, url: &DatabaseUrl, error: Error) -> Error {
    let Error::Database(error) = error else { return error };
    DatabaseError { cause: with_holder(connection, url, Blocked::Reads, error.cause).await, ..error }.into()
}

/// A query fails as well if another session has upgraded the schema since it was read: that is the cause then.
async fn or_upgraded(connection: &Connection, ledger: &Ledger, error: DatabaseError) -> DatabaseError {
    if error.cause.class.is_transient() {
        return error;
    }
    match connection.reading(async |reading| is_upgraded(reading, ledger).await).await {
        Ok(true) => DatabaseError { cause: upgraded_concurrently().cause, ..error },
        Ok(false) | Err(_) => error,
    }
}

/// Warns of filters that match no session: a misspelt one would silently remove nothing. A status that TARSy does not
/// have either is an error.
async fn look_for_unknown_values(connection: &Connection, policy: &RetentionPolicy) -> Result<(), Error> {
    let reading = every_row(connection).await?;
    for (column, values) in policy.filter.lists() {
        for value in values {
            if selection::is_met(&reading, column, value).await? {
                continue;
            }
            let name = column.as_str().replace('_', " ");
            match (column, [TERMINAL_STATUSES, ACTIVE_STATUSES].concat().contains(&value.as_str())) {
                (Column::Status, true) => tracing::warn!("no session has the {name} `{value}`"),
                (Column::Status, false) => return Err(RetentionError::UnknownStatus(value.clone()).into()),
                _ => tracing::warn!("no session has the {name} `{value}`; check the spelling"),
            }
        }
    }
    Ok(reading.rollback().await.context(BEGIN_TO_PLAN)?)
}

/// How sessions and their rows are counted.
struct Planning<'p> {
    connection: &'p Connection,
    /// Whether a second connection may work beside the first.
    is_parallel: bool,
    schema: &'p Schema,
    search: Precision,
    precision: Precision,
    /// When to begin without the part of the plan that only informs.
    until: Option<Instant>,
}

impl Planning<'_> {
    async fn plan_all(
        &self,
        policy: RetentionPolicy,
        events: Option<&EventPolicy>,
        has_orphans: bool,
    ) -> Result<(Selection, RetentionPlan), DatabaseError> {
        let (selection, mut plan) = self.plan(policy).await?;
        if let Some(policy) = events {
            self.add_events(policy, &mut plan).await?;
        }
        if has_orphans {
            self.add_orphans(&mut plan).await?;
        }
        Ok((selection, plan))
    }

    /// Selects the sessions and counts their rows. In parallel the rows are counted as if no session were needed by
    /// others, which holds for every sound history.
    async fn plan(&self, policy: RetentionPolicy) -> Result<(Selection, RetentionPlan), DatabaseError> {
        let reading = every_row(self.connection).await?;
        let mut selection = Selection::presumed(&reading, self.schema, policy).await?;
        reading.rollback().await.context(BEGIN_TO_PLAN)?;
        if self.is_parallel {
            let (needed, plan) = tokio::try_join!(self.find_needed(&selection), self.count(&selection))?;
            selection.needed = needed;
            if selection.needed.sessions.is_empty() {
                return Ok((selection, plan));
            }
        } else {
            selection.needed = self.find_needed(&selection).await?;
        }
        let plan = self.count(&selection).await?;
        Ok((selection, plan))
    }

    async fn find_needed(&self, selection: &Selection) -> Result<Needed, DatabaseError> {
        let reading = every_row(self.connection).await?;
        let needed = selection.find_needed(&reading, self.schema, self.search).await?;
        reading.rollback().await.context(BEGIN_TO_PLAN)?;
        Ok(needed)
    }

    async fn count(&self, selection: &Selection) -> Result<RetentionPlan, DatabaseError> {
        let reading = every_row(self.connection).await?;
        let mut plan = plan::begin(&reading, selection).await?;
        reading.rollback().await.context(BEGIN_TO_PLAN)?;
        self.complete(selection, &mut plan).await?;
        Ok(plan)
    }

    /// Counts rows and kept sessions. If that takes too long it is interrupted, and the removal begins without it.
    async fn complete(&self, selection: &Selection, plan: &mut RetentionPlan) -> Result<(), DatabaseError> {
        let complete = async |reading: &Transaction, until| {
            plan::complete(reading, self.schema, selection, self.precision, plan, until).await
        };
        self.in_time("the rows were not counted", complete).await.map(|_| ())
    }

    /// Counts the events to remove. If that takes too long they are removed nevertheless.
    async fn add_events(&self, policy: &EventPolicy, plan: &mut RetentionPlan) -> Result<(), DatabaseError> {
        let count = async |reading: &Transaction, _| events::plan(reading, self.schema, policy).await;
        let counted = self.in_time("the events were not counted", count).await?;
        plan.has_uncounted_events = counted.is_none();
        plan.tables.extend(counted);
        Ok(())
    }

    /// Counts the orphans, and makes sure that no damaged index makes rows look like orphans. If that takes too long this
    /// run removes none.
    async fn add_orphans(&self, plan: &mut RetentionPlan) -> Result<(), DatabaseError> {
        let count = async |reading: &Transaction, _| {
            let counts = orphans::count(reading, self.schema, Counted::Removable).await?;
            let searched = orphans::searched(self.schema, &counts);
            index_check::require_matching_indexes(reading, &searched).await.context((Verb::Find, "orphans"))?;
            Ok(counts)
        };
        let counted = self.in_time("orphans are left to a run with more time", count).await?;
        plan.orphans = counted.unwrap_or_default();
        Ok(())
    }

    /// Reads what only informs, or what the run can do without. `None` if half of `--max-duration` is over before it is
    /// done; then `consequence` is what becomes of that.
    async fn in_time<T>(
        &self,
        consequence: &str,
        read: impl AsyncFnOnce(&Transaction, Option<Instant>) -> Result<T, DatabaseError>,
    ) -> Result<Option<T>, DatabaseError> {
        let until = self.until.map(|until| until.max(Instant::now() + SHORTEST));
        let limit = until.map(|until| until.saturating_duration_since(Instant::now()));
        let reader = BoundedReader::new(self.connection, limit).await.context(BEGIN_TO_PLAN)?;
        let read = async |reading: &Transaction| read(reading, until).await;
        let found = reader.read(Rows::Every, read).await.context(BEGIN_TO_PLAN)?;
        reader.end().await;
        match found {
            Err(error) if limit.is_some() && error.cause.class == ErrorClass::TimedOut => {
                tracing::warn!("{consequence}, because `--max-duration` leaves no time to count");
                Ok(None)
            }
            found => found.map(Some),
        }
    }
}
