//! Notices that a PostgreSQL server, or the way to it, has fallen silent, and ends what a run leaves behind there.
//!
//! A server may be silent for long because it builds an index, and the driver cannot have the operating
//! system find out whether the other end is still there. So when nothing has moved for a while another,
//! short connection asks the server what it does for us, which is [marked](crate::database::mark): as long as it works, or waits for
//! a lock, it is waited for; if it waits for us while we wait for it, something on the way was lost; and if it does not
//! answer at all, that is it. What is not marked takes no time, and is given up when it does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::DatabaseConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt};
use super::url::{DatabaseUrl, PostgresqlAddress};
use super::{connection, mark};
use crate::progress::{Amount, Meter, Phase, Progress};

/// How long the server may be silent before it is asked, and how long it may take to answer, unless the URL
/// has a shorter `connect_timeout`.
const SILENCE: Duration = Duration::from_secs(10);
/// For so long a server that waits for us may be right: no pause between two attempts is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long what is not marked may take while the server works for others.
const UNMARKED: Duration = Duration::from_secs(40);
/// How much longer than its limit the answer to a query may take.
const LATE: Duration = Duration::from_secs(8);
/// How long an interrupted run waits for the server to have ended its sessions.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(800);
/// How often it is looked whether they have ended.
const FAREWELL_INTERVAL: Duration = Duration::from_millis(10);

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    /// Without a movement until the server is asked, and for its answer.
    silence: Duration,
    /// Between two questions to a server that did not answer the first.
    pause: Duration,
    /// Without a movement or an answer until the work is given up.
    give_up: Duration,
}

impl Timeouts {
    fn of(address: &PostgresqlAddress) -> Self {
        let silence = address.connect_timeout.unwrap_or(SILENCE).min(SILENCE);
        Self { silence, pause: silence / 4, give_up: 4 * silence }
    }
}

/// Watches over the work on one database. On SQLite there is nothing to watch.
pub(crate) struct Watch<'w> {
    address: Option<PostgresqlAddress>,
    /// What the work is for.
    action: &'static str,
    before_commit: &'w (dyn Fn() + Sync),
    patience: Timeouts,
    /// How long each query may take.
    query_limit: Option<Duration>,
    /// The sessions that have joined, as an SQL condition each that holds when they have committed.
    committed: Mutex<Vec<String>>,
    /// How often something moved.
    moves: Arc<AtomicU64>,
    /// How many parts of the work wait for something else than the server.
    elsewhere: AtomicU64,
    /// What the work is at, or was when it failed.
    stages: Mutex<Vec<Phase>>,
    is_committing: AtomicBool,
}

impl<'w> Watch<'w> {
    /// Watches over work on this database, which is there to `action`. The URL's `connect_timeout`, if it is less than
    /// 10 s, is also how long the server may be silent before it is asked; after four times as long without an answer it
    /// is given up. `before_commit` is called when there is no way back.
    #[must_use]
    pub(crate) fn new(url: &DatabaseUrl, action: &'static str, before_commit: &'w (dyn Fn() + Sync)) -> Self {
        let address = match url {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgresql(address) => Some(address.clone()),
        };
        let silence = SILENCE;
        let unused = Timeouts { silence, pause: silence, give_up: silence };
        Self {
            patience: address.as_ref().map_or(unused, Timeouts::of),
            address,
            action,
            before_commit,
            query_limit: None,
            committed: Mutex::default(),
            moves: Arc::default(),
            elsewhere: AtomicU64::default(),
            stages: Mutex::default(),
            is_committing: AtomicBool::default(),
        }
    }

    /// The same where the server itself gives up each query after `limit`: an answer that is later than that is lost,
    /// also where the role has no connection left to ask over.
    #[must_use]
    pub(crate) fn with_query_limit(self, limit: Option<Duration>) -> Self {
        Self { query_limit: limit, ..self }
    }

