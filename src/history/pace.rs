//! How much one transaction removes, and how long the next one waits: as much as keeps others waiting for no longer
//! than a given time.

use std::time::Duration;

use crate::progress::Amount;

/// The most that one transaction removes, however fast the database is: what it holds in memory and in the server's
/// log has a bound.
const MOST: Amount = Amount { rows: 100_000, bytes: 64 * 1024 * 1024 };
/// How much larger than the last batch the next one may be.
const GROWTH: u32 = 2;
/// How SQLite's busy handler sleeps until it tries again: how long somebody has waited, and the next sleep, in
/// milliseconds. Source: `sqliteDefaultBusyCallback`.
const SLEEPS: [(u64, u64); 7] = [(3, 5), (8, 10), (18, 15), (33, 20), (53, 25), (128, 50), (228, 100)];
/// How long it takes a writer that has woken up to begin.
const GRACE: Duration = Duration::from_millis(5);

/// How many units, such as sessions, the next batch takes.
#[derive(Debug, Clone)]
pub struct Pace {
    size: u32,
}

/// A batch that is over.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// The units that it took.
    pub units: usize,
    /// What it removed.
    pub amount: Amount,
    /// How long it kept others waiting.
    pub held: Duration,
}

impl Pace {
    /// Begins with a few.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { size }
    }

    /// The units that the next batch takes.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Learns from a batch: the next one aims at `target`.
    pub fn learn(&mut self, done: &Done, target: Duration) {
        let ratio = |limit: u128, used: u128| u32::try_from(done.units as u128 * limit / used.max(1));
        let fitting = [
            ratio(target.as_micros(), done.held.as_micros()),
            ratio(MOST.rows.into(), done.amount.rows.into()),
            ratio(MOST.bytes.into(), done.amount.bytes.into()),
        ];
        let fitting = fitting.into_iter().map(|size| size.unwrap_or(u32::MAX)).min().unwrap_or(1);
        if done.units > 0 {
            self.size = fitting.clamp(1, self.size.saturating_mul(GROWTH));
        }
    }

    /// A batch took too long, or one of its units cannot be removed: half of what it took.
    pub fn halve(&mut self, taken: usize) {
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        self.size = (taken / 2).max(1);
    }
}

/// How long others need after such a batch, so that each of them that waits comes to its turn: as long as SQLite lets
/// somebody sleep who has waited since the batch began.
#[must_use]
pub fn turn_of_others(held: Duration) -> Duration {
    let waited = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    let sleep = SLEEPS.iter().rev().find(|(since, _)| waited >= *since).map_or(2, |(_, sleep)| *sleep);
    Duration::from_millis(sleep) + GRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(units: usize, held_ms: u64) -> Done {
        Done { units, amount: Amount { rows: 10, bytes: 10 }, held: Duration::from_millis(held_ms) }
    }

    const TARGET: Duration = Duration::from_millis(50);

    #[test]
    fn a_batch_grows_by_steps_and_shrinks_at_once() {
        let mut pace = Pace::new(1);
        let sizes = [2, 4, 8].map(|_| {
            pace.learn(&done(pace.size() as usize, 1), TARGET);
            pace.size()
        });
        assert_eq!(sizes, [2, 4, 8]);
        pace.learn(&done(8, 400), TARGET);
        assert_eq!(pace.size(), 1);
        pace.learn(&done(1, 400), TARGET);
        assert_eq!(pace.size(), 1);
    }

    #[test]
    fn a_batch_is_bounded_by_rows_and_bytes() {
        let mut pace = Pace::new(100);
        let amount = Amount { rows: 2 * MOST.rows, bytes: 10 };
        pace.learn(&Done { amount, ..done(100, 1) }, TARGET);
        assert_eq!(pace.size(), 50);
        let amount = Amount { rows: 10, bytes: 5 * MOST.bytes };
        pace.learn(&Done { amount, ..done(50, 1) }, TARGET);
        assert_eq!(pace.size(), 10);
    }

    #[test]
    fn others_are_given_as_long_as_the_busy_handler_sleeps() {
        let turn = |held| turn_of_others(Duration::from_millis(held)).as_millis();
        assert_eq!([0, 25, 33, 100, 130, 5000].map(turn), [7, 20, 25, 30, 55, 105]);
    }
}
