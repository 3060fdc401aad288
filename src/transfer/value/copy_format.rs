//! PostgreSQL's binary COPY format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use std::borrow::Cow;
use std::ops::Deref;

use super::column_type::ColumnType;
use super::pg_value::PgValue;
use crate::database::failure::{DatabaseCause, ErrorClass};

/// The beginning of the stream: the signature, no flags, no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the stream, in place of the number of fields of a row.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Encodes a value as a field for the type's `receive` function: the head, and the bytes of text, which are not copied.
///
/// # Panics
/// If the value is longer than a field can be, which [`convert`](super::convert::convert) prevents.
#[must_use]
pub fn field_parts<'v>(value: &'v PgValue<'_>) -> (FieldHead, &'v [u8]) {
    match value {
        PgValue::Null => (FieldHead::new(-1, &[]), &[]),
        PgValue::Bytes(bytes) => (FieldHead::of(&[], bytes), bytes),
        // The only version of jsonb's binary format.
        PgValue::Jsonb(bytes) => (FieldHead::of(&[1], bytes), bytes),
        PgValue::BigInt(number) | PgValue::Timestamp(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
        PgValue::Integer(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
        PgValue::Boolean(truth) => (FieldHead::of(&[u8::from(*truth)], &[]), &[]),
        PgValue::Double(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
    }
}

/// Decodes a field; `None` if it does not have the format of the type.
#[must_use]
pub fn read_field(field: Option<&[u8]>, column_type: ColumnType) -> Option<PgValue<'_>> {
    let Some(bytes) = field else { return Some(PgValue::Null) };
    Some(match column_type {
        ColumnType::Text(_) | ColumnType::Json => PgValue::Bytes(Cow::Borrowed(bytes)),
        ColumnType::Jsonb => PgValue::Jsonb(Cow::Borrowed(bytes.strip_prefix(&[1])?)),
        ColumnType::BigInt => PgValue::BigInt(i64::from_be_bytes(bytes.try_into().ok()?)),
        ColumnType::Integer => PgValue::Integer(i32::from_be_bytes(bytes.try_into().ok()?)),
        ColumnType::Boolean => PgValue::Boolean(*bytes.first()? != 0),
        ColumnType::Double => PgValue::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
        ColumnType::Timestamp => PgValue::Timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
    })
}

/// The length of a field and the whole value if it is short.
#[derive(Debug, Clone, Copy)]
pub struct FieldHead {
    bytes: [u8; 12],
    length: usize,
}

impl FieldHead {
    fn of(start: &[u8], body: &[u8]) -> Self {
        Self::new(i32::try_from(start.len() + body.len()).expect("fields are shorter than 1 GB"), start)
    }

    fn new(field_length: i32, start: &[u8]) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&field_length.to_be_bytes());
        bytes[4..4 + start.len()].copy_from_slice(start);
        Self { bytes, length: 4 + start.len() }
    }
}

impl Deref for FieldHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Splits the stream into rows, at whatever bytes the server cut it into messages. Usually a message is one row, which
/// is read without a copy.
pub(crate) struct RowSplitter {
    /// The number of fields that each row must have.
    columns: usize,
    /// The beginning of an incomplete row.
    pending: Vec<u8>,
    started: bool,
    ended: bool,
}

impl RowSplitter {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, pending: Vec::new(), started: false, ended: false }
    }

    /// Adds a message of the server, and calls `visit` with the fields of each complete row; `None` is NULL.
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

    /// Whether the trailer was received.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Visits the complete rows. Returns their length in bytes.
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

/// Finds the fields of the first row. Returns its length in bytes; `None` if the row is incomplete.
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
    use crate::transfer::value::timestamp;

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
        assert_eq!(rows(b"\0\x02\x7f\xff\xff\xffx").expect("incomplete"), 0);
        for wrong in [&b"\0\0"[..], b"\0\x01\xff\xff\xff\xff", b"\xff\xfe", b"\x80\0"] {
            assert!(rows(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn fields_are_what_postgresql_reads() {
        // As `COPY (SELECT 1::int, 'x'::varchar, NULL::json, '{}'::jsonb, true, timestamp '2026-01-31 12:00:00')
        // TO STDOUT (FORMAT binary)` prints them.
        let noon = PgValue::Timestamp(timestamp::parse(b"2026-01-31 12:00:00").expect("a timestamp"));
        for (value, expected) in [
            (PgValue::Integer(1), &b"\0\0\0\x04\0\0\0\x01"[..]),
            (PgValue::Bytes(Cow::Borrowed(b"x")), b"\0\0\0\x01x"),
            (PgValue::Null, b"\xff\xff\xff\xff"),
            (PgValue::Jsonb(Cow::Borrowed(b"{}")), b"\0\0\0\x03\x01{}"),
            (PgValue::Boolean(true), b"\0\0\0\x01\x01"),
            (noon.clone(), b"\0\0\0\x08\0\x02\xec\xac\x99\x11\x50\0"),
        ] {
            let (head, body) = field_parts(&value);
            assert_eq!([&head, body].concat(), expected, "{value:?}");
        }
        let (head, _) = field_parts(&noon);
        assert_eq!(read_field(Some(&head[4..]), ColumnType::Timestamp), Some(noon));
    }
}
