//! One batch: the activity of other sessions, its transactions, and the next batch size.

use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr};

use super::bounds::GRACE;
use super::history::{BOTH_AND_LOCK, OpenHistory};
use super::outcome::Stop;
use super::removal::{Removal, Stopping, add};
use super::retry::is_too_large;
use crate::database::connection::Connection;
use crate::database::failure::ErrorClass;
use crate::error::Error;
use crate::format;
use crate::history::archive::transaction::SharedTransaction;
use crate::history::orphans;
use crate::history::places::Place;
use crate::history::removal::batch::{Batch, Limits, is_upgraded};
use crate::history::removal::batch_error::{BatchError, FailedIn, Removed, upgraded_concurrently};
use crate::history::removal::batch_size::{BatchSizer, Budget, Measured};
use crate::history::removal::contention::Activity;
use crate::history::retention::session_batch::{self, Cursor, MOST_AT_ONCE, Page, Picked};
use crate::history::tables::Reference;
use crate::interrupt::Interrupt;

/// How long a batch waits for a lock of another session. Meanwhile other sessions may wait for the locks of the batch.
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// The statement timeout of a batch, which is then retried with half as many sessions.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(90);
/// Up to this many sessions, one connection removes them if there is an archive.
const MOST_ALONE: u32 = 16;
/// How long to wait for a commit after a second signal.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of an attempt to remove a batch.
pub(crate) enum Attempt {
    Removed,
    /// It was rolled back for another session, which needed the database.
    GaveWay,
    Nothing,
    Failed(BatchError),
}

/// The outcome of an attempt to remove a batch of events or orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Removed,
    Nothing,
    /// It failed for a reason that has been dealt with.
    Again,
}

#[derive(Debug, Default)]
struct Done {
    batches: u64,
    removed: Removed,
    /// The longest time for which other sessions may have waited.
    held: Duration,
}

/// A batch that was committed or failed.
struct Ended {
    /// `Err` if the work was stopped.
    finished: Result<Result<(), BatchError>, Stop>,
    done: Done,
    activity: Activity,
    /// The number of sessions or other rows in the batch.
    units: usize,
    began: Instant,
}

/// A batch of sessions, on one or two connections.
struct SessionBatch<'b> {
    history: &'b OpenHistory,
    activity: Activity,
    limits: Limits,
    cursor: &'b Cursor,
    /// The number of sessions on each connection.
    size: u32,
}

