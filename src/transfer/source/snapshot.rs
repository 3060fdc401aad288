//! Opens the source: everything is read from one snapshot, and neither the file nor the files beside it are changed.
//!
//! | the source | how it is read |
//! |---|---|
//! | in WAL mode, not in use | in place, without a lock |
//! | in WAL mode, in use | in place, in a read transaction |
//! | with a `-wal` or a `-journal` that a crash left | from a private copy, which SQLite recovers |
//! | with a rollback journal | from a private copy, because a reader blocks the commits of writers |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Executor};

use super::error::SourceError;
use super::origin::{CopyReason, Origin};
use super::private_copy::PrivateCopy;
use super::source_file::{self, FileFault, FileState, SqliteFile, WalIndex};
use crate::database::connection::{Connection, busy_timeout};
use crate::database::failure::{DatabaseCause, ErrorClass, ResultExt, Verb};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format::{io_message, size};
use crate::fs::free_space;
use crate::progress::{Amount, Phase, Progress};

/// How often a copy is tried before the source counts as busy. The last attempt is made under a lock.
const ATTEMPTS: u32 = 3;
/// The copy's name in its directory.
const COPY: &str = "history.db";
/// The suffixes of the files that belong to a SQLite database.
const SUFFIXES: [&str; 2] = ["-wal", "-journal"];

/// The options of a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotOptions<'t> {
    /// How long to wait for a writer.
    pub lock_timeout: Duration,
    /// The directory for a copy, if one is needed.
    pub directory: &'t Path,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The source cannot be read.
    #[error("cannot read the source {path}")]
    Source {
        path: String,
        /// The error of the system or of SQLite.
        #[source]
        cause: DatabaseCause,
        /// A more specific hint than that of the cause.
        hint: Option<&'static str>,
    },
    /// The copy cannot be made.
    #[error("cannot copy the source to {directory}")]
    Copy {
        /// The directory for the copy.
        directory: String,
        /// Why a copy is needed.
        why: CopyReason,
        /// The error of the system or of SQLite.
        #[source]
        cause: DatabaseCause,
    },
}

impl SnapshotError {
    fn unreadable(path: &Path, fault: FileFault) -> Self {
        Self::Source { path: path.display().to_string(), cause: fault.cause, hint: fault.hint }
    }
}

impl Diagnostic for SnapshotError {
    fn exit_code(&self) -> ExitCode {
        let (SnapshotError::Source { cause, .. } | SnapshotError::Copy { cause, .. }) = self;
        cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        match self {
            SnapshotError::Source { cause, hint, .. } => hint.map(str::to_owned).or_else(|| cause.hint()),
            SnapshotError::Copy { why, .. } => {
                Some(format!("set TMPDIR to a directory with enough space; the source must be copied because {why}"))
            }
        }
    }
}

/// What happened to the source after the snapshot was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SourceChanges {
    /// Another process wrote to it; these changes were not read.
    pub written_since: bool,
    /// The process that used it ended, and could not delete the `-wal` because of this reader.
    pub wal_left: bool,
}

impl SourceChanges {
    /// One warning for each change.
    #[must_use]
    pub fn warnings(self) -> Vec<&'static str> {
        let written = "the source was written to after its snapshot was taken: the later changes were not moved";
        let left = "the program that used the source ended meanwhile and left a `-wal` file, which is part of the database: keep it";
        [(self.written_since, written), (self.wal_left, left)]
            .into_iter()
            .filter_map(|(is_so, text)| is_so.then_some(text))
            .collect()
    }
}

/// A snapshot of the source.
///
/// While it exists, no other code of this process may open the source or its `-shm`: closing a descriptor would release
/// the POSIX locks that protect the snapshot. Reading their metadata is harmless.
pub struct Snapshot {
    origin: Origin,
    path: PathBuf,
    // Dropped before `held`: closing those files releases SQLite's locks as well.
    reader: Connection,
    held: ConsistencyToken,
}

/// Shows at the end whether another process wrote to the source.
enum ConsistencyToken {
    /// The state of the file at the beginning.
    Seen(FileState),
    /// For a file in use: its files, kept open because of the locks, and its `data_version`.
    Beside { _file: SqliteFile, index: WalIndex, data_version: i64 },
}

/// The state of the source, read under a lock that prevents new writes.
struct SeenFile {
    file: SqliteFile,
    state: FileState,
    /// Present if another process has the file open in WAL mode.
    index: Option<WalIndex>,
}

