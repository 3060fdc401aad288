//! The hosts and ports of a URL as TARSy's backend reads them: SQLAlchemy 2.0 takes the URL apart, and libpq the lists.

use super::address::{DEFAULT_PORT, PostgresqlAddress, is_host, port};
use super::parameters::parameters;

/// How the backend reads the hosts and ports of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Same,
    /// It does not connect at all.
    Fails,
    /// It may reach another server.
    Other,
}

/// A host and its port. Without one that of a service, of `PGPORT` or 5432 counts.
type Place = (String, Option<u16>);

/// How the backend reads the part after `postgresql://`, of which this address was made.
pub(super) fn reading(rest: &str, address: &PostgresqlAddress) -> Reading {
    let Some((hosts, ports)) = arguments(rest) else { return Reading::Fails };
    let backend: Vec<_> = hosts.split(',').map(str::to_owned).collect();
    let numbers: Option<Vec<_>> = match ports.as_str() {
        "" => Some(Vec::new()),
        list => list.split(',').map(|text| if text.is_empty() { Some(DEFAULT_PORT) } else { port(text) }).collect(),
    };
    let Some(numbers) = numbers else { return Reading::Fails };
    let own = if address.hosts.is_empty() { vec![String::new()] } else { address.hosts.clone() };
    // libpq looks up a name with brackets, and finds none.
    let is_usable = |host: &String| is_host(host) && !host.starts_with('[');
    if places(&backend, &numbers) == places(&own, &address.ports) && backend.iter().all(is_usable) {
        Reading::Same
    } else if backend.iter().any(is_usable) {
        Reading::Other
    } else {
        Reading::Fails
    }
}

fn places(hosts: &[String], ports: &[u16]) -> Vec<Place> {
    let port = |index: usize| ports.get(index).or(ports.first()).copied();
    hosts.iter().enumerate().map(|(index, host)| (host.clone(), port(index))).collect()
}

/// The arguments `host` and `port` that libpq gets; `None` if SQLAlchemy fails.
fn arguments(rest: &str) -> Option<(String, String)> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = location.split('/').next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let in_brackets = place.strip_prefix('[').and_then(|inner| inner.rsplit_once(']'));
    let (host, after) = match in_brackets.filter(|(host, _)| !host.is_empty()) {
        Some(found) => found,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let number = match after.strip_prefix(':') {
        Some(number) => number.trim().parse::<u16>().ok()?.to_string(),
        None if after.is_empty() => String::new(),
        // What follows is not read at all.
        None => return Some((host.to_owned(), String::new())),
    };
    let given: Vec<_> = parameters(query).filter(|(_, value)| !value.is_empty()).collect();
    let values = |name| given.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str());
    let (hosts, ports): (Vec<_>, _) = (values("host").collect(), values("port").next());
    let (hosts, ports) = match (&hosts[..], ports) {
        ([], Some(ports)) if ports.contains(',') => return None,
        ([], ports) => return Some((host.to_owned(), ports.map_or(number, str::to_owned))),
        ([list], ports) => one_list(list, ports)?,
        (_, Some(_)) => return None,
        (repeated, None) => repeated_hosts(repeated)?,
    };
    Some((hosts.join(","), if ports.join(",").is_empty() { number } else { ports.join(",") }))
}

type Lists<'t> = (Vec<&'t str>, Vec<&'t str>);

/// `host=a,b&port=1,2`, or `host=a:1`.
fn one_list<'t>(list: &'t str, ports: Option<&'t str>) -> Option<Lists<'t>> {
    let hosts: Vec<_> = list.split(',').collect();
    let is_name = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    let is_number = |port: &str| port.chars().all(|c| c.is_ascii_digit());
    match (ports, list.split_once(':')) {
        (Some(ports), _) => {
            let ports: Vec<_> = ports.split(',').collect();
            (ports.len() == hosts.len()).then_some((hosts, ports))
        }
        (None, Some((host, port))) if hosts.len() == 1 && is_name(host) && is_number(port) => {
            Some((vec![host], vec![port]))
        }
        (None, _) => Some((hosts.clone(), vec![""; hosts.len()])),
    }
}

/// `host=a:1&host=b:2`. Python's `zip` cuts all to the shortest, and two parts have to be left.
fn repeated_hosts<'t>(hosts: &[&'t str]) -> Option<Lists<'t>> {
    let parts = |host: &&'t str| host.split(':').count().max(2);
    let pair = |host: &&'t str| {
        let mut parts = host.split(':');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    };
    (hosts.iter().map(parts).min() == Some(2)).then(|| hosts.iter().map(pair).unzip())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As SQLAlchemy 2.0.44 answers.
    #[test]
    fn libpq_gets_the_arguments_of_sqlalchemy() {
        for (rest, host, port) in [
            ("u@/d?host=a,", "a,", ","),
            ("u@[::1],127.0.0.1/d?sslmode=require", "::1", ""),
            ("u@[]:5/d", "[]", "5"),
            ("u@/d?host=[::1]&host=b", "[,b", ","),
            ("u@/d?host=::1&host=b", ",b", ","),
            ("u@/d?host=,b&port=5,6", ",b", "5,6"),
            ("u@a,b/d?port=5", "a,b", "5"),
            ("u@:7/d?host=a,b", "a,b", ","),
            ("u@:7/d?host=a", "a", "7"),
            ("u@[::1]x/d", "::1", ""),
            ("u@/d?host=a:1&port=2", "a:1", "2"),
            ("u@/d?host=a&port=", "a", ""),
            ("u@[a],[b]/d", "a],[b", ""),
            ("u@/d?host=a:1", "a", "1"),
            ("u@/d?host=a:", "a", ""),
            ("u@/d?host=a_b:1", "a_b:1", ""),
            ("u@a,b:7/d", "a,b", "7"),
        ] {
            assert_eq!(arguments(rest), Some((host.to_owned(), port.to_owned())), "{rest}");
        }
        for rest in [
            "u@:/d",
            "u@h:/d",
            "u@::1/d",
            "u@a:1,b:2/d",
            "u@/d?host=[::1]:1&host=[::1]:2",
            "u@/d?host=a,b&port=5",
            "u@/d?hostaddr=1,2&port=5,6",
            "u@a,b/d?port=5,6",
            "u@/d?host=a&host=b&port=1",
        ] {
            assert_eq!(arguments(rest), None, "{rest}");
        }
    }
}
