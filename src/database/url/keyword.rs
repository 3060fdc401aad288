//! libpq's parameters: their names in a URL, their environment variables, and what their values mean.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{
    ChannelBinding, DEFAULT_PORT, HOSTS, HostOrder, LoginKind, PostgresqlAddress, RequiredLogin, TargetServer, hosts,
    port, trimmed, unbracketed,
};
use super::scheme::is_url;
use super::secret::Secret;
use super::tls::{Negotiation, RootCertificates, Sending, SslMode, TlsVersion};

/// What a value must be, for the error.
type Expected = &'static str;

/// One of libpq's parameters.
#[derive(Clone, Copy)]
pub(crate) struct Keyword {
    /// Its name in a URL.
    pub(crate) name: &'static str,
    /// Its environment variable; empty if it has none.
    pub(crate) variable: &'static str,
    /// Sets what a value means.
    set: fn(&mut PostgresqlAddress, &str) -> Result<(), Expected>,
}

impl Keyword {
    /// Whether an empty value in a variable or a service means something else than the default.
    pub(crate) fn keeps_empty(&self) -> bool {
        KEEPS_EMPTY.contains(&self.name) || KEEPS_EMPTY_OUTSIDE_URLS.contains(&self.name)
    }

    /// Sets what a value means. The value is not empty, except where that means something.
    ///
    /// # Errors
    /// What the value must be.
    pub(crate) fn apply(&self, address: &mut PostgresqlAddress, value: &str) -> Result<(), Expected> {
        // In the start-up message a NUL ends the value, and what follows would be another setting.
        if value.contains('\0') {
            return Err("text without the character NUL");
        }
        (self.set)(address, value)?;
        if is_url(value) && !NEVER_SHOWN.contains(&self.name) { Err("a name or a path") } else { Ok(()) }
    }
}

/// The parameters with values that no message shows. Those of others are no URLs, which may hold a password.
const NEVER_SHOWN: [&str; 5] = ["password", "sslpassword", "options", "application_name", "fallback_application_name"];

