//! Removes what was planned, batch after batch: short ones while others are at work, again after a failure that heals,
//! around what cannot be removed, until a signal or the time is up.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use migration::ledger::Ledger;
use sea_orm::DbBackend;
use serde::Serialize;

use super::{OpenHistory, out_of_time};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::history::events;
use crate::history::orphans;
use crate::history::removal::batch::{Batch, BatchError, FailedIn, Limits, Removed};
use crate::history::removal::batch_size::{BatchSizer, Budget, Measured};
use crate::history::removal::contention::Activity;
use crate::history::retention::session_batch::{self, Cursor, Page, PickedSession};
use crate::history::tables::{REFERENCES, SESSIONS};
use crate::interrupt::{Interrupt, Signal};
use crate::progress::{Amount, Meter};

/// How long a batch waits for a lock that somebody else has. Meanwhile others may wait for what it has locked itself.
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// How long PostgreSQL may work on a statement of a batch; one that takes longer is begun again with half as much.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(90);
/// How many sessions that cannot be removed are passed over; with more of them something else is wrong.
const MOST_STUCK: usize = 100;
/// How long the batch in hand may still take after a signal, or when the time is up. Then it is rolled back.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How long a commit is waited for after a second signal.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// An attempt to connect again may take so long, however little time is left.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);
/// How long to wait before the next attempt after a failure, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// How a removal goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// How long a batch may keep others waiting; `None` is left to who the others are.
    pub(crate) batch_time: Option<Duration>,
    /// When to stop.
    pub(crate) deadline: Option<Instant>,
    /// For how long to try again.
    pub(crate) retry_for: Duration,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was committed.
    pub(crate) rows: Removed,
    /// What commits that failed would have removed besides: some of them may have taken place.
    pub(crate) uncommitted: Removed,
    /// Whether a commit failed or the connection broke. A server that crashed or gave way to its standby may even bring
    /// back what it had committed.
    pub(crate) is_doubtful: bool,
    pub(crate) batches: u64,
    /// The longest time for which others were kept waiting, if there were any.
    pub(crate) longest_batch: Option<Duration>,
    /// Sessions that could not be removed.
    pub(crate) stuck: Vec<FailedSession>,
    /// Why it ended before everything was gone.
    pub(crate) stopped: Option<Stop>,
    /// Whether a batch was given up in its middle, so that what the connection waits for is unknown.
    pub(crate) is_cut_off: bool,
}

/// A session that could not be removed.
#[derive(Debug, Serialize)]
pub(crate) struct FailedSession {
    pub(crate) session_id: String,
    pub(crate) reason: String,
    #[serde(skip)]
    pub(crate) error: DatabaseError,
}

/// Why a removal ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The time was up.
    Deadline,
    /// Somebody else began to prune the database while the connection was away.
    TakenOver,
    /// A signal came; the batch in hand was finished.
    Signal(Signal),
    /// It failed.
    Failed(Error),
}

/// What came of an attempt to remove a batch.
enum Attempt {
    Removed,
    /// It was rolled back because it was too long for somebody who has come.
    GaveWay,
    Nothing,
    Failed(BatchError),
}

/// A removal that goes on.
pub(crate) struct Removal<'r> {
    work: &'r mut OpenHistory,
    terms: RunLimits,
    interrupt: &'r Interrupt,
    meter: &'r dyn Meter,
    planned: Amount,
    outcome: Outcome,
    stopping: Stopping,
    /// Since when nothing has succeeded.
    failing_since: Option<Instant>,
    /// Who was there at the last batch.
    company: Option<Activity>,
}

impl<'r> Removal<'r> {
    /// Prepares it. `planned` is what all rows that are to go amount to.
    pub(crate) fn new(
        work: &'r mut OpenHistory,
        terms: RunLimits,
        interrupt: &'r Interrupt,
        meter: &'r dyn Meter,
        planned: Amount,
    ) -> Self {
        let rows = work.plan.tables.iter().map(|table| (table.table, 0)).collect();
        let outcome = Outcome { rows, ..Outcome::default() };
        Self {
            work,
            terms,
            interrupt,
            meter,
            planned,
            outcome,
            stopping: Stopping::default(),
            failing_since: None,
            company: None,
        }
    }

