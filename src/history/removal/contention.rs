//! How other sessions use the database during a prune, and what batches must therefore look like.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, fcntl_getlk};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::batch_size::{Budget, pause_for_waiters};
use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::database::sqlite_file::beside;
use crate::database::transaction::SearchPath;

/// How long after another program's commit its next one is expected.
const MEMORY: Duration = Duration::from_secs(2);

/// The intended duration of a batch that no other program waits for. It is lost if the batch is rolled back.
const ALONE: Duration = Duration::from_secs(8);

/// How long an answer of PostgreSQL's is valid.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How the database is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// PostgreSQL without other active sessions.
    QuietServer,
    /// PostgreSQL with other active sessions, which wait for rows that a batch has locked, and share processor and disk
    /// with it.
    BusyServer,
    /// SQLite, and no other process has the file open.
    Idle,
    /// SQLite, and other processes have the file open, or that is unknown, but none of them writes.
    Readers,
    /// SQLite, and another process writes: SQLite has one writer at a time.
    Writers,
}

impl Activity {
    /// The limits of a batch.
    #[must_use]
    pub(crate) fn budget(self, has_archive: bool) -> Budget {
        match self {
            // No other session waits yet. A batch that exceeds the statement limit is retried with half its size. In the
            // archive each batch writes pages that the next one writes again.
            Activity::QuietServer => {
                let time = Duration::from_millis(if has_archive { 120 } else { 60 });
                Budget { growth: 4, ..Budget::contended(time) }
            }
            Activity::BusyServer => Budget::contended(Duration::from_millis(6)),
            Activity::Readers => Budget::contended(Duration::from_millis(80)),
            Activity::Writers => Budget::contended(Duration::from_millis(12)),
            // No other process waits, and a large batch writes each index page once for many rows. A process that opens
            // the file ends the batch.
            Activity::Idle => Budget { time: ALONE, most: None, growth: 8 },
        }
    }

    /// The pause after a batch that kept other sessions waiting for `held`.
    #[must_use]
    pub(crate) fn pause(self, held: Duration) -> Duration {
        match self {
            Activity::QuietServer | Activity::Idle => Duration::ZERO,
            Activity::BusyServer => held * 2,
            Activity::Readers | Activity::Writers => pause_for_waiters(held),
        }
    }
}

/// Observes how other sessions use a database.
pub(crate) enum Contention {
    Server(ServerActivity),
    File(FileActivity),
}

/// Observes the other sessions of a server.
#[derive(Default)]
pub(crate) struct ServerActivity {
    asked: Option<Instant>,
    others_work: bool,
}

/// Observes the other processes that have a SQLite file open.
pub(crate) struct FileActivity {
    /// The `-shm` of a file in WAL mode, on which each process that has the file open holds a lock.
    ///
    /// It must outlive the connection: closing it would drop SQLite's locks in this process.
    index: Option<File>,
    data_version: i64,
    last_commit: Instant,
}

impl Contention {
    /// Begins to observe. `path` is the SQLite file of `connection`.
    pub(crate) async fn of(connection: &Connection, path: Option<&Path>) -> Result<Self, DbErr> {
        Ok(match connection.backend() {
            DbBackend::Sqlite => Self::File(FileActivity::of(connection, path).await?),
            _ => Self::Server(ServerActivity::default()),
        })
    }

    /// Closes the files of SQLite. Call it after the connection is closed and before another one is opened.
    pub(crate) fn close_files(&mut self) {
        if let Self::File(file) = self {
            file.index = None;
        }
    }

    /// Whether no other process has the file open; false if that is unknown.
    #[must_use]
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::File(file) if file.is_alone())
    }

    /// When the last commit of another process was noticed, or the observation began. `None` on PostgreSQL.
    #[must_use]
    pub(crate) fn last_commit(&self) -> Option<Instant> {
        match self {
            Self::Server(_) => None,
            Self::File(file) => Some(file.last_commit),
        }
    }

    /// Determines the current activity.
    pub(crate) async fn activity(&mut self, connection: &Connection) -> Result<Activity, DbErr> {
        match self {
            Self::Server(server) => server.activity(connection).await,
            Self::File(file) => file.activity(connection).await,
        }
    }
}

