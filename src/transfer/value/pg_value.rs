//! Values as both ends hold them: SQLite's five storage classes, and what PostgreSQL sends and receives.

use std::borrow::Cow;
use std::ops::Deref;

use super::column_type::ColumnType;

/// A value that PostgreSQL can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// The bytes of `character varying` or `json`.
    Bytes(Cow<'a, [u8]>),
    /// The text of `jsonb`.
    Jsonb(Cow<'a, [u8]>),
    /// `bigint`.
    BigInt(i64),
    /// `integer`.
    Integer(i32),
    /// `boolean`.
    Boolean(bool),
    /// `double precision`.
    Double(f64),
    /// `timestamp without time zone`, in microseconds since 2000-01-01.
    Timestamp(i64),
}

impl<'a> Value<'a> {
    /// The value as a field of PostgreSQL's binary COPY format, which the type's `receive` function reads: what
    /// stands in front, and then the bytes of text, which are not copied.
    ///
    /// # Panics
    /// When the value is longer than a field can be, which [`convert`](crate::transfer::value::convert::convert) has excluded.
    #[must_use]
    pub fn field_parts(&self) -> (FieldHead, &[u8]) {
        match self {
            Value::Null => (FieldHead::new(-1, &[]), &[]),
            Value::Bytes(bytes) => (FieldHead::of(&[], bytes), bytes),
            // The one version of jsonb's binary format there is.
            Value::Jsonb(bytes) => (FieldHead::of(&[1], bytes), bytes),
            Value::BigInt(number) | Value::Timestamp(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
            Value::Integer(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
            Value::Boolean(truth) => (FieldHead::of(&[u8::from(*truth)], &[]), &[]),
            Value::Double(number) => (FieldHead::of(&number.to_be_bytes(), &[]), &[]),
        }
    }

    /// Appends the whole field.
    ///
    /// # Panics
    /// As [`Value::field_parts`].
    pub fn write_field(&self, buffer: &mut Vec<u8>) {
        let (head, body) = self.field_parts();
        buffer.extend_from_slice(&head);
        buffer.extend_from_slice(body);
    }

    /// Reads a field of the binary COPY format, or `None` if it is not what the type sends.
    #[must_use]
    pub fn read_field(field: Option<&'a [u8]>, target: ColumnType) -> Option<Self> {
        let Some(bytes) = field else { return Some(Value::Null) };
        Some(match target {
            ColumnType::Text(_) | ColumnType::Json => Value::Bytes(Cow::Borrowed(bytes)),
            ColumnType::Jsonb => Value::Jsonb(Cow::Borrowed(bytes.strip_prefix(&[1])?)),
            ColumnType::BigInt => Value::BigInt(i64::from_be_bytes(bytes.try_into().ok()?)),
            ColumnType::Integer => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?)),
            ColumnType::Boolean => Value::Boolean(*bytes.first()? != 0),
            ColumnType::Double => Value::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
            ColumnType::Timestamp => Value::Timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
        })
    }
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

#[cfg(test)]
mod tests {
    use crate::transfer::value::timestamp;
    use super::*;

    #[test]
    fn fields_are_what_postgresql_reads() {
        // As `COPY (SELECT 1::int, 'x'::varchar, NULL::json, '{}'::jsonb, true, timestamp '2026-01-31 12:00:00')
        // TO STDOUT (FORMAT binary)` prints them.
        let mut buffer = Vec::new();
        Value::Integer(1).write_field(&mut buffer);
        Value::Bytes(Cow::Borrowed(b"x")).write_field(&mut buffer);
        Value::Null.write_field(&mut buffer);
        Value::Jsonb(Cow::Borrowed(b"{}")).write_field(&mut buffer);
        Value::Boolean(true).write_field(&mut buffer);
        assert_eq!(buffer, b"\0\0\0\x04\0\0\0\x01\0\0\0\x01x\xff\xff\xff\xff\0\0\0\x03\x01{}\0\0\0\x01\x01");
        buffer.clear();
        let moment = Value::Timestamp(timestamp::parse(b"2026-01-31 12:00:00").expect("a moment"));
        moment.write_field(&mut buffer);
        assert_eq!(buffer, b"\0\0\0\x08\0\x02\xec\xac\x99\x11\x50\0");
        assert_eq!(Value::read_field(Some(&buffer[4..]), ColumnType::Timestamp), Some(moment));
    }
}
