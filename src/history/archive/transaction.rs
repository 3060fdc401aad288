//! A transaction of the archive: each row is written, read back and compared, on a thread beside the deletion.

use std::sync::Arc;

use futures_util::lock::Mutex;
use rusqlite::Connection as Handle;
use sea_orm::{DbErr, QueryResult};

use super::row::{self, CopiedRow, DeletedRow};
use super::tables::{ArchivedTable, ArchivedTables};
use super::value;
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::sqlite_cache::with_small_cache;
use crate::database::sqlite_statement::{Row, Statement};
use crate::database::sqlite_thread::Work;
use crate::database::sqlite_value::SqliteValue;
use crate::database::transaction::SqliteTransaction;

/// So many bytes of rows are written while the next ones are deleted.
pub(crate) const CHUNK: usize = 256 * 1024;
/// With so many bytes the next ones are not deleted meanwhile, so that a large value is not in memory twice.
pub(crate) const LARGE: usize = 1024 * 1024;

/// A transaction of the archive that batches share which are committed together.
pub(crate) type SharedTransaction = Arc<Mutex<ArchiveTransaction>>;

/// A transaction of the archive. It is rolled back if it is dropped before its commit.
pub(crate) struct ArchiveTransaction {
    /// `None` after the commit and after an error.
    writer: Option<Writer>,
    /// The first error, which each batch gets.
    failed: Option<DatabaseCause>,
    is_committed: bool,
    tables: Arc<ArchivedTables>,
    /// Deleted rows that are not written yet.
    pending: Chunk,
}

enum Writer {
    Idle(SqliteTransaction),
    Writing(Work<SqliteTransaction, ()>),
}

/// Deleted rows with their tables.
#[derive(Default)]
struct Chunk {
    rows: Vec<(&'static str, DeletedRow)>,
    bytes: usize,
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
        let writer = Some(Writer::Idle(connection.begin_on_sqlite().await?));
        Ok(Self { writer, failed: None, is_committed: false, tables, pending: Chunk::default() })
    }

    /// The tables of the archive.
    pub(crate) fn tables(&self) -> &Arc<ArchivedTables> {
        &self.tables
    }

    /// Takes a row that the driver returned for the expressions of [`ArchivedTable::returning`].
    pub(crate) async fn take(&mut self, table: &'static str, row: QueryResult) -> Result<(), DatabaseCause> {
        let values = value::of_row(&row, table_of(&self.tables, table)?.columns.len())?;
        let bytes = row::size_of(&values);
        // A copy is read faster, and a large value would be in memory twice.
        let copied = (bytes < CHUNK).then(|| CopiedRow::of(&values));
        let row = copied.map_or(DeletedRow::Fetched(row), DeletedRow::Copied);
        self.take_all(table, vec![row], bytes).await
    }

    /// Takes rows with so many bytes. An error may be that of earlier rows.
    pub(crate) async fn take_all(
        &mut self,
        table: &'static str,
        rows: Vec<DeletedRow>,
        bytes: usize,
    ) -> Result<(), DatabaseCause> {
        self.pending.rows.extend(rows.into_iter().map(|row| (table, row)));
        self.pending.bytes += bytes;
        if self.pending.bytes >= CHUNK { self.write().await } else { Ok(()) }
    }

    /// Begins to write the pending rows.
    async fn write(&mut self) -> Result<(), DatabaseCause> {
        let transaction = self.written().await?;
        let (Chunk { mut rows, bytes }, tables) = (std::mem::take(&mut self.pending), Arc::clone(&self.tables));
        // Two batches may have given them in turn.
        rows.sort_by_key(|(table, _)| *table);
        let store = move |archive: &Handle| {
            let store = || store(archive, &tables, &rows);
            // The pages of a large value would be in memory once more.
            if bytes < LARGE { store() } else { with_small_cache(archive, store) }
        };
        self.writer = Some(Writer::Writing(Work::start(transaction, store)));
        if bytes >= LARGE { self.wait().await } else { Ok(()) }
    }

