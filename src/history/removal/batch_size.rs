//! How much one transaction removes, and how long the next one waits: as much as fits into a given time.

use std::time::Duration;

use crate::progress::Amount;

/// The most that one transaction removes while others wait for it: what it holds in the server's log has a bound.
const MOST: Amount = Amount { rows: 100_000, bytes: 64 * 1024 * 1024 };
/// How SQLite's busy handler sleeps until it tries again: how long a program has waited, and its next sleep, in
/// milliseconds. Source: `sqliteDefaultBusyCallback`.
const SLEEPS: [(u64, u64); 7] = [(3, 5), (8, 10), (18, 15), (33, 20), (53, 25), (128, 50), (228, 100)];
/// How long it takes a writer that has woken up to begin.
const GRACE: Duration = Duration::from_millis(5);

/// What a batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How long it takes.
    pub time: Duration,
    /// How much it removes at most, if there is a limit.
    pub most: Option<Amount>,
    /// How much larger than the last one it may be.
    pub growth: u32,
}

impl Budget {
    /// A batch that others may have to wait for.
    #[must_use]
    pub(crate) fn contended(time: Duration) -> Self {
        Self { time, most: Some(MOST), growth: 2 }
    }
}

/// How many units, such as sessions, the next batch takes.
#[derive(Debug, Clone)]
pub(crate) struct BatchSizer {
    size: u32,
    /// The size that was too large.
    ceiling: u32,
}

/// A batch that is over, or two at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// The units that it took.
    pub units: usize,
    /// What it removed.
    pub amount: Amount,
    /// How long it took.
    pub time: Duration,
}

impl Default for BatchSizer {
    /// Begins with one: nobody knows how large they are.
    fn default() -> Self {
        Self { size: 1, ceiling: u32::MAX }
    }
}

impl BatchSizer {
    /// The units that the next batch takes.
    #[must_use]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Learns from a batch what the next one takes.
    pub(crate) fn learn(&mut self, done: &Measured, budget: &Budget) {
        let ratio =
            |limit: u128, used: u128| u32::try_from(done.units as u128 * limit / used.max(1)).unwrap_or(u32::MAX);
        let mut fitting = ratio(budget.time.as_micros(), done.time.as_micros());
        if let Some(most) = budget.most {
            fitting = fitting.min(ratio(most.rows.into(), done.amount.rows.into()));
            fitting = fitting.min(ratio(most.bytes.into(), done.amount.bytes.into()));
        }
        let largest = self.size.saturating_mul(budget.growth).min(self.ceiling);
        // What was too large then may fit later.
        self.ceiling = self.ceiling.saturating_add(self.ceiling / 8 + 1);
        self.size = fitting.clamp(1, largest.max(1));
    }

    /// A batch was too large, or one of its units cannot be removed: half of what it took.
    pub(crate) fn halve(&mut self, taken: usize) {
        self.size = u32::try_from(taken / 2).unwrap_or(u32::MAX).max(1);
    }

    /// No batch may be as large as the last one.
    pub(crate) fn limit(&mut self) {
        self.ceiling = (self.size / 2).max(1);
        self.size = self.ceiling;
    }

    /// What was learned no longer holds: others have come.
    pub(crate) fn restart(&mut self) {
        self.size = 1;
    }
}

/// How long to pause after a batch that kept others waiting for `held`, so that each program that waits gets the lock:
/// as long as SQLite lets one sleep that has waited since the batch began.
#[must_use]
pub(crate) fn pause_for_waiters(held: Duration) -> Duration {
    let waited = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    let sleep = SLEEPS.iter().rev().find(|(since, _)| waited >= *since).map_or(2, |(_, sleep)| *sleep);
    Duration::from_millis(sleep) + GRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(units: usize, time_ms: u64) -> Measured {
        Measured { units, amount: Amount { rows: 10, bytes: 10 }, time: Duration::from_millis(time_ms) }
    }

    const TIME: Duration = Duration::from_millis(50);

    #[test]
    fn a_batch_grows_by_steps_and_shrinks_at_once() {
        let mut sizer = BatchSizer::default();
        let budget = Budget::contended(TIME);
        let sizes = [2, 4, 8].map(|_| {
            sizer.learn(&done(sizer.size() as usize, 1), &budget);
            sizer.size()
        });
        assert_eq!(sizes, [2, 4, 8]);
        sizer.learn(&done(8, 400), &budget);
        assert_eq!(sizer.size(), 1);
        sizer.learn(&done(1, 400), &budget);
        assert_eq!(sizer.size(), 1);
    }

    #[test]
    fn a_batch_is_bounded_by_rows_and_bytes_and_by_what_was_too_large() {
        let mut sizer = BatchSizer { size: 100, ceiling: u32::MAX };
        let budget = Budget::contended(TIME);
        let amount = Amount { rows: 2 * MOST.rows, bytes: 10 };
        sizer.learn(&Measured { amount, ..done(100, 1) }, &budget);
        assert_eq!(sizer.size(), 50);
        let amount = Amount { rows: 10, bytes: 5 * MOST.bytes };
        sizer.learn(&Measured { amount, ..done(50, 1) }, &budget);
        assert_eq!(sizer.size(), 10);
        sizer.limit();
        let sizes = [5, 6, 7].map(|_| {
            sizer.learn(&done(sizer.size() as usize, 1), &budget);
            sizer.size()
        });
        assert_eq!(sizes, [5, 6, 7]);
    }

    #[test]
    fn others_are_given_as_long_as_the_busy_handler_sleeps() {
        let pause = |held| pause_for_waiters(Duration::from_millis(held)).as_millis();
        assert_eq!([0, 25, 33, 100, 130, 5000].map(pause), [7, 20, 25, 30, 55, 105]);
    }
}
