//! Notices that the way to the target has fallen silent, and ends what a run leaves behind there.
//!
//! A server may be silent for long because it builds an index, and the driver cannot have the operating
//! system find out whether the other end is still there. So when nothing has moved for a while another,
//! short connection asks the server what it thinks: as long as it works for us it is waited for; if it waits
//! for us while we wait for it, something on the way was lost; and if it does not answer at all, that is it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::connection;
use crate::database_url::PostgresqlAddress;
use crate::failure::{Cause, DatabaseError, Doing, Failure};
use crate::progress::{Amount, Meter, Progress, Stage};

/// How long the server may be silent before it is asked, and how long it may take to answer, unless the URL
/// has a `connect_timeout`.
const SILENCE: Duration = Duration::from_secs(10);
/// How long an interrupted run waits for the server to have ended its sessions.
const FAREWELL: Duration = Duration::from_millis(800);
/// How often it is looked whether they have ended.
const FAREWELL_INTERVAL: Duration = Duration::from_millis(10);

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Without a movement until the server is asked, and for its answer.
    silence: Duration,
    /// Between two questions to a server that did not answer the first.
    pause: Duration,
    /// Without a movement or an answer until the work is given up.
    give_up: Duration,
}

impl Patience {
    fn of(address: &PostgresqlAddress) -> Self {
        let silence = address.connect_timeout.unwrap_or(SILENCE);
        Self { silence, pause: silence / 4, give_up: 4 * silence }
    }
}

/// Watches over the work on one target.
pub struct Watch<'w> {
    before_commit: &'w (dyn Fn() + Sync),
    address: PostgresqlAddress,
    patience: Patience,
    /// The server's sessions that do the work, as an SQL condition each.
    sessions: Mutex<Vec<String>>,
    /// How often something moved.
    moves: AtomicU64,
    /// How many parts of the work wait for something else than the target.
    elsewhere: AtomicU64,
    /// What the work is at, or was when it failed.
    stages: Mutex<Vec<Stage>>,
    is_committing: AtomicBool,
}

impl<'w> Watch<'w> {
    /// Watches over work on the server at this address. Its `connect_timeout`, 10 s if there is none, is also how
    /// long the server may be silent before it is asked; after four times as long without an answer it is given up.
    /// `before_commit` is called when there is no way back.
    #[must_use]
    pub fn new(address: &PostgresqlAddress, before_commit: &'w (dyn Fn() + Sync)) -> Self {
        Self {
            before_commit,
            address: address.clone(),
            patience: Patience::of(address),
            sessions: Mutex::default(),
            moves: AtomicU64::default(),
            elsewhere: AtomicU64::default(),
            stages: Mutex::default(),
            is_committing: AtomicBool::default(),
        }
    }

    /// Makes a connection one that is asked after and that [`Watch::end_sessions`] ends. Has to be called inside the
    /// transaction: behind a pooler another session may serve the next one.
    ///
    /// # Errors
    /// Whatever the server answers.
    pub async fn join(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let sql = format!(
            "SELECT format('(pid = %s AND %s = %L)', pid, {}, {STARTED}) AS condition
             FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            format_args!("$${STARTED}$$")
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await;
        let condition = row.and_then(|row| row.try_get("condition")).doing("ask for the number of the session")?;
        lock(&self.sessions).push(condition);
        Ok(())
    }

    /// Says that something moved: a chunk was sent, or a part of an answer came.
    pub fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that a COMMIT is on its way: from now on nobody knows without its answer.
    pub fn commit_begins(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
        (self.before_commit)();
    }

    /// Whether a COMMIT was on its way.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Passes on what work tells of its progress, and takes every word of it for a movement.
    #[must_use]
    pub fn over_progress<'p>(&'p self, progress: &'p dyn Progress) -> impl Progress + 'p {
        Overheard { watch: self, progress }
    }

    /// Runs a part of the work that waits for something else than the target, for instance the source.
    pub async fn elsewhere<T>(&self, work: impl Future<Output = T>) -> T {
        let _away = Away::begin(self);
        work.await
    }

    /// Runs work on the target to its end, or until the target is known to be lost. Then the work is dropped.
    ///
    /// # Errors
    /// The work's own, or [`Failure::ConnectionLost`] or [`Failure::TimedOut`] with what the work was at.
    pub async fn over<T, E: From<DatabaseError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let cause = tokio::select! {
            biased;
            result = work => return result,
            cause = self.loss() => cause,
        };
        if cause.failure == Failure::ConnectionLost {
            // It may still hold its locks, and would for hours.
            self.end_sessions().await;
        }
        let stage = lock(&self.stages).pop();
        let action = match (self.is_committing(), stage) {
            (true, _) => "learn whether the commit took place (`tarsy-db info` tells)".to_owned(),
            (false, Some(stage)) => format!("go on {stage}"),
            (false, None) => "go on".to_owned(),
        };
        Err(DatabaseError { action, cause }.into())
    }

