//! How the source is opened: everything is read from one state of it, and neither the file nor what lies beside it
//! is changed.
//!
//! | the source | how it is read |
//! |---|---|
//! | in WAL mode, used by nobody | as it is, without a lock |
//! | in WAL mode, in use | beside its user, in a read transaction |
//! | with a `-wal` or a `-journal` that a crash left | a private copy, where SQLite recovers it |
//! | with a rollback journal | a private copy, because a reader keeps the writers from committing |

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::HumanBytes;
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};

use super::error::SourceError;
use super::private_copy::PrivateCopy;
use super::sqlite_file::{self, FileFault, FileState, SqliteFile, WalIndex};
use crate::database::connection::busy_timeout;
use crate::database::failure::{DatabaseCause, ErrorClass, ResultExt, io_message};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::free_space;
use crate::progress::{Amount, Phase, Progress};

/// How often a copy is begun before the source counts as never at rest. The last one is made under a lock.
const ATTEMPTS: u32 = 3;
/// The copy's name in its directory.
const COPY: &str = "history.db";
/// What the files of a SQLite database end in, beside the one without an ending.
const SUFFIXES: [&str; 2] = ["-wal", "-journal"];

/// What a snapshot needs to know.
#[derive(Debug, Clone)]
pub struct SnapshotOptions<'t> {
    /// How long to wait for a writer.
    pub lock_timeout: Duration,
    /// Where a copy goes if one is needed: the directory for temporary files.
    pub directory: &'t Path,
}

/// Where the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "origin", content = "why")]
pub enum Origin {
    /// The file, which nobody is using.
    AtRest,
    /// The file, which somebody else is using.
    InUse,
    /// A copy, made in a moment when nobody wrote.
    Copied(CopyReason),
}

/// Why a copy is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyReason {
    /// Reading for long would lock a writer out, and nobody can tell whether there is one.
    RollbackJournal,
    /// A crash left a `-wal`; reading it in place would leave traces.
    LeftOverWal,
    /// A crash left a `-journal`; reading in place would mean to write.
    LeftOverJournal,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::AtRest => f.write_str("nobody is using it; it is read as it is"),
            Origin::InUse => f.write_str("it is in use and stays so; what is written from now on stays behind"),
            Origin::Copied(why) => write!(f, "it is copied first: {why}"),
        }
    }
}

impl fmt::Display for CopyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CopyReason::RollbackJournal => {
                "it keeps a rollback journal, so that reading it for long would lock its writer out"
            }
            CopyReason::LeftOverWal => "a crash left a `-wal` beside it, which has to be recovered",
            CopyReason::LeftOverJournal => "a crash left a `-journal` beside it, which has to be rolled back",
        })
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The source cannot be read.
    #[error("cannot read the source {path}")]
    Source {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: DatabaseCause,
        /// What to do, where the failure alone does not tell.
        hint: Option<&'static str>,
    },
    /// The copy cannot be made.
    #[error("cannot copy the source to {directory}")]
    Copy {
        /// Where it was to go.
        directory: String,
        /// Why one is needed.
        why: CopyReason,
        /// Why it failed.
        #[source]
        cause: DatabaseCause,
    },
}

impl Diagnostic for SnapshotError {
    fn exit_code(&self) -> ExitCode {
        let (SnapshotError::Source { cause, .. } | SnapshotError::Copy { cause, .. }) = self;
        cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        match self {
            SnapshotError::Source { cause, hint, .. } => hint.or_else(|| cause.hint()).map(str::to_owned),
            SnapshotError::Copy { why, .. } => {
                Some(format!("TMPDIR names another directory for the copy, which is needed because {why}"))
            }
        }
    }
}

/// What happened to the source after the snapshot was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SourceChanges {
    /// Somebody wrote to it: what they wrote was not read.
    pub written_since: bool,
    /// Whoever was using it ended, and could not take the `-wal` along because of this reader.
    pub wal_left: bool,
}

impl SourceChanges {
    /// What the operator has to know.
    #[must_use]
    pub fn warnings(self) -> Vec<&'static str> {
        let written =
            "the source was written to after its snapshot was taken: what was written since then stays behind";
        let left =
            "whoever was using the source ended meanwhile and left the `-wal` beside it: it is part of the history";
        [(self.written_since, written), (self.wal_left, left)]
            .into_iter()
            .filter_map(|(is_so, text)| is_so.then_some(text))
            .collect()
    }
}

