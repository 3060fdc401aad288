//! SQLAlchemy database URLs: the backend and its address.
//!
//! TARSy's backend reads the same variable, so a URL has the same meaning here (`sqlite:///history.db` is a relative
//! path; only user and password are percent-decoded). [`crate::database::connection`] opens the connection.
//!
//! | module | what it is for |
//! |---|---|
//! | [`backend_url`] | the URL for the backend |
//! | [`postgresql`] | a server and its database |
//! | [`sqlalchemy`] | the hosts that the backend reads |
//! | [`keyword`] | libpq's parameters |
//! | [`sqlite`] | a file, or memory |
//! | [`objection`] | what the backend does not read |
//! | [`address`] | everything that is known of a PostgreSQL database |
//! | [`tls`] | TLS as libpq's parameters name it |
//! | [`given`] | a URL as it was given, without its passwords |
//! | [`protection`] | how a connection is protected |
//! | [`parameters`] | the parameters after the `?` |
//! | [`error`] | errors of URLs |
//! | [`scheme`] | the schemes, and the backend of each |
//! | [`secret`] | values that must never be displayed |

mod address;
mod backend_url;
mod error;
mod given;
mod keyword;
mod objection;
mod parameters;
mod postgresql;
mod protection;
mod scheme;
mod secret;
mod sqlalchemy;
mod sqlite;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) use self::address::{
    ChannelBinding, HostOrder, HostPlace, LoginKind, PostgresqlAddress, Reached, RequiredLogin, SecretFile,
    TargetServer, hosts, trimmed,
};
pub(crate) use self::error::{POSTGRESQL_URL, UrlError};
pub(crate) use self::given::GivenUrl;
pub(crate) use self::keyword::KEYWORDS;
pub(crate) use self::postgresql::without_login;
pub(crate) use self::protection::Protection;
pub(crate) use self::scheme::{Backend, is_url};
pub(crate) use self::secret::Secret;
pub(crate) use self::sqlite::SqliteLocation;
pub(crate) use self::tls::{Negotiation, RootCertificates, Sending, SslMode, TlsOptions, TlsVersion};

use self::postgresql::parse_postgresql;
use self::scheme::SCHEMES;
use self::sqlalchemy::Reading;
use self::sqlite::parse_sqlite;

/// The address of a database. `Display` shows `user@host:port/database` or the absolute path, never a password. Of several
/// hosts it shows the one that was reached, and all before.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// `sqlite://` and `sqlite+aiosqlite://`.
    Sqlite(SqliteLocation),
    /// The other [`SCHEMES`].
    Postgresql(Box<PostgresqlAddress>),
}

impl DatabaseUrl {
    /// The URL as it was given, without its passwords; `None` for an address that the settings name by its parts.
    pub(crate) fn given(&self) -> Option<GivenUrl> {
        match self {
            DatabaseUrl::Sqlite(_) => Some(GivenUrl::of(&format!("sqlite:///{self}"))),
            DatabaseUrl::Postgresql(address) => address.given_url.clone(),
        }
    }

    /// The URL with which TARSy's backend connects to the same database, without its passwords.
    pub(crate) fn for_backend(&self) -> GivenUrl {
        match self {
            DatabaseUrl::Sqlite(_) => GivenUrl::of(&format!("sqlite:///{self}")),
            DatabaseUrl::Postgresql(address) => backend_url::for_backend(address),
        }
    }

    /// The URL of a file; a relative path starts at the working directory.
    #[must_use]
    pub fn sqlite_file(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite(SqliteLocation::file(path))
    }

