//! [`KEYS`] is the one list of what can be set.

/// One setting: its environment variable and its place in the file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The environment variable; for URL and password also with `_FILE` behind it.
    pub environment: &'static str,
    /// The dotted path in the settings file.
    pub path: &'static str,
}

/// What the backend's template names and nothing reads.
pub(crate) const OLD_URL: &str = "HISTORY_DATABASE_URL";

pub(crate) const URL: Key = Key { environment: "DATABASE_URL", path: "database.url" };
pub(crate) const HOST: Key = Key { environment: "DATABASE_HOST", path: "database.host" };
pub(crate) const PORT: Key = Key { environment: "DATABASE_PORT", path: "database.port" };
pub(crate) const USER: Key = Key { environment: "DATABASE_USER", path: "database.user" };
pub(crate) const PASSWORD: Key = Key { environment: "DATABASE_PASSWORD", path: "database.password" };
pub(crate) const NAME: Key = Key { environment: "DATABASE_NAME", path: "database.name" };
pub(crate) const HISTORY_ENABLED: Key = Key { environment: "HISTORY_ENABLED", path: "history.enabled" };
/// How many days of history are kept.
pub(crate) const RETENTION_DAYS: Key = Key { environment: "HISTORY_RETENTION_DAYS", path: "history.retention_days" };
pub(crate) const EVENT_RETENTION_HOURS: Key =
    Key { environment: "EVENT_RETENTION_HOURS", path: "history.event_retention_hours" };
pub(crate) const SCHEMA_TARGET: Key = Key { environment: "TARSY_DB_SCHEMA", path: "schema.target" };
pub(crate) const POOL_SIZE: Key = Key { environment: "POSTGRES_POOL_SIZE", path: "postgres.pool_size" };
pub(crate) const MAX_OVERFLOW: Key = Key { environment: "POSTGRES_MAX_OVERFLOW", path: "postgres.max_overflow" };
pub(crate) const POOL_TIMEOUT: Key = Key { environment: "POSTGRES_POOL_TIMEOUT", path: "postgres.pool_timeout" };
pub(crate) const POOL_RECYCLE: Key = Key { environment: "POSTGRES_POOL_RECYCLE", path: "postgres.pool_recycle" };
pub(crate) const POOL_PRE_PING: Key = Key { environment: "POSTGRES_POOL_PRE_PING", path: "postgres.pool_pre_ping" };

/// Every setting there is.
pub const KEYS: [Key; 15] = [
    URL,
    HOST,
    PORT,
    USER,
    PASSWORD,
    NAME,
    HISTORY_ENABLED,
    RETENTION_DAYS,
    EVENT_RETENTION_HOURS,
    SCHEMA_TARGET,
    POOL_SIZE,
    MAX_OVERFLOW,
    POOL_TIMEOUT,
    POOL_RECYCLE,
    POOL_PRE_PING,
];
