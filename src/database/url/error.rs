//! Errors of database URLs.

use super::scheme::{Backend, SCHEMES};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// How a URL of PostgreSQL is written.
pub(crate) const POSTGRESQL_URL: &str = "write `postgresql://USER@HOST:5432/DATABASE`";

/// Why a database URL cannot be used. No variant holds text that may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("the database URL does not start with `sqlite:///` or `postgresql://`")]
    NoScheme {
        /// The backend of the database that is probably meant.
        meant: Backend,
    },
    /// The backend would take it for a part of the URL.
    #[error("the database URL has {0}")]
    Surrounded(&'static str),
    /// Of the file of a URL.
    #[error("the file has more than one line")]
    SeveralLines,
    /// The scheme is not one of [`SCHEMES`].
    #[error("unsupported database scheme `{0}`; supported are {list}", list = listed(&SCHEMES))]
    UnsupportedScheme(String),
    /// The user or the password holds a reserved character that is not percent-encoded.
    #[error("the user or the password in the database URL has special characters that are not percent-encoded")]
    UnescapedPassword,
    /// `sqlite://name`, where `sqlite:///name` was meant.
    #[error("a SQLite URL has no host: write `sqlite:///relative.db` or `sqlite:////absolute/path.db`")]
    SqliteHost,
    #[error("the port in the database URL is not a number from 1 to 65535")]
    Port,
    #[error("a host in the database URL is not a name, an address or the directory of a Unix socket")]
    Host,
    /// `a,b:2`: the port of both for SQLAlchemy, and of the second for libpq.
    #[error(
        "the database URL has several hosts and one port before the slash, which SQLAlchemy and libpq read differently"
    )]
    HostsWithOnePort,
    /// `?host=[::1],b`: for libpq the brackets are part of a name.
    #[error("in the database URL SQLAlchemy and libpq read other hosts or ports than are written")]
    HostsReadOtherwise,
    /// One list is longer than another.
    #[error("the database URL has more or fewer ports or addresses than hosts")]
    HostLists,
    /// An unknown parameter, which would otherwise be silently ignored.
    #[error("the database URL has the parameter `{name}`, which is not supported; supported are {}", listed(allowed))]
    UnknownParameter {
        /// The value is not kept, because it may be a secret.
        name: String,
        /// The parameters that this backend supports.
        allowed: Vec<&'static str>,
    },
    /// A parameter that the backend refuses to choose a value for.
    #[error("the database URL has the parameter `{0}` more than once")]
    Repeated(&'static str),
    /// A parameter with an invalid value.
    #[error("the parameter `{name}` of the database URL is not {expected}")]
    Parameter {
        name: &'static str,
        /// What the value must be.
        expected: &'static str,
    },
}

impl Diagnostic for UrlError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            UrlError::UnescapedPassword => Some(
                "percent-encode the password (`@` is %40, `:` %3A, `/` %2F, `?` %3F, `#` %23, `%` %25), or leave \
                 DATABASE_URL empty and give the parts: DATABASE_HOST, DATABASE_PORT, DATABASE_USER, \
                 DATABASE_PASSWORD (taken literally) and DATABASE_NAME",
            ),
            UrlError::Surrounded(_) => Some("remove them where the URL is set; the backend fails with them, too"),
            UrlError::SeveralLines => Some("leave nothing but the URL in the file"),
            UrlError::HostsWithOnePort => Some("write `?host=a:1&host=b:2`"),
            UrlError::HostsReadOtherwise => {
                Some("write `?host=a,b&port=1,2`, without brackets around an address of IPv6")
            }
            UrlError::HostLists => Some("name a port for each host, as in `?host=a:1&host=b:2`"),
            UrlError::NoScheme { meant: Backend::Sqlite } => Some("for a SQLite file write `sqlite:///history.db`"),
            UrlError::NoScheme { meant: Backend::Postgresql } => Some(POSTGRESQL_URL),
            UrlError::UnknownParameter { name, allowed } => return similar(name, allowed),
            _ => None,
        };
        hint.map(str::to_owned)
    }
}

/// The parameter that may have been meant.
fn similar(name: &str, allowed: &[&str]) -> Option<String> {
    let scored = allowed.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let (_, known) = scored.filter(|(score, _)| *score > 0.85).max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(format!("did you mean `{known}`?"))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
