//! What cannot be carried over exactly, where it is, and why.

use std::fmt;

use serde::Serialize;

use super::target::Target;

/// One value that cannot be carried over exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hazard {
    /// The table.
    pub table: String,
    /// The primary key of the row; bytes that are not UTF-8 are replaced.
    pub primary_key: String,
    /// The column.
    pub column: String,
    /// The byte at which the trouble begins, from 0, where one byte is to blame.
    pub byte_offset: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Hazard {
    pub fn new(table: &str, primary_key: String, column: &str, fault: Fault) -> Self {
        Self { table: table.to_owned(), primary_key, column: column.to_owned(), byte_offset: fault.offset, reason: fault.reason.to_string() }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` {}: {}", self.table, self.primary_key, self.column, self.reason)?;
        self.byte_offset.map_or(Ok(()), |offset| write!(f, " at byte {offset}"))
    }
}

/// What keeps a value from being carried over exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// SQL NULL in a column that is NOT NULL.
    Null,
    /// Stored as a class that the column's type has no place for.
    StorageClass(&'static str, Target),
    /// Bytes that are not UTF-8.
    Utf8,
    /// U+0000, which PostgreSQL has no place for.
    Nul,
    /// More characters than the column allows.
    TooLong,
    /// More bytes than a field holds.
    TooLarge,
    /// Beyond 32 bits.
    IntegerRange,
    /// Not 0 or 1.
    NotBoolean,
    /// An integer that a double cannot hold exactly.
    Inexact,
    /// An infinite REAL in a JSON column.
    Infinite,
    /// Nothing but white space in a JSON column.
    EmptyJson,
    /// Not JSON.
    MalformedJson,
    /// `NaN` or `Infinity` in JSON.
    NotANumber,
    /// `\u0000` in `jsonb`.
    NulEscape,
    /// Half of a surrogate pair in `jsonb`.
    LoneSurrogate,
    /// A number that `jsonb` cannot hold.
    JsonNumberRange,
    /// Text that is not an exact moment in UTC.
    NotAMoment,
    /// Nested too deeply.
    TooDeep,
    /// A foreign key to a row that is not there.
    Orphan,
    DuplicateRow,
    IndexEntry,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Null => "NULL in a column that is NOT NULL",
            Reason::StorageClass(class, target) => return write!(f, "stored as {class} in a column that is {target}"),
            Reason::Utf8 => "not UTF-8",
            Reason::Nul => "U+0000 in text",
            Reason::TooLong => "more characters than the column allows",
            Reason::TooLarge => "more bytes than a field holds",
            Reason::IntegerRange => "beyond 32 bits",
            Reason::NotBoolean => "neither 0 nor 1 in a boolean column",
            Reason::Inexact => "an integer that a double cannot hold exactly",
            Reason::Infinite => "infinite in a JSON column",
            Reason::EmptyJson => "empty text in a JSON column",
            Reason::MalformedJson => "not JSON",
            Reason::NotANumber => "NaN or Infinity in JSON",
            Reason::NulEscape => "\\u0000 in jsonb",
            Reason::LoneSurrogate => "half of a surrogate pair in jsonb",
            Reason::JsonNumberRange => "a number that jsonb cannot hold",
            Reason::NotAMoment => "not a moment like 2026-01-31 12:00:00",
            Reason::TooDeep => "JSON nested too deeply",
            Reason::DuplicateRow => "the same as another row's in a unique index",
            Reason::IndexEntry => "too long for an index",
            Reason::Orphan => "points to a row that is not there",
        })
    }
}

/// Why a value cannot be carried over, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The byte at which it begins, from 0, where one byte is to blame.
    pub offset: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

impl Fault {
    /// A fault that begins at a byte.
    #[must_use]
    pub fn at(offset: usize, reason: Reason) -> Self {
        Self { offset: Some(offset), reason }
    }

    pub fn orphan() -> Self { Self::whole(Reason::Orphan) }
    pub fn duplicate_row() -> Self { Self::whole(Reason::DuplicateRow) }
    pub fn index_entry() -> Self { Self::whole(Reason::IndexEntry) }
    /// A fault of the whole value.
    #[must_use]
    pub fn whole(reason: Reason) -> Self {
        Self { offset: None, reason }
    }
}
