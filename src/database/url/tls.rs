//! TLS of a connection to PostgreSQL, as libpq's parameters name it.

use std::path::{Path, PathBuf};

use super::protection::Verified;
use super::secret::Secret;

/// libpq's `sslmode`: whether a connection has to be encrypted, and how the server is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Plain text.
    Disable,
    /// Plain text, otherwise TLS.
    Allow,
    /// TLS, otherwise plain text.
    #[default]
    Prefer,
    /// TLS. The certificate is verified if there is a root certificate.
    Require,
    /// TLS with a certificate that a trusted CA signed.
    VerifyCa,
    /// TLS with a certificate that a trusted CA signed for this host.
    VerifyFull,
}

impl SslMode {
    /// The mode of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// Whether a connection may be in plain text.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Disable | Self::Allow | Self::Prefer)
    }
}

/// The CA certificates that a server's certificate is verified against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those in a file, and no others.
    File(PathBuf),
    /// `sslrootcert=system`: those that the machine trusts.
    System,
}

impl RootCertificates {
    /// The value of `sslrootcert`. An empty one counts as not given.
    #[must_use]
    pub fn of_value(value: PathBuf) -> Option<Self> {
        match value.as_os_str().is_empty() {
            true => None,
            false if value == Path::new("system") => Some(Self::System),
            false => Some(Self::File(value)),
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

impl TlsVersion {
    /// The version of this name, in any case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "tlsv1" => Self::V1_0,
            "tlsv1.1" => Self::V1_1,
            "tlsv1.2" => Self::V1_2,
            "tlsv1.3" => Self::V1_3,
            _ => return None,
        })
    }
}

/// `sslnegotiation`: how a connection becomes one with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiation {
    /// The client asks the server whether it offers TLS.
    Postgres,
    /// TLS begins at once.
    Direct,
}

/// Whether something is sent to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Allowed,
    Disabled,
}

/// What libpq's parameters say about TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// Whether plain text may not leave this machine, whatever the mode.
    pub is_required: bool,
    /// If `None` `prefer`.
    pub mode: Option<SslMode>,
    /// If `None` the client asks first.
    pub negotiation: Option<Negotiation>,
    /// If `None` the server's certificate is not verified.
    pub roots: Option<RootCertificates>,
    /// A file with revoked certificates.
    pub revocation_list: Option<PathBuf>,
    /// A directory with revoked certificates, by hash.
    pub revocation_directory: Option<PathBuf>,
    /// The client's own certificate.
    pub certificate: Option<PathBuf>,
    /// Whether the client's certificate is shown. If `None` it is.
    pub certificate_sending: Option<Sending>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
    /// The password of the key.
    pub key_password: Option<Secret>,
    /// If `None` 1.2.
    pub lowest_version: Option<TlsVersion>,
    /// If `None` the newest.
    pub highest_version: Option<TlsVersion>,
    /// Whether the server is told the name of the host. If `None` it is.
    pub name_sending: Option<Sending>,
}

impl TlsOptions {
    /// The mode, or libpq's default.
    #[must_use]
    pub fn mode(&self) -> SslMode {
        self.mode.unwrap_or_default()
    }

    /// What a handshake verifies.
    #[must_use]
    pub(crate) fn verified(&self) -> Verified {
        match (self.mode(), &self.roots) {
            (SslMode::VerifyFull, _) => Verified::Host,
            (_, Some(_)) => Verified::Ca,
            (_, None) => Verified::Nothing,
        }
    }

    /// The lowest version, or libpq's default.
    #[must_use]
    pub fn lowest_version(&self) -> TlsVersion {
        self.lowest_version.unwrap_or(TlsVersion::V1_2)
    }
}
