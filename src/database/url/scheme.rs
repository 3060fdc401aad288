//! The schemes of database URLs, and the backend of each.

use std::fmt;

/// The supported URL schemes, in the order of messages.
pub(crate) const SCHEMES: [&str; 8] = [
    "sqlite",
    "sqlite+aiosqlite",
    "sqlite+pysqlite",
    "postgresql",
    "postgresql+psycopg2",
    "postgresql+psycopg",
    "postgresql+asyncpg",
    "postgres",
];

/// Whether a text looks like a URL, which may hold a password, where another value is expected that is displayed.
#[must_use]
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The two databases that TARSy supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A file or memory, opened in this process.
    Sqlite,
    Postgresql,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Sqlite => "SQLite",
            Backend::Postgresql => "PostgreSQL",
        })
    }
}
