//! TLS by OpenSSL, which libpq uses as well: the same code judges certificates, keys and protocols.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslVerifyMode, SslVersion};
use openssl::x509::store::X509Lookup;
use openssl::x509::verify::X509VerifyFlags;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::failure::{Failure, Reach};
use super::tls_file::{require_file, unusable};
use super::{client_certificate, verify};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::{Negotiation, RootCertificates, Sending, SslMode, TlsOptions, TlsVersion};
use crate::mutex::lock;

/// Negotiates TLS over a connection, and verifies the server as the options ask for it.
pub(super) async fn handshake(
    stream: TcpStream,
    options: &TlsOptions,
    host: &str,
) -> Result<SslStream<TcpStream>, Failure> {
    // The files are the same for another encryption, but that may not need them.
    let refused = |cause| Failure { reach: Reach::Everything, cause };
    let internal = |error: ErrorStack| refused(DatabaseCause::new(ErrorClass::Tls, format!("TLS failed: {error}")));
    let rejection = Rejection::default();
    let context = context(options, &rejection).map_err(refused)?;
    let mut ssl = Ssl::new(&context).map_err(internal)?;
    let sends_name = options.name_sending != Some(Sending::Disabled);
    if sends_name && is_host_name(host) {
        ssl.set_hostname(host).map_err(internal)?;
    }
    let mut stream = SslStream::new(ssl, stream).map_err(internal)?;
    let connected = Pin::new(&mut stream).connect().await;
    let rejected = |message| Failure::new(Reach::Encryption, ErrorClass::Certificate, message);
    if let Err(error) = connected {
        return Err(match lock(&rejection).take() {
            Some(message) => rejected(message),
            None => Failure::of_tls(&error, Reach::Encryption),
        });
    }
    let chosen = stream.ssl().selected_alpn_protocol();
    if options.negotiation == Some(Negotiation::Direct) && chosen.is_none() {
        let message = "the server does not know `sslnegotiation=direct`".to_owned();
        return Err(Failure::new(Reach::Everything, ErrorClass::Tls, message));
    }
    if options.mode() == SslMode::VerifyFull {
        let certificate = stream.ssl().peer_certificate();
        let certificate = certificate.ok_or_else(|| rejected("the server shows no certificate".to_owned()))?;
        if host.is_empty() {
            let message = "`sslmode=verify-full` needs the name of the host beside its address".to_owned();
            return Err(Failure::new(Reach::Everything, ErrorClass::Configuration, message));
        }
        verify::require_name(&certificate, host).map_err(rejected)?;
    }
    Ok(stream)
}

/// The first reason why a certificate was not accepted.
type Rejection = Arc<Mutex<Option<String>>>;

fn context(options: &TlsOptions, rejection: &Rejection) -> Result<SslContext, DatabaseCause> {
    let internal = |error: ErrorStack| DatabaseCause::new(ErrorClass::Tls, format!("TLS failed: {error}"));
    let mut builder = SslContext::builder(SslMethod::tls_client()).map_err(internal)?;
    builder.set_min_proto_version(Some(version(options.lowest_version()))).map_err(internal)?;
    builder.set_max_proto_version(options.highest_version.map(version)).map_err(internal)?;
    builder.set_alpn_protos(PROTOCOL).map_err(internal)?;
    // The length of each message shows whether the server's last one is complete.
    builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    set_roots(&mut builder, options)?;
    client_certificate::set(&mut builder, options)?;
    let mode = if options.roots.is_some() { SslVerifyMode::PEER } else { SslVerifyMode::NONE };
    let rejection = Arc::clone(rejection);
    builder.set_verify_callback(mode, move |is_accepted, store| {
        if !is_accepted {
            lock(&rejection).get_or_insert_with(|| verify::rejection(store));
        }
        is_accepted
    });
    Ok(builder.build())
}

/// The name of PostgreSQL's protocol, behind its length.
const PROTOCOL: &[u8] = b"\x0apostgresql";

fn version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::V1_0 => SslVersion::TLS1,
        TlsVersion::V1_1 => SslVersion::TLS1_1,
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    }
}

/// Sets the CAs that are trusted; nothing else is.
fn set_roots(builder: &mut SslContextBuilder, options: &TlsOptions) -> Result<(), DatabaseCause> {
    match &options.roots {
        None => Ok(()),
        Some(RootCertificates::File(path)) => {
            require_file("root certificate", path)?;
            let none = |_| unusable("root certificate", path, "the file holds no certificate in PEM format");
            builder.set_ca_file(path).map_err(none)?;
            set_revocations(builder, options)
        }
        Some(RootCertificates::System) => {
            let found = openssl_probe::probe();
            let none = || {
                let message = "`sslrootcert=system`: this machine has no certificates of CAs";
                DatabaseCause::new(ErrorClass::Configuration, message)
            };
            let directory = found.cert_dir.first().map(std::path::PathBuf::as_path);
            if found.cert_file.is_none() && directory.is_none() {
                return Err(none());
            }
            builder.load_verify_locations(found.cert_file.as_deref(), directory).map_err(|_| none())
        }
    }
}

/// Sets the lists of revoked certificates. Each CA of a chain then needs one.
fn set_revocations(builder: &mut SslContextBuilder, options: &TlsOptions) -> Result<(), DatabaseCause> {
    const LIST: &str = "list of revoked certificates";
    let store = builder.cert_store_mut();
    if let Some(path) = &options.revocation_list {
        require_file(LIST, path)?;
        let none = |_| unusable(LIST, path, "the file holds no list in PEM format");
        store
            .add_lookup(X509Lookup::file())
            .and_then(|found| found.load_crl_file(path, SslFiletype::PEM))
            .map_err(none)?;
    }
    if let Some(path) = &options.revocation_directory {
        require_file(LIST, path)?;
        let invalid = |_| unusable(LIST, path, "the path cannot be used");
        let name = path.to_str().unwrap_or_default();
        store
            .add_lookup(X509Lookup::hash_dir())
            .and_then(|found| found.add_dir(name, SslFiletype::PEM))
            .map_err(invalid)?;
    }
    if options.revocation_list.is_none() && options.revocation_directory.is_none() {
        return Ok(());
    }
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    store.set_flags(flags).map_err(|error| DatabaseCause::new(ErrorClass::Tls, format!("TLS failed: {error}")))
}

/// Whether libpq sends this host as the name of the server: addresses are not.
fn is_host_name(host: &str) -> bool {
    !host.is_empty() && !host.contains(':') && !host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_sent_as_the_name_of_the_server() {
        for (host, is_sent) in [("db", true), ("db1.example", true), ("127.0.0.1", false), ("::1", false), ("", false)]
        {
            assert_eq!(is_host_name(host), is_sent, "{host}");
        }
    }
}