    /// Ends the sessions that have [joined](Watch::join), and what they are doing, without waiting for long. A server
    /// that builds an index would not notice for a while that nobody listens any more. Says whether they are gone.
    pub async fn end_sessions(&self) -> bool {
        let sessions = lock(&self.sessions).clone();
        if sessions.is_empty() {
            return true;
        }
        // A session is counted until it has gone.
        let sql = format!(
            "SELECT count(*) AS left, count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {}",
            sessions.join(" OR ")
        );
        let end = async {
            let mut connection = connection::open_single(&self.address).await?;
            loop {
                let row = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut connection).await?;
                if row.try_get::<i64, _>("left")? == 0 {
                    connection.close().await.ok();
                    return Ok::<_, Cause>(());
                }
                tokio::time::sleep(FAREWELL_INTERVAL).await;
            }
        };
        tokio::time::timeout(FAREWELL, end).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Ends when the target is lost, and says why.
    async fn loss(&self) -> Cause {
        let (mut moves, mut moved_at) = (self.moves.load(Ordering::Relaxed), Instant::now());
        let mut before = Look::Busy;
        loop {
            tokio::time::sleep(before.pause(self.patience)).await;
            let now = match self.has_moved(&mut moves) {
                true => None,
                false => Some(self.look().await),
            };
            // The answer may have come while it was asked for.
            before = match now.filter(|_| !self.has_moved(&mut moves)) {
                None => {
                    moved_at = Instant::now();
                    Look::Busy
                }
                Some(now) => match now.loss(&before, moved_at.elapsed(), self.patience) {
                    Some(cause) => return cause,
                    None => now,
                },
            };
        }
    }

    fn has_moved(&self, moves: &mut u64) -> bool {
        let now = self.moves.load(Ordering::Relaxed);
        std::mem::replace(moves, now) != now || self.elsewhere.load(Ordering::Relaxed) > 0
    }

    /// Asks the server, over another connection, what it thinks of us.
    async fn look(&self) -> Look {
        let limit = self.patience.silence;
        let mut connection = match tokio::time::timeout(limit, connection::open_single(&self.address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(cause)) if cause.failure == Failure::ShuttingDown => return Look::Unknown,
            Ok(Err(cause)) if cause.failure.is_before_login() => return Look::Unanswered(cause.described()),
            // The server is there: it has no connection left, for instance.
            Ok(Err(_)) => return Look::Unknown,
            Err(_) => return Look::Unanswered(Failure::TimedOut.to_string()),
        };
        let sessions = lock(&self.sessions).join(" OR ");
        let condition = match sessions.as_str() {
            // Before the data transaction nobody knows which sessions serve us: those of our role might.
            "" => "usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()",
            known => known,
        };
        // While a COPY moves, its session does not change its state.
        let copied = match connection.server_version_num() {
            Some(140_000..) => "(SELECT bytes_processed FROM pg_stat_progress_copy p WHERE p.pid = a.pid)",
            _ => "NULL",
        };
        let sql = format!(
            "SELECT count(*) AS known, count(*) FILTER (WHERE wait_event_type IS DISTINCT FROM 'Client') AS busy,
                    coalesce(string_agg(concat_ws(' ', pid, state_change, {copied}), ', ' ORDER BY pid), '') AS states
             FROM pg_stat_activity a WHERE {condition}"
        );
        let row = tokio::time::timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut connection)).await;
        connection.close().await.ok();
        match row {
            Ok(Ok(row)) => Look::of(&row).unwrap_or(Look::Unknown),
            // A pooler lets many in and serves few.
            _ => Look::Unknown,
        }
    }
}

/// The moment at which a session began, in words that no setting changes.
const STARTED: &str = "to_char(backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')";

/// What the server had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// It works for us, or waits for a lock or the like.
    Busy,
    /// Each of our sessions waits for us to say something; which they are, and since when.
    Waiting(String),
    /// None of our sessions is there.
    Gone,
    /// It is there, and does not tell.
    Unknown,
    /// It is not there.
    Unanswered(String),
}

