//! Values that cannot be converted exactly: where, why, and what PostgreSQL would do with them.

use std::fmt;

use serde::Serialize;

use super::column_type::ColumnType;
use super::policy::{Choice, Class, Policy};
use crate::database::sqlite_value::{SqliteValue, StorageClass};
use crate::format::number;

/// A value or row that cannot be converted exactly. Its fields are those of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Hazard {
    pub table: String,
    /// The primary key of the row; bytes that are not UTF-8 are replaced.
    pub primary_key: String,
    pub column: String,
    /// The offset of the fault in bytes, from 0; `None` if the whole value is at fault.
    pub byte_offset: Option<usize>,
    /// The class, for `--on`.
    pub class: Class,
    /// What is wrong with the value.
    pub reason: String,
    /// What PostgreSQL would do with the unchanged value.
    pub postgresql: String,
    /// The policies that can handle it.
    pub policies: &'static [Policy],
    /// The value, with `--show-values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Hazard {
    /// Roughly its size in memory, in bytes: of its texts, only the key may be long.
    pub(crate) const SIZE: u64 = 1024;

    /// A fault at its row and column.
    #[must_use]
    pub(crate) fn new(table: &str, primary_key: String, column: &str, fault: &Fault) -> Self {
        Self {
            table: table.to_owned(),
            primary_key,
            column: column.to_owned(),
            byte_offset: fault.offset,
            class: fault.class(),
            reason: fault.reason.to_string(),
            postgresql: fault.reason.postgresql(),
            policies: fault.policies,
            value: None,
        }
    }
}

/// Whether hazards have the values that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// They may be confidential.
    Hidden,
    Shown,
}

impl Values {
    /// The beginning of a value as an SQL literal, if it may be shown.
    pub(crate) fn show(self, value: SqliteValue<'_>) -> Option<String> {
        (self == Values::Shown).then(|| value.shown_literal())
    }
}

/// A hazard for values that the target would accept but the source's own table does not allow. SQLite does not name the
/// rows.
pub(crate) fn refused_by_source(values: &RefusedValues) -> Hazard {
    let RefusedValues { finding, count, table, column, .. } = values;
    let reported = if *count == 1 { "once".to_owned() } else { format!("{} times", number(*count)) };
    Hazard {
        table: table.clone(),
        primary_key: String::new(),
        column: column.clone().unwrap_or_default(),
        byte_offset: None,
        class: Class::SourceConstraint,
        reason: format!("SQLite's own check reports {reported}: {finding}"),
        postgresql: "would accept it".to_owned(),
        policies: Class::SourceConstraint.policies(),
        value: None,
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table)?;
        if !self.primary_key.is_empty() {
            write!(f, " `{}`", self.primary_key)?;
        }
        if !self.column.is_empty() {
            write!(f, " {}", self.column)?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(offset) = self.byte_offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, "; PostgreSQL {}", self.postgresql)?;
        for (index, &policy) in self.policies.iter().enumerate() {
            let separator = if index == 0 { ";" } else { " or" };
            write!(f, "{separator} --on {}", Choice { class: self.class, policy })?;
        }
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "; {value}"))
    }
}

/// PostgreSQL's two types for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// Keeps the text; decodes strings only when they are read.
    Json,
    /// Decodes strings and numbers when it is stored.
    Jsonb,
}

impl fmt::Display for JsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JsonKind::Json => "json",
            JsonKind::Jsonb => "jsonb",
        })
    }
}