impl SeenFile {
    async fn look(path: &Path, options: &SnapshotOptions<'_>) -> Result<Self, FileFault> {
        let file = SqliteFile::open(path)?;
        file.lock(options.lock_timeout).await?;
        let state = file.look()?;
        state.require_readable()?;
        let index = file.index_in_use()?;
        Ok(Self { file, state, index })
    }

    /// Opens it in place.
    async fn open_in_place(self, path: &Path, options: &SnapshotOptions<'_>) -> Result<Snapshot, FileFault> {
        let Self { file, state, index } = self;
        let path = path.to_owned();
        if let Some(index) = index {
            let (reader, data_version) = open_beside_user(&file.path, options).await?;
            let held = ConsistencyToken::Beside { _file: file, index, data_version };
            return Ok(Snapshot { origin: Origin::InUse, path, reader, held });
        }
        let real = file.path.clone();
        // Releases the lock: if another process writes to the file now, `finish` detects it.
        drop(file);
        let reader = open_at_rest(&real).await?;
        Ok(Snapshot { origin: Origin::AtRest, path, reader, held: ConsistencyToken::Seen(state) })
    }

    /// Opens its copy; `None` if it was written to while it was copied.
    async fn open_copied(
        self,
        path: &Path,
        copy: &PrivateCopy,
        reason: CopyReason,
        options: &SnapshotOptions<'_>,
    ) -> Result<Option<Snapshot>, FileFault> {
        self.file.lock(options.lock_timeout).await?;
        if self.file.look()? != self.state {
            return Ok(None);
        }
        drop(self.file);
        let reader = open_copy(copy, reason).await?;
        let (origin, held) = (Origin::Copied(reason), ConsistencyToken::Seen(self.state));
        Ok(Some(Snapshot { origin, path: path.to_owned(), reader, held }))
    }
}

