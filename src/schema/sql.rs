//! Quotes what is built into SQL.

/// Quotes a text for SQL that cannot be built otherwise.
#[must_use]
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Quotes an identifier for SQL that cannot be built otherwise. Every built statement uses it.
#[must_use]
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
