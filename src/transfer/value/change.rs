//! What a policy changed, with the original.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::policy::{Class, Policy};
use crate::database::sqlite_value::SqliteValue;

/// Roughly what an entry needs besides its longest text.
const ENTRY: usize = 128;

/// A value that a policy changed, or a row that it left out or made. Its fields are those of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub table: String,
    /// The primary key of the row; bytes that are not UTF-8 are replaced.
    pub primary_key: String,
    /// The column of the value; of a row, the columns of the primary key.
    pub column: String,
    /// The class of the hazard.
    pub class: Class,
    /// The policy that changed it. With `drop` the whole row was left out; with `adopt` the row is a placeholder.
    pub policy: Policy,
    /// The storage class of the original: `null`, `integer`, `real`, `text`, `blob`; `row` for a row that was left out,
    /// `absent` for a placeholder.
    pub stored: &'static str,
    /// The original in base64: bytes, or the decimal text of a number. Empty for a row.
    pub original: String,
    /// The row that was left out: each of its columns, with the value as a literal of SQLite's SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Map<String, Value>>,
}

impl Change {
    /// A value that was changed.
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
        let (table, column) = (table.to_owned(), column.to_owned());
        Self { table, primary_key, column, class, policy, stored, original, row: None }
    }

    /// A row that was left out.
    #[must_use]
    pub(crate) fn of_dropped_row<'v>(
        table: &str,
        primary_key: String,
        column: &str,
        values: impl Iterator<Item = (&'v str, SqliteValue<'v>)>,
    ) -> Self {
        let row = values.map(|(name, value)| (name.to_owned(), value.literal().into())).collect();
        let (class, policy) = (Class::Orphan, Policy::Drop);
        let (table, column) = (table.to_owned(), column.to_owned());
        Self { table, primary_key, column, class, policy, stored: "row", original: String::new(), row: Some(row) }
    }

    /// A placeholder row.
    #[must_use]
    pub(crate) fn of_placeholder(table: &str, primary_key: String, column: &str) -> Self {
        let (class, policy) = (Class::Orphan, Policy::Adopt);
        let (table, column) = (table.to_owned(), column.to_owned());
        Self { table, primary_key, column, class, policy, stored: "absent", original: String::new(), row: None }
    }

    /// Roughly its size in memory, in bytes.
    pub(crate) fn size(&self) -> u64 {
        let row = self.row.iter().flatten();
        let row: usize = row.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len) + ENTRY).sum();
        (self.original.len() + row + ENTRY) as u64
    }
}