    /// Takes each answer on a connection for a movement.
    pub(crate) fn attach(&self, connection: &mut DatabaseConnection) {
        let moves = Arc::clone(&self.moves);
        connection.set_metric_callback(move |_| {
            moves.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Marks a transaction that was begun without SeaORM, so that it is asked after and that [`Watch::end_sessions`] ends
    /// it. Its session is ended also where it has done nothing since the COMMIT, whose answer did not come.
    ///
    /// # Errors
    /// Whatever the server answers.
    pub(crate) async fn join(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let action = "mark the transaction";
        sqlx::raw_sql(AssertSqlSafe(mark::transaction())).execute(&mut *connection).await.context(action)?;
        // A role is told of its own sessions only: as in [`as_login_role`], and then as the transaction was before.
        let sql = format!(
            "SAVEPOINT join_watch; SET LOCAL ROLE NONE;
             SELECT format('(a.pid = %s AND %s = %L AND a.state = ''idle'' AND a.query = ''COMMIT'')', pid, {}, {STARTED}) AS condition
             FROM pg_stat_activity a WHERE pid = pg_backend_pid();
             ROLLBACK TO SAVEPOINT join_watch; RELEASE SAVEPOINT join_watch",
            format_args!("$${STARTED}$$")
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.context(action)?;
        for row in rows {
            lock(&self.committed).push(row.try_get("condition").context(action)?);
        }
        Ok(())
    }

    /// Says that something moved: a chunk was sent, or a part of an answer came.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that a COMMIT is on its way: from now on nobody knows without its answer.
    pub(crate) fn commit_begins(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
        (self.before_commit)();
    }

    /// Whether a COMMIT was on its way.
    #[must_use]
    pub(crate) fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Passes on what work tells of its progress, and takes every word of it for a movement.
    #[must_use]
    pub(crate) fn over_progress<'p>(&'p self, progress: &'p dyn Progress) -> impl Progress + 'p {
        Overheard { watch: self, progress }
    }

    /// Runs a part of the work that waits for something else than the server, for instance the source of a move.
    pub(crate) async fn elsewhere<T>(&self, work: impl Future<Output = T>) -> T {
        let _away = Away::begin(self);
        work.await
    }

    /// Runs work on the server to its end, or until the server is known to be lost. Then the work is dropped.
    ///
    /// # Errors
    /// The work's own, or [`ErrorClass::ConnectionLost`] with what the work was at.
    pub(crate) async fn over<T, E: From<DatabaseError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // It may be large: what is around it would carry it on the stack.
        let work = Box::pin(work);
        let Some(address) = &self.address else { return work.await };
        let cause = tokio::select! {
            biased;
            result = work => return result,
            cause = Box::pin(self.loss(address)) => cause,
        };
        // It may still hold its locks, and would for hours.
        Box::pin(self.end_sessions()).await;
        let stage = lock(&self.stages).pop();
        let action = match (self.is_committing(), stage) {
            (true, _) => "learn whether the commit took place (`tarsy-db info` tells)".to_owned(),
            (false, Some(stage)) => format!("go on {stage}"),
            (false, None) => self.action.to_owned(),
        };
        Err(DatabaseError { action, cause }.into())
    }

    /// Ends what the server still does for this process, without waiting for long. A server that builds an index would
    /// not notice for a while that nobody listens any more. Says whether nothing is left.
    pub(crate) async fn end_sessions(&self) -> bool {
        let Some(address) = &self.address else { return true };
        let mut conditions = lock(&self.committed).clone();
        conditions.push(format!("({})", mark::condition()));
        // A session is counted until its transaction is over.
        let sql = as_login_role(&format!(
            "SELECT count(*) AS left, count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a WHERE {}",
            conditions.join(" OR ")
        ));
        let end = async {
            let mut connection = connection::open_single(address).await?;
            loop {
                let row = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut connection).await?;
                if row.try_get::<i64, _>("left")? == 0 {
                    connection.close().await.ok();
                    return Ok::<_, DatabaseCause>(());
                }
                tokio::time::sleep(FAREWELL_INTERVAL).await;
            }
        };
        tokio::time::timeout(SHUTDOWN_GRACE, end).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Ends when the server is lost, and says why.
    async fn loss(&self, address: &PostgresqlAddress) -> DatabaseCause {
        let (mut moves, mut moved_at) = (self.moves.load(Ordering::Relaxed), Instant::now());
        let mut before = Probe::Busy;
        loop {
            tokio::time::sleep(before.pause(self.patience)).await;
            let now = match self.has_moved(&mut moves) {
                true => Probe::Busy,
                false => self.look(address).await,
            };
            // The answer may have come while it was asked for.
            if now == Probe::Busy || self.has_moved(&mut moves) {
                (moved_at, before) = (Instant::now(), Probe::Busy);
                continue;
            }
            if let Some(cause) = now.loss(&before, moved_at.elapsed(), self.patience, self.query_limit) {
                return cause;
            }
            before = now;
        }
    }

    fn has_moved(&self, moves: &mut u64) -> bool {
        let now = self.moves.load(Ordering::Relaxed);
        std::mem::replace(moves, now) != now || self.elsewhere.load(Ordering::Relaxed) > 0
    }

    /// Asks the server, over another connection, what it thinks of us.
    async fn look(&self, address: &PostgresqlAddress) -> Probe {
        let limit = self.patience.silence;
        let mut connection = match tokio::time::timeout(limit, connection::open_single(address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(cause)) if cause.class == ErrorClass::ShuttingDown => return Probe::Unknown(cause.described()),
            Ok(Err(cause)) if cause.class.is_before_login() => return Probe::Unanswered(cause.described()),
            // The server is there: it has no connection left, for instance.
            Ok(Err(cause)) => return Probe::Unknown(cause.described()),
            Err(_) => return Probe::Unanswered(ErrorClass::TimedOut.to_string()),
        };
        // While a COPY moves, its session does not change its state.
        let copied = match connection.server_version_num() {
            Some(140_000..) => "(SELECT bytes_processed FROM pg_stat_progress_copy p WHERE p.pid = a.pid)",
            _ => "NULL",
        };
        // Where nothing is marked nobody knows which sessions serve us: those of our role might.
        let sql = as_login_role(&format!(
            "SELECT is_marked, count(*) FILTER (WHERE wait_event_type IS DISTINCT FROM 'Client') AS busy,
                    count(*) FILTER (WHERE wait_event_type = 'Lock') AS locked,
                    coalesce(string_agg(concat_ws(' ', pid, state_change, {copied}), ', ' ORDER BY pid), '') AS states
             FROM (SELECT a.*, ({}) AS is_marked FROM pg_stat_activity a) a
             WHERE usename = session_user AND datname = current_database() AND pid <> pg_backend_pid()
             GROUP BY is_marked ORDER BY is_marked DESC LIMIT 1",
            mark::condition()
        ));
        let row = tokio::time::timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut connection)).await;
        connection.close().await.ok();
        match row {
            Ok(Ok(Some(row))) => {
                Probe::of(&row).unwrap_or_else(|error| Probe::Unknown(DatabaseCause::from(error).described()))
            }
            Ok(Ok(None)) => Probe::Gone,
            Ok(Err(error)) => Probe::Unknown(DatabaseCause::from(error).described()),
            // A pooler lets many in and serves few.
            Err(_) => Probe::Unknown(ErrorClass::TimedOut.to_string()),
        }
    }
}

/// One query as the role that logged in, whose sessions are ours: `ALTER ROLE ... SET role` makes it work as another one,
/// which may neither see nor end them. It ends with the query, because behind a pooler the session is not ours alone.
fn as_login_role(sql: &str) -> String {
    format!("SET LOCAL ROLE NONE; {sql}")
}

/// The moment at which a session began, in words that no setting changes.
const STARTED: &str = "to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')";

/// What the server had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Probe {
    /// It works for us, or waits for a lock or the like.
    Busy,
    /// Each of our sessions waits for us to say something; which they are, and since when.
    Waiting(String),
    /// It works, and not on what we have marked.
    Unmarked,
    /// None of our sessions is there.
    Gone,
    /// It is there, and does not tell, for this reason.
    Unknown(String),
    /// It is not there.
    Unanswered(String),
}

