//! The start-up message of a connection: the settings of its session.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Version 3.0 of the protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
const PROTOCOL_VERSION: u32 = 3 << 16;
/// No start-up message of the driver is longer.
const LONGEST: usize = 64 * 1024;

/// The name of the settings that the server reads as its command line.
pub(super) const OPTIONS: &str = "options";

/// A setting of a session, with its value.
pub(super) type SessionSetting = (String, String);

/// Writes a start-up message. A NUL in a name or a value is an error: what follows it would be another setting.
pub(super) fn message(settings: &[SessionSetting]) -> Result<Vec<u8>> {
    let mut body = PROTOCOL_VERSION.to_be_bytes().to_vec();
    for text in settings.iter().flat_map(|(name, value)| [name, value]) {
        if text.contains('\0') {
            return Err(Error::new(ErrorKind::InvalidInput, "a setting of the session has the character NUL"));
        }
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// Reads the start-up message of a client.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin)) -> Result<Vec<SessionSetting>> {
    let invalid = || Error::new(ErrorKind::InvalidData, "not a start-up message");
    let length = usize::try_from(client.read_u32().await?).unwrap_or(usize::MAX);
    let version = client.read_u32().await?;
    if version != PROTOCOL_VERSION || !(9..=LONGEST).contains(&length) {
        return Err(invalid());
    }
    let mut body = vec![0; length - 8];
    client.read_exact(&mut body).await?;
    let text = String::from_utf8(body).map_err(|_| invalid())?;
    let mut words = text.split('\0').map(str::to_owned);
    let mut settings = Vec::new();
    while let (Some(name), Some(value)) = (words.next().filter(|name| !name.is_empty()), words.next()) {
        settings.push((name, value));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let settings = [("user", "tarsy"), ("options", "-c a=b"), ("database", "")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let written = message(&settings).expect("no NUL");
        assert_eq!(read(&mut written.as_slice()).await.expect("a message"), settings);
        assert!(read(&mut b"GET / HTTP/1.1\r\n\r\n".as_slice()).await.is_err());
    }

    #[test]
    fn a_nul_does_not_begin_another_setting() {
        for (name, value) in [("application_name", "a\0user\0other"), ("a\0user\0other", "b")] {
            assert!(message(&[(name.to_owned(), value.to_owned())]).is_err(), "{name:?}");
        }
    }
}