impl ServerActivity {
    async fn activity(&mut self, connection: &Connection) -> Result<Activity, DbErr> {
        if self.asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
            self.asked = Some(Instant::now());
            self.others_work = others_work(connection).await?;
        }
        Ok(if self.others_work { Activity::BusyServer } else { Activity::QuietServer })
    }
}

impl FileActivity {
    async fn of(connection: &Connection, path: Option<&Path>) -> Result<Self, DbErr> {
        let mode = connection
            .reading(async |reading| row(reading, "PRAGMA journal_mode").await)
            .await?
            .try_get::<String>("", "journal_mode")?;
        Ok(Self {
            index: path.filter(|_| mode == "wal").and_then(|path| File::open(beside(path, "-shm")).ok()),
            data_version: data_version(connection).await?,
            // Until a commit is seen.
            last_commit: Instant::now(),
        })
    }

    fn is_alone(&self) -> bool {
        // The lock of this process does not count.
        let lock = self.index.as_ref().map(|index| fcntl_getlk(index, &Flock::from(FlockType::WriteLock)));
        matches!(lock, Some(Ok(None)))
    }

    async fn activity(&mut self, connection: &Connection) -> Result<Activity, DbErr> {
        let version = data_version(connection).await?;
        if version != self.data_version {
            self.data_version = version;
            self.last_commit = Instant::now();
        }
        if self.is_alone() {
            return Ok(Activity::Idle);
        }
        Ok(if self.last_commit.elapsed() < MEMORY { Activity::Writers } else { Activity::Readers })
    }
}

/// Whether another session has begun or ended a transaction or a statement within the last second. A role sees its own
/// sessions, which TARSy's backend shares, and others' only with the privilege for it.
async fn others_work(connection: &Connection) -> Result<bool, DbErr> {
    let reading = connection.begin_reading(SearchPath::Empty, "").await?;
    let statement =
        Statement::from_sql_and_values(reading.backend(), OTHERS_WORK, [Value::from(connection.sessions())]);
    let work = reading.query_one_raw(statement).await?.map(|row| row.try_get("", "work")).transpose()?;
    reading.rollback().await?;
    Ok(work.unwrap_or_default())
}

/// `$1` are this program's sessions. A `prune` that only holds or asks for the lock does not count.
const OTHERS_WORK: &str = "
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> ALL ($1)
          AND (state = 'active' OR state_change > clock_timestamp() - interval '1 second')
          AND query NOT LIKE '%pg_try_advisory_xact_lock%') AS work";

/// A number that changes with each commit of another connection.
async fn data_version(connection: &Connection) -> Result<i64, DbErr> {
    connection.reading(async |reading| row(reading, "PRAGMA data_version").await).await?.try_get("", "data_version")
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn others_have_their_turn_after_a_batch() {
        let held = Duration::from_millis(10);
        let pause = |activity: Activity| activity.pause(held);
        assert_eq!(pause(Activity::BusyServer), held * 2);
        assert_eq!([Activity::QuietServer, Activity::Idle].map(pause), [Duration::ZERO; 2]);
        assert_eq!([Activity::Readers, Activity::Writers].map(pause), [pause_for_waiters(held); 2]);
    }

    #[tokio::test]
    async fn a_database_in_memory_may_have_other_users_and_counts_as_written_to_at_first() {
        let connection = Connection::in_memory().await;
        let mut contention = Contention::of(&connection, None).await.expect("a journal mode");
        assert!(!contention.is_alone());
        assert_eq!(contention.activity(&connection).await.expect("a version"), Activity::Writers);
    }
}
