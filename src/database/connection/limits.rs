//! The limits of a pool of connections, and lock timeouts in the units that the drivers expect.

use std::time::Duration;

/// How long to wait for another session's lock where the command has no limit of its own.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits of a pool of connections to PostgreSQL. SQLite's pool always has one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// How many connections may be open at the same time, at least 1; `None` is no limit.
    pub most: Option<u32>,
    /// How long to wait for a connection.
    pub timeout: Duration,
    /// The age from which a connection is not used again; `None` is no limit.
    pub recycle: Option<Duration>,
    /// Whether a connection is tested before it is used again.
    pub pre_ping: bool,
}

impl PoolLimits {
    /// One connection, for a file or a short look.
    pub const ONE: Self = Self { most: Some(1), timeout: Duration::from_secs(30), recycle: None, pre_ping: true };

    /// The same for a command that has a use for this many connections.
    #[must_use]
    pub fn for_up_to(self, wanted: u32) -> Self {
        Self { most: Some(self.most.unwrap_or(u32::MAX).min(wanted).max(1)), ..self }
    }
}

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