/// Why a value cannot be converted exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// SQL NULL in a column that is NOT NULL.
    Null,
    /// Stored as another class than the column's type, but exactly convertible.
    Convertible(StorageClass, ColumnType),
    /// Stored as a class that cannot be converted to the column's type.
    Misplaced(StorageClass, ColumnType),
    /// Bytes that are not UTF-8.
    Utf8,
    /// U+0000, which PostgreSQL's text types cannot hold.
    Nul,
    /// More characters than the column allows: its limit, and what is beyond it.
    TooLong(usize, Beyond),
    /// More bytes than a PostgreSQL field can hold.
    TooLarge,
    /// JSON of which `jsonb` would take more bytes, or more items, than the server allows.
    TooLargeJsonb,
    /// An integer out of the range of the column's type.
    IntegerRange(ColumnType),
    /// Not 0 or 1.
    NotBoolean,
    /// An integer that a double cannot hold exactly.
    NotDouble,
    /// A number with a fraction, or an infinite one, in an integer column.
    NotWhole(f64),
    /// An infinite REAL in a JSON column.
    Infinite,
    /// Nothing but white space in a JSON column.
    EmptyJson,
    /// Not JSON.
    MalformedJson,
    /// `NaN` or `Infinity` in JSON.
    NotANumber,
    /// `\u0000` in a JSON string.
    NulEscape(JsonKind),
    /// An escape of half a surrogate pair in a JSON string.
    LoneSurrogate(JsonKind),
    /// A number that `jsonb` cannot hold.
    JsonNumberRange,
    /// A duplicate key in an object for `jsonb`.
    DuplicateKey,
    /// Text that is not an exact timestamp in UTC.
    NotATimestamp,
    /// Nested too deeply.
    TooDeep,
    /// A foreign key to a missing row.
    Orphan,
    /// More bytes than an index entry can hold.
    IndexEntry,
    /// The same unique key as another row.
    DuplicateRow,
}

/// The characters beyond a column's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// At least one is not a blank.
    Text,
    /// Only blanks, which PostgreSQL removes.
    Blanks,
}

impl Reason {
    /// The class that `--on` names.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Reason::Null => Class::Null,
            Reason::Convertible(..) => Class::StorageClass,
            Reason::Misplaced(..)
            | Reason::NotBoolean
            | Reason::NotDouble
            | Reason::NotWhole(_)
            | Reason::NotATimestamp => Class::Inexact,
            Reason::Utf8 => Class::InvalidUtf8,
            Reason::Nul | Reason::NulEscape(_) => Class::Nul,
            Reason::TooLong(..) => Class::TooLong,
            Reason::TooLarge | Reason::TooLargeJsonb => Class::TooLarge,
            Reason::IntegerRange(_) => Class::IntegerRange,
            Reason::Infinite | Reason::NotANumber => Class::NonFinite,
            Reason::EmptyJson | Reason::MalformedJson => Class::InvalidJson,
            Reason::LoneSurrogate(_) => Class::LoneSurrogate,
            Reason::JsonNumberRange => Class::NumberRange,
            Reason::DuplicateKey => Class::DuplicateKey,
            Reason::TooDeep => Class::Depth,
            Reason::Orphan => Class::Orphan,
            Reason::IndexEntry => Class::IndexEntry,
            Reason::DuplicateRow => Class::DuplicateRow,
        }
    }

    /// What PostgreSQL would do with the unchanged value.
    #[must_use]
    pub fn postgresql(&self) -> String {
        let fixed = match self {
            Reason::Null => "rejects it: null value violates not-null constraint",
            Reason::Convertible(_, target) => return format!("accepts it only after a conversion to {target}"),
            Reason::Misplaced(_, target) => return format!("rejects it: invalid input for type {target}"),
            Reason::Utf8 => "rejects it: invalid byte sequence for encoding UTF8",
            Reason::Nul => "rejects it: invalid byte sequence for encoding UTF8: 0x00",
            Reason::TooLong(limit, Beyond::Text) => {
                return format!("rejects it: value too long for type character varying({limit})");
            }
            Reason::TooLong(_, Beyond::Blanks) => "silently removes the blanks at the end",
            Reason::TooLarge => "rejects it: out of memory",
            Reason::TooLargeJsonb => "rejects it",
            Reason::IntegerRange(target) => return format!("rejects it: {target} out of range"),
            Reason::NotBoolean => "rejects it: invalid input for type boolean",
            Reason::NotDouble => "rounds it to the nearest double",
            Reason::NotWhole(number) if number.is_finite() => {
                return format!("rounds it to {} or rejects it, depending on how it is sent", number.round_ties_even());
            }
            Reason::NotWhole(_) => "rejects it: out of range",
            Reason::Infinite | Reason::EmptyJson | Reason::MalformedJson | Reason::NotANumber => {
                "rejects it: invalid input syntax for type json"
            }
            Reason::NulEscape(JsonKind::Json) | Reason::LoneSurrogate(JsonKind::Json) => {
                "accepts it, but fails at the first ->> or cast to jsonb"
            }
            Reason::NulEscape(JsonKind::Jsonb) => "rejects it: unsupported Unicode escape sequence",
            Reason::LoneSurrogate(JsonKind::Jsonb) => "rejects it: Unicode low surrogate must follow a high surrogate",
            Reason::JsonNumberRange => "rejects it: value overflows numeric format",
            Reason::DuplicateKey => "keeps only the last value",
            Reason::NotATimestamp => "rejects it, or interprets its time zone or special word differently",
            Reason::TooDeep => "rejects it: stack depth limit exceeded",
            Reason::Orphan => "rejects it: violates foreign key constraint",
            Reason::IndexEntry => "rejects it: index row size exceeds btree maximum",
            Reason::DuplicateRow => "rejects it: duplicate key value violates unique constraint",
        };
        fixed.to_owned()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Null => "NULL in a column that is NOT NULL",
            Reason::Convertible(class, target) | Reason::Misplaced(class, target) => {
                return write!(f, "stored as {class} in a column that is {target}");
            }
            Reason::Utf8 => "not UTF-8",
            Reason::Nul => "U+0000 in text",
            Reason::TooLong(limit, _) => return write!(f, "more than the {limit} characters that the column allows"),
            Reason::TooLarge => "more bytes than a PostgreSQL field can hold",
            Reason::TooLargeJsonb => "too large as `jsonb`",
            Reason::IntegerRange(ColumnType::BigInt) => "out of the range of 64-bit integers",
            Reason::IntegerRange(_) => "out of the range of 32-bit integers",
            Reason::NotBoolean => "neither 0 nor 1 in a boolean column",
            Reason::NotDouble => "an integer that a double cannot hold exactly",
            Reason::NotWhole(_) => "not a whole number in an integer column",
            Reason::Infinite => "an infinite number in a JSON column",
            Reason::EmptyJson => "empty text in a JSON column",
            Reason::MalformedJson => "not JSON",
            Reason::NotANumber => "NaN or Infinity in JSON",
            Reason::NulEscape(kind) => return write!(f, "\\u0000 in {kind}"),
            Reason::LoneSurrogate(kind) => return write!(f, "a lone surrogate in {kind}"),
            Reason::JsonNumberRange => "a number that jsonb cannot hold",
            Reason::DuplicateKey => "a duplicate key in an object",
            Reason::NotATimestamp => "not a timestamp like 2026-01-31 12:00:00",
            Reason::TooDeep => "JSON nested too deeply",
            Reason::Orphan => "references a missing row",
            Reason::IndexEntry => "more bytes than an index entry can hold",
            Reason::DuplicateRow => "the same unique key as another row",
        })
    }
}

