//! The URL of an address in the form that TARSy's backend reads, for the operator to paste.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::address::PostgresqlAddress;
use super::given::GivenUrl;
use super::parameters::parameters;
use super::postgresql::parse_postgresql;

/// What is encoded in a role and a parameter.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b',');
/// The parameters that [`for_backend`] writes itself.
const OF_PLACE: [&str; 4] = ["host", "port", "user", "dbname"];

/// The URL with which TARSy's backend connects to the same address. That of the address is kept, unless the backend does
/// not read it, or variables or a service had a part of it.
pub(super) fn for_backend(address: &PostgresqlAddress) -> GivenUrl {
    match &address.given_url {
        Some(given) if address.objection.is_none() && leads_to(given, address) => given.clone(),
        Some(given) => GivenUrl { text: rewritten(address, &given.text), ..given.clone() },
        None => GivenUrl {
            text: rewritten(address, "postgresql://"),
            lacks_password: address.password.is_some(),
            lacks_key_password: false,
        },
    }
}

/// Whether a URL alone leads to the place, the role and the database of an address.
fn leads_to(given: &GivenUrl, address: &PostgresqlAddress) -> bool {
    let (_, rest) = given.text.split_once("://").unwrap_or_default();
    let Ok(alone) = parse_postgresql(rest) else { return false };
    let place = |address: &PostgresqlAddress| {
        address.places().iter().map(|place| (place.name.to_owned(), place.port)).collect::<Vec<_>>()
    };
    (place(&alone), &alone.user, &alone.database) == (place(address), &address.user, &address.database)
}

/// A URL with the scheme and the other parameters of the given one, in the form that SQLAlchemy reads. It decodes the role
/// and the parameters, but not the name of a database before the `?`.
fn rewritten(address: &PostgresqlAddress, given: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let scheme = given.split("://").next().unwrap_or_default().to_ascii_lowercase();
    let scheme = if scheme == "postgres" { "postgresql" } else { &scheme };
    let user = address.user.as_deref().map_or_else(String::new, |user| encoded(user) + "@");
    let (mut place, mut query) = (String::new(), Vec::new());
    match &address.places()[..] {
        [only] if !only.is_unix_socket() && !only.name.is_empty() => place = only.to_string(),
        places => {
            let list = |items: Vec<String>| items.join(",");
            let hosts = list(address.hosts.iter().map(|host| encoded(host)).collect());
            query.extend((!hosts.is_empty()).then(|| format!("host={hosts}")));
            query.push(format!("port={}", list(places.iter().map(|place| place.port.to_string()).collect())));
        }
    }
    let database = address.database.as_deref().unwrap_or_default();
    let is_plain = database.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    query.extend((!is_plain).then(|| format!("dbname={}", encoded(database))));
    let others = given.split_once('?').map_or("", |(_, query)| query);
    query.extend(parameters(others).filter(|(name, _)| !OF_PLACE.contains(&name.as_str())).map(|pair| match &pair {
        (name, value) if name == "ssl" && value == "true" => "sslmode=require".to_owned(),
        (name, value) if name == "ssl" => format!("sslmode={}", encoded(value)),
        (name, value) => format!("{name}={}", encoded(value)),
    }));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}{place}/{}{mark}{}", if is_plain { database } else { "" }, query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::{DatabaseUrl, Secret};

    fn backend(url: &str) -> String {
        url.parse::<DatabaseUrl>().expect("a sound URL").for_backend().text
    }

    #[test]
    fn the_backend_gets_the_url_as_it_is_or_in_the_form_that_it_reads() {
        for url in
            ["postgresql://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem", "postgresql+asyncpg://u@h/d?ssl=require"]
        {
            assert_eq!(backend(url), url);
        }
        for (url, expected) in [
            ("postgres://o%27d@h/d?options=-c%20a%3Db", "postgresql://o%27d@h:5432/d?options=-c%20a%3Db"),
            ("postgresql://u:hunter2@[::1]:7/d?ssl=true", "postgresql://u@[::1]:7/d?sslmode=require"),
            (
                "postgresql://u@a:1,[::1]:2/d?sslmode=require&target_session_attrs=read-write",
                "postgresql://u@/d?host=a,%3A%3A1&port=1,2&sslmode=require&target_session_attrs=read-write",
            ),
        ] {
            assert_eq!(backend(url), expected, "{url}");
            assert_eq!(backend(expected), expected);
        }
    }

    #[test]
    fn what_variables_or_a_service_say_of_the_place_and_the_role_is_in_the_url() {
        let parsed = "postgresql:///m1?sslmode=require".parse();
        let Ok(DatabaseUrl::Postgresql(mut address)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(for_backend(&address).text, "postgresql:///m1?sslmode=require");
        (address.hosts, address.user) = (vec!["db".to_owned()], Some("mv".to_owned()));
        assert_eq!(for_backend(&address).text, "postgresql://mv@db:5432/m1?sslmode=require");
    }

    #[test]
    fn the_parts_of_an_address_are_encoded_for_the_backend() {
        let of = |host: &str, user: &str, database: &str| {
            let [user, database] = [user, database].map(|text| Some(text.to_owned()));
            let address = PostgresqlAddress::new(host, 7, user, Some(Secret::new("hunter2")), database);
            DatabaseUrl::Postgresql(Box::new(address)).for_backend()
        };
        let socket = of("/tmp/x y", "o'dd @x", "c d");
        assert_eq!(socket.text, "postgresql://o%27dd%20%40x@/?host=/tmp/x%20y&port=7&dbname=c%20d");
        assert!(socket.lacks_password);
        for (host, text) in [
            ("db", "postgresql://u@db:7/?dbname=e%3Ff"),
            ("::1", "postgresql://u@[::1]:7/?dbname=e%3Ff"),
            ("a,b", "postgresql://u@/?host=a,b&port=7,7&dbname=e%3Ff"),
        ] {
            assert_eq!(of(host, "u", "e?f").text, text);
            let DatabaseUrl::Postgresql(read) = text.parse().expect("a sound URL") else { panic!("{text}") };
            assert_eq!((read.hosts.join(","), read.database.as_deref()), (host.to_owned(), Some("e?f")));
        }
    }
}
