//! Certificates as a server may present them, made for each run.

use openssl::pkey::PKey;
use openssl::symm::Cipher;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::server::Server;

/// A CA of the tests' own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = named(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, key()).expect("a certificate"))
    }

    /// Its certificate, in PEM format.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with TLS and a certificate from this CA, for one name or address.
    pub(crate) fn server(&self, host: &str, validity: Validity) -> Server {
        let mut parameters = named("server", &[host]);
        if validity == Validity::Expired {
            parameters.not_after = date_time_ymd(2020, 1, 1);
            parameters.not_before = date_time_ymd(2019, 1, 1);
        }
        let key = key();
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        start(&certificate.pem(), &key)
    }

    /// A server with TLS for `127.0.0.1` that knows the clients of this CA, with these lines of `pg_hba.conf`.
    pub(crate) fn server_that_allows(&self, lines: &str) -> Server {
        let key = key();
        let certificate = named("server", &["127.0.0.1"]).signed_by(&key, &self.0).expect("a certificate");
        let server = Server::create(&["ssl = on", "ssl_ca_file = 'server.crt'"]);
        server.install_certificate(&(certificate.pem() + &self.pem()), &key.serialize_pem());
        server.allow(lines);
        server.run();
        server
    }

    /// A server with TLS for `127.0.0.1` and a certificate with this serial number, which is returned.
    pub(crate) fn server_with_serial(&self, serial: u8) -> (Server, u8) {
        let mut parameters = named("server", &["127.0.0.1"]);
        parameters.serial_number = Some(SerialNumber::from_slice(&[serial]));
        let key = key();
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        (start(&certificate.pem(), &key), serial)
    }

    /// The list of this CA that revokes the certificates with these serial numbers, in PEM format.
    pub(crate) fn revocations(&self, serials: &[u8]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        parameters.signed_by(&self.0).expect("a list").pem().expect("PEM")
    }

    /// A certificate for a client of this name, and its key, in PEM format.
    pub(crate) fn client(&self, name: &str) -> (String, String) {
        let key = key();
        let certificate = named(name, &[]).signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that presents the certificate of this CA as its own.
    pub(crate) fn server_with_own_certificate(&self) -> Server {
        start(&self.pem(), self.0.key())
    }
}

/// A key in PEM format, encrypted with a password.
pub(crate) fn encrypted(key: &str, password: &str) -> String {
    let key = PKey::private_key_from_pem(key.as_bytes()).expect("a key");
    let encrypted = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes());
    String::from_utf8(encrypted.expect("a cipher")).expect("PEM")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Current,
    Expired,
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).expect("names");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn start(certificate: &str, key: &KeyPair) -> Server {
    let server = Server::create(&["ssl = on"]);
    server.install_certificate(certificate, &key.serialize_pem());
    server.run();
    server
}
