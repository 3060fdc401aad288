//! What cannot be carried over exactly, where it is, why, and what PostgreSQL would make of it.

use std::fmt;

use serde::Serialize;

use super::column_type::ColumnType;
use super::policy::{Choice, Class, Policy};
use crate::database::sqlite_value::StorageClass;
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::{counted, number};

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
    /// What kind of trouble it is.
    pub class: Class,
    /// What is wrong.
    pub reason: String,
    /// What PostgreSQL would do with the value as it is.
    pub postgresql: String,
    /// The policies that would let it through.
    pub policies: &'static [Policy],
    /// The value, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Hazard {
    /// Puts a fault in its place.
    #[must_use]
    pub fn new(table: &str, primary_key: String, column: &str, fault: &Fault) -> Self {
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

/// Values that the target would take, but that the source's own table does not allow; SQLite does not say which.
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
        postgresql: "would take it".to_owned(),
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
            let separator = if index == 0 { "; --on " } else { ", " };
            write!(f, "{separator}{}", Choice { class: self.class, policy })?;
        }
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "; {value}"))
    }
}

/// Values that PostgreSQL cannot hold, all of them.
#[derive(Debug, thiserror::Error)]
#[error("{} of the source cannot be carried over exactly; nothing was written", counted(.0.len() as u64, "value"))]
pub(crate) struct HazardError(pub Vec<Hazard>);

impl Diagnostic for HazardError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Data
    }

    fn hint(&self) -> Option<String> {
        Some(
            "mend these values in a copy of the source and move the copy, or choose what is done about a class of \
             them: `--on CLASS=POLICY`, with `--report FILE`"
                .into(),
        )
    }

    fn details(&self) -> Details {
        Details::of(&self.0)
    }
}

/// PostgreSQL's two types for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// Keeps the text; decodes strings only when somebody asks for them.
    Json,
    /// Decodes strings and numbers at once.
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

/// What keeps a value from being carried over exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// SQL NULL in a column that is NOT NULL.
    Null,
    /// Stored as a class that the column's type has no place for, but exactly convertible.
    Convertible(StorageClass, ColumnType),
    /// Stored as what the column's type has no counterpart for.
    Misplaced(StorageClass, ColumnType),
    /// Bytes that are not UTF-8.
    Utf8,
    /// U+0000, which PostgreSQL has no place for.
    Nul,
    /// More characters than the column allows: its limit, and whether only blanks are beyond it.
    TooLong(usize, Beyond),
    /// More bytes than a field holds.
    TooLarge,
    /// Beyond the range of the column's type.
    IntegerRange(ColumnType),
    /// Not 0 or 1.
    NotBoolean,
    /// An integer that a double cannot hold exactly.
    NotDouble,
    /// A number with a fraction where an integer has to be.
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
    /// Half of a surrogate pair in a JSON string.
    LoneSurrogate(JsonKind),
    /// A number that `jsonb` cannot hold.
    JsonNumberRange,
    /// A key that an object for `jsonb` has already.
    DuplicateKey,
    /// Text that is not an exact timestamp in UTC.
    NotATimestamp,
    /// Nested too deeply.
    TooDeep,
    /// A foreign key to a row that is not there.
    Orphan,
    /// More bytes than an index entry holds.
    IndexEntry,
    /// A unique key that another row has already.
    DuplicateRow,
}

/// What stands beyond the last character that a column allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Characters of every kind.
    Text,
    /// Nothing but blanks.
    Blanks,
}

impl Reason {
    /// What kind of trouble it is.
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
            Reason::TooLarge => Class::TooLarge,
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