    /// A warning if the URL may not mean what was intended.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            DatabaseUrl::Sqlite(location) => location.warning(),
            DatabaseUrl::Postgresql(address) => address.objection.map(objection::warning),
        }
    }

    /// Lets the next connection reach any of several hosts.
    pub(crate) fn forget_reached(&self) {
        if let DatabaseUrl::Postgresql(address) = self {
            address.forget_reached();
        }
    }

    /// How the connection that was opened last is protected; `None` for SQLite, and before the first connection.
    #[must_use]
    pub(crate) fn protection(&self) -> Option<Protection> {
        match self {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgresql(address) => address.reached().map(|reached| reached.protection),
        }
    }

    /// The absolute path of the SQLite file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            DatabaseUrl::Sqlite(location) => location.path.as_deref(),
            DatabaseUrl::Postgresql(_) => None,
        }
    }

    /// The backend of the scheme.
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
                let places = address.places();
                match address.reached().and_then(|reached| places.get(reached.number)) {
                    Some(place) => write!(f, "{place}")?,
                    None => f.write_str(&places.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))?,
                }
                match address.database.as_ref().or(address.user.as_ref()) {
                    Some(database) => write!(f, "/{database}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What surrounds a URL that does not belong to it.
fn surroundings(text: &str) -> Option<&'static str> {
    if text.starts_with('\u{feff}') {
        Some("a byte order mark before it")
    } else if text.starts_with(['"', '\'']) {
        Some("quotes around it")
    } else if text.trim() != text {
        Some("blanks or line ends around it")
    } else {
        None
    }
}

/// The error of a text without a scheme. `postgresql:/tarsy@db/tarsy`, `db:5432/tarsy` and `tarsy@db/tarsy` name a server.
fn without_scheme(text: &str) -> UrlError {
    let has_port = text.split(':').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_server = has_port || text.contains('@') || text.to_ascii_lowercase().starts_with("postgres");
    UrlError::NoScheme { meant: if is_server { Backend::Postgresql } else { Backend::Sqlite } }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(what) = surroundings(text) {
            return Err(UrlError::Surrounded(what));
        }
        let (given, rest) = text.split_once("://").ok_or_else(|| without_scheme(text))?;
        let scheme = given.to_ascii_lowercase();
        match scheme.as_str() {
            "sqlite" | "sqlite+aiosqlite" | "sqlite+pysqlite" => {
                let mut location = parse_sqlite(rest)?;
                location.objection = objection::to_scheme(given);
                Ok(Self::Sqlite(location))
            }
            _ if SCHEMES.contains(&scheme.as_str()) => {
                let mut address = parse_postgresql(rest)?;
                let to_hosts = match sqlalchemy::reading(rest, &address) {
                    Reading::Same => None,
                    Reading::Fails => Some(objection::to_hosts(&address)),
                    Reading::Other => return Err(UrlError::HostsReadOtherwise),
                };
                let to_parameters = || objection::to_parameters(&scheme, rest);
                address.objection = objection::to_scheme(given).or(to_hosts).or_else(to_parameters);
                address.given_url = Some(GivenUrl::of(text));
                Ok(Self::Postgresql(Box::new(address)))
            }
            // Text before `://` may be a mistyped URL with a password in it: show it only if it is a plain word.
            _ if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
                Err(UrlError::UnsupportedScheme(scheme))
            }
            _ => Err(without_scheme(text)),
        }
    }
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
            DatabaseUrl::Postgresql(address) => *address,
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
        for scheme in &SCHEMES[3..] {
            let found = address(&format!("{scheme}://tarsy:p%40ss@db:5433/history?sslmode=require"));
            assert_eq!((found.hosts.join(","), found.ports), ("db".to_owned(), vec![5433]));
            assert_eq!(found.user.as_deref(), Some("tarsy"));
            assert_eq!(found.password.as_ref().map(Secret::expose), Some("p@ss"));
            assert_eq!(found.database.as_deref(), Some("history"));
            assert_eq!(found.tls.mode, Some(SslMode::Require));
        }
        let socket = address("postgresql:///tarsy?host=/var/run/postgresql");
        assert_eq!((socket.hosts.join(","), socket.user), ("/var/run/postgresql".to_owned(), None));
        assert_eq!(address("postgresql://[::1]:5433/x").hosts, ["::1"]);
    }

    #[test]
    fn a_text_without_a_scheme_may_name_a_server() {
        let meant = |text: &str| match text.parse::<DatabaseUrl>() {
            Err(UrlError::NoScheme { meant }) => meant,
            other => panic!("{text}: {other:?}"),
        };
        for server in ["postgresql:/tarsy@h/d", "localhost:5432/tarsy", "tarsy@db/tarsy", "postgres", "tarsy:p@db"] {
            assert_eq!(meant(server), Backend::Postgresql, "{server}");
        }
        for file in ["history.db", "/srv/history.db", "sqlite:/history.db", "C:history.db", ""] {
            assert_eq!(meant(file), Backend::Sqlite, "{file}");
        }
    }

    #[test]
    fn a_parameter_is_given_once() {
        for (query, name) in [
            ("sslmode=require&sslmode=disable", "sslmode"),
            ("sslmode=require&ssl=disable", "sslmode"),
            ("port=1&port=2", "port"),
            ("application_name=a&options=b&application_name=a", "application_name"),
        ] {
            let parsed = format!("postgresql://u@h/d?{query}").parse::<DatabaseUrl>();
            assert_eq!(parsed.err(), Some(UrlError::Repeated(name)), "{query}");
        }
        for query in ["host=a&host=b", "sslmode=require&application_name=&application_name=x"] {
            assert!(format!("postgresql://u@h/d?{query}").parse::<DatabaseUrl>().is_ok(), "{query}");
        }
        let twice = "sqlite:///x.db?timeout=1&timeout=2".parse::<DatabaseUrl>();
        assert_eq!(twice.err(), Some(UrlError::Repeated("timeout")));
    }

    #[test]
    fn values_that_libpq_refuses_are_refused() {
        let error = |parameter: &str| format!("postgresql://u@h/d?{parameter}").parse::<DatabaseUrl>().err();
        for refused in [
            "application_name=a%00user%00other",
            "sslpassword=%00",
            "keepalives=x",
            "keepalives_idle=0",
            "keepalives_idle=-1",
            "keepalives_interval=32768",
            "keepalives_count=128",
            "tcp_user_timeout=99999999999",
            "connect_timeout=2.5",
            "connect_timeout=99999999999",
            "require_auth=scram-sha-256,scram-sha-256",
            "require_auth=!md5,!md5",
        ] {
            let name = refused.split('=').next();
            let found = error(refused);
            assert!(
                matches!(&found, Some(UrlError::Parameter { name: found, .. }) if Some(*found) == name),
                "{refused}: {found:?}"
            );
        }
        for accepted in
            ["keepalives=2", "keepalives_idle=32767", "tcp_user_timeout=-1", "connect_timeout=+5", "connect_timeout=-1"]
        {
            assert_eq!(error(accepted), None, "{accepted}");
        }
        assert_eq!(
            address("postgresql://u@h/d?connect_timeout=%2010%20").connect_timeout,
            Some(std::time::Duration::from_secs(10))
        );
    }

    #[test]
    fn what_surrounds_a_url_is_named() {
        for (url, what) in [
            ("\u{feff}postgresql://u@h/d", "byte order mark"),
            ("\"sqlite:///x.db\"", "quotes"),
            ("'postgresql://u@h/d'", "quotes"),
            (" postgresql://u@h/d", "blanks"),
            ("sqlite:///x.db\n", "blanks"),
        ] {
            let error = url.parse::<DatabaseUrl>().expect_err(url).to_string();
            assert!(error.contains(what), "{url:?}: {error}");
        }
    }

    #[test]
    fn what_the_backend_does_not_read_is_a_warning() {
        let warning = |url: &str| url.parse::<DatabaseUrl>().expect("tarsy-db reads it").warning().unwrap_or_default();
        for (url, what) in [
            ("postgres://u@h/d", "`postgresql://`"),
            ("POSTGRESQL://u@h/d", "lower case"),
            ("SQLITE:////x.db", "lower case"),
            ("postgresql://u@a:1,b:2/d", "host=a:1&host=b:2"),
            ("postgresql://u@/d?host=a:1,b:2", "host=a:1&host=b:2"),
            ("postgresql://u@/d?host=a&host=b&port=1", "host=a:1&host=b:2"),
            ("postgresql://u@/d?host=a,b&port=1", "host=a:1&host=b:2"),
            ("postgresql://u@a,b/d?port=1,2", "host=a:1&host=b:2"),
            ("postgresql://u@::1/d", "@[::1]:1/"),
            ("postgresql://u@/d?host=[::1]&port=1", "host=::1&port=1"),
            ("postgresql://u@/d?host=[::1]:1", "host=::1&port=1"),
            ("postgresql://u@/d?host=[::1]:1&host=[::1]:2", "host=a,::1&port=1,2"),
            ("postgresql://u@/d?host=a:1&port=2", "@a:1/"),
            ("postgresql://u@:/d", "@a:1/"),
            ("postgresql://u@h/d?ssl=require", "`sslmode`"),
        ] {
            assert!(warning(url).contains(what), "{url}: {}", warning(url));
        }
        for url in [
            "postgresql+psycopg2://u@h/d",
            "postgresql+asyncpg://u@h/d?ssl=require",
            "sqlite+pysqlite:////x.db",
            "postgresql://u:p@a:1/d",
            "postgresql://u@a,b/d",
            "postgresql://u@a,b/d?port=1",
            "postgresql://u@/d?host=a:1&host=b:2",
            "postgresql://u@/d?host=a,b&port=1,2",
            "postgresql://u@[::1]:5/d",
            "postgresql://u@/d?host=::1&port=1",
            "postgresql://u@/d?host=::1,127.0.0.1&port=1,1",
            "postgresql://u@/d?host=/nosuch,/so:ck&port=1,1",
            "postgresql://u@/d?host=a,",
            "postgresql://u@/d?hostaddr=127.0.0.1&port=1",
            "postgresql://",
        ] {
            assert_eq!(warning(url), "", "{url}");
        }
    }

    #[test]
    fn a_url_by_which_the_backend_reaches_another_server_is_refused() {
        for url in [
            "postgresql://u@[::1],127.0.0.1/d",
            "postgresql://u@/d?host=[::1],127.0.0.1&port=1,1",
            "postgresql://u@/d?host=::1&host=127.0.0.1",
            "postgresql://u@/d?host=[::1]:1&host=b:1",
            "postgresql://u@/d?host=a:1,b",
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().err(), Some(UrlError::HostsReadOtherwise), "{url}");
        }
    }

    #[test]
    fn several_hosts_among_the_parameters_have_the_usual_port() {
        for url in ["postgresql://u@/d?host=a,b", "postgresql://u@/d?host=a&host=b", "postgresql://u@c:7/d?host=a,b"] {
            let found = address(url);
            assert_eq!((found.hosts.join(","), found.ports), ("a,b".to_owned(), vec![5432, 5432]), "{url}");
            assert!(found.given.contains("port"), "{url}: neither `PGPORT` nor a service counts");
        }
        assert_eq!(address("postgresql://u@:7/d?host=a").ports, [7]);
        assert_eq!(address("postgresql://u@a,b/d").ports, [0; 0]);
    }

    #[test]
    fn the_port_of_the_last_of_several_hosts_is_not_guessed() {
        let error = "postgresql://u@a,b:2/d".parse::<DatabaseUrl>().err();
        assert_eq!(error, Some(UrlError::HostsWithOnePort));
        assert_eq!(address("postgresql://u@/d?host=a&host=b:2").ports, [5432, 2]);
    }

    #[test]
    fn an_at_sign_in_a_parameter_belongs_to_no_password() {
        assert_eq!(address("postgresql://u:p@/d?host=@socket").hosts, ["@socket"]);
        assert_eq!(address("postgresql://u@h/d?application_name=a@b").application_name.as_deref(), Some("a@b"));
        assert_eq!(address("postgresql://u:p@h:1/d?application_name=a@b").ports, [1]);
        // For SQLAlchemy `1/d?application_name=a` is the password here, and `b` the host.
        let other = "postgresql://u@h:1/d?application_name=a@b".parse::<DatabaseUrl>().err();
        assert_eq!(other, Some(UrlError::UnescapedPassword));
    }

    #[test]
    fn the_login_may_be_in_parameters() {
        // It is not shown, because it may be a part of the password.
        let unknown = "postgresql://h/d?password=a&b=c".parse::<DatabaseUrl>().err();
        assert_eq!(unknown, Some(UrlError::UnescapedPassword));
        let found = address("postgresql://other:word@h?user=u&password=p&dbname=d");
        assert_eq!((found.user.as_deref(), found.database.as_deref()), (Some("u"), Some("d")));
        assert_eq!(found.password.as_ref().map(Secret::expose), Some("p"));
    }

    #[test]
    fn several_hosts_are_written_in_three_ways() {
        let shown = |url: &str| url.parse::<DatabaseUrl>().map(|url| url.to_string());
        for url in [
            "postgresql://u@a:1,b:/d",
            "postgresql://u@/d?host=a,b&port=1,",
            "postgresql://u@/d?host=a:1&host=b",
            "postgresql://u@a,b/d?port=1,5432",
        ] {
            assert_eq!(shown(url), Ok("u@a:1,b:5432/d".to_owned()), "{url}");
        }
        assert_eq!(shown("postgresql://u@a,b/d?port=7"), Ok("u@a:7,b:7/d".to_owned()));
        assert_eq!(shown("postgresql://u@/d?host=::1"), Ok("u@[::1]:5432/d".to_owned()));
        assert_eq!(shown("postgresql://u@a/d?hostaddr=127.0.0.1"), Ok("u@a(127.0.0.1):5432/d".to_owned()));
        assert_eq!(shown("postgresql://u@/d?hostaddr=127.0.0.1"), Ok("u@127.0.0.1:5432/d".to_owned()));
        for url in ["postgresql://u@a,b/d?port=1,2,3", "postgresql://u@a,b/d?hostaddr=127.0.0.1"] {
            assert_eq!(shown(url), Err(UrlError::HostLists), "{url}");
        }
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
        for sound in ["postgresql://tarsy:hunter2@db/history", "postgresql://tarsy@db/history?password=hunter2"] {
            let url: DatabaseUrl = sound.parse().expect("a sound URL");
            assert_eq!(url.to_string(), "tarsy@db:5432/history");
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for broken in [
            "postgresql://tarsy:hunter2@x@db/history",
            "postgresql://tarsy:hunter2@db:port/history",
            "postgresql://tarsy:hunter2@a:1,b:2/history?port=1,2,3",
            "postgresql://tarsy:hunter2@db/history?pasword=hunter2",
            "postgresql://tarsy@db/history?password=x&hunter2",
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
