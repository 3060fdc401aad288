//! Who else uses the database while it is pruned, and what is owed to them.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, fcntl_getlk};
use sea_orm::{DatabaseConnection, DbBackend, DbErr};

use super::batch_size::{Budget, pause_for_waiters};
use crate::database::connection::row;
use crate::database::sqlite_file::beside;

/// How long after a foreign commit the next one is expected.
const MEMORY: Duration = Duration::from_secs(2);

/// How long a transaction may take that nobody waits for. If it is rolled back this is lost.
const ALONE: Duration = Duration::from_secs(8);

/// How long PostgreSQL's answer counts.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How the database is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// PostgreSQL, and nobody else does anything.
    QuietServer,
    /// PostgreSQL, and others work: they wait for rows that a batch has locked, and share processor and disk with it.
    BusyServer,
    /// SQLite, and nobody else has the file open.
    Idle,
    /// SQLite, and others have the file open, or nobody can tell, but none of them writes.
    Readers,
    /// SQLite, and somebody writes: one writer at a time.
    Writers,
}

impl Activity {
    /// What a batch may take.
    #[must_use]
    pub(crate) fn budget(self) -> Budget {
        match self {
            // Nobody waits yet; what is too long for a statement is begun again with half.
            Activity::QuietServer => Budget { growth: 4, ..Budget::contended(Duration::from_millis(60)) },
            Activity::BusyServer => Budget::contended(Duration::from_millis(6)),
            Activity::Readers => Budget::contended(Duration::from_millis(80)),
            Activity::Writers => Budget::contended(Duration::from_millis(12)),
            // Nobody waits, and each page of an index is written once for many rows. Who comes meanwhile ends it.
            Activity::Idle => Budget { time: ALONE, most: None, growth: 8 },
        }
    }

    /// How long to stay away after a batch that kept others waiting for `held`.
    #[must_use]
    pub(crate) fn pause(self, held: Duration) -> Duration {
        match self {
            Activity::QuietServer | Activity::Idle => Duration::ZERO,
            Activity::BusyServer => held * 2,
            Activity::Readers | Activity::Writers => pause_for_waiters(held),
        }
    }
}

/// Watches who else uses a database.
pub(crate) enum Contention {
    Server(ServerActivity),
    File(FileActivity),
}

/// Who else works on a server.
#[derive(Default)]
pub(crate) struct ServerActivity {
    /// When it was asked last.
    asked: Option<Instant>,
    others_work: bool,
    /// The server's processes of this tool's other connections.
    own: Vec<i32>,
}

/// Who else has a file of SQLite's open.
pub(crate) struct FileActivity {
    /// The `-shm` of a file in WAL mode, on which each process that has the file open holds a lock.
    ///
    /// Outlives the connection: to close it would drop the locks that SQLite has on it in this process.
    index: Option<File>,
    data_version: i64,
    last_commit: Instant,
}

impl Contention {
    /// Begins to watch. `path` is SQLite's file, which `connection` has open.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn of(connection: &DatabaseConnection, path: Option<&Path>) -> Result<Self, DbErr> {
        Ok(match connection.get_database_backend() {
            DbBackend::Sqlite => Self::File(FileActivity::of(connection, path).await?),
            _ => Self::Server(ServerActivity::default()),
        })
    }

    /// Closes what is open of SQLite's files: after the connection is closed, and before another one is opened.
    pub(crate) fn close_files(&mut self) {
        if let Self::File(file) = self {
            file.index = None;
        }
    }

    /// Takes another connection to PostgreSQL for one of this tool.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn count_as_own(&mut self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        let pid = row(connection, "SELECT pg_backend_pid() AS pid").await?.try_get("", "pid")?;
        if let Self::Server(server) = self {
            server.own.push(pid);
        }
        Ok(())
    }

    /// Whether no other process has the file open; false where that is not known.
    #[must_use]
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::File(file) if file.is_alone())
    }

    /// Looks who is there now.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn activity(&mut self, connection: &DatabaseConnection) -> Result<Activity, DbErr> {
        match self {
            Self::Server(server) => server.activity(connection).await,
            Self::File(file) => file.activity(connection).await,
        }
    }
}

impl ServerActivity {
    async fn activity(&mut self, connection: &DatabaseConnection) -> Result<Activity, DbErr> {
        if self.asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
            self.asked = Some(Instant::now());
            self.others_work = others_work(connection, &self.own).await?;
        }
        Ok(if self.others_work { Activity::BusyServer } else { Activity::QuietServer })
    }
}

impl FileActivity {
    async fn of(connection: &DatabaseConnection, path: Option<&Path>) -> Result<Self, DbErr> {
        let mode = row(connection, "PRAGMA journal_mode").await?.try_get::<String>("", "journal_mode")?;
        Ok(Self {
            index: path.filter(|_| mode == "wal").and_then(|path| File::open(beside(path, "-shm")).ok()),
            data_version: data_version(connection).await?,
            // Until the contrary is seen.
            last_commit: Instant::now(),
        })
    }

    fn is_alone(&self) -> bool {
        // A lock that this process holds itself does not count.
        let lock = self.index.as_ref().map(|index| fcntl_getlk(index, &Flock::from(FlockType::WriteLock)));
        matches!(lock, Some(Ok(None)))
    }

    async fn activity(&mut self, connection: &DatabaseConnection) -> Result<Activity, DbErr> {
        if self.is_alone() {
            return Ok(Activity::Idle);
        }
        let version = data_version(connection).await?;
        if version != self.data_version {
            self.data_version = version;
            self.last_commit = Instant::now();
        }
        Ok(if self.last_commit.elapsed() < MEMORY { Activity::Writers } else { Activity::Readers })
    }
}

/// Whether another session has begun or ended something within the last second. A role is told of its own
/// sessions, which TARSy's backend shares, and of others' only with the right to it.
async fn others_work(connection: &DatabaseConnection, own: &[i32]) -> Result<bool, DbErr> {
    let sql = format!(
        "SELECT EXISTS (
             SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'
               AND pid <> pg_backend_pid() AND pid <> ALL (ARRAY{own:?}::integer[])
               AND (state = 'active' OR state_change > clock_timestamp() - interval '1 second')
               AND query NOT LIKE '%pg_try_advisory_xact_lock%') AS work"
    );
    row(connection, &sql).await?.try_get("", "work")
}

/// A number that changes with each commit of another connection.
async fn data_version(connection: &DatabaseConnection) -> Result<i64, DbErr> {
    row(connection, "PRAGMA data_version").await?.try_get("", "data_version")
}

#[cfg(test)]
mod tests {
    use sea_orm::Database;

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
        let connection = Database::connect("sqlite::memory:").await.expect("memory");
        let mut contention = Contention::of(&connection, None).await.expect("a journal mode");
        assert!(!contention.is_alone());
        assert_eq!(contention.activity(&connection).await.expect("a version"), Activity::Writers);
    }
}
