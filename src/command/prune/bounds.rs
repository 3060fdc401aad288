//! The limits of each part of a run: a server that does not answer, a signal, the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::Stop;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// How long the current batch may still take after a signal or the deadline before it is rolled back.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A part of the work is cancelled [`GRACE`] after the deadline.
pub(crate) struct Bounds<'b> {
    pub(crate) interrupt: &'b Interrupt,
    pub(crate) watch: &'b Arc<Watch<'static>>,
    pub(crate) deadline: Option<Instant>,
}

impl Bounds<'_> {
    /// Runs a part of the work within the limits.
    pub(crate) async fn over<T>(
        &self,
        action: (Verb, &'static str),
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let bounded = tokio::time::timeout(self.left(), self.interrupt.or(self.watch.over(work)));
        let Ok(result) = bounded.await else {
            self.watch.end_sessions().await;
            return Err(out_of_time(action).into());
        };
        result?
    }

    /// Runs a query that only completes the summary.
    pub(crate) async fn look_back<T>(
        &self,
        stopped: Option<&Stop>,
        query: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Option<T> {
        let query = self.interrupt.or(self.watch.over(query));
        tokio::time::timeout(self.at_the_end(stopped), query).await.ok()?.ok()?.ok()
    }

    /// How long a query that only completes the summary may take: less after a stop.
    pub(crate) fn at_the_end(&self, stopped: Option<&Stop>) -> Duration {
        if stopped.is_some() { GRACE } else { self.left() }
    }

    pub(crate) fn left(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()) + GRACE)
    }
}

/// The error of a part that `--max-duration` cancelled.
pub(crate) fn out_of_time(action: (Verb, &'static str)) -> DatabaseError {
    let message = "not done within `--max-duration`: the server is slow or does not answer";
    DatabaseError { action: action.into(), cause: DatabaseCause::new(ErrorClass::TimedOut, message) }
}
