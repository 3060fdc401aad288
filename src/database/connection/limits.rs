//! Lock timeouts in the units that the drivers expect.

use std::time::Duration;

/// How long to wait for another session's lock where the command has no limit of its own.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The limit in milliseconds for the databases' settings: at least 1, because 0 means no limit.
#[must_use]
pub(crate) fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// The limit for SQLite's driver, capped at 24 days: the driver panics at more.
#[must_use]
pub(crate) fn busy_timeout(limit: Duration) -> Duration {
    limit.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}
