//! Whether a server's certificate is accepted: what OpenSSL says about it, and whether it names the host.

use std::net::IpAddr;

use openssl::asn1::{Asn1StringRef, Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

use super::der::Elements;
use crate::format;

/// Results of OpenSSL's verification: <https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/>.
mod result {
    pub(super) const NO_ISSUER: i32 = 2;
    pub(super) const NO_REVOCATION_LIST: i32 = 3;
    pub(super) const NOT_YET_VALID: i32 = 9;
    pub(super) const EXPIRED: i32 = 10;
    pub(super) const REVOCATION_LIST_EXPIRED: i32 = 12;
    pub(super) const SELF_SIGNED: i32 = 18;
    pub(super) const SELF_SIGNED_IN_CHAIN: i32 = 19;
    pub(super) const NO_LOCAL_ISSUER: i32 = 20;
    pub(super) const UNVERIFIABLE: i32 = 21;
    pub(super) const REVOKED: i32 = 23;
    pub(super) const WRONG_PURPOSE: i32 = 26;
    pub(super) const WEAK_KEY: i32 = 66;
    pub(super) const WEAK_KEY_OF_CA: i32 = 67;
    pub(super) const WEAK_SIGNATURE: i32 = 68;
}

/// Why OpenSSL does not accept a certificate.
pub(super) fn rejection(store: &X509StoreContextRef) -> String {
    let certificate = store.current_cert();
    let whose = match (store.error_depth(), certificate) {
        (0, _) | (_, None) => "the server's certificate".to_owned(),
        (_, Some(certificate)) => format!("the certificate of the CA `{}`", shown(certificate.subject_name())),
    };
    let issuer = certificate.map(|certificate| shown(certificate.issuer_name())).unwrap_or_default();
    let dated = |date: fn(&X509Ref) -> &Asn1TimeRef| certificate.and_then(|found| shown_date(date(found)));
    match store.error().as_raw() {
        result::EXPIRED => format!("{whose} expired on {}", dated(X509Ref::not_after).unwrap_or_default()),
        result::NOT_YET_VALID => {
            format!("{whose} is not valid before {}", dated(X509Ref::not_before).unwrap_or_default())
        }
        result::SELF_SIGNED => format!("{whose} is signed by itself and not by a CA that this client trusts"),
        result::NO_ISSUER | result::NO_LOCAL_ISSUER | result::SELF_SIGNED_IN_CHAIN | result::UNVERIFIABLE => {
            format!("{whose} is signed by `{issuer}`, {UNTRUSTED}")
        }
        result::REVOKED => format!("{whose} is revoked"),
        result::NO_REVOCATION_LIST => format!("{whose} is signed by `{issuer}`, of which there is no revocation list"),
        result::WRONG_PURPOSE => format!("{whose} is not issued for servers: its key usage has other purposes"),
        result::WEAK_KEY | result::WEAK_KEY_OF_CA => format!("{whose} has a key that is too weak"),
        result::WEAK_SIGNATURE => format!("{whose} has a signature that is too weak"),
        result::REVOCATION_LIST_EXPIRED => format!("the revocation list of `{issuer}` has expired"),
        _ => format!("{whose} is rejected: {}", store.error().error_string()),
    }
}

/// The end of the message for an unknown CA.
const UNTRUSTED: &str = "a CA that this client does not trust";

/// A name of a certificate: its common name, or all its parts.
fn shown(name: &X509NameRef) -> String {
    let text = |data: &Asn1StringRef| Asn1StringRef::to_string(data).unwrap_or_default();
    if let Some(common) = name.entries_by_nid(Nid::COMMONNAME).next() {
        return text(common.data());
    }
    let parts = name.entries().map(|entry| {
        let short = entry.object().nid().short_name().unwrap_or("?");
        format!("{short}={}", text(entry.data()))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A date as 2026-12-31.
fn shown_date(time: &Asn1TimeRef) -> Option<String> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let seconds = i64::from(since.days) * 86_400 + i64::from(since.secs);
    format::time(seconds * 1_000_000)?.get(..10).map(str::to_owned)
}

/// Makes sure that a certificate names a host, by libpq's rules. The common name counts if no alternative name is of the
/// host's kind.
pub(super) fn require_name(certificate: &X509Ref, host: &str) -> Result<(), String> {
    if is_short_address(host) {
        return Err(format!(
            "`{host}` is an address in a form that no certificate has; write its four decimal numbers"
        ));
    }
    let mut names = Names::default();
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(name) = name.dnsname() {
            if name.contains('\0') {
                return Err("the server's certificate has a name with the character NUL".to_owned());
            }
            names.hosts.push(name.to_owned());
        } else if let Some(bytes) = name.ipaddress() {
            let wrong = || format!("the server's certificate has an address of {} bytes", bytes.len());
            names.addresses.push(address_of(bytes).ok_or_else(wrong)?);
        }
    }
    let hosts = certificate.to_der().ok().and_then(|der| named_hosts(&der)).unwrap_or_default();
    names.has_unreadable_host = hosts > names.hosts.len();
    let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    names.common = common.and_then(|entry| Asn1StringRef::to_string(entry.data()).ok());
    names.require(host)
}

/// Whether the system reads a host as an address of IPv4, although it is not written as four decimal numbers: `127.1`.
fn is_short_address(host: &str) -> bool {
    let is_number = |part: &str| match part.strip_prefix("0x").or(part.strip_prefix("0X")) {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()),
    };
    host.parse::<IpAddr>().is_err() && host.split('.').count() <= 4 && host.split('.').all(is_number)
}

/// How many alternative names of a certificate are of hosts, also if they are no text.
fn named_hosts(certificate: &[u8]) -> Option<usize> {
    const EXTENSIONS: u8 = 0xa3;
    const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
    const HOST: u8 = 0x82;
    let mut extensions = Elements(certificate).inside(0)?.inside(0)?.inside_tag(EXTENSIONS)?.inside(0)?;
    let is_wanted = |content| Elements(content).next().is_some_and(|(_, name)| name == ALTERNATIVE_NAMES);
    let (_, extension) = extensions.find(|(_, content)| is_wanted(content))?;
    let (_, value) = Elements(extension).last()?;
    Some(Elements(value).inside(0)?.filter(|(tag, _)| *tag == HOST).count())
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The names of a certificate.
#[derive(Debug, Default)]
struct Names {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Whether the name of a host is no text.
    has_unreadable_host: bool,
    common: Option<String>,
}

impl Names {
    fn require(&self, host: &str) -> Result<(), String> {
        let address: Option<IpAddr> = host.parse().ok();
        let has_name_of_the_kind = match address {
            Some(_) => !self.addresses.is_empty(),
            None => !self.hosts.is_empty() || self.has_unreadable_host,
        };
        let common = self.common.iter().filter(|_| !has_name_of_the_kind);
        let mut hosts = self.hosts.iter().chain(common.clone());
        if hosts.any(|name| matches(name, host)) || address.is_some_and(|address| self.addresses.contains(&address)) {
            return Ok(());
        }
        let addresses = self.addresses.iter().map(ToString::to_string);
        let named: Vec<_> = self
            .hosts
            .iter()
            .cloned()
            .chain(addresses)
            .chain(common.cloned())
            .map(|name| format!("`{name}`"))
            .collect();
        match named.is_empty() {
            true => Err(format!("the server's certificate names no host, and therefore not `{host}`")),
            false => Err(format!("the server's certificate is for {}, not for `{host}`", named.join(", "))),
        }
    }
}

/// Whether a name of a certificate means this host. `*.` stands for one label at the beginning.
fn matches(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(domain), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.')) else { return false };
    !domain.is_empty() && !label.is_empty() && domain.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::x509::X509;
    use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};

    use super::*;

    fn names(hosts: &[&str], addresses: &[&str], common: &str) -> Names {
        Names {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            has_unreadable_host: false,
            common: Some(common.to_owned()),
        }
    }

    #[test]
    fn the_common_name_does_not_count_beside_the_name_of_a_host_that_cannot_be_read() {
        let unreadable = |common| Names { has_unreadable_host: true, ..names(&[], &[], common) };
        assert!(unreadable("db").require("db").is_err());
        assert_eq!(unreadable("127.0.0.1").require("127.0.0.1"), Ok(()));
    }

    /// A certificate with these alternative names, in DER.
    fn certificate(names: &SubjectAlternativeName) -> Vec<u8> {
        let key = PKey::ec_gen("prime256v1").expect("a key");
        let mut certificate = X509::builder().expect("a certificate");
        certificate.set_version(2).expect("a version");
        certificate.set_not_before(&Asn1Time::from_unix(0).expect("a time")).expect("a time");
        certificate.set_not_after(&Asn1Time::from_unix(1).expect("a time")).expect("a time");
        certificate.set_pubkey(&key).expect("a key");
        let constraints = BasicConstraints::new().critical().build().expect("an extension");
        let names = names.build(&certificate.x509v3_context(None, None)).expect("an extension");
        certificate.append_extension(constraints).expect("it fits");
        certificate.append_extension(names).expect("it fits");
        certificate.sign(&key, MessageDigest::sha256()).expect("a signature");
        certificate.build().to_der().expect("DER")
    }

    #[test]
    fn names_of_hosts_are_counted_among_others() {
        let mut names = SubjectAlternativeName::new();
        names.email("a@b").rid("1.2.3.4").ip("127.0.0.1").uri("x:y");
        assert_eq!(named_hosts(&certificate(&names)), Some(0));
        names.dns("db").critical().dns("other");
        assert_eq!(named_hosts(&certificate(&names)), Some(2));
        assert_eq!(named_hosts(b"no certificate"), None);
    }

    #[test]
    fn the_common_name_counts_where_no_other_name_is_of_the_kind() {
        assert_eq!(names(&[], &[], "db").require("DB"), Ok(()));
        assert!(names(&["other"], &[], "db").require("db").is_err());
        assert_eq!(names(&[], &["127.0.0.1"], "db").require("db"), Ok(()));
        assert_eq!(names(&["db"], &[], "127.0.0.1").require("127.0.0.1"), Ok(()));
        assert!(names(&["db"], &["127.0.0.2"], "127.0.0.1").require("127.0.0.1").is_err());
        assert_eq!(names(&[], &["::1"], "").require("0:0:0:0:0:0:0:1"), Ok(()));
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches("*.example.org", "db.example.org"));
        assert!(!matches("*.example.org", "a.db.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", ".example.org"));
        assert!(!matches("d*.example.org", "db.example.org"));
        assert!(!matches("*", "db"));
        assert!(!matches("*.", "db."));
    }

    #[test]
    fn the_message_names_all_names() {
        let error = names(&["a", "b"], &["10.0.0.1"], "c").require("db").expect_err("another name");
        assert_eq!(error, "the server's certificate is for `a`, `b`, `10.0.0.1`, not for `db`");
        let error = names(&[], &["10.0.0.1"], "c").require("db").expect_err("another name");
        assert_eq!(error, "the server's certificate is for `10.0.0.1`, `c`, not for `db`");
        let error = Names::default().require("db").expect_err("no name");
        assert_eq!(error, "the server's certificate names no host, and therefore not `db`");
    }

    #[test]
    fn an_address_is_one_in_each_form_that_the_system_reads() {
        for host in ["127.1", "127.0.0.01", "0177.0.0.1", "0x7f.1", "2130706433"] {
            assert!(is_short_address(host), "{host}");
        }
        for host in ["127.0.0.1", "::1", "localhost", "1.example", "127.0.0.1.2", "1..2", "", "0x"] {
            assert!(!is_short_address(host), "{host}");
        }
    }
}
