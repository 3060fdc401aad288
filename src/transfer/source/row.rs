//! A row as SQLite stores it.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::transfer::value::sqlite_value::Stored;

/// Which rows of a table are read: from the first rowid to before the last.
pub(crate) type RowIds = std::ops::Range<i64>;

/// A row of the source, or one that is made up.
#[derive(Clone, Copy)]
pub(crate) enum AnyRow<'r> {
    Stored(&'r Row<'r>),
    MadeUp(&'r [rusqlite::types::Value]),
}

impl<'r> AnyRow<'r> {
    /// A value as SQLite stores it, not as its column was declared.
    pub(crate) fn stored(self, index: usize) -> Stored<'r> {
        let value = match self {
            AnyRow::Stored(row) => row.get_ref(index).unwrap_or(ValueRef::Null),
            AnyRow::MadeUp(values) => (&values[index]).into(),
        };
        match value {
            ValueRef::Null => Stored::Null,
            ValueRef::Integer(number) => Stored::Integer(number),
            ValueRef::Real(number) => Stored::Real(number),
            ValueRef::Text(bytes) => Stored::Text(bytes),
            ValueRef::Blob(bytes) => Stored::Blob(bytes),
        }
    }

    /// The primary key as people read it, by the places of its columns.
    pub(crate) fn shown_key(self, places: impl Iterator<Item = usize>) -> String {
        places.map(|place| self.stored(place).shown().into_owned()).collect::<Vec<_>>().join(", ")
    }
}
