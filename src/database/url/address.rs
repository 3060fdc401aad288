//! The address of a PostgreSQL database, with everything that libpq's parameters say about the connection.

use std::collections::BTreeSet;
use std::time::Duration;

use super::secret::Secret;
use super::tls::TlsOptions;

/// The limit of one attempt to connect, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A PostgreSQL database, as the URL or the separate settings name it.
#[derive(Debug, Clone)]
pub struct PostgresqlAddress {
    /// A host name, an address, or (starting with `/`) the directory of a Unix socket.
    pub host: String,
    /// The TCP port, or the number in the name of the socket.
    pub port: u16,
    /// The parameters that were given, whose environment variables are ignored.
    pub given: BTreeSet<&'static str>,
    /// The role.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database; if `None` the one named like the role.
    pub database: Option<String>,
    /// TLS.
    pub tls: Box<TlsOptions>,
    /// The limit of one attempt to connect; zero is none.
    pub connect_timeout: Option<Duration>,
    /// What `pg_stat_activity` shows; if `None` `tarsy`.
    pub application_name: Option<String>,
    /// Settings of the session, as the server's command line has them.
    pub options: Option<String>,
    /// Whether a login is bound to the connection; if `None` where the server offers it.
    pub channel_binding: Option<ChannelBinding>,
}

/// `channel_binding`: whether a login proves to whom it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

impl PostgresqlAddress {
    /// An address with defaults for everything but these five.
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
            given: BTreeSet::from(["host", "port"]),
            user,
            password,
            database,
            tls: Box::default(),
            connect_timeout: None,
            application_name: None,
            options: None,
            channel_binding: None,
        }
    }

    /// The limit of one attempt to connect, if there is one.
    #[must_use]
    pub fn connect_limit(&self) -> Option<Duration> {
        Some(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)).filter(|limit| !limit.is_zero())
    }

    /// Whether the host is the directory of a Unix socket.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// The number of a port.
pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}
