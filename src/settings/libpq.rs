//! The environment variables and files of libpq that decide the address, the login and the protection of a connection.
//!
//! TARSy's backend connects with libpq. tarsy-db therefore connects to the same server with the same verification, and
//! refuses settings that it does not support. [`crate::database::connection`] connects.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::environment::{Environment, lookup_exactly};
use super::error::{LibpqError, SettingsError};
use super::system_user;
use crate::database::url::{
    DatabaseUrl, PostgresqlAddress, RootCertificates, SSL_MODES, Secret, SslMode, TlsOptions, parse_port,
};

/// Completes what a URL leaves open: host, port, database, role, password, options, and TLS.
///
/// # Errors
/// [`SettingsError`] for a variable that is not valid or requests an unsupported feature.
pub(crate) fn complete(url: &mut DatabaseUrl, environment: &Environment) -> Result<(), SettingsError> {
    let DatabaseUrl::Postgresql(address) = url else { return Ok(()) };
    complete_place(address, environment)?;
    complete_login(address, environment)?;
    refuse_unsupported(address, environment)?;
    if address.is_unix_socket() {
        // libpq does not use TLS on a Unix socket, whatever the mode.
        address.tls.mode = Some(SslMode::Disable);
        return Ok(());
    }
    complete_tls(&mut address.tls, environment)
}

fn complete_tls(tls: &mut TlsOptions, environment: &Environment) -> Result<(), SettingsError> {
    if tls.mode.is_none() {
        tls.mode = mode_of(environment)?;
    }
    if tls.roots.is_none() {
        tls.roots = root_certificates(environment);
    }
    if tls.certificate.is_none() {
        tls.certificate = file(environment, "PGSSLCERT", "postgresql.crt");
    }
    if tls.key.is_none() {
        tls.key = file(environment, "PGSSLKEY", "postgresql.key");
    }
    match (tls.mode, &tls.roots) {
        (None, Some(RootCertificates::System)) => tls.mode = Some(SslMode::VerifyFull),
        (Some(SslMode::VerifyFull), Some(RootCertificates::System)) => {}
        (Some(_), Some(RootCertificates::System)) => return Err(LibpqError::TooWeakForSystemRoots.into()),
        (Some(SslMode::VerifyCa), None) => return Err(LibpqError::NoRootCertificate("verify-ca").into()),
        (Some(SslMode::VerifyFull), None) => return Err(LibpqError::NoRootCertificate("verify-full").into()),
        (_, Some(RootCertificates::File(_)) | None) => {}
    }
    match tls.mode() {
        SslMode::VerifyCa | SslMode::VerifyFull => Ok(refuse_revocation_lists(environment)?),
        _ => Ok(()),
    }
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

/// Empty variables count as not set. Without a role libpq uses the name of the system's user.
fn complete_login(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    let given = |name| Ok::<_, SettingsError>(lookup_exactly(environment, name)?.filter(|value| !value.is_empty()));
    if address.user.is_none() {
        address.user = Some(match given("PGUSER")? {
            Some(user) => user,
            None => system_user::name().ok_or(LibpqError::NoUser)?,
        });
    }
    if address.password.is_none() {
        address.password = given("PGPASSWORD")?.map(Secret::new);
    }
    if address.options.is_none() {
        address.options = given("PGOPTIONS")?;
    }
    Ok(())
}

/// `PGSSLMODE`, otherwise the older `PGREQUIRESSL`. An empty mode is an error, as in libpq.
fn mode_of(environment: &Environment) -> Result<Option<SslMode>, SettingsError> {
    const NAME: &str = "PGSSLMODE";
    let Some(value) = lookup_exactly(environment, NAME)? else {
        let is_required = lookup_exactly(environment, "PGREQUIRESSL")?.is_some_and(|value| value.starts_with('1'));
        return Ok(is_required.then_some(SslMode::Require));
    };
    match SslMode::of_name(&value) {
        Some(mode) => Ok(Some(mode)),
        None => {
            Err(SettingsError::Value { name: NAME, source_name: "the environment".into(), value, expected: SSL_MODES })
        }
    }
}

/// Those of `PGSSLROOTCERT`, otherwise `~/.postgresql/root.crt` if it exists.
fn root_certificates(environment: &Environment) -> Option<RootCertificates> {
    let named = environment.get("PGSSLROOTCERT").map(PathBuf::from).and_then(RootCertificates::of_value);
    named.or_else(|| in_home(environment, "root.crt").map(RootCertificates::File))
}

/// The file that a variable names, otherwise the one in `~/.postgresql` if it exists.
fn file(environment: &Environment, variable: &str, name: &str) -> Option<PathBuf> {
    let named = environment.get(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| in_home(environment, name))
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
