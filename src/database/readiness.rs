//! Asks a PostgreSQL server whether it accepts connections, without a login.
//!
//! Cheap enough to repeat ten times a second: one start-up message and one answer, as `pg_isready` does. It does not
//! count as a login attempt, and does not show whether a login would succeed. It is in plain text and names role and
//! database, so that it is not sent where TLS is required.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::url::{HostPlace, PostgresqlAddress};

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Version 3.0 of the protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
const PROTOCOL_VERSION: i32 = 3 << 16;

/// Whether one of the hosts answers a start-up message with anything but `cannot_connect_now`.
pub(crate) async fn accepts_connections(address: &PostgresqlAddress) -> bool {
    for place in address.places().into_iter().filter(|place| may_ask(address, *place)) {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, answer(address, place)).await.ok().flatten();
        if answer.is_some_and(|answer| is_ready(&answer)) {
            return true;
        }
    }
    false
}

/// Whether role and database may be sent in plain text.
fn may_ask(address: &PostgresqlAddress, place: HostPlace<'_>) -> bool {
    place.is_unix_socket() || address.tls.mode().is_optional()
}

async fn answer(address: &PostgresqlAddress, place: HostPlace<'_>) -> Option<Vec<u8>> {
    if place.is_unix_socket() {
        let socket = Path::new(place.host).join(format!(".s.PGSQL.{}", place.port));
        return exchange(UnixStream::connect(socket).await.ok()?, address).await;
    }
    exchange(TcpStream::connect((place.host, place.port)).await.ok()?, address).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: &PostgresqlAddress) -> Option<Vec<u8>> {
    stream.write_all(&startup_message(address)).await.ok()?;
    let mut answer = vec![0; 512];
    let length = stream.read(&mut answer).await.ok()?;
    answer.truncate(length);
    Some(answer)
}

fn startup_message(address: &PostgresqlAddress) -> Vec<u8> {
    let user = address.user.as_deref().unwrap_or("tarsy");
    let database = address.database.as_deref().unwrap_or(user);
    let mut parameters = Vec::new();
    for text in ["user", user, "database", database, "application_name", "tarsy", ""] {
        parameters.extend_from_slice(text.as_bytes());
        parameters.push(0);
    }
    let length = i32::try_from(parameters.len() + 8).unwrap_or(i32::MAX);
    [&length.to_be_bytes()[..], &PROTOCOL_VERSION.to_be_bytes()[..], &parameters].concat()
}

/// An authentication request, or any error but `cannot_connect_now`, means that the server is ready.
fn is_ready(answer: &[u8]) -> bool {
    match answer.first() {
        Some(b'R') => true,
        Some(b'E') => !answer.split(|byte| *byte == 0).any(|field| field == b"C57P03"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_accepts_connections_is_ready() {
        assert!(is_ready(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"));
        assert!(is_ready(b"E\0\0\0\x20SFATAL\0VFATAL\0C28000\0Mno entry\0\0"));
        assert!(!is_ready(b"E\0\0\0\x20SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"));
        assert!(!is_ready(b""));
    }
}
