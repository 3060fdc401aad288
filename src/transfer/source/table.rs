//! Makes queries read a table of the source without its indexes.
//!
//! An index of a damaged file may lack rows or have too many, and SQLite uses an index whenever it has all columns that
//! a query needs: to look up a key, to count, or instead of the table.

use crate::database::quote::quoted;

/// A table of the source, for FROM. For a table WITHOUT ROWID, of which TARSy has none, SQLite may still use an index.
pub(crate) fn rows_of(table: &str) -> String {
    format!("{} NOT INDEXED", quoted(table))
}
