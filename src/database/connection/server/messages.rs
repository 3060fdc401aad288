//! Whole messages of the protocol, during a login.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failure::{Failure, Reach};
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
            file: field(b'F'),
        })
    }
}

/// A connection on which whole messages are read and written.
pub(super) struct Messages {
    stream: Box<dyn Stream>,
    /// What was read beyond the last message.
    received: Vec<u8>,
    /// Why the last message was not sent.
    unsent: Option<Error>,
}

impl Messages {
    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, received: Vec::new(), unsent: None }
    }

    /// Sends a message that is complete, with its type and length. If that fails, [`Self::receive`] says why, as in libpq:
    /// a server that has closed the connection may have given its reason before.
    pub(super) async fn send(&mut self, message: &[u8]) {
        self.unsent = self.write(message).await.err();
    }

    async fn write(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await?;
        self.stream.flush().await
    }

    /// Receives a message. One of another kind than these is an error.
    pub(super) async fn receive(&mut self, kinds: &[u8]) -> Result<Message> {
        loop {
            if is_plain_text(&self.received) {
                return self.receive_text().await;
            }
            if let Some(kind) = self.received.first().filter(|kind| !kinds.contains(kind)) {
                let shown = char::from(*kind).escape_default();
                return Err(Error::new(ErrorKind::InvalidData, format!("unexpected message of type '{shown}'")));
            }
            if let Some(length) = length_of(&self.received)? {
                let rest = self.received.split_off(length);
                return Ok(Message::of(std::mem::replace(&mut self.received, rest)));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(self.unsent.take().unwrap_or_else(|| ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Receives the rest of an error in plain text.
    async fn receive_text(&mut self) -> Result<Message> {
        while !self.received.contains(&0) && self.received.len() < LONGEST {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                break;
            }
        }
        let text = self.received[1..].split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
        let body = [b"C08006\0M", text, b"\0\0"].concat();
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        Ok(Message::of([b"E", &length.to_be_bytes()[..], &body].concat()))
    }

    /// Asks for one value, after the login.
    pub(super) async fn ask(&mut self, sql: &str) -> std::result::Result<Vec<u8>, Failure> {
        let length = u32::try_from(sql.len() + 5).unwrap_or(u32::MAX);
        self.send(&[b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()).await;
        let mut value = Vec::new();
        loop {
            let message = self.receive(b"TDCNSEZ").await?;
            match message.kind() {
                // Behind the number of columns and the length of the value.
                b'D' => value = message.body().get(6..).unwrap_or_default().to_vec(),
                b'E' => return Err(message.with_answer(|answer| Failure::of_answer(answer, Reach::Everything))),
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

/// Whether an error has the form of the protocol before version 3, as from a server that cannot start a process: the text
/// is where the length is now.
fn is_plain_text(received: &[u8]) -> bool {
    received.first() == Some(&b'E') && announced_length(received).is_some_and(|length| length > LONGEST)
}

fn announced_length(received: &[u8]) -> Option<usize> {
    let bytes = received.get(1..5)?.try_into().expect("four bytes");
    Some(usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}

/// The length of the message that begins here, if it is complete.
fn length_of(received: &[u8]) -> Result<Option<usize>> {
    match announced_length(received) {
        None => Ok(None),
        Some(length @ 4..=LONGEST) => Ok(Some(length + 1).filter(|length| *length <= received.len())),
        Some(length) => Err(Error::new(
            ErrorKind::InvalidData,
            format!("a message of {length} bytes violates the PostgreSQL protocol"),
        )),
    }
}
