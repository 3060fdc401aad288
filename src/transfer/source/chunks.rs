//! What was read on its way: rows as binary COPY, in pieces, with what is worth knowing of them.

use tokio::sync::mpsc::Sender;

use super::pass::Purpose;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::progress::Amount;
use crate::transfer::value::change::Change;
use crate::transfer::value::copy_format::{HEADER, TRAILER, field_parts};
use crate::transfer::value::pg_value::PgValue;

/// How many bytes of binary COPY are collected before they are sent on.
const CHUNK: usize = 256 * 1024;
/// How much is read at most until somebody hears of it.
const ROWS_PER_CHUNK: u64 = 4096;
const BYTES_PER_CHUNK: u64 = 4 * 1024 * 1024;

/// A piece of a table on its way.
#[derive(Default)]
pub(crate) struct Chunk {
    /// A stream of binary COPY, cut anywhere; empty if the rows are only scanned.
    pub(crate) bytes: Vec<u8>,
    /// What was read for it.
    pub(crate) amount: Amount,
    /// What the policies changed in it.
    pub(crate) changes: Vec<Change>,
}

/// Collects chunks and sends them on.
pub(crate) struct ChunkSender<'s> {
    sender: &'s Sender<Chunk>,
    chunk: Chunk,
    purpose: Purpose,
    sent: Amount,
    /// What the changes of this chunk hold of rows that stay behind.
    left_behind: Amount,
}

impl<'s> ChunkSender<'s> {
    pub(crate) fn begin(sender: &'s Sender<Chunk>, purpose: Purpose) -> Result<Self, DatabaseCause> {
        let (sent, left_behind) = (Amount::default(), Amount::default());
        let mut chunks = Self { sender, chunk: Chunk::default(), purpose, sent, left_behind };
        // In the same messages as the rows: small ones on their own may wait for the server's TCP acknowledgement.
        chunks.push(HEADER)?;
        Ok(chunks)
    }

    /// Sends the end, and gives what was sent in all.
    pub(crate) fn finish(mut self) -> Result<Amount, DatabaseCause> {
        self.push(&TRAILER)?;
        self.send()?;
        Ok(self.sent)
    }

    /// Notes what policies changed in a row, and how many bytes of values it has.
    pub(crate) fn note(&mut self, changes: Vec<Change>, bytes: u64) {
        self.chunk.changes.extend(changes);
        self.chunk.amount.bytes += bytes;
    }

    /// Adds a row that goes over.
    pub(crate) fn add(&mut self, values: &[PgValue<'_>]) -> Result<(), DatabaseCause> {
        self.chunk.amount.rows += 1;
        let columns = i16::try_from(values.len()).expect("tables have fewer than 1600 columns");
        self.push(&columns.to_be_bytes())?;
        for value in values {
            let (head, body) = field_parts(value);
            self.push(&head)?;
            self.push(body)?;
        }
        self.send_if_due()
    }

    /// Notes a row that stays behind, value by value.
    pub(crate) fn leave_behind(&mut self, values: Vec<Change>, bytes: u64) -> Result<(), DatabaseCause> {
        self.left_behind += Amount { rows: 1, bytes };
        self.chunk.changes.extend(values);
        self.send_if_due()
    }

    /// Adds bytes; those of a large value travel in pieces, so that it is never held twice.
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), DatabaseCause> {
        while self.purpose == Purpose::Copy && !bytes.is_empty() {
            if self.chunk.bytes.capacity() == 0 {
                self.chunk.bytes.reserve_exact(CHUNK);
            }
            let (fitting, rest) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.bytes.len()));
            self.chunk.bytes.extend_from_slice(fitting);
            bytes = rest;
            if self.chunk.bytes.len() == CHUNK {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Lets others hear of rows that are many and small, or not encoded.
    fn send_if_due(&mut self) -> Result<(), DatabaseCause> {
        let Amount { rows, bytes } = [self.chunk.amount, self.left_behind].into_iter().sum();
        if rows >= ROWS_PER_CHUNK || bytes >= BYTES_PER_CHUNK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), DatabaseCause> {
        let chunk = std::mem::take(&mut self.chunk);
        self.left_behind = Amount::default();
        self.sent += chunk.amount;
        self.sender
            .blocking_send(chunk)
            .map_err(|_| DatabaseCause::new(ErrorClass::Other, "nobody takes what was read"))
    }
}
