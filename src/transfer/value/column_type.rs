//! The types of the target's columns.

use std::fmt;

use crate::schema::column_kind::ColumnKind;

/// The PostgreSQL types that TARSy's columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnType {
    /// `character varying` or `text`, with its limit in characters.
    Text(Option<usize>),
    /// `json`, which keeps every byte.
    Json,
    /// `jsonb`, which keeps the value but not the text.
    Jsonb,
    /// `bigint`.
    BigInt,
    /// `integer`.
    Integer,
    /// `boolean`.
    Boolean,
    /// `double precision`.
    Double,
    /// `timestamp without time zone`.
    Timestamp,
}

impl ColumnType {
    /// `None` for a type that no TARSy column has.
    #[must_use]
    pub(crate) fn of(kind: &ColumnKind) -> Option<Self> {
        Some(match kind {
            ColumnKind::Text(_, limit) => ColumnType::Text(*limit),
            ColumnKind::Json => ColumnType::Json,
            ColumnKind::Jsonb => ColumnType::Jsonb,
            ColumnKind::BigInt => ColumnType::BigInt,
            ColumnKind::Integer => ColumnType::Integer,
            ColumnKind::Boolean => ColumnType::Boolean,
            ColumnKind::DoublePrecision => ColumnType::Double,
            ColumnKind::Timestamp => ColumnType::Timestamp,
            ColumnKind::SmallInt | ColumnKind::Float | ColumnKind::Datetime | ColumnKind::Other(_) => return None,
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::Text(_) => "text",
            ColumnType::Json => "json",
            ColumnType::Jsonb => "jsonb",
            ColumnType::BigInt => "bigint",
            ColumnType::Integer => "integer",
            ColumnType::Boolean => "boolean",
            ColumnType::Double => "double precision",
            ColumnType::Timestamp => "timestamp without time zone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<ColumnType> {
        ColumnType::of(&ColumnKind::of(name))
    }

    #[test]
    fn type_names_are_those_of_format_type_or_short() {
        for name in ["character varying(255)", "varchar(255)"] {
            assert_eq!(of(name), Some(ColumnType::Text(Some(255))), "{name}");
        }
        for name in ["character varying", "varchar", "text"] {
            assert_eq!(of(name), Some(ColumnType::Text(None)), "{name}");
        }
        assert_eq!(of("timestamp without time zone"), Some(ColumnType::Timestamp));
        assert_eq!(of("double precision"), Some(ColumnType::Double));
        for name in ["bytea", "timestamp with time zone", "timestamp(3) without time zone"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
