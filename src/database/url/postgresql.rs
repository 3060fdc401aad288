//! Addresses of PostgreSQL databases, as SQLAlchemy writes them.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::error::UrlError;
use super::parameters::{parameters, seconds};
use super::secret::Secret;
use super::tls::{RootCertificates, SslMode, TlsOptions};

const POSTGRES_PARAMETERS: [&str; 9] =
    ["host", "port", "sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name"];

/// The limit of one attempt to connect, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The values of `sslmode`.
pub(crate) const SSL_MODES: &str = "one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";

/// A PostgreSQL database, as the URL or the separate settings name it.
#[derive(Debug, Clone)]
pub struct PostgresqlAddress {
    /// A host name, an address, or (starting with `/`) the directory of a Unix socket.
    pub host: String,
    /// The TCP port, or the number in the name of the socket.
    pub port: u16,
    /// Whether the host was given, so that `PGHOST` is ignored.
    pub names_host: bool,
    /// Whether the port was given, so that `PGPORT` is ignored.
    pub names_port: bool,
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
            names_host: true,
            names_port: true,
            user,
            password,
            database,
            tls: Box::default(),
            connect_timeout: None,
            application_name: None,
            options: None,
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

/// Parses the part after `postgresql://`.
pub(crate) fn parse_postgresql(rest: &str) -> Result<PostgresqlAddress, UrlError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // `user:pass/word@host`: the slash in the password ended the authority, and the rest may be part of the password.
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
        set_parameter(&mut address, name, value)?;
    }
    Ok(address)
}

fn set_parameter(address: &mut PostgresqlAddress, name: String, value: String) -> Result<(), UrlError> {
    match name.as_str() {
        "host" if value.contains(',') => return Err(UrlError::SeveralHosts),
        "host" => (address.host, address.names_host) = (value, true),
        "port" => (address.port, address.names_port) = (parse_port(&value)?, true),
        "sslmode" | "ssl" => {
            let name = if name == "ssl" { "ssl" } else { "sslmode" };
            let mode = SslMode::of_name(&value);
            address.tls.mode = Some(mode.ok_or(UrlError::Parameter { name, expected: SSL_MODES })?);
        }
        "sslrootcert" => address.tls.roots = RootCertificates::of_value(value.into()),
        "sslcert" => address.tls.certificate = given(value),
        "sslkey" => address.tls.key = given(value),
        "connect_timeout" => address.connect_timeout = Some(seconds("connect_timeout", &value)?),
        "application_name" => address.application_name = Some(value),
        _ => return Err(UrlError::UnknownParameter { name, allowed: &POSTGRES_PARAMETERS }),
    }
    Ok(())
}

/// The path of a file. An empty one counts as not given, as in libpq.
fn given(value: String) -> Option<PathBuf> {
    Some(value).filter(|value| !value.is_empty()).map(PathBuf::from)
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

/// Percent-decodes a user or a password. Reserved characters that are not encoded are an error.
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
