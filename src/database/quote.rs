//! Quotes names and values in built SQL.

/// Quotes a value, for SQL without parameters.
#[must_use]
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Quotes an identifier. Every built statement uses it.
#[must_use]
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
