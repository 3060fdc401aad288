//! The address of a PostgreSQL database, with everything that libpq's parameters say about the connection.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::given::GivenUrl;
use super::protection::Protection;
use super::scheme::is_url;
use super::secret::Secret;
use super::tls::TlsOptions;
use crate::mutex::lock;

/// The limit of one attempt to connect, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A PostgreSQL database, as the URL or the separate settings name it.
#[derive(Debug, Clone)]
pub struct PostgresqlAddress {
    /// Host names, addresses, or (starting with `/` or `@`) the directories of Unix sockets. If there are none,
    /// [`DEFAULT_HOST`].
    pub hosts: Vec<String>,
    /// Addresses that save looking the names up.
    pub host_addresses: Vec<String>,
    /// The TCP ports, or the numbers in the names of the sockets: one, or one for each host.
    pub ports: Vec<u16>,
    /// The order in which hosts are tried.
    pub host_order: HostOrder,
    /// Which servers will do.
    pub target: TargetServer,
    /// The parameters that were given, whose environment variables are ignored.
    pub given: BTreeSet<&'static str>,
    /// The role.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database; if `None` the one named like the role.
    pub database: Option<String>,
    /// TLS.
    pub tls: TlsOptions,
    /// The limit of one attempt to connect; zero is none.
    pub connect_timeout: Option<Duration>,
    /// What `pg_stat_activity` shows.
    pub application_name: Option<String>,
    /// The same if that is `None`; otherwise `tarsy`.
    pub fallback_application_name: Option<String>,
    /// Settings of the session, as the server's command line has them.
    pub options: Option<String>,
    /// The time zone that the variable `PGTZ` gives to sessions of the backend.
    pub(crate) time_zone: Option<String>,
    /// Whether a login is bound to the connection; if `None` where the server offers it.
    pub channel_binding: Option<ChannelBinding>,
    /// The kinds of login that are allowed.
    pub required_login: Option<RequiredLogin>,
    /// The system's user that runs the server behind a Unix socket.
    pub required_peer: Option<String>,
    /// The file that may have the password.
    pub password_file: Option<PathBuf>,
    /// The file that holds the login, which may change.
    pub(crate) secret_file: Option<SecretFile>,
    /// The section of the service file that has further parameters.
    pub service: Option<String>,
    /// Why the backend does not read the URL that the address comes from.
    pub objection: Option<&'static str>,
    /// The URL that the address comes from.
    pub(crate) given_url: Option<GivenUrl>,
    /// What was reached last. All copies of the address know it.
    reached: Arc<Mutex<Option<Reached>>>,
}

/// A file that holds a login.
#[derive(Debug, Clone)]
pub(crate) enum SecretFile {
    /// The whole URL, and what it was without its login.
    Url {
        path: PathBuf,
        place: Secret,
    },
    Password(PathBuf),
}

/// The server that a connection was opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The number of its host.
    pub(crate) number: usize,
    pub(crate) protection: Protection,
    /// The time zone of the session, and so of those of the backend, if the server has reported it.
    pub(crate) time_zone: Option<String>,
}

/// `load_balance_hosts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOrder {
    AsGiven,
    Random,
}

/// `target_session_attrs`: which servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetServer {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby if one of the hosts is one.
    PreferStandby,
}

/// A kind of login, as `require_auth` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginKind {
    /// The server asks for nothing.
    None,
    Password,
    Md5,
    Scram,
    /// One that tarsy-db does not support.
    Other,
}

/// `require_auth`: the kinds of login that are allowed, or all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredLogin {
    pub kinds: Vec<LoginKind>,
    /// Whether these kinds are allowed, or all but these.
    pub is_allowed: bool,
}

impl RequiredLogin {
    /// Whether a login of this kind is allowed.
    #[must_use]
    pub fn allows(&self, kind: LoginKind) -> bool {
        self.kinds.contains(&kind) == self.is_allowed
    }
}

/// A host with everything that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPlace<'a> {
    /// The host's name; empty if only its address is known.
    pub name: &'a str,
    /// The name or the address to connect to.
    pub host: &'a str,
    pub port: u16,
}

impl HostPlace<'_> {
    /// Whether the host is the directory of a Unix socket, or begins the name of one that is no file.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with(['/', '@'])
    }
}

impl fmt::Display for HostPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.name.is_empty() { self.host } else { self.name };
        match shown.contains(':') {
            true => write!(f, "[{shown}]")?,
            false => f.write_str(shown)?,
        }
        // `hostaddr` decides where the connection leads, whatever the name is.
        if shown != self.host {
            write!(f, "({})", self.host)?;
        }
        write!(f, ":{}", self.port)
    }
}

/// An address of IPv6 without the brackets that a URL needs.
pub(super) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
}

/// What [`hosts`] accepts.
pub(super) const HOSTS: &str = "a host, or several separated by commas, each without a login and a port";

/// Hosts that are separated by commas, without the brackets of addresses of IPv6. An empty one is [`DEFAULT_HOST`].
#[must_use]
pub(crate) fn hosts(list: &str) -> Option<Vec<String>> {
    list.split(',').map(|text| Some(unbracketed(text).to_owned()).filter(|_| is_host(text))).collect()
}