impl Look {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(match (row.try_get("known")?, row.try_get("busy")?) {
            (0_i64, _) => Self::Gone,
            (_, 0_i64) => Self::Waiting(row.try_get("states")?),
            _ => Self::Busy,
        })
    }

    /// How long to wait before the next look.
    fn pause(&self, patience: Patience) -> Duration {
        match self {
            Self::Unanswered(_) => patience.pause,
            _ => patience.silence,
        }
    }

    /// Why the target is lost, if this look and the one before agree on that.
    fn loss(&self, before: &Self, silent: Duration, patience: Patience) -> Option<Cause> {
        match (before, self) {
            (Self::Gone, Self::Gone) => Some(Cause::new(Failure::ConnectionLost, "the server has ended the session")),
            (Self::Waiting(before), Self::Waiting(now)) if before == now => Some(Cause::new(
                Failure::ConnectionLost,
                "the server waits for us while we wait for it: something was lost on the way",
            )),
            (Self::Unanswered(_), Self::Unanswered(why)) if silent >= patience.give_up => {
                let seconds = Duration::from_secs(silent.as_secs());
                let message = format!("no answer from the server for {} ({why})", humantime::format_duration(seconds));
                Some(Cause::new(Failure::TimedOut, message))
            }
            _ => None,
        }
    }
}

/// Counts for as long as it lives, also where the work is dropped.
struct Away<'w>(&'w Watch<'w>);

impl<'w> Away<'w> {
    fn begin(watch: &'w Watch<'_>) -> Self {
        watch.elsewhere.fetch_add(1, Ordering::Relaxed);
        Self(watch)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.elsewhere.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

struct Overheard<'w> {
    watch: &'w Watch<'w>,
    progress: &'w dyn Progress,
}

impl Progress for Overheard<'_> {
    fn begin(&self, stage: Stage, total: Amount) -> Box<dyn Meter + '_> {
        self.watch.moved();
        lock(&self.watch.stages).push(stage.clone());
        Box::new(OverheardMeter { watch: self.watch, stage: stage.clone(), meter: self.progress.begin(stage, total) })
    }

    fn clear(&self) {
        self.progress.clear();
    }
}

struct OverheardMeter<'w> {
    watch: &'w Watch<'w>,
    stage: Stage,
    meter: Box<dyn Meter + 'w>,
}

impl Meter for OverheardMeter<'_> {
    fn advance(&self, done: Amount) {
        self.watch.moved();
        self.meter.advance(done);
    }

    fn finish(&self) {
        self.watch.moved();
        let mut stages = lock(&self.watch.stages);
        if let Some(place) = stages.iter().position(|stage| *stage == self.stage) {
            stages.remove(place);
        }
        self.meter.finish();
    }
}

/// A panic elsewhere does not make what is known wrong.
fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        silence: Duration::from_secs(10),
        pause: Duration::from_millis(2500),
        give_up: Duration::from_secs(40),
    };

    fn loss(before: &Look, now: &Look, seconds: u64) -> Option<Failure> {
        now.loss(before, Duration::from_secs(seconds), PATIENCE).map(|cause| cause.failure)
    }

    #[test]
    fn a_server_that_works_is_waited_for_as_long_as_it_takes() {
        let waiting = Look::Waiting("7 since 12:00".to_owned());
        let unanswered = Look::Unanswered("connection refused".to_owned());
        for before in [&Look::Busy, &Look::Unknown, &Look::Gone, &waiting, &unanswered] {
            assert_eq!(loss(before, &Look::Busy, 100_000), None, "{before:?}");
            assert_eq!(loss(before, &Look::Unknown, 100_000), None, "{before:?}");
        }
    }

    #[test]
    fn sessions_that_are_gone_or_wait_for_us_twice_are_lost() {
        let at = |time: &str| Look::Waiting(format!("7 since {time}"));
        assert_eq!(loss(&Look::Gone, &Look::Gone, 20), Some(Failure::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:00"), 20), Some(Failure::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:01"), 20), None, "it did something in between");
        assert_eq!(loss(&Look::Busy, &at("12:00"), 20), None, "its answer may be on the way");
        assert_eq!(loss(&Look::Busy, &Look::Gone, 20), None, "its last words may be on the way");
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_after_a_while() {
        let unanswered = Look::Unanswered("no answer in time".to_owned());
        assert_eq!(loss(&unanswered, &unanswered, 39), None);
        assert_eq!(loss(&unanswered, &unanswered, 40), Some(Failure::TimedOut));
        assert_eq!(loss(&Look::Busy, &unanswered, 50), None, "one attempt may fail");
    }
}