    /// Removes the sessions, then the events, then the orphans.
    pub(crate) async fn run(mut self) -> Outcome {
        self.outcome.stopped = self.remove_all().await.err();
        self.outcome.is_cut_off = self.stopping.is_cut_off.get();
        if self.outcome.is_cut_off && matches!(self.outcome.stopped, Some(Stop::Deadline)) {
            // The next run would not get further.
            self.outcome.stopped = Some(Stop::Failed(out_of_time("end the batch in hand").into()));
        }
        self.outcome
    }

    async fn remove_all(&mut self) -> Result<(), Stop> {
        self.remove_sessions().await?;
        self.remove_events().await?;
        self.remove_orphans().await
    }

    /// Goes over the sessions until nothing more comes of it: what the backend had locked is met again.
    async fn remove_sessions(&mut self) -> Result<(), Stop> {
        let mut pace = BatchSizer::default();
        let mut pass = Cursor::default();
        let mut before = self.sessions();
        loop {
            let mut taken = Vec::new();
            match self.attempt_sessions(&mut pace, &pass, &mut taken).await? {
                Attempt::Removed => pass.after = taken.pop(),
                Attempt::GaveWay => {}
                Attempt::Failed(error) => self.after_failure(error, taken, &mut pace, &mut pass).await?,
                Attempt::Nothing if self.sessions() == before => return Ok(()),
                Attempt::Nothing => {
                    pass.after = None;
                    before = self.sessions();
                }
            }
        }
    }

    fn sessions(&self) -> u64 {
        self.outcome.rows.get(SESSIONS).copied().unwrap_or_default()
    }

