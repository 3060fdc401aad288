//! Random campaigns: a few seconds of the daily run, always the same, and a whole night of `make test-campaign`, with
//! other numbers each time.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

const SIZE: &str = "TARSY_DB_TEST_CAMPAIGN";
const SEED: &str = "TARSY_DB_TEST_SEED";

/// How large a campaign is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Daily,
    /// So many times what it was before there was a daily size.
    Large(u64),
}

/// The size that `TARSY_DB_TEST_CAMPAIGN` sets, or that of the daily run.
pub(crate) fn size() -> Size {
    number(SIZE).map_or(Size::Daily, Size::Large)
}

/// The first seed: 1 in the daily run, else that of `TARSY_DB_TEST_SEED`, else another one each time.
pub(crate) fn first_seed() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    let of_the_clock = || {
        let since_the_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
        since_the_epoch.as_secs()
    };
    *FIRST.get_or_init(|| number(SEED).unwrap_or_else(|| if size() == Size::Daily { 1 } else { of_the_clock() }))
}

/// Seeds for a campaign that takes so many, also in the daily run.
pub(crate) fn seeds(full: u64) -> Range<u64> {
    first_seed()..first_seed() + count(full, full)
}

/// The number of a campaign's points in time: few in the daily run.
pub(crate) fn count(daily: u64, full: u64) -> u64 {
    match size() {
        Size::Daily => daily,
        Size::Large(times) => full * times,
    }
}

/// The command that repeats this campaign, for the end of the run.
pub(crate) fn told() -> Option<String> {
    match size() {
        Size::Daily => None,
        Size::Large(times) => Some(format!("{SIZE}={times} {SEED}={} make test-campaign", first_seed())),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} has to be a number, and is `{text}`")))
}
