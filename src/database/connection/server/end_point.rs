//! The hash of a server's certificate that binds a login to the connection: `tls-server-end-point`, RFC 5929.

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::SslRef;
use openssl::x509::X509Ref;

use super::der::Elements;

/// The hash, if the signature of the server's certificate has a digest.
pub(super) fn end_point(ssl: &SslRef) -> Option<Vec<u8>> {
    let certificate = ssl.peer_certificate()?;
    let digest = MessageDigest::from_nid(digest_of(&certificate)?)?;
    certificate.digest(digest).ok().map(|hash| hash.to_vec())
}

/// The digest of the certificate's signature, but SHA-256 in the place of MD5 and SHA-1.
fn digest_of(certificate: &X509Ref) -> Option<Nid> {
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = match algorithm {
        Nid::RSASSAPSS => digest_of_pss(&certificate.to_der().ok()?)?,
        _ => algorithm.signature_algorithms()?.digest,
    };
    Some(match digest {
        Nid::MD5 | Nid::SHA1 => Nid::SHA256,
        digest => digest,
    })
}

/// RSA-PSS has its digest among its parameters (RFC 4055): `[0] { hash }`, otherwise SHA-1.
fn digest_of_pss(certificate: &[u8]) -> Option<Nid> {
    const HASH: u8 = 0xa0;
    /// The object identifiers of SHA-2 begin like this.
    const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let algorithm = Elements(certificate).inside(0)?.inside(1)?;
    let Some(hash) = algorithm.inside(1)?.inside_tag(HASH) else { return Some(Nid::SHA1) };
    let (_, identifier) = hash.inside(0)?.next()?;
    Some(match identifier.strip_prefix(&SHA2)? {
        [1] => Nid::SHA256,
        [2] => Nid::SHA384,
        [3] => Nid::SHA512,
        [4] => Nid::SHA224,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::pkey::{Id, PKey, Private};
    use openssl::pkey_ctx::PkeyCtx;
    use openssl::x509::X509;

    use super::*;

    fn key(id: Id) -> PKey<Private> {
        let mut context = PkeyCtx::new_id(id).expect("a kind of key");
        context.keygen_init().expect("a context");
        context.set_rsa_keygen_bits(1024).expect("a length");
        context.keygen().expect("a key")
    }

    fn signed(key: &PKey<Private>, digest: MessageDigest) -> X509 {
        let mut certificate = X509::builder().expect("a certificate");
        certificate.set_version(2).expect("a version");
        certificate.set_not_before(&Asn1Time::from_unix(0).expect("a time")).expect("a time");
        certificate.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("a time");
        certificate.set_pubkey(key).expect("a key");
        certificate.sign(key, digest).expect("a signature");
        certificate.build()
    }

    #[test]
    fn the_digest_is_that_of_the_signature_and_sha256_at_the_least() {
        let cases = [
            (MessageDigest::sha1(), Nid::SHA256),
            (MessageDigest::sha224(), Nid::SHA224),
            (MessageDigest::sha256(), Nid::SHA256),
            (MessageDigest::sha384(), Nid::SHA384),
            (MessageDigest::sha512(), Nid::SHA512),
        ];
        for id in [Id::RSA, Id::RSA_PSS] {
            let key = key(id);
            for (digest, expected) in cases {
                assert_eq!(digest_of(&signed(&key, digest)), Some(expected), "{id:?}");
            }
        }
    }
}
