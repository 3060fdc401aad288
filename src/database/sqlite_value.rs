//! A value as SQLite stores it.

use std::borrow::Cow;

/// A value as SQLite stores it, whatever its column was declared as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SqliteValue<'a> {
    /// SQL NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT; nothing makes sure that it is UTF-8.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

impl SqliteValue<'_> {
    /// The value as people read it; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            SqliteValue::Null => "NULL".into(),
            SqliteValue::Integer(number) => number.to_string().into(),
            SqliteValue::Real(number) => number.to_string().into(),
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// How many bytes the value has.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            SqliteValue::Null => 0,
            SqliteValue::Integer(_) | SqliteValue::Real(_) => 8,
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => bytes.len(),
        }
    }

    /// The name of the storage class.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            SqliteValue::Null => "NULL",
            SqliteValue::Integer(_) => "INTEGER",
            SqliteValue::Real(_) => "REAL",
            SqliteValue::Text(_) => "TEXT",
            SqliteValue::Blob(_) => "BLOB",
        }
    }
}
