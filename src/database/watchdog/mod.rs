//! Detects a PostgreSQL server, or a network path to it, that stopped responding, and ends this process's sessions
//! there.
//!
//! A server may be silent for long while it builds an index, and TCP's keepalives do not notice a server that hangs, or a
//! message that was lost. So after a while without activity a second, short connection asks the server about our
//! sessions, which are [marked](crate::database::mark). If the server works for us or waits for a lock, the watchdog
//! waits. If the server waits for us while we wait for the server, a message was lost. If the server does not answer
//! either, the connection is lost. Work that is not marked is short, and fails after a fixed limit.
//!
//! | module | what it is for |
//! |---|---|
//! | [`movement`] | counts activity, and knows the current phase of the work |
//! | [`probe`] | asks the server about our sessions, and decides whether it is lost |
//! | [`sessions`] | finds and ends our sessions on the server |
//! | [`login_role`] | queries as the role that logged in |

mod login_role;
mod movement;
mod probe;
mod sessions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use self::movement::{Away, Movements, WatchedProgress};
use self::probe::{Probe, Timeouts};
use super::failure::{DatabaseCause, DatabaseError};
use super::url::{DatabaseUrl, PostgresqlAddress};
use crate::database::connection::Connection;
use crate::database::failure::{COMMIT_OUTCOME, Verb};
use crate::mutex::lock;
use crate::progress::Progress;

/// Watches the work on one PostgreSQL database. Does nothing on SQLite.
pub(crate) struct Watch<'w> {
    address: Option<PostgresqlAddress>,
    /// The action of the error if the server is lost.
    action: (Verb, &'static str),
    on_commit: &'w (dyn Fn() + Sync),
    timeouts: Timeouts,
    query_limit: Option<Duration>,
    /// For each joined session the SQL condition that it has committed.
    committed: Mutex<Vec<String>>,
    movements: Movements,
    is_committing: AtomicBool,
}

impl<'w> Watch<'w> {
    /// Watches work on a database; `action` names the work in the error. If the URL's `connect_timeout` is less than 10
    /// s, it is also the time without activity until the first question; after four times as long without an answer the
    /// work fails. `on_commit` is called right before a COMMIT.
    #[must_use]
    pub(crate) fn new(url: &DatabaseUrl, action: (Verb, &'static str), on_commit: &'w (dyn Fn() + Sync)) -> Self {
        let address = match url {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgresql(address) => Some(PostgresqlAddress::clone(address)),
        };
        Self {
            timeouts: address.as_ref().map_or_else(Timeouts::unused, Timeouts::of),
            address,
            action,
            on_commit,
            query_limit: None,
            committed: Mutex::default(),
            movements: Movements::default(),
            is_committing: AtomicBool::default(),
        }
    }

    /// Sets the limit that the server itself has for each query. An answer that is much later is lost, even if the role
    /// has no free connection to ask over.
    #[must_use]
    pub(crate) fn with_query_limit(self, limit: Option<Duration>) -> Self {
        Self { query_limit: limit, ..self }
    }

    /// Counts each answer on this connection as activity.
    pub(crate) fn attach(&self, connection: &mut Connection) {
        connection.count_answers(self.movements.counter());
    }

    /// Marks a transaction that was not begun by SeaORM, so that it is watched and that [`Watch::end_sessions`] ends
    /// it. Its session is also ended if it has been idle since a COMMIT whose answer was lost.
    pub(crate) async fn join(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let conditions = sessions::join(connection).await?;
        lock(&self.committed).extend(conditions);
        Ok(())
    }

    /// Records that a COMMIT was sent: from now on only its answer shows whether it took place.
    pub(crate) fn commit_begins(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
        (self.on_commit)();
    }

    /// Whether a COMMIT was sent.
    #[must_use]
    pub(crate) fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Forwards the progress of the work, and counts each report as activity.
    #[must_use]
    pub(crate) fn over_progress<'p>(&'p self, progress: &'p dyn Progress) -> impl Progress + 'p {
        WatchedProgress { movements: &self.movements, progress }
    }

    /// Runs work that does not wait for the server, such as reading the source of a migration.
    pub(crate) async fn elsewhere<T>(&self, work: impl Future<Output = T>) -> T {
        let _away = Away::begin(&self.movements);
        work.await
    }

    /// Runs work until it ends or the server is lost; then the work is dropped.
    ///
    /// # Errors
    /// The work's own, or [`ConnectionLost`](super::failure::ErrorClass::ConnectionLost) with the phase of the work.
    pub(crate) async fn over<T, E: From<DatabaseError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // The future may be large, and all callers' futures would contain it.
        let work = Box::pin(work);
        let Some(address) = &self.address else { return work.await };
        let cause = tokio::select! {
            biased;
            result = work => return result,
            cause = Box::pin(self.loss(address)) => cause,
        };
        // The lost session may still hold its locks, possibly for hours.
        Box::pin(self.end_sessions()).await;
        let action = match (self.is_committing(), self.movements.take_phase()) {
            (true, _) => COMMIT_OUTCOME.into(),
            (false, Some(phase)) => (Verb::Continue, phase.to_string()).into(),
            (false, None) => self.action.into(),
        };
        Err(DatabaseError { action, cause }.into())
    }

    /// Ends all sessions of this process on the server, within a short limit. A server that builds an index would
    /// notice only later that its client is gone. Returns whether no session is left.
    pub(crate) async fn end_sessions(&self) -> bool {
        let Some(address) = &self.address else { return true };
        let conditions = lock(&self.committed).clone();
        sessions::end(address, conditions).await
    }

    /// Returns the reason when the server is lost.
    async fn loss(&self, address: &PostgresqlAddress) -> DatabaseCause {
        let (mut moves, mut moved_at) = (self.movements.count(), Instant::now());
        let mut before = Probe::Busy;
        loop {
            tokio::time::sleep(before.pause(self.timeouts)).await;
            // Each attempt to connect has a limit of its own.
            let is_connecting = address.reached().is_none();
            let now = match self.movements.has_moved(&mut moves) || is_connecting {
                true => Probe::Busy,
                false => Probe::ask(address, self.timeouts).await,
            };
            // The answer may have arrived during the question.
            if now == Probe::Busy || self.movements.has_moved(&mut moves) {
                (moved_at, before) = (Instant::now(), Probe::Busy);
                continue;
            }
            if let Some(cause) = now.loss(&before, moved_at.elapsed(), self.timeouts, self.query_limit) {
                return cause;
            }
            before = now;
        }
    }
}