    /// What PostgreSQL would do with the value as it is.
    #[must_use]
    pub fn postgresql(&self) -> String {
        let fixed = match self {
            Reason::Null => "refuses it: null value violates not-null constraint",
            Reason::Convertible(_, target) => return format!("takes it only as {target}, never as it is stored"),
            Reason::Misplaced(_, target) => return format!("refuses it: invalid input for type {target}"),
            Reason::Utf8 => "refuses it: invalid byte sequence for encoding UTF8",
            Reason::Nul => "refuses it: invalid byte sequence for encoding UTF8: 0x00",
            Reason::TooLong(limit, Beyond::Text) => {
                return format!("refuses it: value too long for type character varying({limit})");
            }
            Reason::TooLong(_, Beyond::Blanks) => "cuts the blanks off without a word",
            Reason::TooLarge => "refuses it: out of memory",
            Reason::IntegerRange(target) => return format!("refuses it: {target} out of range"),
            Reason::NotBoolean => "refuses it: invalid input for type boolean",
            Reason::NotDouble => "rounds it to the nearest double",
            Reason::NotWhole(number) if number.is_finite() => {
                return format!("rounds it to {} or refuses it, depending on how it is sent", number.round_ties_even());
            }
            Reason::NotWhole(_) => "refuses it: out of range",
            Reason::Infinite | Reason::EmptyJson | Reason::MalformedJson | Reason::NotANumber => {
                "refuses it: invalid input syntax for type json"
            }
            Reason::NulEscape(JsonKind::Json) | Reason::LoneSurrogate(JsonKind::Json) => {
                "takes it, and fails at the first ->> or cast to jsonb"
            }
            Reason::NulEscape(JsonKind::Jsonb) => "refuses it: unsupported Unicode escape sequence",
            Reason::LoneSurrogate(JsonKind::Jsonb) => "refuses it: Unicode low surrogate must follow a high surrogate",
            Reason::JsonNumberRange => "refuses it: value overflows numeric format",
            Reason::DuplicateKey => "keeps only the last value",
            Reason::NotATimestamp => "refuses it, or reads a zone and a special word in its own way",
            Reason::TooDeep => "refuses it: stack depth limit exceeded",
            Reason::Orphan => "refuses it: violates foreign key constraint",
            Reason::IndexEntry => "refuses it: index row size exceeds btree maximum",
            Reason::DuplicateRow => "refuses it: duplicate key value violates unique constraint",
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
            Reason::TooLarge => "more bytes than a field holds",
            Reason::IntegerRange(ColumnType::BigInt) => "beyond 64 bits",
            Reason::IntegerRange(_) => "beyond 32 bits",
            Reason::NotBoolean => "neither 0 nor 1 in a boolean column",
            Reason::NotDouble => "an integer that a double cannot hold exactly",
            Reason::NotWhole(_) => "not a whole number in an integer column",
            Reason::Infinite => "infinite in a JSON column",
            Reason::EmptyJson => "empty text in a JSON column",
            Reason::MalformedJson => "not JSON",
            Reason::NotANumber => "NaN or Infinity in JSON",
            Reason::NulEscape(kind) => return write!(f, "\\u0000 in {kind}"),
            Reason::LoneSurrogate(kind) => return write!(f, "half of a surrogate pair in {kind}"),
            Reason::JsonNumberRange => "a number that jsonb cannot hold",
            Reason::DuplicateKey => "a key that its object has already",
            Reason::NotATimestamp => "not a moment like 2026-01-31 12:00:00",
            Reason::TooDeep => "JSON nested too deeply",
            Reason::Orphan => "points to a row that is not there",
            Reason::IndexEntry => "more bytes than an index entry holds",
            Reason::DuplicateRow => "a unique key that another row has already",
        })
    }
}

/// Why a value cannot be carried over, and where in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// The byte at which it begins, from 0, where one byte is to blame.
    pub offset: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
    /// The policies that would let this value through.
    pub policies: &'static [Policy],
}

impl Fault {
    /// A fault that begins at a byte.
    #[must_use]
    pub fn at(offset: usize, reason: Reason) -> Self {
        Self { offset: Some(offset), ..Self::whole(reason) }
    }

    /// A fault of the whole value.
    #[must_use]
    pub fn whole(reason: Reason) -> Self {
        Self { offset: None, reason, policies: reason.class().policies() }
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.reason.class()
    }
}

/// Values of which the source's own tables say that they must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedValues {
    /// The finding, in SQLite's words.
    pub finding: String,
    /// How often it was reported.
    pub count: u64,
    /// The table.
    pub table: String,
    /// The column, where the finding is about one.
    pub column: Option<String>,
    /// What is refused.
    pub kind: Refusal,
}

/// Why a table refuses a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// NULL in a column that is NOT NULL.
    Null,
    /// Stored as a class that the column's declaration does not give.
    StorageClass,
    /// Twice under a unique index.
    Duplicate,
}
