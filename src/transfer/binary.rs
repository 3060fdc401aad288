//! PostgreSQL's binary COPY format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use std::ops::Range;

use crate::failure::{Cause, Failure};

/// What the format begins with: the signature, no flags, no extension.
pub(super) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, where a row would have its number of fields.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Takes the format apart, row by row, however the server cut it into messages.
#[derive(Default)]
pub(super) struct BinaryReader {
    buffer: Vec<u8>,
    started: bool,
    ended: bool,
}

impl BinaryReader {
    /// Adds what the server sent.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The row in front, if all of it is there.
    pub(super) fn next_row(&mut self) -> Result<Option<RowBounds>, Cause> {
        if !self.started {
            let Some(header) = self.buffer.first_chunk() else { return Ok(None) };
            if header != HEADER {
                return Err(unreadable());
            }
            self.buffer.drain(..HEADER.len());
            self.started = true;
        }
        let Some(count) = self.buffer.first_chunk() else { return Ok(None) };
        let count = i16::from_be_bytes(*count);
        self.ended = count == -1;
        let mut row = RowBounds { fields: Vec::new(), length: 2 };
        for _ in 0..count {
            let Some(length) = self.buffer[row.length..].first_chunk() else { return Ok(None) };
            row.length += 4;
            // A negative length is NULL.
            let field = usize::try_from(i32::from_be_bytes(*length)).ok().map(|length| row.length..row.length + length);
            row.length = field.as_ref().map_or(row.length, |range| range.end);
            if row.length > self.buffer.len() {
                return Ok(None);
            }
            row.fields.push(field);
        }
        Ok((!self.ended).then_some(row))
    }

    /// The fields of a row; `None` is NULL.
    pub(super) fn fields(&self, row: &RowBounds) -> Vec<Option<&[u8]>> {
        row.fields.iter().map(|field| field.clone().map(|range| &self.buffer[range])).collect()
    }

    /// Drops the row in front.
    pub(super) fn consume(&mut self, row: &RowBounds) {
        self.buffer.drain(..row.length);
    }

    /// Whether the trailer has come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Where a row and its fields lie in the buffer.
pub(super) struct RowBounds {
    /// `None` is NULL.
    fields: Vec<Option<Range<usize>>>,
    length: usize,
}

/// The error for an answer that is not in this format.
pub(super) fn unreadable() -> Cause {
    Cause::new(Failure::Other, "the server sent something that is not binary COPY")
}
