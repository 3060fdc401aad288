//! The environment variables and files of libpq that decide the address and the protection of a connection.
//!
//! TARSy's backend connects with libpq. tarsy-db therefore connects to the same server with the same verification, and
//! refuses settings that it does not support. [`crate::database::connection`] connects.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgSslMode;

use super::environment::{Environment, lookup_exactly};
use super::error::{LibpqError, SettingsError};
use crate::database::url::{DatabaseUrl, PostgresqlAddress, SSL_MODES, parse_port};

/// Completes what a URL leaves open: host, port, database, `sslmode`, and the root certificate for the verification of
/// the server.
///
/// # Errors
/// [`SettingsError`] for a variable that is not valid or requests an unsupported feature.
pub(crate) fn complete(url: &mut DatabaseUrl, environment: &Environment) -> Result<(), SettingsError> {
    let DatabaseUrl::Postgresql(address) = url else { return Ok(()) };
    complete_place(address, environment)?;
    refuse_unsupported(address, environment)?;
    if address.is_unix_socket() {
        // libpq does not use TLS on a Unix socket, whatever the mode.
        address.ssl_mode = Some(PgSslMode::Disable);
        return Ok(());
    }
    let mode = match address.ssl_mode {
        Some(mode) => Some(mode),
        None => mode_of(environment)?,
    };
    let root = root_certificate(address, environment);
    let (mode, root) = match (mode, root) {
        (None | Some(PgSslMode::VerifyFull), Root::System) => (PgSslMode::VerifyFull, None),
        (Some(_), Root::System) => return Err(LibpqError::TooWeakForSystemRoots.into()),
        (Some(PgSslMode::VerifyCa), Root::Nothing) => return Err(LibpqError::NoRootCertificate.into()),
        (Some(PgSslMode::Require), Root::File(path)) => (PgSslMode::VerifyCa, Some(path)),
        (Some(mode @ (PgSslMode::VerifyCa | PgSslMode::VerifyFull)), Root::File(path)) => (mode, Some(path)),
        // Nothing is verified, but a file that the URL names must exist.
        (mode, Root::File(_) | Root::Nothing) => (mode.unwrap_or_default(), address.ssl_root_certificate.take()),
    };
    if matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
        refuse_revocation_lists(environment)?;
    }
    address.ssl_mode = Some(mode);
    address.ssl_root_certificate = root.filter(|path| !path.as_os_str().is_empty());
    Ok(())
}

/// Empty variables count as not set.
fn complete_place(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    let given = |name| Ok::<_, SettingsError>(lookup_exactly(environment, name)?.filter(|value| !value.is_empty()));
    let wrong = |name, value, expected| SettingsError::Value {
        name,
        source_name: "the environment".to_owned(),
        value,
        expected,
    };
    if let Some(host) = given("PGHOST")?.filter(|_| !address.names_host) {
        if host.contains(',') {
            return Err(wrong("PGHOST", host, "one host, because tarsy-db connects only to the primary"));
        }
        address.host = host;
    }
    if let Some(port) = given("PGPORT")?.filter(|_| !address.names_port) {
        address.port = parse_port(&port).map_err(|_| wrong("PGPORT", port, "a port from 1 to 65535"))?;
    }
    if address.database.is_none() {
        address.database = given("PGDATABASE")?;
    }
    Ok(())
}

/// `PGSSLMODE`, otherwise the older `PGREQUIRESSL`. An empty mode is an error, as in libpq.
fn mode_of(environment: &Environment) -> Result<Option<PgSslMode>, SettingsError> {
    const NAME: &str = "PGSSLMODE";
    let Some(value) = lookup_exactly(environment, NAME)? else {
        let is_required = lookup_exactly(environment, "PGREQUIRESSL")?.is_some_and(|value| value.starts_with('1'));
        return Ok(is_required.then_some(PgSslMode::Require));
    };
    let mode = value.parse().map(Some);
    mode.map_err(|_| SettingsError::Value {
        name: NAME,
        source_name: "the environment".into(),
        value,
        expected: SSL_MODES,
    })
}

/// The source of the root certificates.
enum Root {
    File(PathBuf),
    /// `sslrootcert=system`: the certificates that the machine trusts.
    System,
    Nothing,
}

/// That of the URL, otherwise of `PGSSLROOTCERT`, otherwise `~/.postgresql/root.crt` if it exists. An empty name is
/// `Nothing`.
fn root_certificate(address: &PostgresqlAddress, environment: &Environment) -> Root {
    let of_environment = || environment.get("PGSSLROOTCERT").map(PathBuf::from);
    let named = address.ssl_root_certificate.clone().or_else(of_environment);
    match named.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path == Path::new("system") => Root::System,
        Some(path) => Root::File(path),
        None => in_home(environment, "root.crt").map_or(Root::Nothing, Root::File),
    }
}

/// A file in `~/.postgresql`, if it exists.
fn in_home(environment: &Environment, name: &str) -> Option<PathBuf> {
    let home = environment.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.or_else(std::env::home_dir).filter(|home| home.is_absolute())?;
    Some(home.join(".postgresql").join(name)).filter(|path| path.exists())
}

fn refuse_unsupported(address: &PostgresqlAddress, environment: &Environment) -> Result<(), LibpqError> {
    let is = |name: &str, value: &str| environment.get(name).is_some_and(|found| found == OsStr::new(value));
    let is_set = |name: &str| environment.get(name).is_some_and(|found| !found.is_empty());
    let is_socket = address.is_unix_socket();
    let unsupported = [
        ("PGHOSTADDR", "another address of the host", is_set("PGHOSTADDR")),
        ("PGSERVICE", "the parameters of a service file", is_set("PGSERVICE")),
        ("PGREQUIREAUTH", "an authentication method", is_set("PGREQUIREAUTH")),
        ("PGCHANNELBINDING", "channel binding", is("PGCHANNELBINDING", "require")),
        ("PGGSSENCMODE", "encryption with GSSAPI", !is_socket && is("PGGSSENCMODE", "require")),
        ("PGSSLMINPROTOCOLVERSION", "TLS 1.3", !is_socket && is("PGSSLMINPROTOCOLVERSION", "TLSv1.3")),
        ("PGREQUIREPEER", "a check of the server's system user", is_socket && is_set("PGREQUIREPEER")),
    ];
    match unsupported.into_iter().find(|(.., is_asked_for)| *is_asked_for) {
        Some((name, what, _)) => Err(LibpqError::Unsupported { name: name.to_owned(), what }),
        None => Ok(()),
    }
}

fn refuse_revocation_lists(environment: &Environment) -> Result<(), LibpqError> {
    let is_set = |name: &&str| environment.get(*name).is_some_and(|found| !found.is_empty());
    let named = ["PGSSLCRL", "PGSSLCRLDIR"].into_iter().find(is_set).map(str::to_owned);
    let found = || in_home(environment, "root.crl").map(|path| path.display().to_string());
    match named.or_else(found) {
        Some(name) => Err(LibpqError::Unsupported { name, what: "a list of revoked certificates" }),
        None => Ok(()),
    }
}
