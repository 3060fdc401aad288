//! Notices that a PostgreSQL server, or the way to it, has fallen silent, and ends what a run leaves behind there.
//!
//! A server may be silent for long because it builds an index, and the driver cannot have the operating
//! system find out whether the other end is still there. So when nothing has moved for a while another,
//! short connection asks the server what it does for us, which is [marked](crate::database::mark): as long as it works,
//! or waits for a lock, it is waited for; if it waits for us while we wait for it, something on the way was lost; and
//! if it does not answer at all, that is it. What is not marked takes no time, and is given up when it does.
//!
//! | module | what it is for |
//! |---|---|
//! | [`movement`] | what moves, and what the work is at |
//! | [`probe`] | what the server says of us, and what follows from that |
//! | [`sessions`] | our sessions on the server, and their end |
//! | [`login_role`] | queries as the role that logged in |

mod login_role;
mod movement;
mod probe;
mod sessions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::DatabaseConnection;
use sqlx::PgConnection;

use self::movement::{Away, Movements, Overheard};
use self::probe::{Probe, Timeouts};
use super::failure::{DatabaseCause, DatabaseError};
use super::url::{DatabaseUrl, PostgresqlAddress};
use crate::database::failure::{COMMIT_OUTCOME, Verb};
use crate::mutex::lock;
use crate::progress::Progress;

/// Watches over the work on one database. On SQLite there is nothing to watch.
pub(crate) struct Watch<'w> {
    address: Option<PostgresqlAddress>,
    /// What the work is for.
    action: (Verb, &'static str),
    on_commit: &'w (dyn Fn() + Sync),
    timeouts: Timeouts,
    /// How long each query may take.
    query_limit: Option<Duration>,
    /// The sessions that have joined, as an SQL condition each that holds when they have committed.
    committed: Mutex<Vec<String>>,
    movements: Movements,
    is_committing: AtomicBool,
}

impl<'w> Watch<'w> {
    /// Watches over work on this database, which is there to `action`. The URL's `connect_timeout`, if it is less than
    /// 10 s, is also how long the server may be silent before it is asked; after four times as long without an answer
    /// it is given up. `on_commit` is called when there is no way back.
    #[must_use]
    pub(crate) fn new(url: &DatabaseUrl, action: (Verb, &'static str), on_commit: &'w (dyn Fn() + Sync)) -> Self {
        let address = match url {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgresql(address) => Some(address.clone()),
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

    /// The same where the server itself gives up each query after `limit`: an answer that is later than that is lost,
    /// also where the role has no connection left to ask over.
    #[must_use]
    pub(crate) fn with_query_limit(self, limit: Option<Duration>) -> Self {
        Self { query_limit: limit, ..self }
    }

    /// Takes each answer on a connection for a movement.
    pub(crate) fn attach(&self, connection: &mut DatabaseConnection) {
        let moves = self.movements.counter();
        connection.set_metric_callback(move |_| {
            moves.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Marks a transaction that was begun without SeaORM, so that it is asked after and that [`Watch::end_sessions`]
    /// ends it. Its session is ended also where it has done nothing since the COMMIT, whose answer did not come.
    ///
    /// # Errors
    /// Whatever the server answers.
    pub(crate) async fn join(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let conditions = sessions::join(connection).await?;
        lock(&self.committed).extend(conditions);
        Ok(())
    }

    /// Says that a COMMIT is on its way: from now on nobody knows without its answer.
    pub(crate) fn commit_begins(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
        (self.on_commit)();
    }

    /// Whether a COMMIT was on its way.
    #[must_use]
    pub(crate) fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Passes on what work tells of its progress, and takes every word of it for a movement.
    #[must_use]
    pub(crate) fn over_progress<'p>(&'p self, progress: &'p dyn Progress) -> impl Progress + 'p {
        Overheard { movements: &self.movements, progress }
    }

    /// Runs a part of the work that waits for something else than the server, for instance the source of a move.
    pub(crate) async fn elsewhere<T>(&self, work: impl Future<Output = T>) -> T {
        let _away = Away::begin(&self.movements);
        work.await
    }

    /// Runs work on the server to its end, or until the server is known to be lost. Then the work is dropped.
    ///
    /// # Errors
    /// The work's own, or [`ConnectionLost`](super::failure::ErrorClass::ConnectionLost) with what the work was at.
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
        let action = match (self.is_committing(), self.movements.take_phase()) {
            (true, _) => COMMIT_OUTCOME.into(),
            (false, Some(phase)) => (Verb::Continue, phase.to_string()).into(),
            (false, None) => self.action.into(),
        };
        Err(DatabaseError { action, cause }.into())
    }

    /// Ends what the server still does for this process, without waiting for long. A server that builds an index would
    /// not notice for a while that nobody listens any more. Says whether nothing is left.
    pub(crate) async fn end_sessions(&self) -> bool {
        let Some(address) = &self.address else { return true };
        let conditions = lock(&self.committed).clone();
        sessions::end(address, conditions).await
    }

    /// Ends when the server is lost, and says why.
    async fn loss(&self, address: &PostgresqlAddress) -> DatabaseCause {
        let (mut moves, mut moved_at) = (self.movements.count(), Instant::now());
        let mut before = Probe::Busy;
        loop {
            tokio::time::sleep(before.pause(self.timeouts)).await;
            let now = match self.movements.has_moved(&mut moves) {
                true => Probe::Busy,
                false => Probe::ask(address, self.timeouts).await,
            };
            // The answer may have come while it was asked for.
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
