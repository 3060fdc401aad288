//! A transaction of the archive: each row is written, read back and compared.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::tables::{ArchivedTable, ArchivedTables};
use super::value;
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::sqlite_value::SqliteValue;
use crate::database::transaction::{SearchPath, Transaction};

/// A transaction of the archive. It is rolled back if it is dropped before its commit.
pub(crate) struct ArchiveTransaction {
    transaction: Transaction,
    tables: Arc<ArchivedTables>,
}

/// Where the archive's row with a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptRow {
    /// It was just written.
    New,
    /// It already existed: written by a run that crashed, or the row was restored from the archive before.
    Earlier,
}

impl ArchiveTransaction {
    pub(super) async fn begin(connection: &Connection, tables: Arc<ArchivedTables>) -> Result<Self, DatabaseCause> {
        let transaction = connection.begin(SearchPath::Empty, "").await?;
        Ok(Self { transaction, tables })
    }

    fn table(&self, name: &str) -> Result<&ArchivedTable, DatabaseCause> {
        self.tables
            .get(name)
            .ok_or_else(|| DatabaseCause::new(ErrorClass::Other, format!("the archive has no table {name}")))
    }

    /// The expressions for a row of the database that [`ArchiveTransaction::store`] can read.
    pub(crate) fn returning(&self, table: &str) -> Result<&str, DatabaseCause> {
        Ok(&self.table(table)?.returning)
    }

    /// Writes a row and makes sure that the archive returns it unchanged.
    pub(crate) async fn store(&self, name: &str, row: &QueryResult) -> Result<(), DatabaseCause> {
        let table = self.table(name)?;
        let sent = value::of_row(row, table.columns.len())?;
        let (row, origin) = match self.transaction.query_one_raw(table.insert(&sent)).await? {
            Some(row) => (row, KeptRow::New),
            None => (self.earlier(table, &sent).await?, KeptRow::Earlier),
        };
        let kept = value::of_row(&row, sent.len())?;
        match sent.iter().zip(&kept).position(|(sent, kept)| !value::is_kept_as(sent, kept)) {
            None => Ok(()),
            Some(index) => Err(mismatch(name, &table.shown_key(&sent), &table.columns[index], origin)),
        }
    }

    /// The archive's row with the same key.
    async fn earlier(&self, table: &ArchivedTable, sent: &[SqliteValue<'_>]) -> Result<QueryResult, DatabaseCause> {
        let found = self.transaction.query_one_raw(table.select(sent)).await?;
        Ok(found.ok_or_else(|| DbErr::RecordNotFound("the archive returned no row".to_owned()))?)
    }

    /// Commits the rows: afterwards they are on the disk.
    pub(crate) async fn commit(self) -> Result<(), DatabaseCause> {
        Ok(self.transaction.commit().await?)
    }
}

/// The error for a row that differs in the archive.
fn mismatch(table: &str, key: &str, column: &str, origin: KeptRow) -> DatabaseCause {
    let message = match origin {
        KeptRow::New => format!("{table} {key}: SQLite would change `{column}` in a column of that type"),
        KeptRow::Earlier => format!("{table} {key}: the archive has another `{column}` in this row; use another file"),
    };
    DatabaseCause::new(ErrorClass::Data, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_differs_is_named_with_its_key_and_column() {
        let message = |origin| mismatch("chats", "c-1", "context", origin).to_string();
        let expected = "chats c-1: SQLite would change `context` in a column of that type";
        assert_eq!(message(KeptRow::New), expected);
        let expected = "chats c-1: the archive has another `context` in this row; use another file";
        assert_eq!(message(KeptRow::Earlier), expected);
    }
}
