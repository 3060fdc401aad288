//! A deleted row on its way to the archive.

use rusqlite::types::ValueRef;
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
    Copied(Vec<CopiedValue>),
}

/// A value of SQLite's, copied.
pub(crate) enum CopiedValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for CopiedValue {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl CopiedValue {
    fn as_value(&self) -> SqliteValue<'_> {
        match self {
            Self::Null => SqliteValue::Null,
            Self::Integer(number) => SqliteValue::Integer(*number),
            Self::Real(number) => SqliteValue::Real(*number),
            Self::Text(bytes) => SqliteValue::Text(bytes),
            Self::Blob(bytes) => SqliteValue::Blob(bytes),
        }
    }
}

impl DeletedRow {
    /// The first values of the row.
    pub(crate) fn values(&self, columns: usize) -> Result<Vec<SqliteValue<'_>>, DatabaseCause> {
        match self {
            Self::Fetched(row) => value::of_row(row, columns),
            Self::Copied(values) => Ok(values.iter().map(CopiedValue::as_value).collect()),
        }
    }
}

/// The memory that a row with these values takes, in bytes.
pub(crate) fn size_of(values: &[SqliteValue<'_>]) -> usize {
    OVERHEAD + values.iter().map(SqliteValue::size).sum::<usize>()
}
