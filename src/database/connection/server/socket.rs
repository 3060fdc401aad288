//! Sockets to a PostgreSQL server.

use std::io::{ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::failure::{Failure, Reach};
use crate::database::failure::ErrorClass;
use crate::database::url::{HostPlace, Protection};

/// How long a connection is idle before a probe, and the interval between probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How many probes may stay unanswered.
const PROBES: u32 = 3;

/// The operating system's limit of the path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 107;

/// A connection to a server, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Address(SocketAddr),
    UnixSocket(PathBuf),
}

/// An open socket.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Place {
    /// All places of a host.
    pub(super) async fn all(host: HostPlace<'_>) -> std::result::Result<Vec<Self>, Failure> {
        if host.is_unix_socket() {
            let path = format!("{}/.s.PGSQL.{}", host.host, host.port);
            if path.len() > LONGEST_SOCKET {
                let length = path.len();
                let message =
                    format!("the path of the Unix socket, {path}, has {length} bytes; {LONGEST_SOCKET} are possible");
                return Err(Failure::new(Reach::Host, ErrorClass::Configuration, message));
            }
            // In the place of the zero byte that begins the name of a socket without a file.
            let path = path.strip_prefix('@').map(|name| format!("\0{name}")).unwrap_or(path);
            return Ok(vec![Self::UnixSocket(path.into())]);
        }
        let addresses = lookup_host((host.host, host.port)).await;
        Ok(addresses.map_err(|error| Failure::of_io(&error, Reach::Host))?.map(Self::Address).collect())
    }

    /// Why a connection could not be opened.
    pub(super) fn failure(&self, error: &std::io::Error) -> Failure {
        match self {
            Self::UnixSocket(path) if error.kind() == ErrorKind::NotADirectory => {
                let directory = path.parent().unwrap_or(path).display();
                let message = format!("{directory} is not a directory: name the one that has the server's Unix socket");
                Failure::new(Reach::Address, ErrorClass::Configuration, message)
            }
            _ => Failure::of_io(error, Reach::Address),
        }
    }

    /// How a connection without TLS is protected.
    pub(super) fn unencrypted(&self) -> Protection {
        match self {
            Self::UnixSocket(_) => Protection::UnixSocket,
            // The unspecified address is this machine as well.
            Self::Address(address) if is_local(address.ip().to_canonical()) => Protection::Loopback,
            Self::Address(_) => Protection::PlainText,
        }
    }

    pub(super) async fn connect(&self) -> Result<Socket> {
        match self {
            Self::UnixSocket(path) => UnixStream::connect(path).await.map(Socket::Unix),
            Self::Address(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                keep_alive(&stream);
                Ok(Socket::Tcp(stream))
            }
        }
    }
}

impl Socket {
    pub(super) fn boxed(self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// Lets the operating system detect a lost connection. A system that knows one of the options not has the others.
fn keep_alive(stream: &TcpStream) {
    let socket = stream.as_fd();
    sockopt::set_socket_keepalive(socket, true).ok();
    #[cfg(target_os = "linux")]
    {
        sockopt::set_tcp_keepidle(socket, PROBE_INTERVAL).ok();
        sockopt::set_tcp_keepintvl(socket, PROBE_INTERVAL).ok();
        sockopt::set_tcp_keepcnt(socket, PROBES).ok();
        // While sent data is unacknowledged, no probes are sent.
        let limit = u32::try_from(PROBE_INTERVAL.as_millis()).unwrap_or(u32::MAX).saturating_mul(PROBES + 1);
        sockopt::set_tcp_user_timeout(socket, limit).ok();
    }
}
