//! The types of the target's columns.

use std::fmt;

/// The PostgreSQL types that TARSy's columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
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

impl Target {
    /// Recognises the name that the server's `format_type` gives, and the short form of it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let limit = ["character varying(", "varchar("].iter().find_map(|prefix| name.strip_prefix(prefix));
        let limit = limit.and_then(|rest| rest.strip_suffix(')'));
        Some(match name {
            "character varying" | "varchar" | "text" => Target::Text(None),
            _ if limit.is_some() => Target::Text(limit?.parse().ok()),
            "json" => Target::Json,
            "jsonb" => Target::Jsonb,
            "bigint" => Target::BigInt,
            "integer" => Target::Integer,
            "boolean" => Target::Boolean,
            "double precision" => Target::Double,
            "timestamp without time zone" | "timestamp" => Target::Timestamp,
            _ => return None,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Text(_) => "text",
            Target::Json => "json",
            Target::Jsonb => "jsonb",
            Target::BigInt => "bigint",
            Target::Integer => "integer",
            Target::Boolean => "boolean",
            Target::Double => "double precision",
            Target::Timestamp => "timestamp without time zone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_those_of_format_type_or_short() {
        for name in ["character varying(255)", "varchar(255)"] {
            assert_eq!(Target::from_name(name), Some(Target::Text(Some(255))), "{name}");
        }
        for name in ["character varying", "varchar", "text"] {
            assert_eq!(Target::from_name(name), Some(Target::Text(None)), "{name}");
        }
        for name in ["timestamp without time zone", "timestamp"] {
            assert_eq!(Target::from_name(name), Some(Target::Timestamp), "{name}");
        }
        assert_eq!(Target::from_name("double precision"), Some(Target::Double));
        for name in ["bytea", "timestamp with time zone", "timestamp(3) without time zone"] {
            assert_eq!(Target::from_name(name), None, "{name}");
        }
    }
}
