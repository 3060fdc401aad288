//! Indexes of the archive that are created when a run ends.
//!
//! The keys of rows are anywhere in an index. With an index, each batch writes about as many of its pages as there are
//! rows, and the next one writes them again. An index that is created afterwards is written once, in order.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use migration::Revision;

use crate::database::connection::{Connection, row};
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::database::sqlite_cache::with_small_cache;
use crate::database::sqlite_file::{HEADER_LENGTH, wal_of};
use crate::database::sqlite_thread::Work;
use crate::fs::free_space;
use crate::history::tables::session_tables;
use crate::schema::expected;
use crate::schema::model::{Index, Schema};
use crate::schema::repair::create_on_sqlite;

/// `PRAGMA user_version` of an archive whose indexes are missing: this run creates them, or a later one.
const LACKS_INDEXES: i32 = 1;
/// So many rows are written with the indexes, because the pages of smaller indexes stay in memory.
const FEW_ROWS: u64 = 20_000;
/// What SQLite writes at most to sort the keys of one row, in bytes.
const SORTED_KEY: u64 = 256;

/// The definitions of missing indexes.
pub(super) struct LateIndexes {
    definitions: Vec<String>,
}

impl LateIndexes {
    /// The indexes that an earlier run has left to a later one. If `rows` are so many that it saves time, it drops the
    /// others first; an operator's own stay. `temporary` is where SQLite sorts, `schema` that of the archive.
    pub(super) async fn of(
        archive: &Connection,
        revision: Revision,
        schema: &Schema,
        rows: u64,
        temporary: Option<&Path>,
    ) -> Result<Self, DatabaseCause> {
        let are_missing = version(archive).await? == LACKS_INDEXES;
        let existing = rows_of(archive, schema).await?;
        let free = temporary.and_then(|temporary| free_space::free(temporary).ok());
        if !are_missing && !is_shorter(rows, existing, free) {
            return Ok(Self { definitions: Vec::new() });
        }
        let replayed = expected::replay(archive, &[revision].into()).await?;
        let expected = || indexes(&replayed[&revision]);
        if !are_missing {
            drop_all(archive, expected().filter(|index| indexes(schema).any(|found| found == *index))).await?;
        }
        let is_missing = |name| !are_missing || indexes(schema).all(|(_, found, _)| found != name);
        let missing = expected().filter(|(_, name, _)| is_missing(*name));
        Ok(Self { definitions: missing.map(|(table, name, index)| create_on_sqlite(name, table, index)).collect() })
    }

    /// Whether no index is missing.
    pub(super) fn are_complete(&self) -> bool {
        self.definitions.is_empty()
    }

    /// Creates them, each in a transaction. It may be cancelled: a later run creates the rest.
    pub(super) async fn create(&mut self, archive: &Connection) -> Result<(), DatabaseCause> {
        while let Some(definition) = self.definitions.last().cloned() {
            let transaction = archive.begin_on_sqlite().await?;
            // SQLite sorts in as much memory as the cache may take.
            let create = move |archive: &rusqlite::Connection| {
                Ok(with_small_cache(archive, || archive.execute_batch(&definition))?)
            };
            let (transaction, created) = Work::start(transaction, create).finish().await?;
            created?;
            transaction.commit().await?;
            self.definitions.pop();
        }
        Ok(archive.execute_alone("PRAGMA user_version = 0").await?)
    }
}

/// Whether a run that ended early may have left indexes of this file to a later one.
pub(super) fn may_be_missing(path: &Path) -> bool {
    const USER_VERSION: usize = 60;
    let mut header = [0; HEADER_LENGTH];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let is_noted = header[USER_VERSION..].starts_with(&LACKS_INDEXES.to_be_bytes());
    // The note may be in the `-wal`.
    (read.is_ok() && is_noted) || wal_of(path).exists()
}

/// Drops indexes, and notes that they are missing.
async fn drop_all<'i>(
    archive: &Connection,
    indexes: impl Iterator<Item = (&'i str, &'i str, &'i Index)>,
) -> Result<(), DatabaseCause> {
    let drops = indexes.map(|(_, name, _)| format!("DROP INDEX {};", quoted(name))).collect::<Vec<_>>().concat();
    let sql = format!("{drops} PRAGMA user_version = {LACKS_INDEXES}");
    let (transaction, dropped) =
        Work::start(archive.begin_on_sqlite().await?, move |archive| Ok(archive.execute_batch(&sql)?)).finish().await?;
    dropped?;
    Ok(transaction.commit().await?)
}

