//! The state of a running removal: limits, progress, pauses.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::history::OpenHistory;
use super::outcome::{RemovalOutcome, Stop};
use crate::history::removal::batch_error::Removed;
use crate::history::removal::contention::Activity;
use crate::history::tables::SESSIONS;
use crate::interrupt::{Interrupt, Signal};
use crate::progress::{Amount, Meter};

/// The limits of a removal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// The target duration of a batch; `None` adapts to the concurrent load.
    pub(crate) batch_time: Option<Duration>,
    /// The deadline of `--max-duration`.
    pub(crate) deadline: Option<Instant>,
    pub(crate) retry_for: Duration,
    /// Whether one batch is attempted however long the planning took: all but `--max-duration 0s`.
    pub(crate) has_first_batch: bool,
}

pub(crate) struct Removal<'r> {
    pub(crate) history: &'r mut OpenHistory,
    pub(crate) limits: RunLimits,
    pub(crate) interrupt: &'r Interrupt,
    pub(crate) outcome: RemovalOutcome,
    pub(crate) stopping: Stopping,
    /// `None` after a batch that succeeded.
    pub(crate) failing: Option<Failing>,
    /// Whether a batch was begun.
    pub(crate) has_attempted: bool,
    /// The activity of other sessions at the last batch.
    pub(crate) activity: Option<Activity>,
    meter: &'r dyn Meter,
    planned: Amount,
}

/// Every attempt has failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    pub(crate) since: Instant,
    pub(crate) is_reported: bool,
}

/// A signal that arrived during a batch.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    pub(crate) signal: Cell<Option<Signal>>,
    /// Whether the COMMIT was already sent.
    pub(crate) is_committing: Cell<bool>,
    /// Whether a batch was cancelled midway.
    pub(crate) is_cut_off: Cell<bool>,
}

impl<'r> Removal<'r> {
    /// Prepares a removal. `planned` is the amount of all rows to remove.
    pub(crate) fn new(
        history: &'r mut OpenHistory,
        limits: RunLimits,
        interrupt: &'r Interrupt,
        meter: &'r dyn Meter,
        planned: Amount,
    ) -> Self {
        let rows = history.plan.tables.iter().map(|table| (table.table, 0)).collect();
        let outcome = RemovalOutcome { rows, ..RemovalOutcome::default() };
        Self {
            history,
            limits,
            interrupt,
            outcome,
            stopping: Stopping::default(),
            failing: None,
            has_attempted: false,
            activity: None,
            meter,
            planned,
        }
    }

    /// The number of sessions removed so far.
    pub(crate) fn sessions(&self) -> u64 {
        self.outcome.rows.get(SESSIONS).copied().unwrap_or_default()
    }

    /// Records committed rows.
    pub(crate) fn count(&mut self, removed: &Removed) -> Amount {
        let amount = self.planned.part(removed.values().sum());
        self.meter.advance(amount);
        add(&mut self.outcome.rows, removed);
        amount
    }

    /// Whether the deadline is over.
    pub(crate) fn is_too_late(&self) -> bool {
        let may_stop = self.has_attempted || !self.limits.has_first_batch;
        may_stop && self.limits.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Pauses, unless it is time to stop.
    pub(crate) async fn rest(&mut self, pause: Duration) -> Result<(), Stop> {
        self.heed_signal()?;
        let left = self.limits.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let rest = tokio::time::sleep(pause.min(left.unwrap_or(Duration::MAX)));
        if pause.is_zero() {
            return Ok(());
        }
        self.interrupt.or(rest).await.map_err(Stop::Signal)
    }

    /// Stops if a signal arrived during the last batch.
    pub(crate) fn heed_signal(&self) -> Result<(), Stop> {
        self.stopping.signal.get().map_or(Ok(()), |signal| Err(Stop::Signal(signal)))
    }
}

pub(crate) fn add(sum: &mut Removed, removed: &Removed) {
    for (table, rows) in removed {
        *sum.entry(table).or_default() += rows;
    }
}
