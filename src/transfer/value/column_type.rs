//! The types of the target's columns.

use std::fmt;

/// The PostgreSQL types that TARSy's columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnType {
    /// `character varying`, with its limit in characters.
    Text(Option<usize>),
    /// `json`: keeps every byte.
    Json,
    /// `jsonb`: keeps the value.
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
    /// Recognises the name that the server's `format_type` gives, and the short form of it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let limit = ["character varying(", "varchar("].iter().find_map(|prefix| name.strip_prefix(prefix));
        let limit = limit.and_then(|rest| rest.strip_suffix(')'));
        Some(match name {
            "character varying" | "varchar" | "text" => ColumnType::Text(None),
            _ if limit.is_some() => ColumnType::Text(limit?.parse().ok()),
            "json" => ColumnType::Json,
            "jsonb" => ColumnType::Jsonb,
            "bigint" => ColumnType::BigInt,
            "integer" => ColumnType::Integer,
            "boolean" => ColumnType::Boolean,
            "double precision" => ColumnType::Double,
            "timestamp without time zone" | "timestamp" => ColumnType::Timestamp,
            _ => return None,
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

    #[test]
    fn type_names_are_those_of_format_type_or_short() {
        for name in ["character varying(255)", "varchar(255)"] {
            assert_eq!(ColumnType::from_name(name), Some(ColumnType::Text(Some(255))), "{name}");
        }
        for name in ["character varying", "varchar", "text"] {
            assert_eq!(ColumnType::from_name(name), Some(ColumnType::Text(None)), "{name}");
        }
        for name in ["timestamp without time zone", "timestamp"] {
            assert_eq!(ColumnType::from_name(name), Some(ColumnType::Timestamp), "{name}");
        }
        assert_eq!(ColumnType::from_name("double precision"), Some(ColumnType::Double));
        for name in ["bytea", "timestamp with time zone", "timestamp(3) without time zone"] {
            assert_eq!(ColumnType::from_name(name), None, "{name}");
        }
    }
}