impl Snapshot {
    /// Opens the source or a copy of it, and begins a read transaction.
    ///
    /// # Errors
    /// [`SnapshotError`] if the file cannot be read or copied.
    pub async fn take(
        path: &Path,
        options: &SnapshotOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, SnapshotError> {
        let unreadable = |fault| SnapshotError::unreadable(path, fault);
        for attempt in 1..=ATTEMPTS {
            let seen = SeenFile::look(path, options).await.map_err(unreadable)?;
            let Origin::Copied(reason) = Origin::of(&seen.state, seen.index.is_some()) else {
                return seen.open_in_place(path, options).await.map_err(unreadable);
            };
            // A writer fails after waiting some seconds, so that the lock is kept only in the last attempt.
            if attempt < ATTEMPTS {
                seen.file.unlock().map_err(unreadable)?;
            }
            let copy = copy(&seen, reason, options, progress).await?;
            if let Some(snapshot) = seen.open_copied(path, &copy, reason, options).await.map_err(unreadable)? {
                return Ok(snapshot);
            }
        }
        Err(unreadable(FileFault::new(
            ErrorClass::Busy,
            format!("the file was written to during each of {ATTEMPTS} attempts to copy it"),
            Some("stop TARSy's backend and try again"),
        )))
    }

    /// What the rows are read from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// A pool of exactly one connection, in a read transaction that must not be ended.
    #[must_use]
    pub fn reader(&self) -> &Connection {
        &self.reader
    }

    /// Requires that a file that is read in place without a lock has not changed. What is in its `-wal` by now was not
    /// read.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if it has.
    pub fn require_unchanged(&self) -> Result<(), SourceError> {
        match (&self.held, self.origin) {
            (ConsistencyToken::Seen(before), Origin::AtRest)
                if self.state().is_none_or(|now| !now.has_pages_of(before)) =>
            {
                Err(SourceError::Changed { path: self.path.display().to_string() })
            }
            _ => Ok(()),
        }
    }

    /// The file's state now; `None` if it is gone or cannot be read.
    fn state(&self) -> Option<FileState> {
        SqliteFile::open(&self.path).ok().and_then(|file| file.look().ok())
    }

    /// Ends the read transaction. Returns what happened to the source meanwhile. Waits until the connection is back in
    /// its pool.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if the file was read without a lock and another process wrote to it: the rows may be
    /// inconsistent. [`SourceError::Database`] if SQLite fails.
    pub async fn finish(self) -> Result<SourceChanges, SourceError> {
        let mut changes = SourceChanges::default();
        let pool = self.reader.pool().get_sqlite_connection_pool();
        if let ConsistencyToken::Beside { data_version, .. } = &self.held {
            let ended = async {
                let mut connection = pool.acquire().await?;
                connection.execute("ROLLBACK").await?;
                version(&mut connection).await
            };
            let now = ended.await.context((Verb::Read, "the source to its end"))?;
            changes.written_since = now != *data_version;
        }
        pool.close().await;
        match &self.held {
            ConsistencyToken::Beside { index, .. } => {
                changes.wal_left = !index.is_in_use().unwrap_or(true);
            }
            ConsistencyToken::Seen(before) => {
                self.require_unchanged()?;
                changes.written_since = self.state().is_none_or(|now| now.was_written_since(before));
            }
        }
        Ok(changes)
    }
}

/// Copies the file with its `-wal` and `-journal`.
async fn copy(
    SeenFile { file, state, .. }: &SeenFile,
    why: CopyReason,
    options: &SnapshotOptions<'_>,
    progress: &dyn Progress,
) -> Result<PrivateCopy, SnapshotError> {
    let directory = options.directory;
    let failure = |cause: DatabaseCause| SnapshotError::Copy { directory: directory.display().to_string(), why, cause };
    let failed = |error: io::Error| match source_file::error_class(&error) {
        // The file existed before, so this is not a wrong path.
        ErrorClass::NoSuchFile => failure(DatabaseCause::new(ErrorClass::CannotOpen, io_message(&error))),
        ErrorClass::InputOutput if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            failure(DatabaseCause::new(ErrorClass::CannotOpen, io_message(&error)))
        }
        class => failure(DatabaseCause::new(class, io_message(&error))),
    };
    let copy = PrivateCopy::create(directory).map_err(failed)?;
    let bytes = state.file.length + state.wal_length() + state.journal_length();
    // The checkpoint writes the `-wal` into the file, which may grow by all of it.
    let needed = bytes + state.wal_length();
    let free = free_space::free(directory).map_err(failed)?;
    if free < needed {
        let message = format!("it takes {}, and {} are free there", size(needed), size(free));
        return Err(failure(DatabaseCause::new(ErrorClass::DiskFull, message)));
    }
    let meter = progress.begin(Phase::new("copying", "the source"), Amount { rows: 0, bytes });
    copy.copy(file.content(), COPY, meter.as_ref()).await.map_err(failed)?;
    for suffix in SUFFIXES {
        match File::open(file.beside(suffix)) {
            Ok(other) => copy.copy(&other, &format!("{COPY}{suffix}"), meter.as_ref()).await.map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    meter.finish();
    Ok(copy)
}

/// Recovers the copy and opens it. The open files remain readable after `copy` is dropped, which deletes their names.
async fn open_copy(copy: &PrivateCopy, why: CopyReason) -> Result<Connection, FileFault> {
    let path = copy.join(COPY);
    if why != CopyReason::RollbackJournal {
        let options = sqlite_options(&path).synchronous(SqliteSynchronous::Off).read_only(false);
        let recovered = async {
            let mut connection = options.connect().await?;
            connection.execute("SELECT count(*) FROM sqlite_schema").await?;
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            connection.close().await
        };
        recovered.await?;
        SqliteFile::open(&path)?.look()?.require_readable()?;
    }
    Ok(open_at_rest(&path).await?)
}

/// Opens a file that no process writes to, without locks and without its `-wal`.
async fn open_at_rest(path: &Path) -> Result<Connection, sqlx::Error> {
    let pool = open(sqlite_options(path).immutable(true)).await?;
    begin(&pool).await?;
    Ok(Connection::of_sqlite(pool))
}

/// Opens a file that another process uses. Returns its `data_version` too.
async fn open_beside_user(path: &Path, options: &SnapshotOptions<'_>) -> Result<(Connection, i64), sqlx::Error> {
    let pool = open(sqlite_options(path).busy_timeout(busy_timeout(options.lock_timeout))).await?;
    begin(&pool).await?;
    let mut connection = pool.acquire().await?;
    let data_version = version(&mut connection).await?;
    drop(connection);
    Ok((Connection::of_sqlite(pool), data_version))
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).log_statements(LevelFilter::Debug);
    options.log_slow_statements(LevelFilter::Off, Duration::MAX)
}

/// Opens a single connection that is never replaced: its transaction is the snapshot.
async fn open(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    pool.test_before_acquire(false).connect_with(options).await
}

/// SQLite takes the snapshot at the first read, which also fails if the file is not a database.
async fn begin(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    pool.execute("BEGIN").await?;
    pool.execute("SELECT count(*) FROM sqlite_schema").await.map(|_| ())
}

/// A number that changes when another connection commits.
async fn version(connection: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}
