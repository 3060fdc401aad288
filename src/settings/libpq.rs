//! The environment variables and files of libpq that decide the address, the login and the protection of a connection.
//!
//! TARSy's backend connects with libpq. tarsy-db therefore connects to the same server with the same verification, and
//! refuses settings that it does not support. [`crate::database::connection`] connects.

use std::path::PathBuf;

use super::environment::{Environment, lookup_exactly};
use super::error::{LibpqError, SettingsError};
use super::system_user;
use crate::database::url::{
    DatabaseUrl, KEEPS_EMPTY, KEYWORDS, Negotiation, PostgresqlAddress, RootCertificates, Secret, SslMode, TlsOptions,
};

/// Completes what a URL leaves open: the place, the login, and TLS.
///
/// # Errors
/// [`SettingsError`] for a variable that is not valid or requests an unsupported feature.
pub(crate) fn complete(url: &mut DatabaseUrl, environment: &Environment) -> Result<(), SettingsError> {
    let DatabaseUrl::Postgresql(address) = url else { return Ok(()) };
    complete_parameters(address, environment)?;
    complete_login(address, environment)?;
    refuse_unsupported(address, environment)?;
    if address.is_unix_socket() {
        // libpq does not use TLS on a Unix socket, whatever the mode.
        address.tls.mode = Some(SslMode::Disable);
        return Ok(());
    }
    complete_tls(&mut address.tls, environment)
}

/// Empty variables count as not set, except for that of the mode, as in libpq.
fn complete_parameters(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    for keyword in KEYWORDS.iter().filter(|keyword| !keyword.variable.is_empty()) {
        if address.given.contains(keyword.name) {
            continue;
        }
        let value = lookup_exactly(environment, keyword.variable)?;
        let Some(value) = value.filter(|value| !value.is_empty() || KEEPS_EMPTY.contains(&keyword.name)) else {
            continue;
        };
        (keyword.set)(address, &value).map_err(|expected| SettingsError::Value {
            name: keyword.variable,
            source_name: "the environment".to_owned(),
            value,
            expected,
        })?;
    }
    Ok(())
}

/// Without a role libpq uses the name of the system's user.
fn complete_login(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    let given = |name| Ok::<_, SettingsError>(lookup_exactly(environment, name)?.filter(|value| !value.is_empty()));
    if address.database.is_none() {
        address.database = given("PGDATABASE")?;
    }
    if address.user.is_none() {
        address.user = Some(match given("PGUSER")? {
            Some(user) => user,
            None => system_user::name().ok_or(LibpqError::NoUser)?,
        });
    }
    if address.password.is_none() {
        address.password = given("PGPASSWORD")?.map(Secret::new);
    }
    Ok(())
}

/// Adds the older variable for the mode, and libpq's files.
fn complete_tls(tls: &mut TlsOptions, environment: &Environment) -> Result<(), SettingsError> {
    let is_required = lookup_exactly(environment, "PGREQUIRESSL")?.is_some_and(|value| value.starts_with('1'));
    if tls.mode.is_none() && is_required {
        tls.mode = Some(SslMode::Require);
    }
    let home = |name: &str| in_home(environment, name);
    tls.roots = tls.roots.take().or_else(|| home("root.crt").map(RootCertificates::File));
    tls.certificate = tls.certificate.take().or_else(|| home("postgresql.crt"));
    tls.key = tls.key.take().or_else(|| home("postgresql.key"));
    if tls.revocation_list.is_none() && tls.revocation_directory.is_none() {
        tls.revocation_list = home("root.crl");
    }
    if tls.mode.is_none() && tls.roots == Some(RootCertificates::System) {
        tls.mode = Some(SslMode::VerifyFull);
    }
    Ok(require_consistent(tls)?)
}

/// What libpq refuses before it connects.
fn require_consistent(tls: &TlsOptions) -> Result<(), LibpqError> {
    match (tls.mode(), &tls.roots) {
        (SslMode::VerifyFull, Some(_)) => {}
        (_, Some(RootCertificates::System)) => return Err(LibpqError::TooWeakForSystemRoots),
        (SslMode::VerifyCa, None) => return Err(LibpqError::NoRootCertificate("verify-ca")),
        (SslMode::VerifyFull, None) => return Err(LibpqError::NoRootCertificate("verify-full")),
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

/// A file in `~/.postgresql`, if it exists.
fn in_home(environment: &Environment, name: &str) -> Option<PathBuf> {
    let home = environment.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.or_else(std::env::home_dir).filter(|home| home.is_absolute())?;
    Some(home.join(".postgresql").join(name)).filter(|path| path.exists())
}

fn refuse_unsupported(address: &PostgresqlAddress, environment: &Environment) -> Result<(), LibpqError> {
    let is_set = |name: &str| environment.get(name).is_some_and(|found| !found.is_empty());
    let unsupported = [
        ("PGHOSTADDR", "another address of the host", is_set("PGHOSTADDR")),
        ("PGSERVICE", "the parameters of a service file", is_set("PGSERVICE")),
        ("PGREQUIREAUTH", "an authentication method", is_set("PGREQUIREAUTH")),
        ("PGREQUIREPEER", "a check of the server's system user", address.is_unix_socket() && is_set("PGREQUIREPEER")),
    ];
    match unsupported.into_iter().find(|(.., is_asked_for)| *is_asked_for) {
        Some((name, what, _)) => Err(LibpqError::Unsupported { name: name.to_owned(), what }),
        None => Ok(()),
    }
}