/// Whether it takes less time to create the indexes at the end. All rows are sorted then, so most of them have to be
/// new. `free` is the room for it.
fn is_shorter(new: u64, existing: u64, free: Option<u64>) -> bool {
    let needed = (new + existing).saturating_mul(SORTED_KEY);
    new >= FEW_ROWS && existing <= new && free.is_some_and(|free| free >= needed)
}

/// The indexes of a schema that no constraint needs: table, name and definition.
fn indexes(schema: &Schema) -> impl Iterator<Item = (&str, &str, &Index)> {
    schema.tables.iter().flat_map(|(table, definition)| {
        let of_table = definition.indexes.iter().filter(|(_, index)| !index.unique && index.predicate.is_none());
        of_table.map(|(name, index)| (table.as_str(), name.as_str(), index))
    })
}

async fn version(archive: &Connection) -> Result<i32, DatabaseCause> {
    let found = archive.reading(async |reading| row(reading, "PRAGMA user_version").await).await?;
    Ok(found.try_get("", "user_version")?)
}

/// About how many rows the archive has.
async fn rows_of(archive: &Connection, schema: &Schema) -> Result<u64, DatabaseCause> {
    let tables = session_tables().filter(|table| schema.tables.contains_key(*table));
    let last: Vec<_> = tables.map(|table| format!("ifnull((SELECT max(rowid) FROM {}), 0)", quoted(table))).collect();
    let sql = format!("SELECT {} AS existing", last.join(" + "));
    let found = archive.reading(async |reading| row(reading, &sql).await).await?;
    Ok(found.try_get::<i64>("", "existing")?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{self, upgrade};

    const REVISION: Revision = Revision::HEAD;
    const MANY: u64 = FEW_ROWS;

    async fn archive() -> Connection {
        let archive = Connection::in_memory().await;
        upgrade::upgrade(&archive, REVISION, super::super::LOCK_TIMEOUT, &|| ()).await.expect("a schema");
        archive.execute_alone("CREATE INDEX own ON chats (created_by)").await.expect("sound SQL");
        archive
    }

    async fn schema(archive: &Connection) -> Schema {
        archive.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema")
    }

    async fn late(archive: &Connection, rows: u64) -> LateIndexes {
        LateIndexes::of(archive, REVISION, &schema(archive).await, rows, Some(Path::new("/"))).await.expect("indexes")
    }

    #[tokio::test]
    async fn with_many_rows_the_indexes_are_dropped_and_created_again_at_the_end() {
        let archive = archive().await;
        let before = schema(&archive).await;
        assert!(late(&archive, MANY - 1).await.are_complete());
        assert_eq!(schema(&archive).await, before);
        let mut late = late(&archive, MANY).await;
        let without = schema(&archive).await;
        assert_eq!(indexes(&without).map(|(_, name, _)| name).collect::<Vec<_>>(), ["own"]);
        late.create(&archive).await.expect("they are created");
        assert_eq!((schema(&archive).await, version(&archive).await.expect("a version")), (before, 0));
    }

    #[tokio::test]
    async fn a_later_run_creates_the_indexes_that_are_still_missing() {
        let archive = archive().await;
        let before = schema(&archive).await;
        let mut crashed = late(&archive, MANY).await;
        let all = crashed.definitions.len();
        let first = crashed.definitions.pop().expect("a definition");
        archive.execute_alone(&first).await.expect("sound SQL");
        let mut next = late(&archive, 1).await;
        assert_eq!(next.definitions.len(), all - 1);
        next.create(&archive).await.expect("they are created");
        assert_eq!((schema(&archive).await, version(&archive).await.expect("a version")), (before, 0));
    }

    #[test]
    fn indexes_stay_in_an_archive_with_more_rows_than_are_written_or_without_room_to_sort() {
        let room = Some(2 * MANY * SORTED_KEY);
        assert!(is_shorter(MANY, MANY, room));
        assert!(!is_shorter(MANY, MANY + 1, Some(u64::MAX)) && !is_shorter(MANY - 1, 0, room));
        assert!(!is_shorter(MANY, MANY, room.map(|room| room - 1)) && !is_shorter(MANY, 0, None));
    }
}
