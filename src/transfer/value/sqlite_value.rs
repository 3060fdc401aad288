//! A value as SQLite stores it.

use std::borrow::Cow;

/// A value as SQLite stores it, whatever its column was declared as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stored<'a> {
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

impl Stored<'_> {
    /// The value as people read it; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Stored::Null => "NULL".into(),
            Stored::Integer(number) => number.to_string().into(),
            Stored::Real(number) => number.to_string().into(),
            Stored::Text(bytes) | Stored::Blob(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// How many bytes the value has.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Stored::Null => 0,
            Stored::Integer(_) | Stored::Real(_) => 8,
            Stored::Text(bytes) | Stored::Blob(bytes) => bytes.len(),
        }
    }

    /// The name of the storage class.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Stored::Null => "NULL",
            Stored::Integer(_) => "INTEGER",
            Stored::Real(_) => "REAL",
            Stored::Text(_) => "TEXT",
            Stored::Blob(_) => "BLOB",
        }
    }
}
