//! Column types in the names of both backends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A column's type. A type that no TARSy column has keeps its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ColumnKind {
    /// A text type, with its limit in characters.
    Text(TextName, Option<usize>),
    Json,
    Jsonb,
    BigInt,
    Integer,
    SmallInt,
    Boolean,
    /// `double precision`; SQLite's declaration is `float`.
    DoublePrecision,
    Float,
    /// `timestamp without time zone`; SQLite's declaration is `datetime`.
    Timestamp,
    Datetime,
    /// Any other type, in lower case.
    Other(String),
}

/// The names of text types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextName {
    CharacterVarying,
    Varchar,
    Text,
}

impl TextName {
    const ALL: [Self; 3] = [Self::CharacterVarying, Self::Varchar, Self::Text];

    fn name(self) -> &'static str {
        match self {
            Self::CharacterVarying => "character varying",
            Self::Varchar => "varchar",
            Self::Text => "text",
        }
    }
}

impl ColumnKind {
    /// Parses the name that PostgreSQL's `format_type` returns, or a declaration in lower case.
    #[must_use]
    pub(crate) fn of(name: &str) -> Self {
        let known = [
            Self::Json,
            Self::Jsonb,
            Self::BigInt,
            Self::Integer,
            Self::SmallInt,
            Self::Boolean,
            Self::DoublePrecision,
            Self::Float,
            Self::Timestamp,
            Self::Datetime,
        ];
        let texts = TextName::ALL.into_iter().flat_map(|text| {
            let limit = name.strip_prefix(text.name()).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
            [None, limit.and_then(|limit| limit.parse().ok())].map(|limit| Self::Text(text, limit))
        });
        // Different names are different types, so that a difference is displayed as it is.
        let found = known.into_iter().chain(texts).find(|kind| kind.to_string() == name);
        found.unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    pub(crate) fn without_limit_of_255(self) -> Self {
        match self {
            Self::Text(text, Some(255)) => Self::Text(text, None),
            other => other,
        }
    }
}

impl From<String> for ColumnKind {
    fn from(name: String) -> Self {
        Self::of(&name)
    }
}

impl From<ColumnKind> for String {
    fn from(kind: ColumnKind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(text, Some(limit)) => return write!(f, "{}({limit})", text.name()),
            Self::Text(text, None) => text.name(),
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::BigInt => "bigint",
            Self::Integer => "integer",
            Self::SmallInt => "smallint",
            Self::Boolean => "boolean",
            Self::DoublePrecision => "double precision",
            Self::Float => "float",
            Self::Timestamp => "timestamp without time zone",
            Self::Datetime => "datetime",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_shown_as_it_was_read() {
        for name in
            ["character varying(255)", "varchar(50)", "varchar", "text", "json", "float", "timestamp(3)", "", "int"]
        {
            assert_eq!(ColumnKind::of(name).to_string(), name);
        }
        assert_eq!(ColumnKind::of("varchar(0255)"), ColumnKind::Other("varchar(0255)".to_owned()));
    }

    #[test]
    fn only_a_limit_of_255_is_taken_away() {
        for (name, expected) in [("varchar(255)", "varchar"), ("varchar(50)", "varchar(50)"), ("json", "json")] {
            assert_eq!(ColumnKind::of(name).without_limit_of_255().to_string(), expected);
        }
    }
}
