//! SQLAlchemy database URLs: which backend, and how to reach it.
//!
//! TARSy's backend reads the same variable, so a URL means here what it means there
//! (`sqlite:///history.db` is a relative path, only user and password are percent-decoded).
//! Opening the connection is left to [`crate::database::connection`].

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use percent_encoding::percent_decode_str;
use sqlx::postgres::PgSslMode;

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

const SQLITE_PARAMETERS: [&str; 2] = ["timeout", "check_same_thread"];
const POSTGRES_PARAMETERS: [&str; 9] =
    ["host", "port", "sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name"];

/// What `sslmode` may be.
pub(crate) const SSL_MODES: &str = "one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";

/// A value that must never be shown: its `Display` and `Debug` print asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not be shown.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Hands out the value itself, for the one place that sends it to the server.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

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

/// Where a database is. `Display` shows `user@host:port/database` or the path, never a password.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file, or memory.
    Sqlite(SqliteLocation),
    /// A PostgreSQL server.
    Postgresql(PostgresqlAddress),
}

/// A SQLite database: a file, or memory that ends with the process.
#[derive(Debug, Clone)]
pub struct SqliteLocation {
    /// The absolute path of the file; `None` is memory.
    pub path: Option<PathBuf>,
    /// The path in the URL, where that is relative to the working directory; with memory, one that is empty.
    relative: Option<PathBuf>,
    /// How long to wait for another writer; `None` is the caller's choice.
    pub busy_timeout: Option<Duration>,
}

impl SqliteLocation {
    /// A file by its path, which is relative to the working directory unless absolute.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // Where the working directory is gone the path stays what it is, and opening it fails.
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { path: Some(absolute), relative: None, busy_timeout: None }
    }

    /// Memory.
    #[must_use]
    pub fn memory() -> Self {
        Self { path: None, relative: None, busy_timeout: None }
    }
}

/// A PostgreSQL database as the URL or the separate settings name it.
#[derive(Debug, Clone)]
pub struct PostgresqlAddress {
    /// A host name, an address, or (starting with `/`) the directory of a Unix socket.
    pub host: String,
    /// The TCP port, or the number in the socket's name.
    pub port: u16,
    /// Whether the host is not just the default, so that `PGHOST` does not count.
    pub names_host: bool,
    /// Whether the port is not just the default, so that `PGPORT` does not count.
    pub names_port: bool,
    /// The role; `None` lets the driver take `PGUSER` or the name of the system user.
    pub user: Option<String>,
    /// The password; `None` lets the driver take `PGPASSWORD`.
    pub password: Option<Secret>,
    /// The database; `None` is the one with the role's name.
    pub database: Option<String>,
    /// libpq's `sslmode`; `None` is `prefer`.
    pub ssl_mode: Option<PgSslMode>,
    /// Certificates that the server's certificate is verified with.
    pub ssl_root_certificate: Option<PathBuf>,
    /// The client's own certificate.
    pub ssl_certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub ssl_key: Option<PathBuf>,
    /// The longest time that one attempt to connect may take.
    pub connect_timeout: Option<Duration>,
    /// What the server's lists of sessions show; `None` is `tarsy`.
    pub application_name: Option<String>,
}

impl PostgresqlAddress {
    /// An address with everything but these five at its default.
    #[must_use]
    pub fn new(
        host: String,
        port: u16,
        user: Option<String>,
        password: Option<Secret>,
        database: Option<String>,
    ) -> Self {
        Self {
            host,
            port,
            names_host: true,
            names_port: true,
            user,
            password,
            database,
            ssl_mode: None,
            ssl_root_certificate: None,
            ssl_certificate: None,
            ssl_key: None,
            connect_timeout: None,
            application_name: None,
        }
    }
}

impl PostgresqlAddress {
    /// Whether the host is the directory of a Unix socket.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

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

impl DatabaseUrl {
    /// A SQLite file by its path.
    #[must_use]
    pub fn sqlite_file(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite(SqliteLocation::file(path))
    }

    /// What the URL may have meant instead: `sqlite:///var/lib/x.db`, with three slashes, is relative, and `sqlite:///`
    /// with the name of a variable behind it that is empty is memory.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let DatabaseUrl::Sqlite(SqliteLocation { path, relative: Some(relative), .. }) = self else { return None };
        let Some(path) = path else {
            return Some("`sqlite:///` names no file: the database is in memory and ends with this command".to_owned());
        };
        let mut components = relative.components();
        let (Some(Component::Normal(first)), Some(_)) = (components.next(), components.next()) else { return None };
        let root = Path::new("/");
        let meant = root.join(relative);
        (root.join(first).is_dir() && *path != meant).then(|| {
            format!(
                "`sqlite:///{}` is relative to the working directory and means {}: for {} write four slashes, \
                 `sqlite:///{}`",
                relative.display(),
                path.display(),
                meant.display(),
                meant.display()
            )
        })
    }

