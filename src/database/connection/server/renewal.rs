//! Logins whose secret changes while a command runs: each one reads the file of the secret again.

use crate::database::url::{DatabaseUrl, PostgresqlAddress, Secret, SecretFile};
use crate::fs::secret_file;

/// The address with the login that its file has now. A file that cannot be used any more changes nothing.
pub(super) fn renewed(address: &PostgresqlAddress) -> PostgresqlAddress {
    let mut renewed = address.clone();
    match &address.secret_file {
        Some(SecretFile::Password(path)) => {
            if let Some(password) = secret_file::read(path).ok().filter(|password| !password.is_empty()) {
                renewed.password = Some(Secret::new(password));
            }
        }
        Some(SecretFile::Url(path)) => {
            let url = secret_file::read(path).ok().and_then(|text| text.trim().parse().ok());
            if let Some(DatabaseUrl::Postgresql(now)) = url {
                renewed.user = now.user.or(renewed.user);
                renewed.password = now.password.or(renewed.password);
            }
        }
        None => {}
    }
    renewed
}
