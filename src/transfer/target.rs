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
}

impl Target {
    /// Recognises the name that the server's `format_type` gives.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let limit = name.strip_prefix("character varying(").and_then(|rest| rest.strip_suffix(')'));
        Some(match name {
            "character varying" | "text" => Target::Text(None),
            _ if limit.is_some() => Target::Text(limit?.parse().ok()),
            "json" => Target::Json,
            "jsonb" => Target::Jsonb,
            "bigint" => Target::BigInt,
            "integer" => Target::Integer,
            "boolean" => Target::Boolean,
            "double precision" => Target::Double,
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_those_of_format_type() {
        assert_eq!(Target::from_name("character varying(255)"), Some(Target::Text(Some(255))));
        assert_eq!(Target::from_name("double precision"), Some(Target::Double));
        assert_eq!(Target::from_name("bytea"), None);
    }
}
