//! Why a database URL cannot be used.

use super::scheme::SCHEMES;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Why a database URL cannot be used. No variant carries text that may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no `scheme://` in front.
    #[error("the database URL has no scheme; it starts with one of {}", listed(&SCHEMES))]
    NoScheme,
    /// The scheme is none of [`SCHEMES`].
    #[error("unsupported database scheme `{0}`; supported are {list}", list = listed(&SCHEMES))]
    UnsupportedScheme(String),
    /// A reserved character stands in the user or the password as it is.
    #[error("the password in the database URL holds special characters that are not percent-encoded")]
    UnescapedPassword,
    /// `sqlite://name` where `sqlite:///name` was meant.
    #[error("a SQLite URL has no host: write `sqlite:///relative.db` or `sqlite:////absolute/path.db`")]
    SqliteHost,
    /// The port is not a number from 1 to 65535.
    #[error("the port in the database URL is not a number from 1 to 65535")]
    Port,
    /// Two servers, which the driver would take for one name.
    #[error("the database URL names several hosts; tarsy-db connects to one")]
    SeveralHosts,
    /// A parameter that would be ignored without a word.
    #[error("the database URL has the parameter `{name}`, which is not supported; supported are {}", listed(allowed))]
    UnknownParameter {
        /// The parameter's name; its value is not kept.
        name: String,
        /// The names that work for this backend.
        allowed: &'static [&'static str],
    },
    /// A parameter whose value makes no sense.
    #[error("the parameter `{name}` of the database URL is not {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// What the value has to be.
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
            UrlError::SeveralHosts => {
                Some("name the host that leads to the primary, for instance a service or a proxy")
            }
            _ => None,
        };
        hint.map(str::to_owned)
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
