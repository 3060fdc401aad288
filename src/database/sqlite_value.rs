//! A value as SQLite stores it.

use std::borrow::Cow;
use std::fmt;

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

    /// How it is stored.
    #[must_use]
    pub fn class(&self) -> StorageClass {
        match self {
            SqliteValue::Null => StorageClass::Null,
            SqliteValue::Integer(_) => StorageClass::Integer,
            SqliteValue::Real(_) => StorageClass::Real,
            SqliteValue::Text(_) => StorageClass::Text,
            SqliteValue::Blob(_) => StorageClass::Blob,
        }
    }
}

/// How SQLite stores a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// No value.
    Null,
    /// 64 bits.
    Integer,
    /// A double.
    Real,
    /// Bytes that should be text.
    Text,
    /// Bytes.
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
