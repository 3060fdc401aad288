//! libpq's parameters: their names in a URL, their environment variables, and what their values mean.

use std::path::PathBuf;

use super::address::{ChannelBinding, PostgresqlAddress, port};
use super::parameters::seconds;
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
    /// Sets what a value means. The value is not empty, except for those of [`KEEPS_EMPTY`].
    pub(crate) set: fn(&mut PostgresqlAddress, &str) -> Result<(), Expected>,
}

/// The parameters for which an empty value is an error, as in libpq. For the others it counts as not given.
pub(crate) const KEEPS_EMPTY: [&str; 2] = ["sslmode", "ssl"];

/// The values of `sslmode`.
pub(crate) const SSL_MODES: Expected = "one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";
const SECONDS: Expected = "a number of seconds";
const VERSIONS: Expected = "one of `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.3`";
const SWITCH: Expected = "`0` or `1`";

/// All parameters that a URL may have.
pub(crate) const KEYWORDS: [Keyword; 31] = [
    of("host", "PGHOST", |address, value| {
        if value.contains(',') {
            return Err("one host, because tarsy-db connects only to the primary");
        }
        value.clone_into(&mut address.host);
        Ok(())
    }),
    of("port", "PGPORT", |address, value| {
        address.port = port(value).ok_or("a port from 1 to 65535")?;
        Ok(())
    }),
    of("sslmode", "PGSSLMODE", set_mode),
    // The same for asyncpg.
    of("ssl", "", set_mode),
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
    of("sslkey", "PGSSLKEY", |address, value| file(&mut address.tls.key, value)),
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
        address.tls.name_sending = Some(if switch(value)? { Sending::Allowed } else { Sending::Disabled });
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
        address.connect_timeout = Some(seconds(value).ok_or(SECONDS)?);
        Ok(())
    }),
    of("application_name", "PGAPPNAME", |address, value| {
        address.application_name = Some(value.to_owned());
        Ok(())
    }),
    of("options", "PGOPTIONS", |address, value| {
        address.options = Some(value.to_owned());
        Ok(())
    }),
    // TCP's keepalives are always on, compression of TLS is always off, text is always UTF-8, and a login with GSSAPI is
    // not supported.
    of("keepalives", "", without_effect),
    of("keepalives_idle", "", without_effect),
    of("keepalives_interval", "", without_effect),
    of("keepalives_count", "", without_effect),
    of("tcp_user_timeout", "", without_effect),
    of("sslcompression", "PGSSLCOMPRESSION", without_effect),
    of("client_encoding", "PGCLIENTENCODING", without_effect),
    of("krbsrvname", "PGKRBSRVNAME", without_effect),
    of("gsslib", "PGGSSLIB", without_effect),
    of("gssdelegation", "PGGSSDELEGATION", without_effect),
    of("fallback_application_name", "", without_effect),
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

#[expect(clippy::unnecessary_wraps, reason = "it is one of many that may fail")]
fn file(place: &mut Option<PathBuf>, value: &str) -> Result<(), Expected> {
    *place = Some(value.into());
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many that may fail")]
fn without_effect(_: &mut PostgresqlAddress, _: &str) -> Result<(), Expected> {
    Ok(())
}

fn switch(value: &str) -> Result<bool, Expected> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(SWITCH),
    }
}
