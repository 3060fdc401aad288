//! Connections to SQLite.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::limits::busy_timeout;
use crate::database::failure::{DatabaseCause, ErrorClass, io_message};
use crate::database::sqlite_file::{
    HEADER_LENGTH, beside, header, is_at_rest, is_missing, newer_format, newer_write_version, obstacle_beside,
    protection, special_beside, unreadable_beside, wal_of,
};
use crate::database::sqlite_holder;
use crate::database::url::SqliteLocation;
use crate::fs::{free_space, regular_file};

const NAME_THE_FILE: &str = "name the file of the database in the URL, such as `sqlite:////var/lib/tarsy/history.db`";

/// How long the connections of a command that has failed may take to close a file.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only. The SQLite file is not changed, and no new file is left beside it (except a `-shm` for an existing
    /// `-wal`).
    Read,
    /// Read and write an existing database.
    Write,
    /// As `Write`; a missing SQLite file is created, with its directory.
    Create,
}

/// Opens a pool of exactly one connection, after a check of the file.
pub(crate) async fn open_sqlite(
    location: &SqliteLocation,
    access: Access,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, DatabaseCause> {
    // What is done to a copy of the schema in memory would look like changes of the history.
    let logged = if location.path.is_some() { LevelFilter::Debug } else { LevelFilter::Off };
    let mut options = SqliteConnectOptions::new()
        .busy_timeout(busy_timeout(location.busy_timeout.unwrap_or(lock_timeout)))
        .foreign_keys(true)
        .log_statements(logged)
        .log_slow_statements(LevelFilter::Off, Duration::MAX);
    options = match &location.path {
        None => options.in_memory(true),
        Some(path) => {
            match access {
                Access::Create if path.as_os_str().as_bytes().ends_with(b"/") => {
                    let message = format!("{} is the name of a directory, not of a file", path.display());
                    return Err(DatabaseCause::new(ErrorClass::CannotOpen, message));
                }
                Access::Create if is_missing(path) => {
                    create_parent(path)?;
                    special_beside(path).map_or(Ok(()), Err)?;
                }
                Access::Read | Access::Write | Access::Create => require_file(path, access)?,
            }
            options
                .filename(path)
                .create_if_missing(access == Access::Create)
                .read_only(access == Access::Read)
                .immutable(access == Access::Read && is_at_rest(path))
        }
    };
    let cause = match connect(options.clone()).await {
        Ok(opened) => return Ok(opened),
        Err(cause) => cause,
    };
    match (cause.class, wal_length(location.path.as_deref())) {
        (ErrorClass::Busy, _) => Err(location.path.as_deref().map_or(cause, sqlite_holder::locked)),
        // Without room for the `-shm` no program can use the `-wal`. An empty one, as a failed attempt leaves it, is not
        // needed to read.
        (ErrorClass::DiskFull, Some(0)) if access == Access::Read => connect(options.immutable(true)).await,
        (ErrorClass::CannotOpen, Some(_)) if access == Access::Read => Err(DatabaseCause::new(
            ErrorClass::CannotOpen,
            "SQLite reads a file with a `-wal` only in a writable directory: copy both files to one",
        )),
        // SQLite itself gives no reason.
        (ErrorClass::CannotOpen, _) if access == Access::Create => {
            let directory = location.path.as_deref().and_then(Path::parent);
            Err(directory
                .and_then(free_space::obstacle_to_file)
                .map_or(cause, |obstacle| DatabaseCause::new(ErrorClass::CannotOpen, obstacle)))
        }
        _ => Err(cause),
    }
}

async fn connect(options: SqliteConnectOptions) -> Result<DatabaseConnection, DatabaseCause> {
    // The database in memory ends with its connection: the pool must never replace it because of its age.
    let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.after_release(|connection, _| Box::pin(is_sound(connection)));
    let pool = pool.connect_with(options).await?;
    // SQLite opens any file; only a read shows whether it is a database.
    sqlx::query("PRAGMA schema_version").execute(&pool).await?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Removes the empty `-wal` and the `-shm` that a command leaves beside a file if there is no room for them.
///
/// No program has them open while they are removed, and no row is in them. A connection to a file in WAL mode locks the
/// file before it opens either of them, and holds this shared lock until it has closed them. So SQLite grants the
/// exclusive lock only if no connection exists, and a new one waits for it. A new file itself stays: another program may
/// have opened it before it asks for a lock.
pub(crate) async fn remove_empty_wal(path: &Path) {
    if wal_length(Some(path)) != Some(0) || special_beside(path).is_some() {
        return;
    }
    // This locking mode takes the exclusive lock, and keeps in memory what the `-shm` has no room for.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(CLOSE_TIMEOUT)
        .log_statements(LevelFilter::Off);
    let Ok(mut connection) = SqliteConnection::connect_with(&options).await else { return };
    if sqlx::query("PRAGMA schema_version").execute(&mut connection).await.is_ok() {
        std::fs::remove_file(beside(path, "-shm")).ok();
    }
    // The last connection to a file removes the `-wal`.
    connection.close().await.ok();
}

/// The length of the `-wal` beside a file in bytes, if there is one.
fn wal_length(path: Option<&Path>) -> Option<u64> {
    Some(wal_of(path?).metadata().ok()?.len())
}

/// Whether the pool may use the connection again after its transaction. SQLite rolls back on its own if, for example,
/// the disk is full at COMMIT. The driver still counts that transaction and would make the next one a savepoint inside
/// it, whose COMMIT would succeed and commit nothing.
async fn is_sound(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a dropped transaction may still be pending.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Reports why a file cannot be read or written, in more detail than SQLite does. Call it before SQLite opens the file,
/// because closing it afterwards would drop SQLite's own locks.
pub(crate) fn require_file(path: &Path, access: Access) -> Result<(), DatabaseCause> {
    let shown = path.display();
    let is_written = access != Access::Read;
    if let Some(protection) = protection(path).filter(|_| is_written) {
        return Err(protection);
    }
    // If SQLite may not write to the file, it silently opens it for reading.
    let opened = regular_file::refuse_special(path)
        .and_then(|()| std::fs::OpenOptions::new().read(true).write(is_written).open(path));
    match opened.and_then(|file| Ok((file.metadata()?, header(&file)))) {
        Ok((metadata, _)) if metadata.is_dir() => {
            let remedy = format!("name a file in it, such as `sqlite:///{}`", path.join("history.db").display());
            let message = format!("{shown} is a directory, not a file");
            Err(DatabaseCause::new(ErrorClass::CannotOpen, message).with_remedy(remedy))
        }
        // SQLite finds it out with the first query of a table only.
        Ok((metadata, _)) if (1..HEADER_LENGTH as u64).contains(&metadata.len()) => {
            let what =
                format!("{shown} is not a database: it has {} bytes, the header alone {HEADER_LENGTH}", metadata.len());
            Err(DatabaseCause::new(ErrorClass::Corrupt, what))
        }
        Ok((_, header)) => {
            let obstacle = special_beside(path).or_else(|| newer_format(&header)).or_else(|| match access {
                Access::Read => {
                    let denied = |obstacle| DatabaseCause::new(ErrorClass::FilePermission, obstacle);
                    unreadable_beside(path).map(denied)
                }
                Access::Write | Access::Create => newer_write_version(&header).or_else(|| obstacle_beside(path)),
            });
            obstacle.map_or(Ok(()), Err)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatabaseCause::new(ErrorClass::NoSuchFile, free_space::nothing_at(path)))
        }
        Err(error) if regular_file::is_special(&error) => {
            Err(DatabaseCause::new(ErrorClass::InputOutput, format!("{shown} is {error}")).with_remedy(NAME_THE_FILE))
        }
        Err(error) => {
            let class = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    ErrorClass::FilePermission
                }
                _ => ErrorClass::CannotOpen,
            };
            Err(DatabaseCause::new(class, io_message(&error)))
        }
    }
}

fn create_parent(path: &Path) -> Result<(), DatabaseCause> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        None => Ok(()),
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| {
            let message = format!("cannot create the directory {}: {}", parent.display(), io_message(&error));
            DatabaseCause::new(ErrorClass::CannotOpen, message)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_no_program_has_open_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.db");
        let files = || std::fs::read_dir(directory.path()).expect("a directory").count();
        let program = rusqlite::Connection::open(&path).expect("a file");
        program.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").expect("sound SQL");
        program.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("no reader");
        assert_eq!((wal_length(Some(&path)), files()), (Some(0), 3));
        remove_empty_wal(&path).await;
        assert_eq!(files(), 3);
        program.execute_batch("INSERT INTO t VALUES (1)").expect("it goes on");
        program.close().expect("it is the last one");

        // As a program without room leaves them.
        std::fs::write(beside(&path, "-wal"), "").expect("a file");
        std::fs::write(beside(&path, "-shm"), "abc").expect("a file");
        remove_empty_wal(&path).await;
        assert_eq!(files(), 1);
        let rows = rusqlite::Connection::open(&path).expect("a file");
        assert_eq!(rows.query_row("SELECT count(*) FROM t", [], |row| row.get(0)), Ok(1));
    }
}