/// One state of the source.
///
/// While it exists nothing else of the process may open the source or its `-shm`, because closing them again would give
/// up the locks that keep the state; asking for their metadata is harmless.
pub struct Snapshot {
    origin: Origin,
    path: PathBuf,
    // Dropped before `held`: closing the files gives up SQLite's locks as well.
    reader: DatabaseConnection,
    held: ConsistencyToken,
}

/// What tells at the end whether somebody has written.
enum ConsistencyToken {
    /// The file was seen like this.
    Seen(FileState),
    /// The files in use, kept open for the sake of the locks, and the version of the data.
    Beside { _file: SqliteFile, index: WalIndex, data_version: i64 },
}

impl Snapshot {
    /// Looks at the source and opens it, or a copy of it; a read transaction is begun.
    ///
    /// # Errors
    /// [`SnapshotError`]
    pub async fn take(
        path: &Path,
        terms: &SnapshotOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, SnapshotError> {
        let told = |fault: FileFault| SnapshotError::Source {
            path: path.display().to_string(),
            cause: fault.cause,
            hint: fault.hint,
        };
        for attempt in 1..=ATTEMPTS {
            let file = SqliteFile::open(path).map_err(told)?;
            file.lock(terms.lock_timeout).await.map_err(told)?;
            let look = file.look().map_err(|error| told(error.into()))?;
            look.judge().map_err(told)?;
            if let Some(index) = file.index_in_use().map_err(|error| told(error.into()))? {
                let (reader, data_version) =
                    beside(&file.path, terms).await.map_err(|error| told(DatabaseCause::from(error).into()))?;
                let held = ConsistencyToken::Beside { _file: file, index, data_version };
                return Ok(Self { origin: Origin::InUse, path: path.to_owned(), reader, held });
            }
            let Some(why) = why_copy(&look) else {
                let real = file.path.clone();
                // Nobody is kept from using it: if somebody does, the end tells.
                drop(file);
                let reader = open_at_rest(&real).await.map_err(|error| told(DatabaseCause::from(error).into()))?;
                let held = ConsistencyToken::Seen(look);
                return Ok(Self { origin: Origin::AtRest, path: path.to_owned(), reader, held });
            };
            // A writer gives up after some seconds, so that it is not kept waiting before there is no other way.
            if attempt < ATTEMPTS {
                file.unlock().map_err(|error| told(error.into()))?;
            }
            let scratch = copy(&file, &look, why, terms, progress).await?;
            file.lock(terms.lock_timeout).await.map_err(told)?;
            if file.look().map_err(|error| told(error.into()))? != look {
                continue;
            }
            drop(file);
            let reader = open_copy(&scratch, why).await.map_err(told)?;
            let held = ConsistencyToken::Seen(look);
            return Ok(Self { origin: Origin::Copied(why), path: path.to_owned(), reader, held });
        }
        let message = format!("it was written to during each of {ATTEMPTS} attempts to copy it");
        Err(told(FileFault {
            cause: DatabaseCause::new(ErrorClass::Busy, message),
            hint: Some("try again at a quieter time, or stop TARSy's backend"),
        }))
    }

    /// Where the rows come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// A pool with exactly one connection, in a read transaction that is not to be ended.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Makes sure that what was read is one state: a file without a user is read without a lock.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when somebody has written to such a file.
    pub fn require_unchanged(&self) -> Result<(), SourceError> {
        match (&self.held, self.origin) {
            (ConsistencyToken::Seen(before), Origin::AtRest) if self.is_unlike(before) => {
                Err(SourceError::Changed { path: self.path.display().to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Whether the file does not look as it did before.
    fn is_unlike(&self, before: &FileState) -> bool {
        let now = SqliteFile::open(&self.path).ok().and_then(|file| file.look().ok());
        now.as_ref() != Some(before)
    }

    /// Ends the reading and tells what happened to the source meanwhile. Waits until the connection is given back.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when the file was read without a lock and somebody has written: what was read
    /// cannot be trusted. The system's error when the file cannot be looked at.
    pub async fn finish(self) -> Result<SourceChanges, SourceError> {
        let mut aftermath = SourceChanges::default();
        let pool = self.reader.get_sqlite_connection_pool();
        if let ConsistencyToken::Beside { data_version, .. } = &self.held {
            let ended = async {
                let mut connection = pool.acquire().await?;
                connection.execute("ROLLBACK").await?;
                version(&mut connection).await
            };
            let now = ended.await.context("finish reading the source")?;
            aftermath.written_since = now != *data_version;
        }
        pool.close().await;
        match &self.held {
            ConsistencyToken::Beside { index, .. } => {
                aftermath.wal_left = !index.is_in_use().unwrap_or(true);
            }
            ConsistencyToken::Seen(before) => {
                self.require_unchanged()?;
                aftermath.written_since = self.is_unlike(before);
            }
        }
        Ok(aftermath)
    }
}

/// Why a file that nobody uses in WAL mode has to be copied, or `None` when it can be read as it is.
fn why_copy(look: &FileState) -> Option<CopyReason> {
    if look.journal_length() > 0 {
        Some(CopyReason::LeftOverJournal)
    } else if look.wal_length() > 0 {
        Some(CopyReason::LeftOverWal)
    } else if look.is_in_wal_mode() {
        None
    } else {
        Some(CopyReason::RollbackJournal)
    }
}

/// Copies the file and what belongs to it.
async fn copy(
    file: &SqliteFile,
    look: &FileState,
    why: CopyReason,
    terms: &SnapshotOptions<'_>,
    progress: &dyn Progress,
) -> Result<PrivateCopy, SnapshotError> {
    let directory = terms.directory;
    let told = |cause: DatabaseCause| SnapshotError::Copy { directory: directory.display().to_string(), why, cause };
    let failed = |error: io::Error| match sqlite_file::kind(&error) {
        // It was there a moment ago.
        ErrorClass::NoSuchDatabase => told(DatabaseCause::new(ErrorClass::CannotOpen, io_message(&error))),
        ErrorClass::InputOutput if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            told(DatabaseCause::new(ErrorClass::CannotOpen, io_message(&error)))
        }
        class => told(DatabaseCause::new(class, io_message(&error))),
    };
    let scratch = PrivateCopy::create(directory).map_err(failed)?;
    let bytes = look.file.length + look.wal_length() + look.journal_length();
    // What is in the `-wal` goes into the file, whose pages it may all be new.
    let needed = bytes + look.wal_length();
    let free = free_space::free(directory).map_err(failed)?;
    if free < needed {
        let message = format!("it takes {}, and {} are free there", HumanBytes(needed), HumanBytes(free));
        return Err(told(DatabaseCause::new(ErrorClass::DiskFull, message)));
    }
    let meter = progress.begin(Phase::new("copying", "the source"), Amount { rows: 0, bytes });
    scratch.copy(file.content(), COPY, meter.as_ref()).await.map_err(failed)?;
    for suffix in SUFFIXES {
        match File::open(file.beside(suffix)) {
            Ok(other) => scratch.copy(&other, &format!("{COPY}{suffix}"), meter.as_ref()).await.map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    meter.finish();
    Ok(scratch)
}

/// Lets SQLite recover the copy, and opens it. Nothing of it has a name any more when the `scratch` is dropped.
async fn open_copy(scratch: &PrivateCopy, why: CopyReason) -> Result<DatabaseConnection, FileFault> {
    let path = scratch.join(COPY);
    if why != CopyReason::RollbackJournal {
        let options = options(&path).synchronous(SqliteSynchronous::Off).read_only(false);
        let recovered = async {
            let mut connection = options.connect().await?;
            connection.execute("SELECT count(*) FROM sqlite_schema").await?;
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            connection.close().await
        };
        recovered.await.map_err(DatabaseCause::from)?;
        SqliteFile::open(&path)?.look()?.judge()?;
    }
    Ok(open_at_rest(&path).await.map_err(DatabaseCause::from)?)
}

/// Opens a file that is not written to, without locks and without looking for anything beside it.
async fn open_at_rest(path: &Path) -> Result<DatabaseConnection, sqlx::Error> {
    let pool = open(options(path).immutable(true)).await?;
    begin(&pool).await?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Opens a file that somebody else is using, and gives the version of its data.
async fn beside(path: &Path, terms: &SnapshotOptions<'_>) -> Result<(DatabaseConnection, i64), sqlx::Error> {
    let pool = open(options(path).busy_timeout(busy_timeout(terms.lock_timeout))).await?;
    begin(&pool).await?;
    let mut connection = pool.acquire().await?;
    let data_version = version(&mut connection).await?;
    drop(connection);
    Ok((SqlxSqliteConnector::from_sqlx_sqlite_pool(pool), data_version))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging()
}

/// Opens one connection that is never replaced: its transaction is the snapshot.
async fn open(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    pool.test_before_acquire(false).connect_with(options).await
}

/// A transaction takes its snapshot with the first read, which also shows whether this is a database.
async fn begin(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    pool.execute("BEGIN").await?;
    pool.execute("SELECT count(*) FROM sqlite_schema").await.map(|_| ())
}

/// A number that changes when another connection has written.
async fn version(connection: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}
