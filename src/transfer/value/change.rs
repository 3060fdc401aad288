//! A value that a policy changed, with its original.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::policy::{Class, Policy};
use crate::database::sqlite_value::SqliteValue;

/// A value that a policy changed. Its fields are those of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub table: String,
    /// The primary key of the row; bytes that are not UTF-8 are replaced.
    pub primary_key: String,
    pub column: String,
    /// The class of the hazard.
    pub class: Class,
    /// The policy that changed it. With `drop` the whole row was left out, and each of its values is listed; with
    /// `adopt` the row is a placeholder.
    pub policy: Policy,
    /// The storage class of the original: `null`, `integer`, `real`, `text`, `blob`; `absent` for a placeholder.
    pub stored: &'static str,
    /// The original in base64: bytes, or the decimal text of a number.
    pub original: String,
}

impl Change {
    /// A value that was changed, or left out with its row.
    #[must_use]
    pub(crate) fn of_value(
        table: &str,
        primary_key: String,
        column: &str,
        class: Class,
        policy: Policy,
        original: SqliteValue<'_>,
    ) -> Self {
        let (stored, original) = match original {
            SqliteValue::Null => ("null", String::new()),
            SqliteValue::Integer(number) => ("integer", STANDARD.encode(number.to_string())),
            // The shortest text that is read back as the same number.
            SqliteValue::Real(number) => ("real", STANDARD.encode(format!("{number:?}"))),
            SqliteValue::Text(bytes) => ("text", STANDARD.encode(bytes)),
            SqliteValue::Blob(bytes) => ("blob", STANDARD.encode(bytes)),
        };
        Self { table: table.to_owned(), primary_key, column: column.to_owned(), class, policy, stored, original }
    }

    /// A placeholder row.
    #[must_use]
    pub(crate) fn of_placeholder(table: &str, primary_key: String, column: &str) -> Self {
        let (class, policy) = (Class::Orphan, Policy::Adopt);
        let (table, column) = (table.to_owned(), column.to_owned());
        Self { table, primary_key, column, class, policy, stored: "absent", original: String::new() }
    }
}
