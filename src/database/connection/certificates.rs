//! The files with certificates and keys that a connection needs.

use std::path::Path;

use sqlx::postgres::PgSslMode;

use crate::database::failure::{DatabaseCause, ErrorClass, io_message};
use crate::database::url::PostgresqlAddress;

/// Checks the files first, because the driver reports only "no such file", which sounds like the server's fault.
pub(crate) fn require_certificates(address: &PostgresqlAddress) -> Result<(), DatabaseCause> {
    let mode = address.ssl_mode.unwrap_or_default();
    if matches!(mode, PgSslMode::Disable) {
        return Ok(());
    }
    let unusable = |what: &str, path: &Path, why: &str| {
        Err(DatabaseCause::new(ErrorClass::Configuration, format!("cannot read the {what} {}: {why}", path.display())))
    };
    let files = [
        ("root certificate", &address.ssl_root_certificate),
        ("client certificate", &address.ssl_certificate),
        ("client key", &address.ssl_key),
    ];
    for (what, path) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(path)
        {
            return unusable(what, path, &io_message(&error));
        }
    }
    let is_verified = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    match address.ssl_root_certificate.as_deref().filter(|_| is_verified) {
        // The driver would ignore the file and trust the system's certificates alone.
        Some(path) if !std::fs::read(path).is_ok_and(|pem| holds_certificate(&pem)) => {
            unusable("root certificate", path, "the file holds no certificate in PEM format")
        }
        _ => Ok(()),
    }
}

fn holds_certificate(pem: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}
