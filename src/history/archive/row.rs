//! A deleted row on its way to the archive.

use std::ops::Range;

use sea_orm::QueryResult;

use super::value;
use crate::database::failure::DatabaseCause;
use crate::database::sqlite_value::SqliteValue;

/// What a row takes beside its values, in bytes, about.
const OVERHEAD: usize = 256;

/// A deleted row, with the values that a table of the archive needs.
pub(crate) enum DeletedRow {
    /// From the driver, with the buffer in which it came.
    Fetched(QueryResult),
    /// From SQLite's handle.
    Copied(CopiedRow),
}

/// Values of SQLite's, copied.
pub(crate) struct CopiedRow {
    values: Vec<CopiedValue>,
    /// The bytes of all texts and blobs: one allocation for a row.
    bytes: Vec<u8>,
}

enum CopiedValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl CopiedRow {
    pub(crate) fn of(values: &[SqliteValue<'_>]) -> Self {
        let mut bytes = Vec::with_capacity(values.iter().map(SqliteValue::size).sum());
        let mut append = |value: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(value);
            start..bytes.len()
        };
        let copied = |value: &SqliteValue<'_>| match *value {
            SqliteValue::Null => CopiedValue::Null,
            SqliteValue::Integer(number) => CopiedValue::Integer(number),
            SqliteValue::Real(number) => CopiedValue::Real(number),
            SqliteValue::Text(text) => CopiedValue::Text(append(text)),
            SqliteValue::Blob(blob) => CopiedValue::Blob(append(blob)),
        };
        Self { values: values.iter().map(copied).collect(), bytes }
    }

    fn values(&self) -> Vec<SqliteValue<'_>> {
        let value = |value: &CopiedValue| match value {
            CopiedValue::Null => SqliteValue::Null,
            CopiedValue::Integer(number) => SqliteValue::Integer(*number),
            CopiedValue::Real(number) => SqliteValue::Real(*number),
            CopiedValue::Text(place) => SqliteValue::Text(&self.bytes[place.clone()]),
            CopiedValue::Blob(place) => SqliteValue::Blob(&self.bytes[place.clone()]),
        };
        self.values.iter().map(value).collect()
    }
}

impl DeletedRow {
    /// The first values of the row.
    pub(crate) fn values(&self, columns: usize) -> Result<Vec<SqliteValue<'_>>, DatabaseCause> {
        match self {
            Self::Fetched(row) => value::of_row(row, columns),
            Self::Copied(row) => Ok(row.values()),
        }
    }
}

/// The memory that a row with these values takes, in bytes.
pub(crate) fn size_of(values: &[SqliteValue<'_>]) -> usize {
    OVERHEAD + values.iter().map(SqliteValue::size).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::SqliteValue::{Blob, Integer, Null, Real, Text};
    use super::*;

    #[test]
    fn a_copy_has_the_same_values() {
        let values = [Text(b"a\0\xff"), Null, Blob(b""), Integer(i64::MIN), Real(-0.0), Text(b""), Blob(b"\0b")];
        assert_eq!(CopiedRow::of(&values).values(), values);
    }
}
