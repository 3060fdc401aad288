//! Placeholders for missing rows: nullable columns are NULL, the others have values that mark the row.

use std::sync::Arc;

use rusqlite::types::Value;

use crate::database::quote::literal;
use crate::history::tables::session_column;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;

/// The `error_message` of a placeholder. It is stored: another text would make the rows of an earlier move differ.
const MESSAGE: &str = "placeholder made by tarsy-db: rows that belong to this one were there, it was not";

/// The columns with the start of a row.
const TIME_COLUMNS: [&str; 3] = ["timestamp_us", "started_at_us", "created_at_us"];

/// A missing row, with what is known from the rows that reference it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MissingRow {
    /// Its primary key.
    pub(crate) key: String,
    /// The session of its children.
    pub(crate) session: Option<String>,
    /// The start of the earliest child, in microseconds since the epoch.
    pub(crate) earliest_us: Option<i64>,
}

/// What a column of a placeholder has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// The key of the missing row.
    Key,
    /// The session of its children; without one the key, so that a session is made as well.
    Session,
    /// The start of its earliest child.
    Start,
    Fixed(Value),
}

impl Content {
    /// The text as an expression on the table of missing rows; `None` if it is none.
    pub(crate) fn expression(&self) -> Option<String> {
        match self {
            Self::Key => Some("key".to_owned()),
            Self::Session => Some("coalesce(session, key)".to_owned()),
            Self::Fixed(Value::Text(text)) => Some(literal(text)),
            Self::Fixed(_) | Self::Start => None,
        }
    }

    /// The value for a missing row. `start_us` is for one without a known time.
    pub(crate) fn value(&self, missing: &MissingRow, start_us: i64) -> Value {
        let MissingRow { key, session, earliest_us } = missing;
        match self {
            Self::Key => key.clone().into(),
            Self::Session => session.as_ref().unwrap_or(key).clone().into(),
            Self::Start => earliest_us.unwrap_or(start_us).into(),
            Self::Fixed(value) => value.clone(),
        }
    }
}

/// The contents of the placeholders for a table, in the order of the plan's columns.
pub(crate) fn contents(table: &TablePlan, tables: &[Arc<TablePlan>]) -> Vec<Content> {
    let keys = tables.iter().flat_map(|child| &child.foreign_keys);
    let keys: Vec<_> = keys.filter(|key| key.referenced_table == table.name).collect();
    let is_referenced = |column: &str| keys.iter().any(|key| key.referenced_columns == [column]);
    let content = |column: &ColumnPlan| match (column.name.as_str(), column.target) {
        (name, _) if is_referenced(name) => Content::Key,
        (name, _) if session_column(&table.name) == Some(name) => Content::Session,
        // A terminal status, so that `prune` can remove the row.
        ("status", _) => fixed("failed"),
        (name, ColumnType::BigInt) if TIME_COLUMNS.contains(&name) => Content::Start,
        ("error_message", _) => fixed(MESSAGE),
        // The column is unique.
        ("alert_id", _) => Content::Key,
        _ if column.nullable => Content::Fixed(Value::Null),
        (_, ColumnType::Text(_)) => fixed("unknown"),
        (_, ColumnType::Json | ColumnType::Jsonb) => fixed("{}"),
        (_, ColumnType::Timestamp) => fixed("1970-01-01 00:00:00"),
        (_, ColumnType::BigInt | ColumnType::Integer | ColumnType::Boolean | ColumnType::Double) => {
            Content::Fixed(0.into())
        }
    };
    table.columns.iter().map(content).collect()
}

fn fixed(text: &str) -> Content {
    Content::Fixed(text.to_owned().into())
}

/// The column of a table with the start of a row.
pub(crate) fn time_column(table: &TablePlan) -> Option<&'static str> {
    TIME_COLUMNS.into_iter().find(|name| table.position(name).is_some())
}
