//! Makes queries read a table of the source without its indexes.
//!
//! An index of a damaged file may lack rows or have too many, and SQLite uses an index whenever it has all columns that
//! a query needs: to look up a key, to count, or instead of the table.

use rusqlite::Connection;

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::quote::quoted;
use crate::transfer::plan::TablePlan;

/// A table of the source, for FROM. For a table WITHOUT ROWID, of which TARSy has none, SQLite may still use an index.
pub(crate) fn rows_of(table: &str) -> String {
    format!("{} NOT INDEXED", quoted(table))
}

/// What identifies a row of a table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowId {
    pub(crate) expression: String,
    /// The definition of a column for it.
    pub(crate) column: &'static str,
}

impl RowId {
    /// The rowid, by a name that no column has; without one the primary key.
    pub(crate) fn of(connection: &Connection, table: &TablePlan) -> Result<Self, DatabaseCause> {
        let sql = "SELECT alias.column1 FROM (VALUES ('rowid'), ('_rowid_'), ('oid')) AS alias
                   WHERE NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE lower(pragma_table_xinfo.name) = alias.column1)
                       AND NOT (SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main')
                   LIMIT 1";
        let mut statement = connection.prepare(sql)?;
        let mut names = statement.query([&table.name])?;
        let of_table = |column: &str| format!("{}.{column}", quoted(&table.name));
        if let Some(row) = names.next()? {
            let name: String = row.get(0)?;
            return Ok(Self { expression: of_table(&name), column: "INTEGER PRIMARY KEY" });
        }
        let mut keys = table.key_names();
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(Self { expression: of_table(&quoted(key)), column: "PRIMARY KEY" }),
            _ => Err(DatabaseCause::new(ErrorClass::Other, format!("the rows of {} have no rowid", table.name))),
        }
    }
}
