//! Sockets to a PostgreSQL server.

use std::io::Result;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::database::url::HostPlace;

/// How long a connection is idle before a probe, and the interval between probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How many probes may stay unanswered.
const PROBES: u32 = 3;

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
    pub(super) async fn all(host: HostPlace<'_>) -> Result<Vec<Self>> {
        if host.is_unix_socket() {
            let name = format!(".s.PGSQL.{}", host.port);
            return Ok(vec![Self::UnixSocket(Path::new(host.host).join(name))]);
        }
        Ok(lookup_host((host.host, host.port)).await?.map(Self::Address).collect())
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