impl SessionBatch<'_> {
    /// Removes sessions without a commit. Each connection skips the sessions that the other one has locked.
    async fn begin(
        &self,
        connection: Option<&Connection>,
        archive: Option<SharedTransaction>,
        picked: &mut Picked,
    ) -> Result<Option<Batch>, BatchError> {
        let Some(connection) = connection else { return Ok(None) };
        let OpenHistory { schema, selection, triggers, .. } = self.history;
        let go_on = || self.history.may_continue(self.activity);
        let batch = Batch::begin(connection, self.limits, archive, *triggers).await?;
        let page = Page { selection, cursor: self.cursor, size: self.size.min(MOST_AT_ONCE) };
        session_batch::remove_batch(batch, schema, page, picked, go_on).await
    }

    /// Removes sessions on one or both connections, and commits.
    async fn remove(
        &self,
        second: Option<&Connection>,
        picked: &mut [Picked; 2],
        stopping: &Stopping,
        done: &mut Done,
    ) -> Result<(), BatchError> {
        let connection = &self.history.connection;
        let [by_first, by_second] = picked;
        let both = async {
            let archive = self.history.begin_archive().await?;
            let first = self.begin(Some(connection), archive.clone(), by_first);
            Ok::<_, BatchError>(tokio::join!(first, self.begin(second, archive, by_second)))
        };
        match self.history.watch.over(both).await? {
            (Ok(first), Ok(second)) => commit([first, second], self.history, stopping, done).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl Removal<'_> {
    /// Removes a batch of sessions. `picked` receives them, in order.
    pub(crate) async fn attempt_sessions(
        &mut self,
        sizer: &mut BatchSizer,
        cursor: &Cursor,
        picked: &mut Picked,
    ) -> Result<Attempt, Stop> {
        let activity = self.before_batch(sizer).await?;
        let history = &*self.history;
        // So few are large: a row of the second connection would wait in memory until the archive has that of the first.
        let is_small = sizer.size() > if history.archive.is_some() { MOST_ALONE } else { 1 };
        let second = history.second.as_ref().filter(|_| activity == Activity::QuietServer && is_small);
        let size = if second.is_some() { sizer.size().div_ceil(2) } else { sizer.size() };
        let batch = SessionBatch { history, activity, limits: limits(sizer), cursor, size };
        let (mut by_each, mut done) = (Default::default(), Done::default());
        let remove = batch.remove(second, &mut by_each, &self.stopping, &mut done);
        let began = Instant::now();
        let finished = finish(self.interrupt, &self.stopping, self.limits.deadline, remove).await;
        self.wait_for_rollback(&finished).await;
        for Picked { sessions, kept } in by_each {
            picked.sessions.extend(sessions);
            picked.kept.extend(kept);
        }
        picked.sessions.sort_unstable();
        if self.has_given_way(&finished, activity) {
            return Ok(Attempt::GaveWay);
        }
        self.settle(Ended { finished, done, activity, units: picked.sessions.len(), began }, sizer).await
    }

    /// Removes one batch of events or orphans, of at most the size that `begin` gets.
    pub(crate) async fn remove_others(
        &mut self,
        sizer: &mut BatchSizer,
        begin: impl AsyncFnOnce(&OpenHistory, u32, Limits, Activity) -> Result<Option<Batch>, BatchError>,
    ) -> Result<Others, Stop> {
        let activity = self.before_batch(sizer).await?;
        let (began, mut done) = (Instant::now(), Done::default());
        let history = &*self.history;
        let remove = async {
            let batch = history.watch.over(begin(history, sizer.size(), limits(sizer), activity)).await?;
            commit([batch], history, &self.stopping, &mut done).await
        };
        let finished = finish(self.interrupt, &self.stopping, self.limits.deadline, remove).await;
        self.wait_for_rollback(&finished).await;
        if self.has_given_way(&finished, activity) {
            return Ok(Others::Again);
        }
        let units = sizer.size() as usize;
        match self.settle(Ended { finished, done, activity, units, began }, sizer).await? {
            Attempt::Removed => Ok(Others::Removed),
            Attempt::Nothing => Ok(Others::Nothing),
            Attempt::GaveWay => Ok(Others::Again),
            Attempt::Failed(error) if is_too_large(&error, sizer.size()) => {
                sizer.limit();
                Ok(Others::Again)
            }
            Attempt::Failed(error) => self.try_again(error).await.map(|()| Others::Again),
        }
    }

    /// Waits for the rollback of a failed batch if the next one may have another connection: it would skip the rows that are
    /// still locked.
    async fn wait_for_rollback(&self, finished: &Result<Result<(), BatchError>, Stop>) {
        let OpenHistory { connection, selection, watch, .. } = &*self.history;
        let backend = selection.backend();
        let Ok(Err(error)) = finished else { return };
        // A statement that the server has cancelled leaves the connection as it is.
        let is_cancelled = error.cause.class == ErrorClass::TimedOut && error.cause.server().is_some();
        let is_lost = error.spoils_connection(backend) || (error.cause.class.is_before_login() && !is_cancelled);
        if backend == DbBackend::Postgres && !is_lost && connection.may_have(BOTH_AND_LOCK) {
            watch.over(async { Ok::<_, BatchError>(connection.wait_for_free(2).await?) }).await.ok();
        }
    }

    /// Whether a batch that began alone was rolled back for another program.
    fn has_given_way(&self, finished: &Result<Result<(), BatchError>, Stop>, activity: Activity) -> bool {
        let is_busy = matches!(finished, Ok(Err(error)) if error.cause.class == ErrorClass::Busy);
        is_busy && !self.history.may_continue(activity)
    }

    /// Finds orphans behind a place, before the time is up.
    pub(crate) async fn find_orphans(
        &mut self,
        reference: &Reference,
        after: Option<Place>,
    ) -> Result<(Vec<Place>, Option<Place>), Stop> {
        self.find(async |history, limit| orphans::search::find(&history.connection, reference, after, limit).await)
            .await
    }

    /// Finds the stages among orphans that others need, before the time is up, and removes them from the places.
    pub(crate) async fn take_parents(
        &mut self,
        reference: &Reference,
        places: &mut Vec<Place>,
    ) -> Result<Vec<Place>, Stop> {
        let find = async |history: &OpenHistory, _| {
            orphans::search::find_parents(&history.connection, &history.schema, reference, places).await
        };
        let parents = self.find(find).await?;
        Ok(places.extract_if(.., |place| parents.contains(place)).collect())
    }

    /// Searches, and tries again after a failure.
    async fn find<T>(
        &mut self,
        find: impl AsyncFn(&OpenHistory, Option<Duration>) -> Result<T, DbErr>,
    ) -> Result<T, Stop> {
        loop {
            self.heed_signal()?;
            if self.is_too_late() {
                return Err(Stop::Deadline);
            }
            let limit = self.limits.deadline.map(|at| at.saturating_duration_since(Instant::now()) + LOCK_TIMEOUT);
            let OpenHistory { watch, .. } = &*self.history;
            let found = watch.over(async { Ok::<_, BatchError>(find(self.history, limit).await?) });
            let error = match finish(self.interrupt, &self.stopping, self.limits.deadline, found).await? {
                Ok(found) => return Ok(found),
                Err(error) => self.replace_spoilt_connection(error).await?,
            };
            if !self.is_too_late() {
                self.try_again(error).await?;
            }
        }
    }

    /// Records committed batches even if a later one failed, adapts the batch size, and pauses for other sessions.
    async fn settle(&mut self, ended: Ended, sizer: &mut BatchSizer) -> Result<Attempt, Stop> {
        let Ended { finished, done: Done { batches, removed, held }, activity, units, began } = ended;
        let amount = self.count(&removed);
        self.outcome.batches += batches;
        if batches > 0 {
            let rows = removed.values().sum();
            let (batches, rows) = (format::counted(batches, "batch"), format::counted(rows, "row"));
            tracing::debug!("{batches} committed: {rows} removed in {}", format::duration(began.elapsed()));
        }
        if activity != Activity::Idle && batches > 0 {
            self.outcome.longest_batch = self.outcome.longest_batch.max(Some(held));
        }
        let finished = finished.inspect_err(|_| self.outcome.is_doubtful |= self.stopping.is_committing.get())?;
        if let Err(error) = finished {
            if error.place == FailedIn::PruneLock {
                return Err(Stop::TakenOver);
            }
            let error = self.or_upgraded(error).await;
            return self.replace_spoilt_connection(error).await.map(Attempt::Failed);
        }
        let time = began.elapsed();
        if units > 0 {
            let usual = || activity.budget(self.history.archive.is_some());
            let budget = self.limits.batch_time.map_or_else(usual, Budget::contended);
            sizer.learn(&Measured { units, amount, time }, &budget);
        }
        if batches == 0 {
            // It has kept other sessions waiting nevertheless.
            self.rest(activity.pause(time)).await?;
            return Ok(Attempt::Nothing);
        }
        self.failing = None;
        self.rest(activity.pause(held)).await?;
        Ok(Attempt::Removed)
    }

    /// A statement fails as well if another session has upgraded the schema since the run began: that is the cause then.
    async fn or_upgraded(&self, error: BatchError) -> BatchError {
        if error.uncommitted.is_some() || error.cause.class.is_transient() {
            return error;
        }
        let OpenHistory { connection, ledger, watch, .. } = &*self.history;
        let look = connection.reading(async |reading| is_upgraded(reading, ledger).await);
        match watch.over(async { Ok::<_, BatchError>(look.await?) }).await {
            Ok(true) => upgraded_concurrently(),
            Ok(false) | Err(_) => error,
        }
    }

    /// Between two batches: stops if it is time to, and reads the activity of other sessions.
    async fn before_batch(&mut self, sizer: &mut BatchSizer) -> Result<Activity, Stop> {
        self.heed_signal()?;
        self.interrupt.or(std::future::ready(())).await.map_err(Stop::Signal)?;
        if self.is_too_late() {
            return Err(Stop::Deadline);
        }
        let activity = loop {
            let OpenHistory { watch, connection, contention, .. } = &mut *self.history;
            let activity = watch.over(async { Ok::<_, BatchError>(contention.activity(connection).await?) });
            match self.interrupt.or(activity).await.map_err(Stop::Signal)? {
                Ok(activity) => break activity,
                Err(error) => self.try_again(error).await?,
            }
        };
        if self.activity == Some(Activity::Idle) && activity != Activity::Idle {
            sizer.restart();
        }
        self.activity = Some(activity);
        self.has_attempted = true;
        Ok(activity)
    }
}

/// Commits the archive, and then the batches one after the other; those after a failed one are rolled back.
async fn commit(
    batches: impl IntoIterator<Item = Option<Batch>>,
    history: &OpenHistory,
    stopping: &Stopping,
    done: &mut Done,
) -> Result<(), BatchError> {
    let OpenHistory { ledger, definitions, watch, .. } = history;
    let batches: Vec<_> = batches.into_iter().flatten().collect();
    // They share one.
    let archive = batches.iter().find_map(|batch| batch.archive().cloned());
    // Not watched: the server is idle meanwhile.
    if let Some(archive) = &archive {
        archive.lock().await.complete().await.map_err(BatchError::in_archive)?;
    }
    stopping.is_committing.set(true);
    for batch in &batches {
        watch.over(batch.require_ledger(ledger)).await?;
        watch.over(batch.require_definitions(definitions)).await?;
    }
    if let Some(archive) = &archive {
        archive.lock().await.commit().await.map_err(BatchError::in_archive)?;
    }
    for batch in batches {
        let removing = batch.removed().clone();
        let committed = watch.over(batch.commit()).await;
        let (removed, held) = committed.map_err(|error| error.or_uncommitted(removing))?;
        done.batches += 1;
        done.held = done.held.max(held);
        add(&mut done.removed, &removed);
    }
    Ok(())
}

/// Completes the current batch after a first signal or the deadline. A second signal, or [`GRACE`], cancels it unless its
/// COMMIT was already sent.
async fn finish<T>(
    interrupt: &Interrupt,
    stopping: &Stopping,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut work = std::pin::pin!(work);
    stopping.is_committing.set(false);
    let time_is_up = async {
        match deadline {
            Some(deadline) => tokio::time::sleep(deadline.saturating_duration_since(Instant::now()) + GRACE).await,
            None => std::future::pending().await,
        }
    };
    let first = tokio::select! {
        biased;
        result = interrupt.or(&mut work) => result.map_err(Some),
        () = time_is_up => Err(None),
    };
    let stop = match first {
        Ok(result) => return Ok(result),
        Err(None) => Stop::Deadline,
        Err(Some(signal)) => {
            stopping.signal.set(Some(signal));
            let grace = format::duration(GRACE);
            tracing::info!("stopping after the current batch, within {grace}; a second signal rolls it back");
            match tokio::time::timeout(GRACE, interrupt.or(&mut work)).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(signal)) => Stop::Failed(Error::RolledBack(signal)),
                Err(_) => Stop::Failed(Error::RolledBack(signal)),
            }
        }
    };
    if stopping.is_committing.get()
        && let Ok(result) = tokio::time::timeout(COMMIT_TIMEOUT, work).await
    {
        return Ok(result);
    }
    stopping.is_cut_off.set(true);
    Err(stop)
}

/// The limits of a batch; a batch of one session has no statement timeout.
fn limits(sizer: &BatchSizer) -> Limits {
    Limits { lock: LOCK_TIMEOUT, statement: (sizer.size() > 1).then_some(STATEMENT_TIMEOUT) }
}
