//! The environment variables and files of libpq that decide the address, the login and the protection of a connection.
//!
//! TARSy's backend connects with libpq. tarsy-db therefore connects to the same server with the same verification, and
//! refuses settings that it does not support. [`crate::database::connection`] connects.

use super::environment::{Environment, lookup_exactly};
use super::error::{LibpqError, SettingsError};
use super::libpq_files::{home, in_home, not_missing_in_home};
use super::service_file;
use crate::database::url::{
    DatabaseUrl, KEYWORDS, Negotiation, PostgresqlAddress, RootCertificates, SslMode, TlsOptions, is_url,
};
use crate::fs::system_user;

/// Completes what a URL leaves open: the place, the login, and TLS.
///
/// # Errors
/// [`SettingsError`] for a variable that is not valid or requests an unsupported feature.
pub(crate) fn complete(url: &mut DatabaseUrl, environment: &Environment) -> Result<(), SettingsError> {
    let DatabaseUrl::Postgresql(address) = url else { return Ok(()) };
    complete_service(address, environment)?;
    service_file::complete(address, environment)?;
    complete_parameters(address, environment)?;
    complete_login(address, environment)?;
    if let Some(what) = address.value_with_nul() {
        return Err(LibpqError::Nul(what).into());
    }
    if !address.lists_fit() {
        return Err(LibpqError::HostLists.into());
    }
    complete_tls(&mut address.tls, environment)?;
    if address.is_unix_socket() {
        // libpq does not use TLS on a Unix socket, whatever the mode.
        address.tls.mode = Some(SslMode::Disable);
        return Ok(());
    }
    Ok(require_roots(&address.tls)?)
}

/// The service, whose name and file messages show.
fn complete_service(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    if address.service.is_none() {
        address.service = lookup_exactly(environment, "PGSERVICE")?;
    }
    for name in ["PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR"].iter().filter(|_| address.service.is_some()) {
        if let Some(value) = lookup_exactly(environment, name)?.filter(|value| is_url(value)) {
            return Err(not("a name or a path", name, value));
        }
    }
    Ok(())
}

/// Most empty variables count as not set, as in libpq.
fn complete_parameters(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    for keyword in KEYWORDS.iter().filter(|keyword| !keyword.variable.is_empty()) {
        if address.given.contains(keyword.name) {
            continue;
        }
        let value = lookup_exactly(environment, keyword.variable)?;
        let Some(value) = value.filter(|value| !value.is_empty() || keyword.keeps_empty()) else {
            continue;
        };
        if value.contains('\0') {
            return Err(LibpqError::Nul(keyword.variable).into());
        }
        keyword.apply(address, &value).map_err(|expected| not(expected, keyword.variable, value))?;
    }
    address.time_zone = lookup_exactly(environment, "PGTZ")?.filter(|zone| !zone.eq_ignore_ascii_case("default"));
    Ok(())
}

fn not(expected: &'static str, name: &'static str, value: String) -> SettingsError {
    SettingsError::Value { name, source_name: "the environment".to_owned(), value: value.into(), expected }
}

/// Without a role libpq uses the name of the system's user.
fn complete_login(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    if address.user.is_none() {
        address.user = Some(system_user::name().ok_or(LibpqError::NoUser)?);
    }
    if address.password_file.is_none() {
        address.password_file = home(environment).map(|home| home.join(".pgpass"));
    }
    Ok(())
}

/// Adds the older variable for the mode, and libpq's files.
fn complete_tls(tls: &mut TlsOptions, environment: &Environment) -> Result<(), SettingsError> {
    let is_required = lookup_exactly(environment, "PGREQUIRESSL")?.is_some_and(|value| value.starts_with('1'));
    if tls.mode.is_none() && is_required {
        tls.mode = Some(SslMode::Require);
    }
    let found = |name: &str| in_home(environment, name);
    tls.roots = tls.roots.take().or_else(|| found("root.crt").map(RootCertificates::File));
    tls.certificate = tls.certificate.take().or_else(|| not_missing_in_home(environment, "postgresql.crt"));
    tls.key = tls.key.take().or_else(|| found("postgresql.key"));
    if tls.revocation_list.is_none() && tls.revocation_directory.is_none() {
        tls.revocation_list = found("root.crl");
    }
    if tls.mode.is_none() && tls.roots == Some(RootCertificates::System) {
        tls.mode = Some(SslMode::VerifyFull);
    }
    Ok(require_consistent(tls)?)
}

/// A server cannot be verified without a root certificate.
fn require_roots(tls: &TlsOptions) -> Result<(), LibpqError> {
    match (tls.mode(), &tls.roots) {
        (SslMode::VerifyCa, None) => Err(LibpqError::NoRootCertificate("verify-ca")),
        (SslMode::VerifyFull, None) => Err(LibpqError::NoRootCertificate("verify-full")),
        _ => Ok(()),
    }
}

/// What libpq refuses before it connects, also to a Unix socket.
fn require_consistent(tls: &TlsOptions) -> Result<(), LibpqError> {
    match (tls.mode(), &tls.roots) {
        (SslMode::VerifyFull, Some(_)) => {}
        (_, Some(RootCertificates::System)) => return Err(LibpqError::TooWeakForSystemRoots),
        _ => {}
    }
    if tls.negotiation == Some(Negotiation::Direct) && tls.mode().is_optional() {
        return Err(LibpqError::TooWeakForDirectTls);
    }
    match tls.highest_version {
        Some(highest) if highest < tls.lowest_version() => Err(LibpqError::NoTlsVersion),
        _ => Ok(()),
    }
}