    /// The path of SQLite's file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            DatabaseUrl::Sqlite(location) => location.path.as_deref(),
            DatabaseUrl::Postgresql(_) => None,
        }
    }

    /// The backend that the scheme chose.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self {
            DatabaseUrl::Sqlite(_) => Backend::Sqlite,
            DatabaseUrl::Postgresql(_) => Backend::Postgresql,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(SqliteLocation { path: None, .. }) => f.write_str(":memory:"),
            DatabaseUrl::Sqlite(SqliteLocation { path: Some(path), .. }) => write!(f, "{}", path.display()),
            DatabaseUrl::Postgresql(address) => {
                if let Some(user) = &address.user {
                    write!(f, "{user}@")?;
                }
                match address.host.contains(':') {
                    true => write!(f, "[{}]:{}", address.host, address.port)?,
                    false => write!(f, "{}:{}", address.host, address.port)?,
                }
                if let Some(database) = &address.database {
                    write!(f, "/{database}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "sqlite" | "sqlite+aiosqlite" => parse_sqlite(rest).map(Self::Sqlite),
            _ if SCHEMES.contains(&scheme.as_str()) => parse_postgresql(rest).map(Self::Postgresql),
            // What stands before `://` may be a mistyped URL with a password in it: show it only if it is a plain word.
            _ if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
                Err(UrlError::UnsupportedScheme(scheme))
            }
            _ => Err(UrlError::NoScheme),
        }
    }
}

fn parse_sqlite(rest: &str) -> Result<SqliteLocation, UrlError> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut found = match location.strip_prefix('/') {
        None if location.is_empty() => SqliteLocation::memory(),
        None => return Err(UrlError::SqliteHost),
        Some(":memory:") => SqliteLocation::memory(),
        Some("") => SqliteLocation { relative: Some(PathBuf::new()), ..SqliteLocation::memory() },
        Some(path) => {
            let relative = Some(PathBuf::from(path)).filter(|path| path.is_relative());
            SqliteLocation { relative, ..SqliteLocation::file(path) }
        }
    };
    for (name, value) in parameters(query) {
        match name.as_str() {
            "timeout" => found.busy_timeout = Some(seconds("timeout", &value)?),
            // Threads of Python's driver: nothing that matters here.
            "check_same_thread" => {}
            _ => return Err(UrlError::UnknownParameter { name, allowed: &SQLITE_PARAMETERS }),
        }
    }
    Ok(found)
}

fn parse_postgresql(rest: &str) -> Result<PostgresqlAddress, UrlError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // `user:pass/word@host`: the authority ended inside the password, and what follows may be a part of it.
    if tail.contains('@') || tail.starts_with('#') {
        return Err(UrlError::UnescapedPassword);
    }
    let (location, query) = tail.split_once('?').unwrap_or((tail, ""));
    let (userinfo, host_and_port) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    let (user, password) = match userinfo.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (percent_decoded(user)?, percent_decoded(password)?),
        None => (None, None),
    };
    let (host, port) = host_and_port_of(host_and_port)?;
    let database = Some(location.trim_start_matches('/')).filter(|name| !name.is_empty()).map(str::to_owned);

    let (names_host, names_port) = (host.is_some(), port.is_some());
    let mut address = PostgresqlAddress::new(
        host.unwrap_or_else(|| "localhost".to_owned()),
        port.unwrap_or(5432),
        user,
        password.map(Secret::new),
        database,
    );
    (address.names_host, address.names_port) = (names_host, names_port);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "host" if value.contains(',') => return Err(UrlError::SeveralHosts),
            "host" => (address.host, address.names_host) = (value, true),
            "port" => (address.port, address.names_port) = (parse_port(&value)?, true),
            "sslmode" | "ssl" => {
                let mode = value.parse();
                address.ssl_mode =
                    Some(mode.map_err(|_| UrlError::Parameter { name: "sslmode", expected: SSL_MODES })?);
            }
            "sslrootcert" => address.ssl_root_certificate = Some(value.into()),
            "sslcert" => address.ssl_certificate = Some(value.into()),
            "sslkey" => address.ssl_key = Some(value.into()),
            "connect_timeout" => address.connect_timeout = Some(seconds("connect_timeout", &value)?),
            "application_name" => address.application_name = Some(value),
            _ => return Err(UrlError::UnknownParameter { name, allowed: &POSTGRES_PARAMETERS }),
        }
    }
    Ok(address)
}

fn host_and_port_of(text: &str) -> Result<(Option<String>, Option<u16>), UrlError> {
    if text.contains(',') {
        return Err(UrlError::SeveralHosts);
    }
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map(parse_port).transpose()?;
    Ok((Some(host).filter(|host| !host.is_empty()).map(str::to_owned), port))
}

