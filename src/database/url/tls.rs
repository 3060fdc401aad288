//! TLS of a connection to PostgreSQL, as libpq's parameters name it.

use std::path::{Path, PathBuf};

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

/// What libpq's parameters say about TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// If `None` `prefer`.
    pub mode: Option<SslMode>,
    /// If `None` the server's certificate is not verified.
    pub roots: Option<RootCertificates>,
    /// The client's own certificate.
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
    /// The password of the key.
    pub key_password: Option<Secret>,
}

impl TlsOptions {
    /// The mode, or libpq's default.
    #[must_use]
    pub fn mode(&self) -> SslMode {
        self.mode.unwrap_or_default()
    }
}
