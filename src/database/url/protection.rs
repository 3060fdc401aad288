//! How the connection to a server is protected from others on the network.

use std::fmt;

use serde::Serialize;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Protection {
    /// A Unix socket.
    UnixSocket,
    /// Plain text that does not leave this machine.
    Loopback,
    /// Plain text.
    PlainText,
    /// TLS.
    Tls { version: &'static str, verified: Verified },
}

/// What of a server's certificate was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verified {
    Nothing,
    /// That a trusted CA signed it.
    Ca,
    /// That a trusted CA signed it for this host.
    Host,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnixSocket => f.write_str("Unix socket"),
            Self::Loopback => f.write_str("plain text, on this machine"),
            Self::PlainText => f.write_str("plain text"),
            Self::Tls { version, verified: Verified::Nothing } => write!(f, "{version}, server not verified"),
            Self::Tls { version, verified: Verified::Ca } => {
                write!(f, "{version}, certificate of a trusted CA, host not verified")
            }
            Self::Tls { version, verified: Verified::Host } => write!(f, "{version}, server verified"),
        }
    }
}
