//! What the backend does not read in a URL that tarsy-db takes: it parses URLs with SQLAlchemy, and connects with psycopg2.

use super::address::PostgresqlAddress;
use super::parameters::parameters;

const SEVERAL_HOSTS: &str = "it reads several hosts as `?host=a:1&host=b:2`";

/// The warning about an objection.
#[must_use]
pub(super) fn warning(objection: &str) -> String {
    format!("the backend cannot use this database URL, although tarsy-db can: {objection}")
}

/// Why the backend does not know a scheme.
#[must_use]
pub(super) fn to_scheme(scheme: &str) -> Option<&'static str> {
    if scheme == "postgres" {
        Some("it knows `postgresql://`, and not `postgres://`")
    } else if scheme.contains(|c: char| c.is_ascii_uppercase()) {
        Some("it knows the scheme in lower case only")
    } else {
        None
    }
}

/// Why the backend does not connect to the hosts of an address.
#[must_use]
pub(super) fn to_hosts(address: &PostgresqlAddress) -> &'static str {
    let is_ipv6 = |host: &String| host.contains(':') && !host.starts_with(['/', '@']);
    match (address.hosts.len() > 1, address.hosts.iter().any(is_ipv6)) {
        (true, false) => SEVERAL_HOSTS,
        (true, true) => "it reads several hosts with addresses of IPv6 as `?host=a,::1&port=1,2`",
        (false, true) => "it reads an address of IPv6 as `@[::1]:1/` or as `?host=::1&port=1`",
        (false, false) => "it reads host and port as `@a:1/` or as `?host=a:1`",
    }
}

/// Why the backend does not know the parameters of a PostgreSQL URL with this scheme.
#[must_use]
pub(super) fn to_parameters(scheme: &str, rest: &str) -> Option<&'static str> {
    let (_, query) = rest.split_once('?').unwrap_or((rest, ""));
    let has_ssl = parameters(query).any(|(name, _)| name == "ssl");
    (has_ssl && scheme != "postgresql+asyncpg").then_some("`ssl` is a parameter of asyncpg; it knows `sslmode`")
}