impl Probe {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(match (row.try_get("is_marked")?, row.try_get("busy")?, row.try_get("locked")?) {
            (_, 0_i64, _) => Self::Waiting(row.try_get("states")?),
            (false, _, 0_i64) => Self::Unmarked,
            // A wait for a lock may be ours, and has a limit.
            _ => Self::Busy,
        })
    }

    /// How long to wait before the next look.
    fn pause(&self, patience: Timeouts) -> Duration {
        match self {
            Self::Unanswered(_) => patience.pause,
            _ => patience.silence,
        }
    }

    /// Why the server is lost, if this look and the one before agree on that.
    fn loss(
        &self,
        before: &Self,
        silent: Duration,
        patience: Timeouts,
        query_limit: Option<Duration>,
    ) -> Option<DatabaseCause> {
        let seconds = humantime::format_duration(Duration::from_secs(silent.as_secs()));
        let lost = |message: &str| Some(DatabaseCause::new(ErrorClass::ConnectionLost, message));
        let unanswered = |why: &str| lost(&format!("no answer from the server for {seconds} ({why})"));
        match (before, self) {
            (Self::Gone, Self::Gone) if silent >= LONGEST_PAUSE => lost("the server has ended the session"),
            (Self::Waiting(before), Self::Waiting(now)) if before == now && silent >= LONGEST_PAUSE => {
                lost("the server waits for us while we wait for it: something was lost on the way")
            }
            (Self::Unanswered(_), Self::Unanswered(why)) if silent >= patience.give_up => unanswered(why),
            (_, Self::Unmarked) if silent >= UNMARKED => unanswered("it works for others"),
            (_, Self::Unknown(why)) if query_limit.is_some_and(|limit| silent >= limit + LATE) => unanswered(why),
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
    fn begin(&self, stage: Phase, total: Amount) -> Box<dyn Meter + '_> {
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
    stage: Phase,
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

    const PATIENCE: Timeouts = Timeouts {
        silence: Duration::from_secs(10),
        pause: Duration::from_millis(2500),
        give_up: Duration::from_secs(40),
    };

    fn loss(before: &Probe, now: &Probe, seconds: u64) -> Option<ErrorClass> {
        now.loss(before, Duration::from_secs(seconds), PATIENCE, None).map(|cause| cause.class)
    }

    #[test]
    fn a_server_that_works_is_waited_for_as_long_as_it_takes() {
        let waiting = Probe::Waiting("7 since 12:00".to_owned());
        let unanswered = Probe::Unanswered("connection refused".to_owned());
        let unknown = Probe::Unknown("too many connections".to_owned());
        for before in [&Probe::Busy, &unknown, &Probe::Gone, &waiting, &unanswered, &Probe::Unmarked] {
            assert_eq!(loss(before, &Probe::Busy, 100_000), None, "{before:?}");
            assert_eq!(loss(before, &unknown, 100_000), None, "{before:?}");
        }
    }

    #[test]
    fn sessions_that_are_gone_or_wait_for_us_twice_are_lost() {
        let at = |time: &str| Probe::Waiting(format!("7 since {time}"));
        assert_eq!(loss(&Probe::Gone, &Probe::Gone, 20), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:00"), 20), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:01"), 20), None, "it did something in between");
        assert_eq!(loss(&at("12:00"), &at("12:00"), 2), None, "it may be a pause between two attempts");
        assert_eq!(loss(&Probe::Busy, &at("12:00"), 20), None, "its answer may be on the way");
        assert_eq!(loss(&Probe::Busy, &Probe::Gone, 20), None, "its last words may be on the way");
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_after_a_while() {
        let unanswered = Probe::Unanswered("no answer in time".to_owned());
        assert_eq!(loss(&unanswered, &unanswered, 39), None);
        assert_eq!(loss(&unanswered, &unanswered, 40), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&Probe::Busy, &unanswered, 50), None, "one attempt may fail");
        assert_eq!(loss(&Probe::Unmarked, &Probe::Unmarked, 39), None);
        assert_eq!(loss(&Probe::Busy, &Probe::Unmarked, 40), Some(ErrorClass::ConnectionLost));
    }

    #[test]
    fn where_queries_have_a_limit_so_does_the_wait_for_their_answers() {
        let unknown = Probe::Unknown("too many connections".to_owned());
        let limit = Some(Duration::from_secs(30));
        let loss = |seconds| unknown.loss(&unknown, Duration::from_secs(seconds), PATIENCE, limit);
        assert!(loss(37).is_none());
        assert_eq!(loss(38).map(|cause| cause.class), Some(ErrorClass::ConnectionLost));
    }
}