/// The parameters for which an empty value is an error: it might be a lost one, and the connection less protected. For the
/// others it counts in a URL as not given.
pub(crate) const KEEPS_EMPTY: [&str; 3] = ["sslmode", "ssl", "require_auth"];
/// The parameters for which an empty value differs from the default in a variable or a service, as in libpq, beside those
/// of [`KEEPS_EMPTY`]. Most are then an error.
const KEEPS_EMPTY_OUTSIDE_URLS: [&str; 13] = [
    "target_session_attrs",
    "load_balance_hosts",
    "sslnegotiation",
    "sslcertmode",
    "channel_binding",
    "gssencmode",
    "connect_timeout",
    "sslsni",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// The values of `sslmode`.
pub(crate) const SSL_MODES: Expected = "one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";
const SECONDS: Expected = "a whole number of seconds";
const WHOLE: Expected = "a whole number";
const PROBE_SECONDS: Expected = "a number of seconds from 1 to 32767";
const VERSIONS: Expected = "one of `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.3`";
const LOGINS: Expected =
    "a list of `none`, `password`, `md5`, `scram-sha-256`, `gss`, `sspi`, each once, and each or none with a `!`";

/// All parameters that a URL may have.
pub(crate) const KEYWORDS: [Keyword; 42] = [
    of("host", "PGHOST", |address, value| {
        address.hosts = hosts(value).ok_or(HOSTS)?;
        Ok(())
    }),
    of("hostaddr", "PGHOSTADDR", |address, value| {
        let addresses = value.split(',').map(|text| unbracketed(text).to_owned());
        address.host_addresses = addresses.collect();
        let is_address = |text: &String| text.is_empty() || text.parse::<IpAddr>().is_ok();
        if address.host_addresses.iter().all(is_address) { Ok(()) } else { Err("an IP address, or several") }
    }),
    of("port", "PGPORT", |address, value| {
        let ports = value.split(',').map(|text| if text.is_empty() { Some(DEFAULT_PORT) } else { port(text) });
        address.ports = ports.collect::<Option<_>>().ok_or("a port from 1 to 65535")?;
        Ok(())
    }),
    of("user", "PGUSER", |address, value| text(&mut address.user, value)),
    of("password", "PGPASSWORD", |address, value| {
        address.password = Some(Secret::new(value));
        Ok(())
    }),
    of("dbname", "PGDATABASE", |address, value| text(&mut address.database, value)),
    of("target_session_attrs", "PGTARGETSESSIONATTRS", |address, value| {
        address.target = match value {
            "any" => TargetServer::Any,
            "read-write" => TargetServer::ReadWrite,
            "read-only" => TargetServer::ReadOnly,
            "primary" => TargetServer::Primary,
            "standby" => TargetServer::Standby,
            "prefer-standby" => TargetServer::PreferStandby,
            _ => return Err("one of `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`"),
        };
        Ok(())
    }),
    of("load_balance_hosts", "PGLOADBALANCEHOSTS", |address, value| {
        address.host_order = match value {
            "disable" => HostOrder::AsGiven,
            "random" => HostOrder::Random,
            _ => return Err("`disable` or `random`"),
        };
        Ok(())
    }),
    of("passfile", "PGPASSFILE", |address, value| file(&mut address.password_file, value)),
    of("require_auth", "PGREQUIREAUTH", |address, value| {
        address.required_login = Some(required_login(value).ok_or(LOGINS)?);
        Ok(())
    }),
    of("requirepeer", "PGREQUIREPEER", |address, value| text(&mut address.required_peer, value)),
    of("sslmode", "PGSSLMODE", set_mode),
    // The same for asyncpg, and `true` for Java.
    of("ssl", "", |address, value| set_mode(address, if value == "true" { "require" } else { value })),
    // The same before there were modes.
    of("requiressl", "", |address, value| set_mode(address, if value.starts_with('1') { "require" } else { "prefer" })),
    of("sslnegotiation", "PGSSLNEGOTIATION", |address, value| {
        address.tls.negotiation = Some(match value {
            "postgres" => Negotiation::Postgres,
            "direct" => Negotiation::Direct,
            _ => return Err("`postgres` or `direct`"),
        });
        Ok(())
    }),
    of("sslrootcert", "PGSSLROOTCERT", |address, value| {
        address.tls.roots = RootCertificates::of_value(value.into());
        Ok(())
    }),
    of("sslcrl", "PGSSLCRL", |address, value| file(&mut address.tls.revocation_list, value)),
    of("sslcrldir", "PGSSLCRLDIR", |address, value| file(&mut address.tls.revocation_directory, value)),
    of("sslcert", "PGSSLCERT", |address, value| file(&mut address.tls.certificate, value)),
    of("sslkey", "PGSSLKEY", |address, value| match value.contains(':') {
        // libpq takes it for the name of an engine.
        true => Err("a path without a colon"),
        false => file(&mut address.tls.key, value),
    }),
    of("sslpassword", "", |address, value| {
        address.tls.key_password = Some(Secret::new(value));
        Ok(())
    }),
    of("sslcertmode", "PGSSLCERTMODE", |address, value| {
        address.tls.certificate_sending = Some(match value {
            "allow" => Sending::Allowed,
            "disable" => Sending::Disabled,
            _ => return Err("`allow` or `disable` (tarsy-db cannot `require` that a server asks for a certificate)"),
        });
        Ok(())
    }),
    of("sslsni", "PGSSLSNI", |address, value| {
        address.tls.name_sending = Some(if value.starts_with('1') { Sending::Allowed } else { Sending::Disabled });
        Ok(())
    }),
    of("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", |address, value| {
        address.tls.lowest_version = Some(TlsVersion::of_name(value).ok_or(VERSIONS)?);
        Ok(())
    }),
    of("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", |address, value| {
        address.tls.highest_version = Some(TlsVersion::of_name(value).ok_or(VERSIONS)?);
        Ok(())
    }),
    of("channel_binding", "PGCHANNELBINDING", |address, value| {
        address.channel_binding = Some(match value {
            "disable" => ChannelBinding::Disable,
            "prefer" => ChannelBinding::Prefer,
            "require" => ChannelBinding::Require,
            _ => return Err("one of `disable`, `prefer`, `require`"),
        });
        Ok(())
    }),
    of("gssencmode", "PGGSSENCMODE", |_, value| match value {
        "disable" | "prefer" => Ok(()),
        _ => Err("`disable` or `prefer`, because tarsy-db does not support encryption with GSSAPI"),
    }),
    of("connect_timeout", "PGCONNECT_TIMEOUT", |address, value| {
        // Zero and less are no limit.
        let seconds = whole(value).ok_or(SECONDS)?;
        address.connect_timeout = Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        Ok(())
    }),
    of("application_name", "PGAPPNAME", |address, value| text(&mut address.application_name, value)),
    of("fallback_application_name", "", |address, value| text(&mut address.fallback_application_name, value)),
    of("options", "PGOPTIONS", |address, value| text(&mut address.options, value)),
    of("service", "PGSERVICE", |address, value| text(&mut address.service, value)),
    // TCP's keepalives are always on, compression of TLS is always off, text is always UTF-8, and a login with GSSAPI is
    // not supported.
    of("keepalives", "", |_, value| whole(value).map(drop).ok_or(WHOLE)),
    of("keepalives_idle", "", |_, value| up_to(32_767, value).ok_or(PROBE_SECONDS)),
    of("keepalives_interval", "", |_, value| up_to(32_767, value).ok_or(PROBE_SECONDS)),
    of("keepalives_count", "", |_, value| up_to(127, value).ok_or("a number from 1 to 127")),
    of("tcp_user_timeout", "", |_, value| whole(value).map(drop).ok_or(WHOLE)),
    of("sslcompression", "PGSSLCOMPRESSION", without_effect),
    of("client_encoding", "PGCLIENTENCODING", without_effect),
    of("krbsrvname", "PGKRBSRVNAME", without_effect),
    of("gsslib", "PGGSSLIB", without_effect),
    of("gssdelegation", "PGGSSDELEGATION", without_effect),
];

const fn of(
    name: &'static str,
    variable: &'static str,
    set: fn(&mut PostgresqlAddress, &str) -> Result<(), Expected>,
) -> Keyword {
    Keyword { name, variable, set }
}

fn set_mode(address: &mut PostgresqlAddress, value: &str) -> Result<(), Expected> {
    address.tls.mode = Some(SslMode::of_name(value).ok_or(SSL_MODES)?);
    Ok(())
}

/// A list of kinds of login, all or none of which have a `!`.
fn required_login(value: &str) -> Option<RequiredLogin> {
    let is_allowed = !value.starts_with('!');
    let names: BTreeSet<_> = value.split(',').collect();
    if names.len() < value.split(',').count() {
        return None;
    }
    let kinds = value.split(',').map(|name| {
        let name = if is_allowed { name } else { name.strip_prefix('!')? };
        Some(match name {
            "none" => LoginKind::None,
            "password" => LoginKind::Password,
            "md5" => LoginKind::Md5,
            "scram-sha-256" => LoginKind::Scram,
            "gss" | "sspi" => LoginKind::Other,
            _ => return None,
        })
    });
    Some(RequiredLogin { kinds: kinds.collect::<Option<_>>()?, is_allowed })
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many that may fail")]
fn text(place: &mut Option<String>, value: &str) -> Result<(), Expected> {
    *place = Some(value.to_owned());
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many that may fail")]
fn file(place: &mut Option<PathBuf>, value: &str) -> Result<(), Expected> {
    *place = Some(value.into());
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many that may fail")]
fn without_effect(_: &mut PostgresqlAddress, _: &str) -> Result<(), Expected> {
    Ok(())
}

/// A number as libpq reads it. Only blanks may surround it.
fn whole(value: &str) -> Option<i32> {
    trimmed(value).parse().ok()
}

/// Makes sure that a number is one from 1 to this one.
fn up_to(most: i32, value: &str) -> Option<()> {
    whole(value).filter(|number| (1..=most).contains(number)).map(drop)
}
