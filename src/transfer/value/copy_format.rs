//! PostgreSQL's binary COPY format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use crate::database::failure::{DatabaseCause, ErrorClass};

/// What the format begins with: the signature, no flags, no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, where a row would have its number of fields.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Takes the format apart, row by row, however the server cut it into messages. It sends a row a message, which
/// is read where it lies.
pub(crate) struct RowSplitter {
    /// How many fields a row has to have.
    columns: usize,
    /// The beginning of a row whose rest is still to come.
    pending: Vec<u8>,
    started: bool,
    ended: bool,
}

impl RowSplitter {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, pending: Vec::new(), started: false, ended: false }
    }

    /// Adds what the server sent, and hands on the fields of each row that is complete; `None` is NULL.
    pub(crate) fn push(
        &mut self,
        chunk: &[u8],
        visit: &mut impl FnMut(&[Option<&[u8]>]) -> Result<(), DatabaseCause>,
    ) -> Result<(), DatabaseCause> {
        if self.pending.is_empty() {
            let used = self.split(chunk, visit)?;
            self.pending.extend_from_slice(&chunk[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.pending);
            bytes.extend_from_slice(chunk);
            let used = self.split(&bytes, visit)?;
            bytes.drain(..used);
            self.pending = bytes;
        }
        Ok(())
    }

    /// Whether the trailer has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Hands on the complete rows, and says how many bytes they took.
    fn split(
        &mut self,
        bytes: &[u8],
        visit: &mut impl FnMut(&[Option<&[u8]>]) -> Result<(), DatabaseCause>,
    ) -> Result<usize, DatabaseCause> {
        let mut used = 0;
        if !self.started {
            let Some(header) = bytes.first_chunk() else { return Ok(0) };
            if header != HEADER {
                return Err(unreadable());
            }
            self.started = true;
            used = HEADER.len();
        }
        let mut fields = Vec::new();
        while !self.ended {
            fields.clear();
            let Some(length) = row(&bytes[used..], &mut fields, &mut self.ended) else { break };
            used += length;
            if !self.ended {
                if fields.len() != self.columns {
                    return Err(unreadable());
                }
                visit(&fields)?;
            }
        }
        Ok(used)
    }
}

/// Finds the fields of the row in front, and how many bytes it has; `None` if its end is still to come.
fn row<'b>(bytes: &'b [u8], fields: &mut Vec<Option<&'b [u8]>>, ended: &mut bool) -> Option<usize> {
    let count = i16::from_be_bytes(*bytes.first_chunk()?);
    *ended = count == -1;
    let mut position = 2;
    for _ in 0..count {
        let length = i32::from_be_bytes(*bytes[position..].first_chunk()?);
        position += 4;
        // A negative length is NULL.
        let field = match usize::try_from(length) {
            Ok(length) => Some(bytes.get(position..position + length)?),
            Err(_) => None,
        };
        position += field.map_or(0, <[u8]>::len);
        fields.push(field);
    }
    Some(position)
}

/// The error for an answer that is not in this format.
pub(crate) fn unreadable() -> DatabaseCause {
    DatabaseCause::new(ErrorClass::Other, "the server sent something that is not binary COPY")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows of two columns are found in these bytes behind a header.
    fn rows(bytes: &[u8]) -> Result<usize, DatabaseCause> {
        let (mut splitter, mut rows) = (RowSplitter::new(2), 0);
        let mut count = |fields: &[Option<&[u8]>]| {
            assert_eq!(fields.len(), 2);
            rows += 1;
            Ok(())
        };
        splitter.push(HEADER, &mut count)?;
        splitter.push(bytes, &mut count)?;
        Ok(rows)
    }

    #[test]
    fn a_row_with_another_number_of_fields_is_unreadable() {
        let row = b"\0\x02\0\0\0\x01x\xff\xff\xff\xff";
        assert_eq!(rows(row).expect("sound"), 1);
        assert_eq!(rows(&[&row[..], &TRAILER, b"more"].concat()).expect("sound"), 1);
        assert_eq!(rows(b"\0\x02\x7f\xff\xff\xffx").expect("the rest may come"), 0);
        for wrong in [&b"\0\0"[..], b"\0\x01\xff\xff\xff\xff", b"\xff\xfe", b"\x80\0"] {
            assert!(rows(wrong).is_err(), "{wrong:?}");
        }
    }
}
