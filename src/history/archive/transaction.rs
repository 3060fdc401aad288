//! A transaction of the archive: each row is written, read back and compared.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::tables::{ArchivedTable, ArchivedTables};
use super::value;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::sqlite_value::SqliteValue;

/// A transaction of the archive. Dropped before it is committed, it is rolled back.
pub(crate) struct ArchiveTransaction {
    transaction: DatabaseTransaction,
    tables: Arc<ArchivedTables>,
}

/// Which row of the archive has the key of a row that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptRow {
    /// The row itself.
    New,
    /// One that was there: a run that crashed wrote it, or it was brought back.
    Earlier,
}

impl ArchiveTransaction {
    pub(super) async fn begin(
        connection: &DatabaseConnection,
        tables: Arc<ArchivedTables>,
    ) -> Result<Self, DatabaseCause> {
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        let transaction = connection.begin_with_options(options).await?;
        Ok(Self { transaction, tables })
    }

    fn table(&self, name: &str) -> Result<&ArchivedTable, DatabaseCause> {
        self.tables
            .get(name)
            .ok_or_else(|| DatabaseCause::new(ErrorClass::Other, format!("the archive has no table {name}")))
    }

    /// What a row of the database has to give, so that [`ArchiveTransaction::store`] can read it.
    pub(crate) fn returning(&self, table: &str) -> Result<&str, DatabaseCause> {
        Ok(&self.table(table)?.returning)
    }

    /// Writes a row and makes sure that it can be read back as it is.
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

    /// The row of the archive that has the same key.
    async fn earlier(&self, table: &ArchivedTable, sent: &[SqliteValue<'_>]) -> Result<QueryResult, DatabaseCause> {
        let found = self.transaction.query_one_raw(table.select(sent)).await?;
        Ok(found.ok_or_else(|| DbErr::RecordNotFound("the archive gave no row back".to_owned()))?)
    }

    /// Makes the rows last: they are on the disk.
    pub(crate) async fn commit(self) -> Result<(), DatabaseCause> {
        Ok(self.transaction.commit().await?)
    }
}

/// Why a row of the archive is not what was sent.
fn mismatch(table: &str, key: &str, column: &str, origin: KeptRow) -> DatabaseCause {
    let message = match origin {
        KeptRow::New => format!("{table} {key}: SQLite cannot hold `{column}` exactly in a column of that type"),
        KeptRow::Earlier => format!("{table} {key}: the archive has it with another `{column}`; use another file"),
    };
    DatabaseCause::new(ErrorClass::Data, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_differs_is_named_with_its_key_and_column() {
        let message = |origin| mismatch("chats", "c-1", "context", origin).to_string();
        let expected = "chats c-1: SQLite cannot hold `context` exactly in a column of that type";
        assert_eq!(message(KeptRow::New), expected);
        let expected = "chats c-1: the archive has it with another `context`; use another file";
        assert_eq!(message(KeptRow::Earlier), expected);
    }
}
