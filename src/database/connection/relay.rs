//! Copies what driver and server say to each other, until one of them ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::server::{Message, Stream};
use crate::database::failure::{DatabaseCause, relayed};

/// How much is copied at a time.
const CHUNK: usize = 128 * 1024;

/// Copies in both directions. What the server said before it closed the connection reaches the driver.
pub(super) async fn relay(driver: UnixStream, server: Box<dyn Stream>) {
    let (from_driver, to_driver) = driver.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::select! {
        () = forward(from_driver, to_server) => {}
        () = answer(from_server, to_driver) => {}
    }
}

/// Copies to the server. Ends when the driver does.
async fn forward(mut from: OwnedReadHalf, mut to: WriteHalf<Box<dyn Stream>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await.unwrap_or_default();
        if length == 0 {
            to.shutdown().await.ok();
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() || to.flush().await.is_err() {
            // The other direction has the reason.
            return std::future::pending().await;
        }
    }
}

/// Copies to the driver. Ends when the server does.
async fn answer(mut from: ReadHalf<Box<dyn Stream>>, mut to: OwnedWriteHalf) {
    let mut chunk = vec![0; CHUNK];
    let mut place = Place::default();
    loop {
        match from.read(&mut chunk).await {
            Ok(0) => return keep(place.last_error()),
            Ok(length) => {
                place.advance(&chunk[..length]);
                if to.write_all(&chunk[..length]).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // A server that closes the connection while data is on its way to it resets it behind its last message.
                if let Some(cause) = place.last_error() {
                    return keep(Some(cause));
                }
                let cause = DatabaseCause::of_io(&error);
                // Within a message the driver would take it for a part of that.
                if place.is_between_messages() {
                    to.write_all(&cause.as_answer()).await.ok();
                }
                return keep(Some(cause));
            }
        }
    }
}

fn keep(cause: Option<DatabaseCause>) {
    relayed::set_last_words(cause.map(|cause| (cause.class, cause.message)));
}

/// Where in a message the server's answers have come.
#[derive(Debug, Default)]
struct Place {
    /// Type and length of the message, as far as they are known.
    head: [u8; 5],
    known: usize,
    /// How much of the message is still missing.
    missing: usize,
    /// The last message if it is an error, as far as it is known.
    error: Vec<u8>,
}

/// More than the message of an error has.
const LONGEST_ERROR: usize = 64 * 1024;

impl Place {
    fn is_between_messages(&self) -> bool {
        self.known == 0 && self.missing == 0
    }

    /// The error after which the server closed the connection.
    fn last_error(&self) -> Option<DatabaseCause> {
        let is_whole = self.is_between_messages() && !self.error.is_empty();
        is_whole.then(|| Message::of(self.error.clone()).with_answer(DatabaseCause::of_answer))
    }

    fn advance(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.missing.min(bytes.len());
            if !self.error.is_empty() && self.error.len() + skipped <= LONGEST_ERROR {
                self.error.extend_from_slice(&bytes[..skipped]);
            }
            self.missing -= skipped;
            bytes = &bytes[skipped..];
            let Some(byte) = bytes.first() else { return };
            self.head[self.known] = *byte;
            self.known += 1;
            bytes = &bytes[1..];
            if self.known == self.head.len() {
                self.error.clear();
                if self.head[0] == b'E' {
                    self.error.extend_from_slice(&self.head);
                }
                let length = u32::from_be_bytes([self.head[1], self.head[2], self.head[3], self.head[4]]);
                self.missing = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(4);
                self.known = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure::ErrorClass;

    #[test]
    fn the_last_error_is_kept_unless_more_follows() {
        let error = DatabaseCause::new(ErrorClass::ShuttingDown, "gone").as_answer();
        for (after, is_kept) in [(&b""[..], true), (b"Z\0\0\0\x05I", false), (b"Z\0\0", false)] {
            let mut place = Place::default();
            for bytes in [&b"C\0\0\0\x08SET\0"[..], &error, after] {
                place.advance(bytes);
            }
            let kept = place.last_error().is_some_and(|cause| cause.message == "gone");
            assert_eq!(kept, is_kept, "{after:?}");
        }
    }

    #[test]
    fn the_end_of_a_message_is_found_however_it_is_cut() {
        let two = b"C\0\0\0\x08SET\0Z\0\0\0\x05I";
        for size in 1..=two.len() {
            let (mut place, mut ends) = (Place::default(), Vec::new());
            let mut at = 0;
            for part in two.chunks(size) {
                place.advance(part);
                at += part.len();
                if place.is_between_messages() {
                    ends.push(at);
                }
            }
            let expected: Vec<_> = [9, 15].into_iter().filter(|end| end % size == 0 || *end == 15).collect();
            assert_eq!(ends, expected, "parts of {size}");
        }
    }
}
