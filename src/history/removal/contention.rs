//! Who else uses the database while it is pruned, and what is owed to them.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, fcntl_getlk};
use sea_orm::{DatabaseConnection, DbBackend, DbErr};

use super::batch_size::{Budget, turn_of_others};
use crate::database::connection::{beside, row};

/// How long after a foreign commit the next one is expected.
const MEMORY: Duration = Duration::from_secs(2);

/// How long a transaction may take that nobody waits for. If it is rolled back this is lost.
const ALONE: Duration = Duration::from_secs(8);

/// How long PostgreSQL's answer counts.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
    /// What a batch aims at.
    #[must_use]
    pub(crate) fn aim(self) -> Budget {
        match self {
            // Nobody waits yet; what is too long for a statement is begun again with half.
            Activity::QuietServer => Budget { growth: 4, ..Budget::in_company(Duration::from_millis(60)) },
            Activity::BusyServer => Budget::in_company(Duration::from_millis(6)),
            Activity::Readers => Budget::in_company(Duration::from_millis(80)),
            Activity::Writers => Budget::in_company(Duration::from_millis(12)),
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
            Activity::Readers | Activity::Writers => turn_of_others(held),
        }
    }
}

/// Watches who else uses a database.
pub(crate) struct Contention {
    backend: DbBackend,
    /// The `-shm` of a file in WAL mode, on which each process that has the file open holds a lock.
    ///
    /// Outlives the connection: to close it would drop the locks that SQLite has on it in this process.
    index: Option<File>,
    data_version: i64,
    last_commit: Option<Instant>,
    /// When PostgreSQL was asked last, and what it said.
    looked: Option<Instant>,
    others_work: bool,
    /// The server's processes of this tool's other connections.
    own: Vec<i32>,
}

impl Contention {
    /// Begins to watch. `path` is SQLite's file, which `connection` has open.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn of(connection: &DatabaseConnection, path: Option<&Path>) -> Result<Self, DbErr> {
        let backend = connection.get_database_backend();
        let (index, last_commit, looked) = (None, None, None);
        let mut contention =
            Self { backend, index, data_version: 0, last_commit, looked, others_work: false, own: Vec::new() };
        if backend == DbBackend::Sqlite {
            let mode = row(connection, "PRAGMA journal_mode").await?.try_get::<String>("", "journal_mode")?;
            contention.index = path.filter(|_| mode == "wal").and_then(|path| File::open(beside(path, "-shm")).ok());
            contention.data_version = data_version(connection).await?;
            // Until the contrary is seen.
            contention.last_commit = Some(Instant::now());
        }
        Ok(contention)
    }

    /// Closes what is open of SQLite's files: after the connection is closed, and before another one is opened.
    pub(crate) fn let_go(&mut self) {
        self.index = None;
    }

    /// Takes another connection to PostgreSQL for one of this tool.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn count_as_own(&mut self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        self.own.push(row(connection, "SELECT pg_backend_pid() AS pid").await?.try_get("", "pid")?);
        Ok(())
    }

    /// Whether nobody else has the file open; false where nobody can tell.
    #[must_use]
    pub(crate) fn is_alone(&self) -> bool {
        // A lock that this process holds itself does not count.
        let lock = self.index.as_ref().map(|index| fcntl_getlk(index, &Flock::from(FlockType::WriteLock)));
        matches!(lock, Some(Ok(None)))
    }

    /// Looks who is there now.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn company(&mut self, connection: &DatabaseConnection) -> Result<Activity, DbErr> {
        if self.backend != DbBackend::Sqlite {
            if self.looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN) {
                self.looked = Some(Instant::now());
                self.others_work = others_work(connection, &self.own).await?;
            }
            return Ok(if self.others_work { Activity::BusyServer } else { Activity::QuietServer });
        }
        if self.is_alone() {
            return Ok(Activity::Idle);
        }
        let version = data_version(connection).await?;
        if version != self.data_version {
            self.data_version = version;
            self.last_commit = Some(Instant::now());
        }
        let writes = self.last_commit.is_some_and(|last| last.elapsed() < MEMORY);
        Ok(if writes { Activity::Writers } else { Activity::Readers })
    }
}

/// Whether a session of somebody else has begun or ended something within the last second. A role is told of its own
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