/// A fault in a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Its offset in bytes, from 0; `None` if the whole value is at fault.
    pub offset: Option<usize>,
    /// Why the value cannot be converted.
    pub reason: Reason,
    /// The policies that can handle this value.
    pub policies: &'static [Policy],
}

impl Fault {
    /// A fault at an offset in bytes.
    #[must_use]
    pub fn at(offset: usize, reason: Reason) -> Self {
        Self { offset: Some(offset), ..Self::whole(reason) }
    }

    /// A fault of the whole value.
    #[must_use]
    pub fn whole(reason: Reason) -> Self {
        Self { offset: None, reason, policies: reason.class().policies() }
    }

    /// The class that `--on` names.
    #[must_use]
    pub fn class(&self) -> Class {
        self.reason.class()
    }
}

/// A finding of SQLite's integrity check about values that the source's own table does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedValues {
    /// SQLite's text.
    pub finding: String,
    /// How often SQLite reported it.
    pub count: u64,
    pub table: String,
    /// `None` if the finding is not about a column.
    pub column: Option<String>,
    /// Why the table does not allow the values.
    pub kind: Refusal,
}

/// Why a table does not allow a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// NULL in a column that is NOT NULL.
    Null,
    /// Stored as another class than the column's declaration allows.
    StorageClass,
    /// A duplicate in a unique index.
    Duplicate,
}
