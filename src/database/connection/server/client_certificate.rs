//! The certificate by which a server may recognise this client, and its key.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;

use super::tls_file::{require_file, unusable};
use crate::database::failure::{DatabaseCause, io_message};
use crate::database::url::{Secret, Sending, TlsOptions};

const CERTIFICATE: &str = "client certificate";
const KEY: &str = "client key";

/// Shows the certificate to a server that asks for it.
pub(super) fn set(builder: &mut SslContextBuilder, options: &TlsOptions) -> Result<(), DatabaseCause> {
    let is_shown = options.certificate_sending != Some(Sending::Disabled);
    let Some(certificate) = options.certificate.as_ref().filter(|_| is_shown) else { return Ok(()) };
    require_file(CERTIFICATE, certificate)?;
    let no_certificate = |_| unusable(CERTIFICATE, certificate, "the file holds no certificate in PEM format");
    builder.set_certificate_chain_file(certificate).map_err(no_certificate)?;
    let Some(path) = &options.key else {
        let key = certificate.with_file_name("postgresql.key");
        return Err(unusable(KEY, &key, "there is a client certificate without a key"));
    };
    let key = read_key(path, options.key_password.as_ref())?;
    builder.set_private_key(&key).map_err(|_| unusable(KEY, path, "it is not the key of the client certificate"))?;
    builder.check_private_key().map_err(|_| unusable(KEY, path, "it is not the key of the client certificate"))
}

/// Reads a key in PEM or DER format, which others may not read.
fn read_key(path: &Path, password: Option<&Secret>) -> Result<PKey<Private>, DatabaseCause> {
    let metadata = std::fs::metadata(path).map_err(|error| unusable(KEY, path, &io_message(&error)))?;
    if !metadata.is_file() {
        return Err(unusable(KEY, path, "it is not a regular file"));
    }
    if is_open_to_others(&metadata) {
        let why = "its group or others have access; allow it to the owner alone (0600), or, if root owns the file, also \
                   to read it to the group (0640)";
        return Err(unusable(KEY, path, why));
    }
    let bytes = std::fs::read(path).map_err(|error| unusable(KEY, path, &io_message(&error)))?;
    let password = password.map(Secret::expose).filter(|password| !password.is_empty());
    let mut needs_password = false;
    let pem = PKey::private_key_from_pem_callback(&bytes, |buffer| {
        needs_password = true;
        let password = password.unwrap_or_default().as_bytes();
        let length = password.len().min(buffer.len());
        buffer[..length].copy_from_slice(&password[..length]);
        Ok(length)
    });
    if let Ok(key) = pem {
        return Ok(key);
    }
    match (needs_password, password) {
        (true, None) => Err(unusable(KEY, path, "it is encrypted, and `sslpassword` is not set")),
        (true, Some(_)) => Err(unusable(KEY, path, "`sslpassword` does not decrypt it")),
        (false, _) => {
            let der = PKey::private_key_from_der(&bytes);
            der.map_err(|_| unusable(KEY, path, "the file holds no key in PEM or DER format"))
        }
    }
}

/// libpq's rule: a group may read what root owns.
fn is_open_to_others(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}
