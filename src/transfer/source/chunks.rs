//! Chunks of converted rows as binary COPY, with their counts, changes and hazards.

use tokio::sync::mpsc::Sender;

use super::pass::Purpose;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::progress::Amount;
use crate::transfer::value::change::Change;
use crate::transfer::value::copy_format::{HEADER, TRAILER, field_parts};
use crate::transfer::value::hazard::Hazard;
use crate::transfer::value::pg_value::PgValue;

/// A chunk is sent when it has this many bytes of binary COPY,
const CHUNK: usize = 256 * 1024;
/// or after so many rows or bytes of values, so that progress is shown.
const ROWS_PER_CHUNK: u64 = 4096;
const BYTES_PER_CHUNK: u64 = 4 * 1024 * 1024;
/// or with so many bytes of changes and hazards, which are several times as large as the values.
const FINDINGS_PER_CHUNK: u64 = 1024 * 1024;

/// A part of a table.
#[derive(Default)]
pub(crate) struct Chunk {
    /// A part of the binary COPY stream, cut at any byte; empty if the rows are only scanned.
    pub(crate) bytes: Vec<u8>,
    /// The rows and bytes read for it.
    pub(crate) amount: Amount,
    /// What the policies changed in it.
    pub(crate) changes: Vec<Change>,
    /// What they did not change.
    pub(crate) hazards: Vec<Hazard>,
    /// Roughly the bytes of both.
    findings: u64,
}

/// Collects rows in chunks and sends them.
pub(crate) struct ChunkSender<'s> {
    sender: &'s Sender<Chunk>,
    chunk: Chunk,
    purpose: Purpose,
    sent: Amount,
}

impl<'s> ChunkSender<'s> {
    pub(crate) fn begin(sender: &'s Sender<Chunk>, purpose: Purpose) -> Result<Self, DatabaseCause> {
        let mut chunks = Self { sender, chunk: Chunk::default(), purpose, sent: Amount::default() };
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

    /// Records what policies changed.
    pub(crate) fn add_changes(&mut self, changes: Vec<Change>) -> Result<(), DatabaseCause> {
        self.chunk.findings += changes.iter().map(Change::size).sum::<u64>();
        self.chunk.changes.extend(changes);
        self.send_if_due()
    }

    /// Records what they did not change.
    pub(crate) fn add_hazards(&mut self, hazards: Vec<Hazard>) -> Result<(), DatabaseCause> {
        self.chunk.findings += hazards.len() as u64 * Hazard::SIZE;
        self.chunk.hazards.extend(hazards);
        self.send_if_due()
    }

    /// Adds a converted row with so many bytes of values.
    pub(crate) fn add(&mut self, values: &[PgValue<'_>], bytes: u64) -> Result<(), DatabaseCause> {
        self.chunk.amount += Amount { rows: 1, bytes };
        let columns = i16::try_from(values.len()).expect("tables have fewer than 1600 columns");
        self.push(&columns.to_be_bytes())?;
        for value in values {
            let (head, body) = field_parts(value);
            self.push(&head)?;
            self.push(body)?;
        }
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
        let Chunk { amount: Amount { rows, bytes }, findings, .. } = self.chunk;
        let is_due = rows >= ROWS_PER_CHUNK || bytes >= BYTES_PER_CHUNK || findings >= FINDINGS_PER_CHUNK;
        if is_due { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), DatabaseCause> {
        let chunk = std::mem::take(&mut self.chunk);
        self.sent += chunk.amount;
        send(self.sender, chunk)
    }
}

/// Collects hazards of a search and sends them in parts.
pub(crate) struct HazardSender {
    sender: Sender<Vec<Hazard>>,
    part: Vec<Hazard>,
}

impl HazardSender {
    const PART: usize = 1000;

    pub(crate) fn new(sender: Sender<Vec<Hazard>>) -> Self {
        Self { sender, part: Vec::new() }
    }

    pub(crate) fn add(&mut self, hazard: Hazard) -> Result<(), DatabaseCause> {
        self.part.push(hazard);
        if self.part.len() < Self::PART { Ok(()) } else { self.send() }
    }

    /// Sends the last part.
    pub(crate) fn finish(mut self) -> Result<(), DatabaseCause> {
        self.send()
    }

    fn send(&mut self) -> Result<(), DatabaseCause> {
        send(&self.sender, std::mem::take(&mut self.part))
    }
}

fn send<T>(sender: &Sender<T>, part: T) -> Result<(), DatabaseCause> {
    let stopped = |_| DatabaseCause::new(ErrorClass::Other, "the reader of the rows has stopped");
    sender.blocking_send(part).map_err(stopped)
}