pub(crate) fn parse_port(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)
}

fn seconds(name: &'static str, text: &str) -> Result<Duration, UrlError> {
    let error = UrlError::Parameter { name, expected: "a number of seconds" };
    let seconds: f64 = text.parse().map_err(|_| error.clone())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| error)
}

/// Decodes a user or a password, refusing what should have been encoded.
fn percent_decoded(text: &str) -> Result<Option<String>, UrlError> {
    let sound_escapes = text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if !sound_escapes || text.contains(['@', ':', '/', '?', '#', '[', ']', ' ']) {
        return Err(UrlError::UnescapedPassword);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::UnescapedPassword)?;
    Ok(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
}

fn parameters(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        (name.to_owned(), percent_decode_str(&value).decode_utf8_lossy().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite_path(url: &str) -> Option<PathBuf> {
        match url.parse().expect("a sound URL") {
            DatabaseUrl::Sqlite(location) => location.path,
            DatabaseUrl::Postgresql(_) => panic!("{url} is SQLite"),
        }
    }

    fn address(url: &str) -> PostgresqlAddress {
        match url.parse().expect("a sound URL") {
            DatabaseUrl::Postgresql(address) => address,
            DatabaseUrl::Sqlite(_) => panic!("{url} is PostgreSQL"),
        }
    }

    #[test]
    fn sqlite_slashes_mean_what_they_mean_in_sqlalchemy() {
        let here = std::env::current_dir().expect("a working directory");
        assert_eq!(sqlite_path("sqlite:///history.db"), Some(here.join("history.db")));
        assert_eq!(sqlite_path("sqlite:///./data/my%20file.db"), Some(here.join("data/my%20file.db")));
        assert_eq!(sqlite_path("sqlite:////var/lib/x.db"), Some("/var/lib/x.db".into()));
        assert_eq!(sqlite_path("SQLite+aiosqlite:///x.db?check_same_thread=false"), Some(here.join("x.db")));
        assert_eq!(sqlite_path("sqlite:///:memory:"), None);
        assert_eq!(sqlite_path("sqlite://"), None);
        assert_eq!("sqlite://history.db".parse::<DatabaseUrl>().err(), Some(UrlError::SqliteHost));
    }

    #[test]
    fn postgresql_parts_are_found_and_decoded() {
        for scheme in &SCHEMES[2..] {
            let found = address(&format!("  {scheme}://tarsy:p%40ss@db:5433/history?sslmode=require \n"));
            assert_eq!((found.host.as_str(), found.port), ("db", 5433));
            assert_eq!(found.user.as_deref(), Some("tarsy"));
            assert_eq!(found.password.as_ref().map(Secret::expose), Some("p@ss"));
            assert_eq!(found.database.as_deref(), Some("history"));
            assert!(matches!(found.ssl_mode, Some(PgSslMode::Require)));
        }
        let socket = address("postgresql:///tarsy?host=/var/run/postgresql");
        assert_eq!((socket.host.as_str(), socket.user), ("/var/run/postgresql", None));
        assert_eq!(address("postgresql://[::1]:5433/x").host, "::1");
    }

    #[test]
    fn unescaped_passwords_are_recognised_wherever_they_break_the_url() {
        for password in
            ["p@ss", "p:ss", "p/ss", "p?ss", "p#ss", "100%", "a b", "[x", "1/2", "@", "/@", "p?a=b", "1?x", "1@h?x"]
        {
            let parsed = format!("postgresql://tarsy:{password}@db/history").parse::<DatabaseUrl>();
            assert_eq!(parsed.err(), Some(UrlError::UnescapedPassword), "{password}");
        }
    }

    #[test]
    fn neither_display_nor_debug_nor_an_error_shows_the_password() {
        let url: DatabaseUrl = "postgresql://tarsy:hunter2@db/history".parse().expect("a sound URL");
        assert_eq!(url.to_string(), "tarsy@db:5432/history");
        assert!(!format!("{url:?}").contains("hunter2"));
        for broken in [
            "postgresql://tarsy:hunter2@x@db/history",
            "postgresql://tarsy:hunter2@db:port/history",
            "postgresql://tarsy:hunter2@a,b/history",
            "postgresql://tarsy:hunter2@db/history?password=hunter2",
            "mysql://tarsy:hunter2@db/history",
            "tarsy:hunter2@db/://history",
            "tarsy:hunter2@db",
        ] {
            let error = broken.parse::<DatabaseUrl>().expect_err(broken);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn unsupported_schemes_are_named_with_those_that_work() {
        let error = "mysql://x".parse::<DatabaseUrl>().expect_err("unsupported").to_string();
        assert!(error.contains("`mysql`") && error.contains("`sqlite`") && error.contains("`postgresql+asyncpg`"));
    }
}
