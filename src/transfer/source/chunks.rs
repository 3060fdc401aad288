//! Chunks of converted rows as binary COPY, with their counts and changes.

use tokio::sync::mpsc::Sender;

use super::pass::Purpose;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::progress::Amount;
use crate::transfer::value::change::Change;
use crate::transfer::value::copy_format::{HEADER, TRAILER, field_parts};
use crate::transfer::value::pg_value::PgValue;

/// A chunk is sent when it has this many bytes of binary COPY,
const CHUNK: usize = 256 * 1024;
/// or after so many rows or bytes of values, so that progress is shown.
const ROWS_PER_CHUNK: u64 = 4096;
const BYTES_PER_CHUNK: u64 = 4 * 1024 * 1024;

/// A part of a table.
#[derive(Default)]
pub(crate) struct Chunk {
    /// A part of the binary COPY stream, cut at any byte; empty if the rows are only scanned.
    pub(crate) bytes: Vec<u8>,
    /// The rows and bytes read for it.
    pub(crate) amount: Amount,
    /// What the policies changed in it.
    pub(crate) changes: Vec<Change>,
}

/// Collects rows in chunks and sends them.
pub(crate) struct ChunkSender<'s> {
    sender: &'s Sender<Chunk>,
    chunk: Chunk,
    purpose: Purpose,
    sent: Amount,
    /// The rows that are left out, whose values are in the changes of this chunk.
    left_out: Amount,
}

impl<'s> ChunkSender<'s> {
    pub(crate) fn begin(sender: &'s Sender<Chunk>, purpose: Purpose) -> Result<Self, DatabaseCause> {
        let (sent, left_out) = (Amount::default(), Amount::default());
        let mut chunks = Self { sender, chunk: Chunk::default(), purpose, sent, left_out };
        // Sent together with the first rows: a small message alone may wait for a TCP acknowledgement.
        chunks.push(HEADER)?;
        Ok(chunks)
    }

    /// Sends the trailer. Returns the total of all chunks.
    pub(crate) fn finish(mut self) -> Result<Amount, DatabaseCause> {
        self.push(&TRAILER)?;
        self.send()?;
        Ok(self.sent)
    }

    /// Records what policies changed in a row, and how many bytes of values it has.
    pub(crate) fn record(&mut self, changes: Vec<Change>, bytes: u64) {
        self.chunk.changes.extend(changes);
        self.chunk.amount.bytes += bytes;
    }

    /// Adds a converted row.
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

    /// Records the values of a row that is left out.
    pub(crate) fn leave_out(&mut self, values: Vec<Change>, bytes: u64) -> Result<(), DatabaseCause> {
        self.left_out += Amount { rows: 1, bytes };
        self.chunk.changes.extend(values);
        self.send_if_due()
    }

    /// Adds bytes. A large value is sent in several chunks, so that it is never in memory twice.
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

    /// Sends the chunk after many small rows, or rows that are only scanned, so that progress is shown.
    fn send_if_due(&mut self) -> Result<(), DatabaseCause> {
        let Amount { rows, bytes } = [self.chunk.amount, self.left_out].into_iter().sum();
        if rows >= ROWS_PER_CHUNK || bytes >= BYTES_PER_CHUNK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), DatabaseCause> {
        let chunk = std::mem::take(&mut self.chunk);
        self.left_out = Amount::default();
        self.sent += chunk.amount;
        self.sender
            .blocking_send(chunk)
            .map_err(|_| DatabaseCause::new(ErrorClass::Other, "the reader of the rows has stopped"))
    }
}
