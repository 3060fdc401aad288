//! PostgreSQL's binary COPY format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use std::borrow::Cow;
use std::ops::Deref;

use super::column_type::ColumnType;
use super::pg_value::PgValue;
use crate::database::failure::{DatabaseCause, ErrorClass};

/// What the format begins with: the signature, no flags, no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, where a row would have its number of fields.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A value as a field, which the type's `receive` function reads: what stands in front, and then the bytes of text,
/// which are not copied.
///
/// # Panics
/// When the value is longer than a field can be, which [`convert`](super::convert::convert) has excluded.
#[must_use]
pub fn field_parts<'v>(value: &'v PgValue<'_>) -> (FieldHead, &'v [u8]) {
    match value {
        PgValue::Null => (FieldHead::new(-1, &[]), &[]),
        PgValue::Bytes(bytes) => (FieldHead::of(&[], bytes), bytes),
        // The one version of jsonb's binary format there is.
        PgValue::Jsonb(bytes) => (FieldHead::of(&[1], bytes), bytes),
        PgValue::BigInt(number) | PgValue::Timestamp(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
        PgValue::Integer(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
        PgValue::Boolean(truth) => (FieldHead::of(&[u8::from(*truth)], &[]), &[]),
        PgValue::Double(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
    }
}

/// Reads a field, or `None` if it is not what the type sends.
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

/// What stands in front of a field's body: its length, and all of a short value.
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
        assert_eq!(rows(b"\0\x02\x7f\xff\xff\xffx").expect("the rest may come"), 0);
        for wrong in [&b"\0\0"[..], b"\0\x01\xff\xff\xff\xff", b"\xff\xfe", b"\x80\0"] {
            assert!(rows(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn fields_are_what_postgresql_reads() {
        // As `COPY (SELECT 1::int, 'x'::varchar, NULL::json, '{}'::jsonb, true, timestamp '2026-01-31 12:00:00')
        // TO STDOUT (FORMAT binary)` prints them.
        let moment = PgValue::Timestamp(timestamp::parse(b"2026-01-31 12:00:00").expect("a moment"));
        for (value, expected) in [
            (PgValue::Integer(1), &b"\0\0\0\x04\0\0\0\x01"[..]),
            (PgValue::Bytes(Cow::Borrowed(b"x")), b"\0\0\0\x01x"),
            (PgValue::Null, b"\xff\xff\xff\xff"),
            (PgValue::Jsonb(Cow::Borrowed(b"{}")), b"\0\0\0\x03\x01{}"),
            (PgValue::Boolean(true), b"\0\0\0\x01\x01"),
            (moment.clone(), b"\0\0\0\x08\0\x02\xec\xac\x99\x11\x50\0"),
        ] {
            let (head, body) = field_parts(&value);
            assert_eq!([&head, body].concat(), expected, "{value:?}");
        }
        let (head, _) = field_parts(&moment);
        assert_eq!(read_field(Some(&head[4..]), ColumnType::Timestamp), Some(moment));
    }
}
