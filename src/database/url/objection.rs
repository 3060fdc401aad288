//! What the backend does not read in a URL that tarsy-db takes: it parses URLs with SQLAlchemy, and connects with psycopg2.

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

/// Why the backend does not read the rest of a PostgreSQL URL with this scheme.
#[must_use]
pub(super) fn to_parts(scheme: &str, rest: &str) -> Option<&'static str> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = location.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    let given: Vec<_> = parameters(query).collect();
    let has = |name: &str| given.iter().any(|(found, _)| found == name);
    let lists: Vec<_> = given.iter().filter(|(name, _)| name == "host").map(|(_, value)| value.as_str()).collect();
    let has_ports = |list: &str| list.contains(',') && list.contains(':');
    if has_ports(hosts) || lists.iter().any(|list| has_ports(list)) || (lists.len() > 1 && has("port")) {
        return Some(SEVERAL_HOSTS);
    }
    (has("ssl") && scheme != "postgresql+asyncpg").then_some("`ssl` is a parameter of asyncpg; it knows `sslmode`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_have_one_form() {
        let parts = |rest: &str| to_parts("postgresql", rest);
        for unreadable in ["u@a:1,b:2/d", "u@/d?host=a:1,b:2", "u@/d?host=a&host=b&port=1"] {
            assert_eq!(parts(unreadable), Some(SEVERAL_HOSTS), "{unreadable}");
        }
        for readable in ["u:p@a:1/d", "u@a,b/d", "u@/d?host=a:1&host=b:2", "u@/d?host=a,b&port=1,2", "u@[::1]:5/d"] {
            assert_eq!(parts(readable), None, "{readable}");
        }
    }
}
