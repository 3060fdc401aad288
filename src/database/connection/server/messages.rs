//! Whole messages of the protocol, during a login.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::socket::Stream;
use crate::database::failure::Answer;

/// No message of a login is longer, as in libpq.
const LONGEST: usize = 30_000;

/// A message of the server.
pub(crate) struct Message {
    /// With type and length.
    bytes: Vec<u8>,
}

impl Message {
    /// A whole message, with its type and length.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(super) fn kind(&self) -> u8 {
        self.bytes[0]
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[5..]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fields of an error. Servers send text in the encoding of the client, but not before they know it.
    pub(crate) fn with_answer<T>(&self, read: impl FnOnce(&Answer<'_>) -> T) -> T {
        let fields: Vec<(u8, String)> = self
            .body()
            .split(|byte| *byte == 0)
            .filter_map(|field| field.split_first())
            .map(|(name, value)| (*name, String::from_utf8_lossy(value).into_owned()))
            .collect();
        let field = |name| fields.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        read(&Answer {
            code: field(b'C').unwrap_or_default(),
            message: field(b'M').unwrap_or_default(),
            detail: field(b'D'),
            hint: field(b'H'),
            context: field(b'W'),
            routine: field(b'R'),
        })
    }
}

/// A connection on which whole messages are read and written.
pub(super) struct Messages {
    stream: Box<dyn Stream>,
    /// What was read beyond the last message.
    received: Vec<u8>,
}

impl Messages {
    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends a message that is complete, with its type and length.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await?;
        self.stream.flush().await
    }

    /// Receives a message. One of another kind than these is an error.
    pub(super) async fn receive(&mut self, kinds: &[u8]) -> Result<Message> {
        loop {
            if let Some(kind) = self.received.first().filter(|kind| !kinds.contains(kind)) {
                let shown = char::from(*kind).escape_default();
                return Err(Error::new(ErrorKind::InvalidData, format!("unexpected message of type '{shown}'")));
            }
            if let Some(length) = length_of(&self.received)? {
                let rest = self.received.split_off(length);
                return Ok(Message::of(std::mem::replace(&mut self.received, rest)));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Asks for one value, after the login.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<u8>> {
        let length = u32::try_from(sql.len() + 5).unwrap_or(u32::MAX);
        self.send(&[b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()).await?;
        let mut value = Vec::new();
        loop {
            let message = self.receive(b"TDCNSEZ").await?;
            match message.kind() {
                // Behind the number of columns and the length of the value.
                b'D' => value = message.body().get(6..).unwrap_or_default().to_vec(),
                b'E' => return Err(Error::other(message.with_answer(|answer| answer.message.to_owned()))),
                b'Z' => return Ok(value),
                _ => {}
            }
        }
    }

    /// The connection, and what was read beyond the last message.
    pub(super) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.received)
    }
}

/// The length of the message that begins here, if it is complete.
fn length_of(received: &[u8]) -> Result<Option<usize>> {
    let Some(length) = received.get(1..5) else { return Ok(None) };
    let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
    match usize::try_from(length) {
        Ok(length @ 4..=LONGEST) => Ok(Some(length + 1).filter(|length| *length <= received.len())),
        _ => Err(Error::new(
            ErrorKind::InvalidData,
            format!("a message of {length} bytes violates the PostgreSQL protocol"),
        )),
    }
}