/// Whether a text can be the name of a host, an address, or the place of a Unix socket.
pub(super) fn is_host(text: &str) -> bool {
    let host = unbracketed(text);
    let is_ipv6 = || host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    match host.chars().next() {
        Some('/' | '@') => !is_url(host),
        Some(_) => !host.contains(['@', '/', '[', ']']) && (!host.contains(':') || is_ipv6()),
        None => text.is_empty(),
    }
}

/// `channel_binding`: whether a login proves to whom it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

impl PostgresqlAddress {
    /// An address with defaults for everything but these five. Several hosts are separated by commas.
    #[must_use]
    pub fn new(
        host: &str,
        port: u16,
        user: Option<String>,
        password: Option<Secret>,
        database: Option<String>,
    ) -> Self {
        let login = [("user", user.is_some()), ("password", password.is_some()), ("dbname", database.is_some())];
        let given = login.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
        Self {
            hosts: host.split(',').map(|host| unbracketed(host).to_owned()).collect(),
            host_addresses: Vec::new(),
            ports: vec![port],
            host_order: HostOrder::AsGiven,
            target: TargetServer::Any,
            given: given.chain(["host", "port"]).collect(),
            user,
            password,
            database,
            tls: TlsOptions::default(),
            connect_timeout: None,
            application_name: None,
            fallback_application_name: None,
            options: None,
            time_zone: None,
            channel_binding: None,
            required_login: None,
            required_peer: None,
            password_file: None,
            secret_file: None,
            service: None,
            objection: None,
            given_url: None,
            reached: Arc::default(),
        }
    }

    /// The limit of one attempt to connect, if there is one.
    #[must_use]
    pub fn connect_limit(&self) -> Option<Duration> {
        Some(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)).filter(|limit| !limit.is_zero())
    }

    /// The hosts in their order.
    #[must_use]
    pub fn places(&self) -> Vec<HostPlace<'_>> {
        let count = self.hosts.len().max(self.host_addresses.len()).max(1);
        let place = |index| {
            let (name, address) = (item(&self.hosts, index), item(&self.host_addresses, index));
            let name = if name.is_empty() && address.is_empty() { DEFAULT_HOST } else { name };
            let port = self.ports.get(index).or(self.ports.first()).copied().unwrap_or(DEFAULT_PORT);
            HostPlace { name, host: if address.is_empty() { name } else { address }, port }
        };
        (0..count).map(place).collect()
    }

    /// Whether several hosts are named and the first that answers will do, although another one may be the primary.
    pub(crate) fn may_find_primary(&self) -> bool {
        !matches!(self.target, TargetServer::ReadWrite | TargetServer::Primary) && self.places().len() > 1
    }

    /// Records what was reached.
    pub(crate) fn set_reached(&self, reached: Reached) {
        *lock(&self.reached) = Some(reached);
    }

    /// Lets the next connection reach any host.
    pub(crate) fn forget_reached(&self) {
        *lock(&self.reached) = None;
    }

    /// What was reached last.
    pub(crate) fn reached(&self) -> Option<Reached> {
        lock(&self.reached).clone()
    }

    /// The same address with the one host that was reached last, if one was: what is asked about a session has to be
    /// asked of its server.
    #[must_use]
    pub(crate) fn at_reached_host(&self) -> Self {
        let reached = self.reached().and_then(|reached| self.places().get(reached.number).copied());
        let Some(place) = reached else { return self.clone() };
        Self {
            hosts: vec![place.name.to_owned()],
            host_addresses: vec![place.host.to_owned()].into_iter().filter(|host| host != place.name).collect(),
            ports: vec![place.port],
            target: TargetServer::Any,
            // The numbers of one host are not those of all.
            reached: Arc::default(),
            ..self.clone()
        }
    }

    /// What has the character NUL, of the values that are not those of a parameter.
    #[must_use]
    pub(crate) fn value_with_nul(&self) -> Option<&'static str> {
        let has_nul = |value: Option<&str>| value.is_some_and(|value| value.contains('\0'));
        let values = [
            ("role", has_nul(self.user.as_deref())),
            ("password", has_nul(self.password.as_ref().map(Secret::expose))),
            ("name of the database", has_nul(self.database.as_deref())),
            ("host", self.hosts.iter().any(|host| host.contains('\0'))),
        ];
        values.into_iter().find(|(_, has_nul)| *has_nul).map(|(what, _)| what)
    }

    /// Whether the lists of hosts, addresses and ports fit.
    #[must_use]
    pub fn lists_fit(&self) -> bool {
        let (hosts, addresses, ports) = (self.hosts.len(), self.host_addresses.len(), self.ports.len());
        let count = hosts.max(addresses).max(1);
        (hosts == 0 || addresses == 0 || hosts == addresses) && (ports <= 1 || ports == count)
    }

    /// Whether all hosts are directories of Unix sockets.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.places().iter().all(HostPlace::is_unix_socket)
    }
}

fn item(list: &[String], index: usize) -> &str {
    list.get(index).map(String::as_str).unwrap_or_default()
}

/// Where the server of this machine has its Unix socket, as the backend's libpq has it, and Debian's packages.
const DEFAULT_HOST: &str = "/var/run/postgresql";
/// The port of a host that names none.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// The number of a port, as libpq reads it: blanks may surround it.
pub(super) fn port(text: &str) -> Option<u16> {
    trimmed(text).parse().ok().filter(|port| *port > 0)
}

/// A text without the blanks around it, of which libpq knows those of ASCII.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
}
