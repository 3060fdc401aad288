//! The archive of pruned rows: a TARSy SQLite database at the same revision. The backend can open it, `sqlite3` can
//! query it, and `migrate-sqlite-to-postgres --append` restores it.
//!
//! Rows are written to the archive while a batch deletes them, read back and compared, and are on the disk before the
//! deletion is committed. After a crash in between both have the rows; the next run finds the same rows in the archive.
//!
//! | module | what it is for |
//! |---|---|
//! | [`transaction`] | writes rows, reads them back and compares them |
//! | [`late_indexes`] | indexes that are created at the end of a run with many rows |
//! | [`tables`] | the tables and columns of the archive, and their statements |
//! | [`mod@row`] | a deleted row on its way to the archive |
//! | [`value`] | values from either backend: read, compared |
//! | [`mod@file`] | the file: created or unpacked, locked for one run at a time |
//! | [`compression`] | `FILE.zst` instead of `FILE` |
//! | [`location`] | checks the path of an archive |
//! | [`error`] | errors of archives |

pub(crate) mod compression;
pub(crate) mod error;
pub(crate) mod file;
mod late_indexes;
pub(crate) mod location;
pub(crate) mod row;
pub(crate) mod tables;
pub(crate) mod transaction;
pub(crate) mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::lock::Mutex;
use migration::Revision;
use sea_orm::{DbBackend, DbErr};

