//! What to do after a failed batch: another batch, another connection, or a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DbBackend;

use super::history::OpenHistory;
use super::outcome::Stop;
use super::removal::{Failing, Removal, add};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::database::sqlite_holder;
use crate::error::Error;
use crate::format;
use crate::history::removal::batch_error::{BatchError, FailedIn};
use crate::schema::lock::{Blocked, holder_against, with_holder};

/// The shortest time limit of an attempt to reconnect.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);
/// The first and the longest pause after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// What to do after a failed batch of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Use smaller batches from now on.
    LimitSize,
    /// Retry later: the rows are not the cause.
    TryAgain,
    /// Retry with half as many sessions, until the failing one is found.
    Halve,
    /// Skip the session in this pass, because another session has locked rows or tables that it needs.
    PassOver,
    /// Leave out the session.
    LeaveOut,
}

impl Remedy {
    /// Decides for a batch of at most `size` sessions, of which `taken` were picked.
    pub(crate) fn for_sessions(error: &BatchError, backend: DbBackend, size: u32, taken: usize) -> Self {
        if is_too_large(error, size) {
            Self::LimitSize
        } else if taken == 0 || !is_about_rows(error, backend) {
            Self::TryAgain
        } else if size > 1 {
            Self::Halve
        } else if is_contention(error.cause.class) {
            Self::PassOver
        } else {
            Self::LeaveOut
        }
    }
}

/// Whether the batch was cancelled because it was too large.
pub(crate) fn is_too_large(error: &BatchError, size: u32) -> bool {
    let class = error.cause.class;
    let needs_less = matches!(class, ErrorClass::TimedOut | ErrorClass::DiskFull | ErrorClass::OutOfResources);
    error.place == FailedIn::Database && needs_less && size > 1
}

/// Whether the cause is in the rows, not in the database or the connection.
fn is_about_rows(error: &BatchError, backend: DbBackend) -> bool {
    use ErrorClass::{Busy, Conflict, Constraint, Corrupt, Data, Needed, Other, TimedOut};
    match (error.place, error.cause.class) {
        // A server finds damage in a row, or a page, and SQLite in the file.
        (FailedIn::Database, Corrupt) => backend == DbBackend::Postgres,
        // SQLite has one writer at a time, which locks the whole file.
        (_, Busy) if backend == DbBackend::Sqlite => false,
        (FailedIn::Database, class) => {
            matches!(class, Busy | Conflict | Constraint | Data | Needed | Other | TimedOut)
        }
        (FailedIn::Archive, class) => matches!(class, Constraint | Data),
        (FailedIn::Schema | FailedIn::PruneLock, _) => false,
    }
}

/// Whether another session holds a lock that the batch needs.
pub(crate) fn is_contention(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Busy | ErrorClass::Conflict)
}

/// Whether another program has locked the archive.
fn is_locked_archive(error: &BatchError) -> bool {
    error.place == FailedIn::Archive && error.cause.class == ErrorClass::Busy
}

fn is_transient(error: &Error) -> bool {
    match error {
        Error::Connect(error) => error.cause.class.is_transient(),
        Error::Database(error) => error.cause.class.is_transient(),
        _ => false,
    }
}

