//! A value as SQLite stores it.

use std::borrow::Cow;
use std::fmt;

/// A value as SQLite stores it, whatever type its column was declared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SqliteValue<'a> {
    /// The absence of a value.
    Null,
    /// At most 64 bits, signed.
    Integer(i64),
    /// A double, never NaN.
    Real(f64),
    /// Text, which is not guaranteed to be UTF-8.
    Text(&'a [u8]),
    /// Bytes, stored as they are.
    Blob(&'a [u8]),
}

impl SqliteValue<'_> {
    /// The value for messages. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            SqliteValue::Null => "NULL".into(),
            SqliteValue::Integer(number) => number.to_string().into(),
            SqliteValue::Real(number) => number.to_string().into(),
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The length in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            SqliteValue::Null => 0,
            SqliteValue::Integer(_) | SqliteValue::Real(_) => 8,
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => bytes.len(),
        }
    }

    #[must_use]
    pub(crate) fn class(&self) -> StorageClass {
        match self {
            SqliteValue::Null => StorageClass::Null,
            SqliteValue::Integer(_) => StorageClass::Integer,
            SqliteValue::Real(_) => StorageClass::Real,
            SqliteValue::Text(_) => StorageClass::Text,
            SqliteValue::Blob(_) => StorageClass::Blob,
        }
    }
}

/// SQLite's storage classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StorageClass::Null => "NULL",
            StorageClass::Integer => "INTEGER",
            StorageClass::Real => "REAL",
            StorageClass::Text => "TEXT",
            StorageClass::Blob => "BLOB",
        })
    }
}