use self::compression::Compression;
use self::error::ArchiveError;
use self::file::ArchiveFile;
use self::late_indexes::LateIndexes;
use self::tables::ArchivedTables;
use self::transaction::{ArchiveTransaction, SharedTransaction};
use crate::database::connection::Connection;
use crate::database::connection::{self, Access, PoolLimits, row};
use crate::database::failure::{Action, DatabaseCause, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::database::url::{Backend, DatabaseUrl};
use crate::schema::model::Schema;
use crate::schema::{self, early, expected, upgrade, variant};

/// SQLite's `application_id` of an archive: `TRSA`.
const MARK: i32 = i32::from_be_bytes(*b"TRSA");

/// How long to wait for another program that has locked the archive.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The page cache, in KiB, for the keys of rows, which are in no order.
const CACHE_KIB: u32 = 16 * 1024;

/// After so many pages the `-wal` is copied to the file: 32 MiB, because the next batches write many pages again.
const CHECKPOINT_PAGES: u32 = 8192;

const READ: (Verb, &str) = (Verb::Read, "the schema of the archive");

pub(crate) struct Archive {
    connection: Connection,
    file: ArchiveFile,
    tables: Arc<ArchivedTables>,
    indexes: LateIndexes,
}

impl Archive {
    /// Opens the archive of a database, or creates it, for about so many `rows`. `temporary` is the directory of SQLite's
    /// temporary files.
    ///
    /// # Errors
    /// [`ArchiveError`]; an existing file is not changed.
    pub(crate) async fn open(
        path: &Path,
        database: &DatabaseUrl,
        revision: Option<Revision>,
        found: &Schema,
        rows: u64,
        temporary: Option<&Path>,
    ) -> Result<Self, ArchiveError> {
        let revision = revision.ok_or(ArchiveError::NoLedger)?;
        let file = ArchiveFile::take(path, database.sqlite_path())?;
        let path = file.path().to_owned();
        Self::open_file(file, database.backend(), revision, found, rows, temporary)
            .await
            .map_err(|error| error.of_file(&path))
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    async fn open_file(
        file: ArchiveFile,
        backend: Backend,
        revision: Revision,
        found: &Schema,
        rows: u64,
        temporary: Option<&Path>,
    ) -> Result<Self, ArchiveError> {
        let url = DatabaseUrl::sqlite_file(file.path());
        let connection = connection::open(&url, Access::Write, PoolLimits::ONE, LOCK_TIMEOUT).await?;
        create_if_empty(&connection, revision).await?;
        if !connection.reading(async |reading| is_archive(reading).await).await.context(READ)? {
            return Err(ArchiveError::foreign(file.path(), "another program created this database"));
        }
        let (state, schema) =
            connection.reading(async |reading| schema::read::schema_and_state(reading).await).await.context(READ)?;
        require_revision(file.path(), state.revision(), revision)?;
        set_up(&connection).await.context(READ)?;
        let wanted = with_early_columns(&connection, revision, found, &schema).await.context(READ)?;
        let tables = Arc::new(tables::matching(backend, found, &wanted)?);
        for statement in variant::alterations(&schema, &wanted) {
            connection
                .execute_alone(&statement)
                .await
                .context((Verb::Change, "the archive's columns to match the database"))?;
        }
        let indexes = LateIndexes::of(&connection, revision, &schema, rows, temporary).await.context(READ)?;
        Ok(Self { connection, file, tables, indexes })
    }

    /// Whether an earlier run has left work on the archive to a run that has nothing to remove: it was killed, or another
    /// program had the archive open. Removes the files of killed runs.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub(crate) fn is_unfinished(
        path: &Path,
        database: &DatabaseUrl,
        compression: Compression,
    ) -> Result<bool, ArchiveError> {
        let uncompressed = ArchiveFile::tidy(path, database.sqlite_path())?;
        let is_left = |path: &Path| compression == Compression::Zstd || late_indexes::may_be_missing(path);
        Ok(uncompressed.is_some_and(|path| is_left(&path)))
    }

    pub(crate) async fn begin(&self) -> Result<SharedTransaction, DatabaseCause> {
        let transaction = ArchiveTransaction::begin(&self.connection, Arc::clone(&self.tables)).await?;
        Ok(Arc::new(Mutex::new(transaction)))
    }

    /// Whether [`Archive::create_indexes`] has something to do.
    #[must_use]
    pub(crate) fn lacks_indexes(&self) -> bool {
        !self.indexes.are_complete()
    }

    /// Creates the indexes that were dropped for the time of a run. It may be cancelled: a later run creates them.
    ///
    /// # Errors
    /// [`ArchiveError`]; all rows are in the archive.
    pub(crate) async fn create_indexes(&mut self) -> Result<(), ArchiveError> {
        let action = Action::from((Verb::Create, format!("the indexes of the archive {}", self.file.path().display())));
        Ok(self.indexes.create(&self.connection).await.context(action)?)
    }

    /// Closes it. Returns its path, or that of the compressed file.
    ///
    /// # Errors
    /// [`ArchiveError`]; everything that was written is in the file or in the `-wal` beside it.
    pub(crate) async fn close(self, compression: Compression) -> Result<PathBuf, ArchiveError> {
        let action = Action::from((Verb::Close, format!("the archive {}", self.file.path().display())));
        self.connection.execute_alone("PRAGMA wal_checkpoint(TRUNCATE)").await.context(&action)?;
        self.connection.close().await.context(action)?;
        match compression {
            Compression::None => Ok(self.file.path().to_owned()),
            Compression::Zstd => self.file.compress(),
        }
    }
}

/// Creates the schema in a new file. A crash may have left an empty file.
async fn create_if_empty(connection: &Connection, revision: Revision) -> Result<(), ArchiveError> {
    if connection.reading(async |reading| schema::read::schema(reading).await).await.context(READ)?.tables.is_empty() {
        connection.execute_alone(&format!("PRAGMA application_id = {MARK}")).await.context(READ)?;
        upgrade::upgrade(connection, revision, LOCK_TIMEOUT, &|| ()).await?;
    }
    Ok(())
}

/// Refuses an archive at another revision than the database. `found` is the revision that its ledger names.
fn require_revision(path: &Path, found: Option<&str>, wanted: Revision) -> Result<(), ArchiveError> {
    match found {
        Some(id) if id == wanted.id() => Ok(()),
        Some(id) => {
            let (path, found) = (path.display().to_string(), id.to_owned());
            Err(ArchiveError::OtherRevision { path, found, wanted })
        }
        None => Err(ArchiveError::foreign(path, "its ledger is missing")),
    }
}

async fn set_up(connection: &Connection) -> Result<(), DbErr> {
    // Children are written before their parents.
    connection.execute_alone("PRAGMA foreign_keys = OFF").await?;
    // With a lower setting a loss of power could restore the journal of a transaction whose rows are already deleted in
    // the database.
    connection.execute_alone("PRAGMA synchronous = EXTRA").await?;
    connection.execute_alone(&format!("PRAGMA cache_size = -{CACHE_KIB}")).await?;
    connection.execute_alone(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")).await?;
    Ok(())
}

/// The schema that the archive of a database with columns of later revisions needs.
async fn with_early_columns(
    archive: &Connection,
    revision: Revision,
    found: &Schema,
    schema: &Schema,
) -> Result<Schema, DatabaseCause> {
    let mut wanted = schema.clone();
    let early = early::columns(revision, found);
    if !early.is_empty() {
        let replayed = expected::replay(archive, &early::revisions(revision, &early)).await?;
        early::add(&mut wanted, &early, &replayed);
    }
    Ok(wanted)
}

/// Whether a database is an archive.
pub(crate) async fn is_archive(connection: &Transaction) -> Result<bool, DbErr> {
    if connection.backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    let mark = row(connection, "PRAGMA application_id").await?.try_get::<i32>("", "application_id")?;
    Ok(mark == MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_revision_of_the_database() {
        let path = Path::new("archive.db");
        assert!(require_revision(path, Some(Revision::HEAD.id()), Revision::HEAD).is_ok());
        let other = require_revision(path, Some("0"), Revision::HEAD);
        assert!(matches!(other, Err(ArchiveError::OtherRevision { found, .. }) if found == "0"));
        assert!(matches!(require_revision(path, None, Revision::HEAD), Err(ArchiveError::Foreign { .. })));
    }
}
