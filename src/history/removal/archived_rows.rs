//! Removes rows that an archive keeps.

use std::sync::Arc;

use futures_util::lock::Mutex;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{DbBackend, DbErr, StatementBuilder};

use super::batch_error::BatchError;
use super::file_rows::{FileRows, RemovedChunk};
use crate::database::connection::row;
use crate::database::transaction::Transaction;
use crate::format::counted;
use crate::history::archive::transaction::{ArchiveTransaction, table_of};
use crate::history::tables::delete_many;

/// Whether a DELETE may be split. With foreign keys SQLite would refuse to remove a stage before those that it is the
/// parent of.
pub(super) async fn may_split(transaction: &Transaction) -> Result<bool, DbErr> {
    if transaction.backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    Ok(row(transaction, "PRAGMA foreign_keys").await?.try_get::<i32>("", "foreign_keys")? == 0)
}

/// Removes rows of a SQLite file, one chunk while the archive writes the one before.
pub(super) async fn remove_chunks(
    transaction: &Transaction,
    archive: &Mutex<ArchiveTransaction>,
    table: &'static str,
    condition: Expr,
) -> Result<u64, BatchError> {
    let mut archive = archive.lock().await;
    let rows = FileRows::new(archive.tables(), table, condition).map_err(BatchError::in_archive)?;
    let mut count = 0;
    loop {
        let RemovedChunk { rows, bytes, is_last } = rows.remove_chunk(transaction).await?;
        count += rows.len() as u64;
        archive.take_all(table, rows, bytes).await.map_err(BatchError::in_archive)?;
        if is_last {
            // These statements are SQLite's own, which the driver does not log.
            tracing::debug!("DELETE FROM {table}, and INSERT into the archive: {}", counted(count, "row"));
            return Ok(count);
        }
    }
}

/// Removes rows with one DELETE, which returns them for the archive. Another batch may write to the archive meanwhile.
pub(super) async fn remove_returning(
    transaction: &Transaction,
    archive: &Mutex<ArchiveTransaction>,
    table: &'static str,
    condition: Expr,
) -> Result<u64, BatchError> {
    let mut delete = delete_many(transaction.namespace(), table).and_where(condition).to_owned();
    // The columns are those of the database, each with the cast that the archive needs.
    let tables = Arc::clone(archive.lock().await.tables());
    let returning = table_of(&tables, table).map_err(BatchError::in_archive)?.returning.clone();
    delete.returning(Query::returning().expr(Expr::cust(returning)));
    let mut count = 0;
    let take = async |row| {
        count += 1;
        archive.lock().await.take(table, row).await.map_err(BatchError::in_archive)
    };
    transaction.each(StatementBuilder::build(&delete, &transaction.backend()), take).await?;
    Ok(count)
}
