//! The lock for changes of the schema, and its holder.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::visible;
use crate::database::connection::{Connection, row};
use crate::database::failure::DatabaseCause;
use crate::database::mark;
use crate::database::namespace::tables_of_tarsy;
use crate::database::read_transaction::EVERY_ROW;
use crate::database::sqlite_file::with_suffix;
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format;

/// The key of the transaction-scoped advisory lock on PostgreSQL: `tarsy-db` in ASCII.
pub(crate) const KEY: i64 = 0x7461_7273_792d_6462;

/// The lock that lets one session at a time repair a PostgreSQL database, held until it is dropped.
///
/// It belongs to a transaction that does nothing else: behind a pooler a lock of the session would remain.
#[derive(Default)]
pub(crate) struct RepairLock {
    _transaction: Option<Transaction>,
}

impl RepairLock {
    /// Takes the lock with one connection of the pool; `None` if another session has it. It does not wait, because a
    /// waiting session holds a snapshot, for which the building of an index would wait. With a pool of one connection, and
    /// on SQLite, there is no such lock: a second repair then finds the objects of the first.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn take(connection: &Connection) -> Result<Option<Self>, DatabaseCause> {
        if !connection.may_have(2) || connection.backend() != DbBackend::Postgres {
            return Ok(Some(Self::default()));
        }
        let transaction = connection.begin(SearchPath::Empty, "").await?;
        let sql = format!("SELECT pg_try_advisory_xact_lock({}) AS is_alone", KEY + 1);
        let is_alone: bool = row(&transaction, &sql).await?.try_get("", "is_alone")?;
        Ok(is_alone.then_some(Self { _transaction: Some(transaction) }))
    }
}

/// Begins the one transaction that may change the schema. The lock ends with it, also behind a pooler.
pub(crate) async fn begin(connection: &Connection) -> Result<Transaction, DbErr> {
    let set_up = [&mark::transaction(), EVERY_ROW, &statement()].join("; ");
    connection.begin_renewed(SearchPath::Empty, &set_up).await
}

/// The statement that takes the lock on PostgreSQL.
pub(crate) fn statement() -> String {
    format!("SELECT pg_advisory_xact_lock({KEY})")
}

/// Another session held the lock for too long.
#[derive(Debug, thiserror::Error)]
#[error("the database is locked by {holder}; gave up after {waited}", waited = format::duration(*.waited))]
pub struct Locked {
    /// The session or process that holds the lock, as far as the database shows it.
    pub holder: String,
    pub waited: Duration,
}

impl Locked {
    /// Finds the holder after [`Busy`](crate::database::failure::ErrorClass::Busy).
    pub(crate) async fn on(connection: &Connection, waited: Duration) -> Self {
        Self { holder: holder(connection).await, waited }
    }

    /// As [`Locked::on`], for a file that could not be opened.
    #[must_use]
    pub(crate) fn on_file(url: &DatabaseUrl, waited: Duration) -> Self {
        Self { holder: holder_of_file(url), waited }
    }
}

impl Diagnostic for Locked {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Busy
    }

    fn hint(&self) -> Option<String> {
        Some("wait until it has finished, or raise `--lock-timeout`".into())
    }
}

/// The holder of the lock, as far as the database shows it.
async fn holder(connection: &Connection) -> String {
    let holder = match connection.backend() {
        DbBackend::Postgres => postgresql_holder(connection, &[]).await,
        _ => sqlite_holder(connection).await,
    };
    holder.ok().flatten().unwrap_or_else(|| "another process".to_owned())
}

/// As [`holder`], for a file that could not be opened.
fn holder_of_file(url: &DatabaseUrl) -> String {
    url.sqlite_path().and_then(process_holding).unwrap_or_else(|| "another process".to_owned())
}

/// The modes of locks of a PostgreSQL table with which other sessions may delete its rows.
const ALLOW_DELETES: [&str; 4] = ["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"];

/// The session whose lock of one of the tables on PostgreSQL lets no other session delete rows, if there is one.
///
/// # Errors
/// The server's error.
pub(crate) async fn holder_against_deletes(connection: &Connection) -> Result<Option<String>, DbErr> {
    postgresql_holder(connection, &ALLOW_DELETES).await
}

/// Finds the session with the advisory lock, or else the oldest one with a lock on one of the tables, in another mode than
/// these.
async fn postgresql_holder(connection: &Connection, except: &[&str]) -> Result<Option<String>, DbErr> {
    let [high, low] = [KEY >> 32, KEY & 0xffff_ffff].map(Value::from);
    let [tables, except] = [&tables_of_tarsy().collect::<Vec<_>>()[..], except].map(visible::texts);
    let values = [high, low, tables, except];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, include_str!("lock_holder.sql"), values);
    let holder = connection.reading(async |reading| reading.query_one_raw(statement).await).await?;
    holder.map(|row| row.try_get("", "holder")).transpose()
}

/// SQLite does not know who holds its locks, but Linux lists them by the file's inode.
async fn sqlite_holder(connection: &Connection) -> Result<Option<String>, DbErr> {
    let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file: String = connection.reading(async |reading| row(reading, sql).await).await?.try_get("", "file")?;
    Ok(process_holding(Path::new(&file)))
}

#[cfg(target_os = "linux")]
fn process_holding(file: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // In WAL mode the writer's lock is on the shared-memory file.
    let inodes: Vec<u64> = ["", "-shm"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(with_suffix(file, suffix)).ok().map(|metadata| metadata.ino()))
        .collect();
    // The list may miss a held lock while other processes lock and unlock.
    (0..LOOKS).find_map(|_| holder_of_one(&inodes, &std::fs::read_to_string("/proc/locks").ok()?))
}

/// How often the list of locks is read until it has one. With four busy processes one read in thirty missed it.
#[cfg(target_os = "linux")]
const LOOKS: usize = 5;

/// The process that holds a lock on one of these files, if it is another one.
#[cfg(target_os = "linux")]
fn holder_of_one(inodes: &[u64], locks: &str) -> Option<String> {
    let own = std::process::id();
    // `1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 120`
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (&"WRITE", pid, place) = (fields.get(3)?, fields.get(4)?, fields.get(5)?) else { return None };
        let inode: u64 = place.rsplit(':').next()?.parse().ok()?;
        let pid: u32 = pid.parse().ok().filter(|pid| *pid != own)?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        inodes.contains(&inode).then(|| format!("process {pid} ({})", name.trim()))
    })
}

#[cfg(not(target_os = "linux"))]
fn process_holding(_file: &Path) -> Option<String> {
    None
}
