//! Parses addresses of PostgreSQL databases, as SQLAlchemy writes them.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::address::{DEFAULT_PORT, PostgresqlAddress, is_host, port};
use super::error::UrlError;
use super::keyword::{KEEPS_EMPTY, KEYWORDS};
use super::parameters::parameters;
use super::scheme::is_url;
use super::secret::Secret;

/// A URL without its role and its password.
#[must_use]
pub(crate) fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    format!("{scheme}://{place}{tail}")
}

/// Parses the part after `postgresql://`.
pub(crate) fn parse_postgresql(rest: &str) -> Result<PostgresqlAddress, UrlError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (location, query) = tail.split_once('?').unwrap_or((tail, ""));
    // `user:pass/word@host`: the slash in the password ended the authority, and the rest may be part of the password. Without
    // a password SQLAlchemy takes what is between the port and the last `@` for one.
    let is_read_alike =
        authority.rsplit_once('@').is_some_and(|(userinfo, host)| userinfo.contains(':') || !host.contains(':'));
    let is_query = is_read_alike && parameters(query).all(|(name, _)| is_known(&name));
    if location.contains('@') || (query.contains('@') && !is_query) || tail.starts_with('#') {
        return Err(UrlError::UnescapedPassword);
    }
    let (userinfo, host_and_port) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    let (user, password) = match userinfo.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (percent_decoded(user)?, percent_decoded(password)?),
        None => (None, None),
    };
    let database =
        Some(location.strip_prefix('/').unwrap_or(location)).filter(|name| !name.is_empty()).map(str::to_owned);

    let mut address = PostgresqlAddress::new("", DEFAULT_PORT, user, password.map(Secret::new), database);
    (address.hosts, address.ports) = (Vec::new(), Vec::new());
    address.given.retain(|name| !matches!(*name, "host" | "port"));
    set_hosts(&mut address, host_and_port)?;
    let has_port = |host: &str| host_and_port_of(host).is_ok_and(|(_, port)| port.is_some());
    if let Some((others, last)) = host_and_port.rsplit_once(',')
        && has_port(last)
        && !others.split(',').any(has_port)
    {
        return Err(UrlError::HostsWithOnePort);
    }
    // SQLAlchemy repeats the parameter for each host.
    let (hosts, others): (Vec<_>, Vec<_>) = parameters(query).partition(|(name, _)| name == "host");
    if !hosts.is_empty() {
        let list = hosts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(",");
        // Where no host has a port, SQLAlchemy sends libpq empty ports, which are 5432.
        if list.contains(',') {
            address.ports = vec![DEFAULT_PORT; list.split(',').count()];
            address.given.insert("port");
        }
        set_hosts(&mut address, &list)?;
    }
    let mut set = BTreeSet::new();
    for (name, value) in others {
        set_parameter(&mut address, &mut set, name, &value)?;
    }
    if address.lists_fit() { Ok(address) } else { Err(UrlError::HostLists) }
}

/// Sets hosts that are separated by commas, each perhaps with a port.
fn set_hosts(address: &mut PostgresqlAddress, text: &str) -> Result<(), UrlError> {
    let places = text.split(',').map(host_and_port_of).collect::<Result<Vec<_>, _>>()?;
    if places.iter().any(|(host, _)| host.is_some()) {
        address.hosts = places.iter().map(|(host, _)| host.clone().unwrap_or_default()).collect();
        address.given.insert("host");
    }
    if places.iter().any(|(_, port)| port.is_some()) {
        address.ports = places.iter().map(|(_, port)| port.unwrap_or(DEFAULT_PORT)).collect();
        address.given.insert("port");
    }
    Ok(())
}

/// Sets a parameter that is not among those that are set already.
fn set_parameter(
    address: &mut PostgresqlAddress,
    set: &mut BTreeSet<&'static str>,
    name: String,
    value: &str,
) -> Result<(), UrlError> {
    let Some(keyword) = KEYWORDS.iter().find(|keyword| keyword.name == name) else {
        // `password=a&b` and `password=a&b=c`: the unknown name is a part of a password.
        if is_url(&name) || set.contains("password") || set.contains("sslpassword") {
            return Err(UrlError::UnescapedPassword);
        }
        return Err(UrlError::UnknownParameter { name, allowed: KEYWORDS.map(|keyword| keyword.name).to_vec() });
    };
    if value.is_empty() && !KEEPS_EMPTY.contains(&keyword.name) {
        return Ok(());
    }
    let meant = if matches!(keyword.name, "ssl" | "requiressl") { "sslmode" } else { keyword.name };
    address.given.insert(meant);
    if !set.insert(meant) {
        return Err(UrlError::Repeated(meant));
    }
    keyword.apply(address, value).map_err(|expected| UrlError::Parameter { name: keyword.name, expected })
}

fn is_known(name: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.name == name)
}

/// Splits a host and its port. The directory of a Unix socket has none, nor has an address of IPv6 without brackets.
fn host_and_port_of(text: &str) -> Result<(Option<String>, Option<u16>), UrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((_, after)) if !after.is_empty() && !after.starts_with(':') => return Err(UrlError::Host),
        Some((host, after)) => (host, after.strip_prefix(':')),
        None if text.starts_with(['/', '@']) || text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map(parse_port).transpose()?;
    let is_empty_address = host.is_empty() && text.starts_with('[');
    if is_empty_address || !is_host(host) {
        return Err(UrlError::Host);
    }
    Ok((Some(host).filter(|host| !host.is_empty()).map(str::to_owned), port))
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    port(text).ok_or(UrlError::Port)
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