impl Removal<'_> {
    /// After a failed batch: records what its commit may have done, and replaces a broken connection.
    pub(crate) async fn replace_spoilt_connection(&mut self, error: BatchError) -> Result<BatchError, Stop> {
        if let Some(uncommitted) = &error.uncommitted {
            self.outcome.is_doubtful = true;
            add(&mut self.outcome.uncommitted, uncommitted);
        }
        // `try_again` waits for a server that was lost.
        if error.spoils_connection(self.history.selection.backend()) && !error.cause.class.is_before_login() {
            let watch = Arc::clone(&self.history.watch);
            match self.interrupt.or(watch.over(self.history.renew_connection())).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(Stop::TakenOver),
                Err(signal) => return Err(Stop::Signal(signal)),
                Ok(Err(renewing)) => {
                    tracing::warn!("cannot reconnect: {renewing}");
                    return Err(Stop::Failed(DatabaseError::from(error).into()));
                }
            }
        }
        Ok(error)
    }

    /// Since when every attempt has failed.
    fn failing(&mut self) -> &mut Failing {
        self.failing.get_or_insert_with(|| Failing { since: Instant::now(), is_reported: false })
    }

    /// Whether every attempt has failed for `--retry-for`, which begins with the first call.
    pub(crate) fn is_retried_enough(&mut self) -> bool {
        self.failing().since.elapsed() >= self.limits.retry_for
    }

    /// Reports once that the attempts fail and are repeated.
    fn report_retry(&mut self, error: &BatchError) {
        let limit = format::duration(self.limits.retry_for);
        if !std::mem::replace(&mut self.failing().is_reported, true) {
            tracing::warn!("{error}: {}; retrying for up to {limit}", error.cause.described());
        }
    }

    /// Waits before the rows are tried again that other sessions have locked.
    pub(crate) async fn wait_for_locks(&mut self, error: &BatchError) -> Result<(), Stop> {
        self.report_locks(error).await?;
        self.rest(PAUSES[0]).await
    }

    /// Reports once that rows are locked, and are tried again, and by whom a table is.
    pub(crate) async fn report_locks(&mut self, error: &BatchError) -> Result<(), Stop> {
        let is_first = !self.failing().is_reported;
        self.report_retry(error);
        if is_first {
            let OpenHistory { watch, connection, .. } = &*self.history;
            let holder = watch.over(async { Ok::<_, BatchError>(holder_against(connection, Blocked::Deletes).await?) });
            if let Ok(Some(holder)) = self.interrupt.or(holder).await.map_err(Stop::Signal)? {
                tracing::warn!("one of TARSy's tables is locked by {holder}");
            }
        }
        Ok(())
    }

    /// The same error with the session or process that has locked what the batch needs.
    pub(crate) async fn with_holder(&self, error: BatchError) -> Result<BatchError, Stop> {
        let OpenHistory { watch, connection, url, archive, .. } = &*self.history;
        if let Some(archive) = archive.as_ref().filter(|_| is_locked_archive(&error)) {
            return Ok(BatchError { cause: sqlite_holder::locked(archive.path()), ..error });
        }
        if error.place != FailedIn::Database {
            return Ok(error);
        }
        let named = with_holder(connection, url, Blocked::Deletes, error.cause.clone());
        let named = self.interrupt.or(watch.over(async { Ok::<_, BatchError>(named.await) })).await;
        let cause = named.map_err(Stop::Signal)?.unwrap_or_else(|_| error.cause.clone());
        Ok(BatchError { cause, ..error })
    }

    /// Waits before the next attempt, and reconnects if that is needed.
    pub(crate) async fn try_again(&mut self, mut error: BatchError) -> Result<(), Stop> {
        let Failing { since, is_reported } = *self.failing();
        if !is_reported || since.elapsed() >= self.limits.retry_for {
            error = self.with_holder(error).await?;
        }
        let class = error.cause.class;
        let keeps_connection = is_contention(class) || self.history.selection.backend() == DbBackend::Sqlite;
        // The lost connection is not used again.
        self.history.is_connected &= keeps_connection || !class.is_before_login();
        self.outcome.is_doubtful |= !keeps_connection && class.is_before_login();
        let may_pass = error.place == FailedIn::Database || is_locked_archive(&error);
        if !may_pass || !class.is_transient() || since.elapsed() >= self.limits.retry_for {
            return Err(Stop::Failed(DatabaseError::from(error).into()));
        }
        self.report_retry(&error);
        if keeps_connection { self.rest(PAUSES[0]).await } else { self.reconnect_until_it_succeeds(since).await }
    }

    /// Reconnects, with increasing pauses, until the time is over.
    async fn reconnect_until_it_succeeds(&mut self, since: Instant) -> Result<(), Stop> {
        let [mut pause, longest] = PAUSES;
        loop {
            self.rest(pause).await?;
            pause = (pause * 2).min(longest);
            if self.is_too_late() {
                return Err(Stop::Deadline);
            }
            let is_over = since.elapsed() >= self.limits.retry_for;
            match self.reconnect(since).await {
                Ok(true) => break,
                Err(Error::Interrupted(signal)) => return Err(Stop::Signal(signal)),
                Ok(false) if is_over => return Err(Stop::TakenOver),
                Err(error) if is_over || !is_transient(&error) => return Err(Stop::Failed(error)),
                Ok(false) | Err(_) => {}
            }
        }
        tracing::info!("reconnected to {}", self.history.url);
        Ok(())
    }

    /// Tries once to reconnect, within the remaining time.
    async fn reconnect(&mut self, since: Instant) -> Result<bool, Error> {
        let mut left = self.limits.retry_for.saturating_sub(since.elapsed());
        if let Some(deadline) = self.limits.deadline {
            left = left.min(deadline.saturating_duration_since(Instant::now()));
        }
        let reconnected = tokio::time::timeout(left.max(SHORTEST_ATTEMPT), Box::pin(self.history.reconnect()));
        let reconnected = self.interrupt.or(reconnected).await?;
        reconnected.unwrap_or_else(|_| {
            let cause = DatabaseCause::new(ErrorClass::TimedOut, "no answer in the remaining time");
            Err(DatabaseError { action: (Verb::Connect, "the database again").into(), cause }.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(place: FailedIn, class: ErrorClass) -> BatchError {
        let cause = DatabaseCause::new(class, "no");
        BatchError { action: (Verb::Remove, "a batch").into(), place, uncommitted: None, cause }
    }

    fn remedy(place: FailedIn, class: ErrorClass, size: u32) -> Remedy {
        Remedy::for_sessions(&failed(place, class), DbBackend::Postgres, size, 1)
    }

    #[test]
    fn a_batch_that_fails_for_its_rows_is_halved_down_to_the_session() {
        let [many, one] = [8, 1].map(|size| remedy(FailedIn::Database, ErrorClass::Constraint, size));
        assert_eq!((many, one), (Remedy::Halve, Remedy::LeaveOut));
        assert_eq!(remedy(FailedIn::Archive, ErrorClass::Data, 1), Remedy::LeaveOut);
        assert_eq!(remedy(FailedIn::Database, ErrorClass::Corrupt, 1), Remedy::LeaveOut);
        let of_file = Remedy::for_sessions(&failed(FailedIn::Database, ErrorClass::Corrupt), DbBackend::Sqlite, 1, 1);
        assert_ne!(of_file, Remedy::LeaveOut);
        assert_eq!(remedy(FailedIn::Archive, ErrorClass::Busy, 1), Remedy::TryAgain);
        assert_eq!(remedy(FailedIn::Schema, ErrorClass::Other, 8), Remedy::TryAgain);
    }

    #[test]
    fn a_batch_that_takes_too_long_limits_the_size_and_a_session_that_does_is_left_out() {
        assert_eq!(remedy(FailedIn::Database, ErrorClass::TimedOut, 8), Remedy::LimitSize);
        assert_eq!(remedy(FailedIn::Database, ErrorClass::TimedOut, 1), Remedy::LeaveOut);
        assert_eq!(remedy(FailedIn::Database, ErrorClass::OutOfResources, 8), Remedy::LimitSize);
        assert_eq!(remedy(FailedIn::Database, ErrorClass::OutOfResources, 1), Remedy::TryAgain);
    }

    #[test]
    fn locked_rows_are_passed_over_and_a_locked_file_is_waited_for() {
        let busy = failed(FailedIn::Database, ErrorClass::Busy);
        assert_eq!(Remedy::for_sessions(&busy, DbBackend::Postgres, 1, 1), Remedy::PassOver);
        assert_eq!(Remedy::for_sessions(&busy, DbBackend::Sqlite, 1, 1), Remedy::TryAgain);
        assert_eq!(Remedy::for_sessions(&busy, DbBackend::Postgres, 1, 0), Remedy::TryAgain);
    }
}
