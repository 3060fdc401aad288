//! Connections to SQLite.

use std::path::Path;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::limits::busy_timeout;
use crate::database::failure::{DatabaseCause, ErrorClass, io_message};
use crate::database::sqlite_file::{is_at_rest, wal_of};
use crate::database::url::SqliteLocation;
use crate::fs::free_space;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only; a SQLite file is not changed, and nothing is left beside it that was not there
    /// (a `-wal` without its `-shm` gets one).
    Read,
    /// Reading and writing what is there.
    Write,
    /// As `Write`, and a missing SQLite file is created, with its directory.
    Create,
}

/// Opens one connection. A file is looked at first.
pub(crate) async fn open_sqlite(
    location: &SqliteLocation,
    access: Access,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, DatabaseCause> {
    let mut options = SqliteConnectOptions::new()
        .busy_timeout(busy_timeout(location.busy_timeout.unwrap_or(lock_timeout)))
        .foreign_keys(true)
        .disable_statement_logging();
    options = match &location.path {
        None => options.in_memory(true),
        Some(path) => {
            match access {
                Access::Create if !path.exists() => create_parent(path)?,
                Access::Read | Access::Write | Access::Create => require_file(path, access)?,
            }
            options
                .filename(path)
                .create_if_missing(access == Access::Create)
                .read_only(access == Access::Read)
                .immutable(access == Access::Read && is_at_rest(path))
        }
    };
    // Memory lives in its one connection: it must never be closed for age.
    let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.after_release(|connection, _| Box::pin(is_sound(connection)));
    let opened = async {
        let pool = pool.connect_with(options).await?;
        // SQLite opens anything; only reading shows whether it is a database.
        sqlx::query("PRAGMA schema_version").execute(&pool).await?;
        Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    };
    opened.await.map_err(|error: sqlx::Error| {
        let cause = DatabaseCause::from(error);
        let has_wal = location.path.as_deref().is_some_and(|path| wal_of(path).exists());
        match cause.class {
            ErrorClass::CannotOpen if access == Access::Read && has_wal => DatabaseCause::new(
                ErrorClass::CannotOpen,
                "a `-wal` is beside the file, and reading both needs a directory that can be written: copy them to one",
            ),
            _ => cause,
        }
    })
}

/// Whether a connection may be used again after its transaction. SQLite rolls back by itself when, for one, the disk is
/// full at COMMIT; the driver still counts that transaction, and would take the next one for a savepoint inside it:
/// its COMMIT would succeed and commit nothing.
async fn is_sound(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a transaction that was dropped may still be on its way.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Says why a file cannot be opened in better words than SQLite has.
fn require_file(path: &Path, access: Access) -> Result<(), DatabaseCause> {
    let shown = path.display();
    // Where SQLite may not write it opens for reading, and does not say so.
    let opened = std::fs::OpenOptions::new().read(true).append(access == Access::Write).open(path);
    match opened.and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => {
            Err(DatabaseCause::new(ErrorClass::CannotOpen, format!("{shown} is a directory, not a file")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatabaseCause::new(ErrorClass::NoSuchDatabase, free_space::nothing_at(path)))
        }
        Err(error) => {
            let class = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorClass::Privilege,
                _ => ErrorClass::CannotOpen,
            };
            Err(DatabaseCause::new(class, format!("cannot open {shown}: {}", io_message(&error))))
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