    async fn attempt_sessions(
        &mut self,
        pace: &mut BatchSizer,
        pass: &Cursor,
        taken: &mut Vec<PickedSession>,
    ) -> Result<Attempt, Stop> {
        let company = self.before_batch(pace).await?;
        let OpenHistory { watch, connection, second, ledger, schema, selection, archive, contention, .. } = &*self.work;
        let second = second.as_ref().filter(|_| company == Activity::QuietServer && pace.size() > 1);
        let size = if second.is_some() { pace.size().div_ceil(2) } else { pace.size() };
        let go_on = || company != Activity::Idle || contention.is_alone();
        let begin = async |connection, taken: &mut Vec<PickedSession>| {
            let batch = Batch::begin(connection, limits(pace), archive.as_ref()).await?;
            let page = Page { selection, cursor: pass, size };
            session_batch::remove_batch(batch, schema, page, taken, go_on).await
        };
        let (mut taken_by_second, mut done) = (Vec::new(), Done::default());
        let remove = async {
            let begin_second = async {
                match second {
                    Some(second) => begin(second, &mut taken_by_second).await,
                    None => Ok(None),
                }
            };
            // Each of them passes over what the other one has locked.
            let both = async { Ok::<_, BatchError>(tokio::join!(begin(connection, taken), begin_second)) };
            let finished = match watch.over(both).await? {
                (Ok(first), Ok(second)) => commit([first, second], ledger, watch, &self.stopping, &mut done).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            if let (Err(_), Some(second)) = (&finished, second) {
                // It answers when it is rolled back, too: what it still had locked would be passed over.
                watch.over(async { Ok::<_, BatchError>(second.ping().await?) }).await.ok();
            }
            finished
        };
        let began = Instant::now();
        let finished = finish(self.interrupt, &self.stopping, self.terms.deadline, remove).await;
        taken.append(&mut taken_by_second);
        taken.sort_unstable();
        let is_busy = matches!(&finished, Ok(Err(error)) if error.cause.class == ErrorClass::Busy);
        if company == Activity::Idle && is_busy && !self.work.contention.is_alone() {
            return Ok(Attempt::GaveWay);
        }
        self.settle(finished, done, company, pace, taken.len(), began).await
    }

    async fn remove_events(&mut self) -> Result<(), Stop> {
        let Some(policy) = self.work.events else { return Ok(()) };
        let mut pace = BatchSizer::default();
        loop {
            let begin = async |work: &OpenHistory, size, limits| {
                events::remove_batch(&work.connection, &policy, size, limits).await
            };
            if !self.remove_others(&mut pace, begin).await? {
                return Ok(());
            }
        }
    }

    /// Removes the rows whose session or stage is gone, and those that become such rows by that.
    async fn remove_orphans(&mut self) -> Result<(), Stop> {
        if self.work.plan.orphans.is_empty() {
            return Ok(());
        }
        let references = REFERENCES.into_iter().filter(|reference| reference.is_in(&self.work.schema));
        let references: Vec<_> = references.collect();
        loop {
            let before = self.outcome.batches;
            for reference in &references {
                let mut pace = BatchSizer::default();
                let begin = async |work: &OpenHistory, size, limits| {
                    let OpenHistory { connection, schema, archive, .. } = work;
                    orphans::remove_batch(connection, schema, *reference, size, limits, archive.as_ref()).await
                };
                while self.remove_others(&mut pace, &begin).await? {}
            }
            if self.outcome.batches == before {
                return Ok(());
            }
        }
    }

    /// Removes one batch of what is no session. False when there is no more of it.
    async fn remove_others(
        &mut self,
        pace: &mut BatchSizer,
        begin: impl AsyncFn(&OpenHistory, u32, Limits) -> Result<Option<Batch>, BatchError>,
    ) -> Result<bool, Stop> {
        let company = self.before_batch(pace).await?;
        let (began, mut done) = (Instant::now(), Done::default());
        let ledger = &self.work.ledger;
        let remove = async {
            let watch = &self.work.watch;
            let batch = watch.over(begin(self.work, pace.size(), limits(pace))).await?;
            commit([batch], ledger, watch, &self.stopping, &mut done).await
        };
        let finished = finish(self.interrupt, &self.stopping, self.terms.deadline, remove).await;
        let units = pace.size() as usize;
        match self.settle(finished, done, company, pace, units, began).await? {
            Attempt::Removed | Attempt::GaveWay => Ok(true),
            Attempt::Nothing => Ok(false),
            Attempt::Failed(error) if is_too_large(&error, pace) => {
                pace.limit();
                Ok(true)
            }
            Attempt::Failed(error) => self.try_again(error).await.map(|()| true),
        }
    }

    /// Counts what is committed, whatever came after it, learns from it, and lets others have their turn.
    async fn settle(
        &mut self,
        finished: Result<Result<(), BatchError>, Stop>,
        done: Done,
        company: Activity,
        pace: &mut BatchSizer,
        units: usize,
        began: Instant,
    ) -> Result<Attempt, Stop> {
        let Done { batches, removed, held } = done;
        let amount = self.count(&removed);
        self.outcome.batches += batches;
        if company != Activity::Idle && batches > 0 {
            self.outcome.longest_batch = self.outcome.longest_batch.max(Some(held));
        }
        let finished = finished.inspect_err(|_| self.outcome.is_doubtful |= self.stopping.is_committing.get())?;
        if let Err(error) = finished {
            return self.replace_spoilt_connection(error).await.map(Attempt::Failed);
        }
        if batches == 0 {
            return Ok(Attempt::Nothing);
        }
        self.failing_since = None;
        let aim = self.terms.batch_time.map_or(company.budget(), Budget::contended);
        pace.learn(&Measured { units, amount, time: began.elapsed() }, &aim);
        self.rest(company.pause(held)).await?;
        Ok(Attempt::Removed)
    }

    /// After a batch that failed: notes what is open by that, and gives the next one a connection that is sound.
    async fn replace_spoilt_connection(&mut self, error: BatchError) -> Result<BatchError, Stop> {
        if let Some(uncommitted) = &error.uncommitted {
            self.outcome.is_doubtful = true;
            add(&mut self.outcome.uncommitted, uncommitted);
        }
        // A server that is gone is waited for: see `try_again`.
        if error.spoils_connection(self.work.selection.backend()) && !error.cause.class.is_before_login() {
            let watch = Arc::clone(&self.work.watch);
            match self.interrupt.or(watch.over(self.work.renew_connection())).await {
                Ok(Ok(())) => {}
                Err(signal) => return Err(Stop::Signal(signal)),
                Ok(Err(renewing)) => {
                    tracing::warn!("cannot open the database again: {renewing}");
                    return Err(Stop::Failed(DatabaseError::from(error).into()));
                }
            }
        }
        Ok(error)
    }

    fn count(&mut self, removed: &Removed) -> Amount {
        let amount = self.planned.part(removed.values().sum());
        self.meter.advance(amount);
        add(&mut self.outcome.rows, removed);
        amount
    }

    /// Finds out whether another attempt can help, and prepares it: with fewer sessions, without the one that cannot
    /// be removed, or later.
    async fn after_failure(
        &mut self,
        error: BatchError,
        mut taken: Vec<PickedSession>,
        pace: &mut BatchSizer,
        pass: &mut Cursor,
    ) -> Result<(), Stop> {
        if is_too_large(&error, pace) {
            pace.limit();
            return Ok(());
        }
        if taken.is_empty() || !self.is_about_rows(&error) {
            return self.try_again(error).await;
        }
        if pace.size() > 1 {
            pace.halve(taken.len());
            return Ok(());
        }
        // What somebody else has locked is met again in the next pass.
        if !is_contention(error.cause.class) {
            let Some(PickedSession { session_id, .. }) = taken.first() else { return Ok(()) };
            pass.without.insert(session_id.clone());
            let (session_id, reason) = (session_id.clone(), error.cause.to_string());
            let error = DatabaseError::from(error);
            if self.outcome.stuck.len() == MOST_STUCK {
                return Err(Stop::Failed(error.into()));
            }
            self.outcome.stuck.push(FailedSession { session_id, reason, error });
        }
        pass.after = taken.pop();
        Ok(())
    }

    /// Whether it is some of the rows that failed, and not the database.
    fn is_about_rows(&self, error: &BatchError) -> bool {
        use ErrorClass::{Busy, Conflict, Constraint, Data, Needed, Other, TimedOut};
        let is_sqlite = self.work.selection.backend() == DbBackend::Sqlite;
        match (error.place, error.cause.class) {
            // One writer at a time: whoever is busy with the file is busy with all of it.
            (_, Busy) if is_sqlite => false,
            (FailedIn::Database, class) => {
                matches!(class, Busy | Conflict | Constraint | Data | Needed | Other | TimedOut)
            }
            (FailedIn::Archive, class) => matches!(class, Constraint | Data),
            (FailedIn::Schema, _) => false,
        }
    }

    /// Waits until another attempt may succeed, and connects again where that is needed.
    async fn try_again(&mut self, error: BatchError) -> Result<(), Stop> {
        let is_first = self.failing_since.is_none();
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let class = error.cause.class;
        let keeps_connection = is_contention(class) || self.work.selection.backend() == DbBackend::Sqlite;
        // Nobody asks it anything until there is another.
        self.work.is_connected &= keeps_connection || !class.is_before_login();
        self.outcome.is_doubtful |= !keeps_connection && class.is_before_login();
        if error.place != FailedIn::Database || !class.may_heal() || since.elapsed() >= self.terms.retry_for {
            return Err(Stop::Failed(DatabaseError::from(error).into()));
        }
        if is_first {
            let limit = humantime::format_duration(self.terms.retry_for);
            tracing::warn!("{error}: {}; trying again for {limit}", error.cause.described());
        }
        let [mut pause, longest] = PAUSES;
        loop {
            self.rest(pause).await?;
            pause = (pause * 2).min(longest);
            if keeps_connection {
                return Ok(());
            }
            if self.is_too_late() {
                return Err(Stop::Deadline);
            }
            let is_over = since.elapsed() >= self.terms.retry_for;
            match self.reconnect(since).await {
                Ok(true) => break,
                Err(Error::Interrupted(signal)) => return Err(Stop::Signal(signal)),
                Ok(false) if is_over => return Err(Stop::TakenOver),
                Err(error) if is_over || !may_heal(&error) => return Err(Stop::Failed(error)),
                Ok(false) | Err(_) => {}
            }
        }
        tracing::info!("the connection is back");
        Ok(())
    }

    /// Connects again, within what is left of the time to try in, or of all time.
    async fn reconnect(&mut self, since: Instant) -> Result<bool, Error> {
        let mut left = self.terms.retry_for.saturating_sub(since.elapsed());
        if let Some(deadline) = self.terms.deadline {
            left = left.min(deadline.saturating_duration_since(Instant::now()));
        }
        let reconnected = tokio::time::timeout(left.max(SHORTEST_ATTEMPT), Box::pin(self.work.reconnect()));
        let reconnected = self.interrupt.or(reconnected).await?;
        reconnected.unwrap_or_else(|_| {
            let cause = DatabaseCause::new(ErrorClass::TimedOut, "no answer in the time that was left");
            Err(DatabaseError { action: "connect again".to_owned(), cause }.into())
        })
    }

    fn is_too_late(&self) -> bool {
        self.terms.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits, unless it is time to stop.
    async fn rest(&mut self, pause: Duration) -> Result<(), Stop> {
        if let Some(signal) = self.stopping.signal.get() {
            return Err(Stop::Signal(signal));
        }
        let left = self.terms.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let rest = tokio::time::sleep(pause.min(left.unwrap_or(Duration::MAX)));
        if pause.is_zero() {
            return Ok(());
        }
        self.interrupt.or(rest).await.map_err(Stop::Signal)
    }

    /// Between two batches: stops if it is time to, and looks who else is there.
    async fn before_batch(&mut self, pace: &mut BatchSizer) -> Result<Activity, Stop> {
        if let Some(signal) = self.stopping.signal.get() {
            return Err(Stop::Signal(signal));
        }
        self.interrupt.or(std::future::ready(())).await.map_err(Stop::Signal)?;
        if self.is_too_late() {
            return Err(Stop::Deadline);
        }
        let company = loop {
            let OpenHistory { watch, connection, contention, .. } = &mut *self.work;
            let company = watch.over(async { Ok::<_, BatchError>(contention.activity(connection).await?) });
            match self.interrupt.or(company).await.map_err(Stop::Signal)? {
                Ok(company) => break company,
                Err(error) => self.try_again(error).await?,
            }
        };
        if self.company == Some(Activity::Idle) && company != Activity::Idle {
            pace.restart();
        }
        self.company = Some(company);
        Ok(company)
    }
}

/// What is committed.
#[derive(Debug, Default)]
struct Done {
    batches: u64,
    removed: Removed,
    /// The longest time for which others were kept waiting.
    held: Duration,
}

/// A signal that came while a batch was in hand.
#[derive(Debug, Default)]
struct Stopping {
    signal: Cell<Option<Signal>>,
    /// Whether it is too late to roll the batch back.
    is_committing: Cell<bool>,
    /// Whether a batch was given up in its middle.
    is_cut_off: Cell<bool>,
}

/// Commits the batches that there are, one after the other; those after one that fails are rolled back.
async fn commit(
    batches: impl IntoIterator<Item = Option<Batch>>,
    ledger: &Ledger,
    watch: &Watch<'_>,
    stopping: &Stopping,
    done: &mut Done,
) -> Result<(), BatchError> {
    stopping.is_committing.set(true);
    for batch in batches.into_iter().flatten() {
        let removing = batch.removed().clone();
        let committed = watch.over(batch.commit(ledger)).await;
        let (removed, held) = committed.map_err(|error| error.or_uncommitted(removing))?;
        done.batches += 1;
        done.held = done.held.max(held);
        add(&mut done.removed, &removed);
    }
    Ok(())
}

fn add(sum: &mut Removed, removed: &Removed) {
    for (table, rows) in removed {
        *sum.entry(table).or_default() += rows;
    }
}

/// Lets the work in hand come to its end although a signal came, which is noted, or the time is up. A second signal ends
/// it, and so does [`GRACE`], unless it is being committed.
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
            let grace = humantime::format_duration(GRACE);
            tracing::info!("stopping after the batch in hand, within {grace}; a second signal rolls it back");
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

/// A batch of one has to come to its end.
fn limits(pace: &BatchSizer) -> Limits {
    Limits { lock: LOCK_TIMEOUT, statement: (pace.size() > 1).then_some(STATEMENT_TIMEOUT) }
}

/// Whether a smaller batch may succeed where one was given up for its size.
fn is_too_large(error: &BatchError, pace: &BatchSizer) -> bool {
    let class = error.cause.class;
    error.place == FailedIn::Database && matches!(class, ErrorClass::TimedOut | ErrorClass::DiskFull) && pace.size() > 1
}

/// Whether somebody else holds what the batch needs.
fn is_contention(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Busy | ErrorClass::Conflict)
}

fn may_heal(error: &Error) -> bool {
    match error {
        Error::Connect(error) => error.cause.class.may_heal(),
        Error::Database(error) => error.cause.class.may_heal(),
        _ => false,
    }
}
