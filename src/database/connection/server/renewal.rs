//! Logins whose secret changes while a command runs: each one reads the file of the secret again.

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::{DatabaseUrl, PostgresqlAddress, Secret, SecretFile, without_login};
use crate::fs::secret_file;

/// The address with the login that its file has now. A file that cannot be used any more changes nothing.
///
/// # Errors
/// [`ErrorClass::Configuration`] if the file has a URL of another place: its password is not for this one.
pub(super) fn renewed(address: &PostgresqlAddress) -> Result<PostgresqlAddress, DatabaseCause> {
    let mut renewed = address.clone();
    match &address.secret_file {
        Some(SecretFile::Password(path)) => {
            if let Some(password) = secret_file::read(path).ok().filter(|password| !password.is_empty()) {
                renewed.password = Some(Secret::new(password));
            }
        }
        Some(SecretFile::Url { path, place }) => {
            let text = secret_file::read(path).unwrap_or_default();
            if let Ok(DatabaseUrl::Postgresql(now)) = text.trim().parse() {
                if without_login(text.trim()) != place.expose() {
                    let message = "the file of the database URL names another place by now: run the same command again";
                    return Err(DatabaseCause::new(ErrorClass::Configuration, message));
                }
                renewed.user = now.user.or(renewed.user);
                renewed.password = now.password.or(renewed.password);
            }
        }
        None => {}
    }
    Ok(renewed)
}