    /// Waits until the rows are written that were not pending.
    async fn wait(&mut self) -> Result<(), DatabaseCause> {
        self.writer = Some(Writer::Idle(self.written().await?));
        Ok(())
    }

    /// The same, and takes the transaction.
    async fn written(&mut self) -> Result<SqliteTransaction, DatabaseCause> {
        let work = match self.writer.take() {
            Some(Writer::Idle(transaction)) => return Ok(transaction),
            Some(Writer::Writing(work)) => work,
            None => {
                let ended = || DatabaseCause::new(ErrorClass::Other, "the transaction of the archive has ended");
                return Err(self.failed.clone().unwrap_or_else(ended));
            }
        };
        let written = work.finish().await.and_then(|(transaction, result)| result.map(|()| transaction));
        self.failed = written.as_ref().err().cloned();
        written
    }

    /// Writes what is pending.
    pub(crate) async fn complete(&mut self) -> Result<(), DatabaseCause> {
        if !self.pending.rows.is_empty() {
            self.write().await?;
        }
        self.wait().await
    }

    /// Completes and commits it: afterwards all rows are on the disk.
    pub(crate) async fn commit(&mut self) -> Result<(), DatabaseCause> {
        self.complete().await?;
        self.written().await?.commit().await?;
        self.is_committed = true;
        Ok(())
    }

    /// Makes sure that all rows are on the disk.
    pub(crate) fn require_committed(&self) -> Result<(), DatabaseCause> {
        let is_missing = || DatabaseCause::new(ErrorClass::Other, "the archive is not on the disk yet");
        if self.is_committed { Ok(()) } else { Err(is_missing()) }
    }
}

/// A table of the archive.
pub(crate) fn table_of<'t>(tables: &'t ArchivedTables, name: &str) -> Result<&'t ArchivedTable, DatabaseCause> {
    tables.get(name).ok_or_else(|| DatabaseCause::new(ErrorClass::Other, format!("the archive has no table {name}")))
}

/// Writes rows, and makes sure that the archive returns each one unchanged.
fn store(archive: &Handle, tables: &ArchivedTables, rows: &[(&'static str, DeletedRow)]) -> Result<(), DatabaseCause> {
    for rows in rows.chunk_by(|(one, _), (other, _)| one == other) {
        let name = rows[0].0;
        let table = table_of(tables, name)?;
        let mut insert = Statement::prepare(archive, &table.insert)?;
        let mut select_new = Statement::prepare(archive, &table.select_new)?;
        let mut select = Statement::prepare(archive, &table.select)?;
        for (_, row) in rows {
            let sent = row.values(table.columns.len())?;
            insert.run(sent.iter().copied(), |_| ())?;
            let (origin, place) = if archive.changes() > 0 {
                let rowid = SqliteValue::Integer(archive.last_insert_rowid());
                (KeptRow::New, select_new.run([rowid], |kept| differing(kept, &sent))?)
            } else {
                let key = table.key(&sent).map(|(_, value)| value);
                (KeptRow::Earlier, select.run(key, |kept| differing(kept, &sent))?)
            };
            let place = place.ok_or_else(|| DbErr::RecordNotFound("the archive returned no row".to_owned()))?;
            if let Some(column) = place {
                return Err(mismatch(name, &table.shown_key(&sent), &table.columns[column], origin));
            }
        }
    }
    Ok(())
}

/// The place of the first value in which the archive's row differs, if there is a row.
#[expect(clippy::option_option, reason = "no row, and no difference")]
fn differing(kept: Option<&Row<'_>>, sent: &[SqliteValue<'_>]) -> Option<Option<usize>> {
    let kept = kept?;
    let differs = |(value, index): (&SqliteValue<'_>, _)| !value::is_kept_as(value, &kept.value(index));
    Some(sent.iter().zip(0..).position(differs))
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
