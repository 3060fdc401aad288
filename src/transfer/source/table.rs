//! How queries read a table of the source: from the table itself.
//!
//! An index of a damaged file may lack rows or have too many, and SQLite takes one wherever it holds all that a query
//! needs: to look a key up, to count, or instead of the table.

use crate::schema::sql::quoted;

/// A table of the source, for a `FROM`. Of one WITHOUT ROWID, as TARSy makes none, SQLite may take another index all
/// the same.
pub(crate) fn rows_of(table: &str) -> String {
    format!("{} NOT INDEXED", quoted(table))
}
