//! How long is waited, as each driver takes it.

use std::time::Duration;

/// How long to wait for somebody else's lock where the command has no limit of its own.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A limit as the databases' settings take it: at least 1, because 0 means none.
#[must_use]
pub(crate) fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// A limit as SQLite's driver takes it, which panics at more: 24 days.
#[must_use]
pub(crate) fn busy_timeout(limit: Duration) -> Duration {
    limit.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}
