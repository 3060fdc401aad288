//! The schemes of database URLs, and the backends that they choose.

use std::fmt;

/// The URL schemes that work, in the order in which messages name them.
pub(crate) const SCHEMES: [&str; 7] = [
    "sqlite",
    "sqlite+aiosqlite",
    "postgresql",
    "postgresql+psycopg2",
    "postgresql+psycopg",
    "postgresql+asyncpg",
    "postgres",
];

/// Whether a text is a URL, which may hold a password, where something else has to be that is shown.
#[must_use]
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The two databases that TARSy keeps its history in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A file or memory, opened in this process.
    Sqlite,
    /// A server.
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
