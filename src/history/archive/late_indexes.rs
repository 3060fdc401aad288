//! Indexes of the archive that are built at the end of a transaction.
//!
//! The keys of rows are anywhere in an index, and so each row writes a page of each index. Sorted keys fill pages: with
//! 2,000,000 small rows in one transaction that takes half of the processor time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::Connection as Handle;

use crate::database::quote::quoted;
use crate::database::sqlite_cache::with_small_cache;
use crate::fs::free_space;
use crate::progress::Amount;

/// So many rows of a table are written with its indexes, because the pages of smaller indexes stay in memory.
const FEW_ROWS: u64 = 20_000;
/// With larger rows the time is that of their bytes, which sorting would write once more.
const SMALL_ROW: u64 = 4096;

/// What a transaction has written to each table, and the indexes that it has dropped for the time of it.
pub(super) struct LateIndexes {
    /// Where SQLite sorts. `None` where that is not possible.
    temporary: Option<PathBuf>,
    written: BTreeMap<&'static str, Amount>,
    /// The definitions of dropped indexes, by table.
    dropped: BTreeMap<&'static str, Vec<String>>,
}

impl LateIndexes {
    pub(super) fn new(temporary: Option<PathBuf>) -> Self {
        Self { temporary, written: BTreeMap::new(), dropped: BTreeMap::new() }
    }

    /// Whether no index is missing.
    pub(super) fn are_complete(&self) -> bool {
        self.dropped.is_empty()
    }

    /// Counts written rows. Drops the indexes of their table once that saves time, and builds them while there is still
    /// room for it.
    pub(super) fn count(&mut self, archive: &Handle, table: &'static str, rows: Amount) -> rusqlite::Result<()> {
        let written = self.written.entry(table).or_default();
        written.rows += rows.rows;
        written.bytes += rows.bytes;
        if written.rows < FEW_ROWS {
            return Ok(());
        }
        let (written, has_room) = (*written, self.has_room());
        match (self.dropped.contains_key(table), has_room) {
            (true, false) => {
                self.temporary = None;
                self.build(archive)
            }
            (false, true) if is_shorter(written, size(archive)?) => self.drop_from(archive, table),
            _ => Ok(()),
        }
    }

    /// Builds the dropped indexes.
    pub(super) fn build(&mut self, archive: &Handle) -> rusqlite::Result<()> {
        let definitions = std::mem::take(&mut self.dropped);
        let mut definitions = definitions.values().flatten();
        // SQLite sorts in as much memory as the cache may take.
        with_small_cache(archive, || definitions.try_for_each(|definition| archive.execute_batch(definition)))
    }

    fn drop_from(&mut self, archive: &Handle, table: &'static str) -> rusqlite::Result<()> {
        let (names, definitions): (Vec<_>, Vec<_>) = indexes(archive, table)?.into_iter().unzip();
        self.dropped.insert(table, definitions);
        names.iter().try_for_each(|name| archive.execute_batch(&format!("DROP INDEX {}", quoted(name))))
    }

    /// Whether there is room to sort the keys of one index: they are no longer than the rows, and are written twice.
    fn has_room(&self) -> bool {
        let most = self.written.values().map(|written| written.bytes).max().unwrap_or_default();
        let free = self.temporary.as_deref().and_then(|temporary| free_space::free(temporary).ok());
        free.is_some_and(|free| free >= most.saturating_mul(2))
    }
}

/// Whether it takes less time to build the indexes of a table at the end. `size` is that of the archive: most of the rows
/// have to be those of the transaction, because all others are sorted with them.
fn is_shorter(written: Amount, size: u64) -> bool {
    written.rows >= FEW_ROWS && written.bytes <= written.rows * SMALL_ROW && size <= written.bytes * 2
}

/// The size of the archive in bytes.
fn size(archive: &Handle) -> rusqlite::Result<u64> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    archive.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// The indexes of a table that no constraint needs: their names and definitions.
fn indexes(archive: &Handle, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT schema.name, schema.sql FROM pragma_index_list(?1) AS list
               JOIN sqlite_schema AS schema ON schema.type = 'index' AND schema.name = list.name
               WHERE list.origin = 'c' AND NOT list.\"unique\" ORDER BY schema.rowid";
    let mut select = archive.prepare(sql)?;
    select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "chats";

    fn archive() -> Handle {
        let archive = Handle::open_in_memory().expect("memory");
        let sql = "CREATE TABLE chats (chat_id TEXT PRIMARY KEY, pod_id TEXT, created_by TEXT UNIQUE, context TEXT);
                   CREATE TABLE notes (chat_id TEXT);
                   CREATE INDEX \"a \"\"pod\" ON chats (pod_id) WHERE pod_id > '';
                   CREATE UNIQUE INDEX context ON chats (context);
                   CREATE INDEX others ON notes (chat_id)";
        archive.execute_batch(sql).expect("sound SQL");
        archive
    }

    fn names(archive: &Handle) -> String {
        let sql = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE%INDEX%' ORDER BY name)";
        archive.query_row(sql, [], |row| row.get(0)).expect("names")
    }

    fn rows(rows: u64) -> Amount {
        Amount { rows, bytes: rows * 500 }
    }

    #[test]
    fn indexes_without_a_constraint_are_dropped_with_many_rows_and_built_again() {
        let (archive, mut indexes) = (archive(), LateIndexes::new(Some("/".into())));
        let before = names(&archive);
        indexes.count(&archive, TABLE, rows(FEW_ROWS - 1)).expect("it counts");
        assert!(indexes.are_complete());
        indexes.count(&archive, TABLE, rows(1)).expect("it counts");
        assert_eq!((names(&archive), indexes.are_complete()), ("context others".to_owned(), false));
        indexes.count(&archive, TABLE, rows(1)).expect("it counts");
        indexes.build(&archive).expect("it builds");
        assert_eq!((names(&archive), indexes.are_complete()), (before, true));
    }

    #[test]
    fn indexes_are_built_while_there_is_still_room_and_not_dropped_without() {
        let (archive, mut indexes) = (archive(), LateIndexes::new(None));
        let before = names(&archive);
        indexes.count(&archive, TABLE, rows(FEW_ROWS)).expect("it counts");
        assert_eq!(names(&archive), before, "there is no place to sort");
        indexes.temporary = Some("/".into());
        indexes.count(&archive, TABLE, rows(1)).expect("it counts");
        assert!(!indexes.are_complete());
        let more = Amount { rows: 1, bytes: u64::MAX / 2 };
        indexes.count(&archive, TABLE, more).expect("it counts");
        assert_eq!((names(&archive), indexes.are_complete()), (before.clone(), true));
        indexes.count(&archive, TABLE, rows(1)).expect("it counts");
        assert_eq!(names(&archive), before, "they stay");
    }

    #[test]
    fn indexes_stay_with_large_rows_and_in_an_archive_with_more_rows_than_are_written() {
        let small = rows(FEW_ROWS);
        assert!(is_shorter(small, small.bytes * 2) && !is_shorter(small, small.bytes * 2 + 1));
        assert!(!is_shorter(Amount { bytes: FEW_ROWS * SMALL_ROW + 1, ..small }, 0));
        assert!(!is_shorter(rows(FEW_ROWS - 1), 0));
    }
}
