//! The size of batches and the pauses between them. The size adapts so that a batch takes a given time.

use std::time::Duration;

use crate::progress::Amount;

/// The largest batch while other sessions wait for it, which also bounds the server's log.
const MOST: Amount = Amount { rows: 100_000, bytes: 64 * 1024 * 1024 };
/// The pauses of SQLite's busy handler: how long a program has waited, and its next pause, in milliseconds. Source:
/// `sqliteDefaultBusyCallback`.
const SLEEPS: [(u64, u64); 7] = [(3, 5), (8, 10), (18, 15), (33, 20), (53, 25), (128, 50), (228, 100)];
/// How long a program takes to begin after its pause.
const GRACE: Duration = Duration::from_millis(5);

/// The limits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub time: Duration,
    /// The largest size, if there is one.
    pub most: Option<Amount>,
    /// The largest factor between one batch and the next.
    pub growth: u32,
}

impl Budget {
    /// A batch that other sessions may wait for.
    #[must_use]
    pub(crate) fn contended(time: Duration) -> Self {
        Self { time, most: Some(MOST), growth: 2 }
    }
}

/// Decides the size of the next batch, in units such as sessions.
#[derive(Debug, Clone)]
pub(crate) struct BatchSizer {
    size: u32,
    /// The size that was too large.
    ceiling: u32,
}

/// A finished batch, or two at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// The number of units that it was given.
    pub units: usize,
    pub amount: Amount,
    pub time: Duration,
}

impl Default for BatchSizer {
    /// Begins with one unit, because their size is unknown.
    fn default() -> Self {
        Self { size: 1, ceiling: u32::MAX }
    }
}

impl BatchSizer {
    /// The size of the next batch.
    #[must_use]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Adapts the size to a finished batch.
    pub(crate) fn learn(&mut self, done: &Measured, budget: &Budget) {
        let ratio =
            |limit: u128, used: u128| u32::try_from(done.units as u128 * limit / used.max(1)).unwrap_or(u32::MAX);
        let mut fitting = ratio(budget.time.as_micros(), done.time.as_micros());
        if done.time < budget.time {
            // A part of the time does not depend on the size: alone it would keep short batches at one unit.
            fitting = fitting.max(u32::try_from(done.units).unwrap_or(u32::MAX).saturating_add(1));
        }
        if let Some(most) = budget.most {
            fitting = fitting.min(ratio(most.rows.into(), done.amount.rows.into()));
            fitting = fitting.min(ratio(most.bytes.into(), done.amount.bytes.into()));
        }
        let largest = self.size.saturating_mul(budget.growth).min(self.ceiling);
        // A size that was too large may fit later.
        self.ceiling = self.ceiling.saturating_add(self.ceiling / 8 + 1);
        self.size = fitting.clamp(1, largest.max(1));
    }

    /// Halves the size, after a batch that was too large or that had a unit which cannot be removed.
    pub(crate) fn halve(&mut self, taken: usize) {
        self.size = u32::try_from(taken / 2).unwrap_or(u32::MAX).max(1);
    }

    /// Makes the next batch smaller than the last one.
    pub(crate) fn limit(&mut self) {
        self.ceiling = (self.size / 2).max(1);
        self.size = self.ceiling;
    }

    /// Forgets the size, because other sessions have begun to work.
    pub(crate) fn restart(&mut self) {
        self.size = 1;
    }
}

/// The pause after a batch that kept other programs waiting for `held`, so that each of them gets the lock: the longest
/// pause of SQLite's busy handler after such a wait.
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
    fn a_batch_grows_while_there_is_time_left_whatever_each_one_costs() {
        let mut sizer = BatchSizer::default();
        let budget = Budget::contended(TIME);
        for _ in 0..20 {
            // 30 ms, and 4 ms for each unit.
            sizer.learn(&done(sizer.size() as usize, 30 + 4 * u64::from(sizer.size())), &budget);
        }
        assert!((4..=5).contains(&sizer.size()), "{}", sizer.size());
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
