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

/// Whether a text looks like a URL, with or without its scheme (`user:password@host`), where another value is expected
/// that is displayed: it may hold a password.
#[must_use]
pub(crate) fn is_url(text: &str) -> bool {
    let has_login = text.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'));
    let is_path = text.starts_with('/') && !text.starts_with("//");
    text.contains("://") || (has_login && !is_path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_makes_a_url_and_a_path_does_not() {
        for url in ["postgresql://u@h/d", "u:word@h", "u:word@h:1/d", "u:wo@rd@h", "//u:word@h/d", "tcp://h:1"] {
            assert!(is_url(url), "{url}");
        }
        for other in ["h", "h:1", "[::1]:1", "::1", "role@server", "@socket", "/run/a:b@c", "50%", "2001:db8::1"] {
            assert!(!is_url(other), "{other}");
        }
    }
}
