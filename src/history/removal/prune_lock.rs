//! The lock that allows one prune per database at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use sea_orm::{ConnectionTrait, DbErr};

use crate::database::connection::Connection;
use crate::database::connection::{self, Access, ConnectError, row};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::url::DatabaseUrl;
use crate::schema::lock::{KEY, NO_TIME_LIMITS};

/// The key of the advisory lock on PostgreSQL, different from those of upgrades and repairs.
const PRUNE: i64 = KEY + 2;

/// A client that disappears loses the lock after 25 s, instead of after two hours as on most systems.
const KEEPALIVE: &str = "SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 5;
    SET LOCAL tcp_keepalives_count = 3";

/// The lock for a prune of a database, held until it is dropped.
///
/// On SQLite take it before the file is opened, and drop it after the file is closed: closing any descriptor of a file
/// drops SQLite's locks on it.
#[derive(Default)]
pub(crate) struct PruneLock {
    /// A lock on the SQLite file that SQLite itself does not use.
    _file: Option<File>,
    /// A transaction that does nothing but hold the lock: behind a pooler a lock of the session would remain.
    _transaction: Option<(Transaction, Connection)>,
}

impl PruneLock {
    /// Takes the lock; `None` if another run holds it.
    ///
    /// # Errors
    /// [`ConnectError`] if the database cannot be opened.
    pub(crate) async fn take(url: &DatabaseUrl) -> Result<Option<Self>, ConnectError> {
        match url {
            DatabaseUrl::Sqlite(location) => Ok(Self::of_file(location.path.as_deref())),
            DatabaseUrl::Postgresql(_) => Self::of_server(url).await,
        }
    }

    fn of_file(path: Option<&Path>) -> Option<Self> {
        // Other errors of the file are reported when the database is opened.
        let Some(Ok(file)) = path.map(File::open) else { return Some(Self::default()) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            // Some file systems do not support locks.
            Ok(()) | Err(TryLockError::Error(_)) => Some(Self { _file: Some(file), ..Self::default() }),
        }
    }

    async fn of_server(url: &DatabaseUrl) -> Result<Option<Self>, ConnectError> {
        let connection = connection::open(url, Access::Write, connection::LOCK_TIMEOUT).await?;
        let transaction = transaction_with_lock(&connection).await;
        let transaction = transaction.map_err(|error| ConnectError { target: url.to_string(), cause: error.into() })?;
        Ok(transaction.map(|transaction| Self { _transaction: Some((transaction, connection)), ..Self::default() }))
    }
}

async fn transaction_with_lock(connection: &Connection) -> Result<Option<Transaction>, DbErr> {
    // Without a snapshot, for which the building of an index would wait.
    let transaction = connection.begin(SearchPath::Role, "").await?;
    transaction.execute_unprepared(NO_TIME_LIMITS).await?;
    transaction.execute_unprepared(KEEPALIVE).await?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({PRUNE}) AS is_alone");
    let is_alone: bool = row(&transaction, &sql).await?.try_get("", "is_alone")?;
    Ok(is_alone.then_some(transaction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_pruned_by_one_run_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.db");
        assert!(PruneLock::of_file(Some(&path)).is_some() && !path.exists());
        std::fs::write(&path, "").expect("the file can be written");
        let taken = PruneLock::of_file(Some(&path));
        assert!(taken.is_some() && PruneLock::of_file(Some(&path)).is_none());
        drop(taken);
        assert!(PruneLock::of_file(Some(&path)).is_some());
    }
}
