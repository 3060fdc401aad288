//! [`KEYS`]: the list of all settings.

/// One setting: its environment variable, its place in the file, and what the manual says about it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The environment variable. The URLs and the password can also be read from a file that the variable with the suffix
    /// `_FILE` names.
    pub environment: &'static str,
    /// The dotted key in the settings file.
    pub path: &'static str,
    /// The value where none is given, as it is written; empty if there is none.
    pub default: &'static str,
    /// The unit of the value; empty if it has none.
    pub unit: &'static str,
    /// What it is, in Markdown.
    pub meaning: &'static str,
    /// The flag that is stronger, with its command; empty if there is none.
    pub flag: &'static str,
}

/// An old name in the backend's template, which neither the backend nor tarsy-db reads.
pub(crate) const OLD_URL: &str = "HISTORY_DATABASE_URL";

pub(crate) const URL: Key = Key {
    environment: "DATABASE_URL",
    path: "database.url",
    default: "sqlite:///history.db",
    unit: "",
    meaning: "the database, as an [SQLAlchemy URL](connecting.md#urls)",
    flag: "--database-url",
};
pub(crate) const DIRECT_URL: Key = Key {
    environment: "DIRECT_DATABASE_URL",
    path: "database.direct_url",
    default: "",
    unit: "",
    meaning: "the same database without the [pooler](poolers.md#the-direct-url), for commands that need a session",
    flag: "--direct-url",
};
pub(crate) const HOST: Key = Key {
    environment: "DATABASE_HOST",
    path: "database.host",
    default: "localhost",
    unit: "",
    meaning: "the server, where the URL is empty and a password is set",
    flag: "",
};
pub(crate) const PORT: Key = Key {
    environment: "DATABASE_PORT",
    path: "database.port",
    default: "5432",
    unit: "",
    meaning: "the server's TCP port, in the same case",
    flag: "",
};
pub(crate) const USER: Key = Key {
    environment: "DATABASE_USER",
    path: "database.user",
    default: "tarsy",
    unit: "",
    meaning: "the role, in the same case",
    flag: "",
};
pub(crate) const PASSWORD: Key = Key {
    environment: "DATABASE_PASSWORD",
    path: "database.password",
    default: "",
    unit: "",
    meaning: "the role's password, used literally: nothing is percent-encoded",
    flag: "",
};
pub(crate) const NAME: Key = Key {
    environment: "DATABASE_NAME",
    path: "database.name",
    default: "tarsy",
    unit: "",
    meaning: "the database on the server, in the same case",
    flag: "",
};
pub(crate) const HISTORY_ENABLED: Key = Key {
    environment: "HISTORY_ENABLED",
    path: "history.enabled",
    default: "true",
    unit: "",
    meaning: "whether TARSy keeps a history; if false, `init` and `wait` change nothing and exit with 0",
    flag: "",
};
/// How many days of history are kept.
pub(crate) const RETENTION_DAYS: Key = Key {
    environment: "HISTORY_RETENTION_DAYS",
    path: "history.retention_days",
    default: "90",
    unit: "days",
    meaning: "how long `prune` keeps sessions; the default counts at the baseline revision only",
    flag: "prune --older-than",
};
pub(crate) const EVENT_RETENTION_HOURS: Key = Key {
    environment: "EVENT_RETENTION_HOURS",
    path: "history.event_retention_hours",
    default: "24",
    unit: "hours",
    meaning: "how long `prune --events` keeps events",
    flag: "",
};
pub(crate) const SCHEMA_TARGET: Key = Key {
    environment: "TARSY_DB_SCHEMA",
    path: "schema.target",
    default: "baseline",
    unit: "",
    meaning: "the revision that `init` brings the schema to, and that `check` and `wait --for schema` ask for",
    flag: "init --to",
};
pub(crate) const POOL_SIZE: Key = Key {
    environment: "POSTGRES_POOL_SIZE",
    path: "postgres.pool_size",
    default: "5",
    unit: "connections",
    meaning: "connections that the backend's pool keeps open",
    flag: "",
};
pub(crate) const MAX_OVERFLOW: Key = Key {
    environment: "POSTGRES_MAX_OVERFLOW",
    path: "postgres.max_overflow",
    default: "10",
    unit: "connections",
    meaning: "connections that the backend may open beyond these; -1 is no limit",
    flag: "",
};
pub(crate) const POOL_TIMEOUT: Key = Key {
    environment: "POSTGRES_POOL_TIMEOUT",
    path: "postgres.pool_timeout",
    default: "30",
    unit: "seconds",
    meaning: "how long the backend waits for a free connection",
    flag: "",
};
pub(crate) const POOL_RECYCLE: Key = Key {
    environment: "POSTGRES_POOL_RECYCLE",
    path: "postgres.pool_recycle",
    default: "3600",
    unit: "seconds",
    meaning: "the age at which the backend replaces a connection; -1 is never",
    flag: "",
};
pub(crate) const POOL_PRE_PING: Key = Key {
    environment: "POSTGRES_POOL_PRE_PING",
    path: "postgres.pool_pre_ping",
    default: "true",
    unit: "",
    meaning: "whether the backend tests a connection before it uses it",
    flag: "",
};

pub(crate) const REQUIRE_TLS: Key = Key {
    environment: "TARSY_DB_REQUIRE_TLS",
    path: "database.require_tls",
    default: "false",
    unit: "",
    meaning: "whether a connection in plain text that leaves this machine is refused, whatever `sslmode` is",
    flag: "",
};

/// All settings.
pub const KEYS: [Key; 17] = [
    URL,
    DIRECT_URL,
    HOST,
    PORT,
    USER,
    PASSWORD,
    NAME,
    REQUIRE_TLS,
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
