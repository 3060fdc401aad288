//! Whether a server's certificate is accepted: what OpenSSL says about it, and whether it names the host.

use std::net::IpAddr;

use openssl::asn1::{Asn1StringRef, Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

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
    let mut names = Names::default();
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(name) = name.dnsname() {
            names.hosts.push(name.to_owned());
        } else if let Some(bytes) = name.ipaddress() {
            let wrong = || format!("the server's certificate has an address of {} bytes", bytes.len());
            names.addresses.push(address_of(bytes).ok_or_else(wrong)?);
        } else {
            names.has_others |= name.email().is_none() && name.uri().is_none() && name.directory_name().is_none();
        }
    }
    let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    names.common = common.and_then(|entry| Asn1StringRef::to_string(entry.data()).ok());
    names.require(host)
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
    /// Whether there are names that cannot be read, which may be of the host's kind.
    has_others: bool,
    common: Option<String>,
}

impl Names {
    fn require(&self, host: &str) -> Result<(), String> {
        let address: Option<IpAddr> = host.parse().ok();
        let has_name_of_the_kind = if address.is_some() { !self.addresses.is_empty() } else { !self.hosts.is_empty() };
        let common = self.common.iter().filter(|_| !has_name_of_the_kind && !self.has_others);
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
    use super::*;

    fn names(hosts: &[&str], addresses: &[&str], common: &str) -> Names {
        Names {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            has_others: false,
            common: Some(common.to_owned()),
        }
    }

    #[test]
    fn the_common_name_does_not_count_beside_a_name_that_cannot_be_read() {
        let names = Names { has_others: true, ..names(&[], &[], "db") };
        assert!(names.require("db").is_err());
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
}
