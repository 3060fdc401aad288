//! A row as SQLite stores it.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::database::sqlite_value::SqliteValue;

/// A range of rowids.
pub(crate) type RowIds = std::ops::Range<i64>;

/// A row of the source, or a placeholder for a missing parent.
#[derive(Clone, Copy)]
pub(crate) enum AnyRow<'r> {
    Stored(&'r Row<'r>),
    Placeholder(&'r [rusqlite::types::Value]),
}

impl<'r> AnyRow<'r> {
    /// A value as SQLite stores it, whatever type its column declares.
    pub(crate) fn stored(self, index: usize) -> SqliteValue<'r> {
        let value = match self {
            AnyRow::Stored(row) => row.get_ref(index).unwrap_or(ValueRef::Null),
            AnyRow::Placeholder(values) => (&values[index]).into(),
        };
        value.into()
    }

    /// The primary key as text, from the positions of its columns.
    pub(crate) fn shown_key(self, positions: impl Iterator<Item = usize>) -> String {
        positions.map(|position| self.stored(position).shown().into_owned()).collect::<Vec<_>>().join(", ")
    }
}
