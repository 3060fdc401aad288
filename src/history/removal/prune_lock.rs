//! The lock that allows one prune of a history at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use sea_orm::{ConnectionTrait, DbErr};

use crate::database::connection::{Connection, row};
use crate::database::mark;
use crate::database::namespace::Namespace;
use crate::database::quote::literal;
use crate::database::transaction::{SearchPath, Transaction};
use crate::fs::regular_file;
use crate::history::tables::SESSIONS;
use crate::schema::lock::KEY;

/// The key of the advisory lock on PostgreSQL, different from those of upgrades and repairs.
const PRUNE: i64 = KEY + 2;

/// The lock for a prune of a history, held until it is dropped.
///
/// On SQLite take it before the file is opened, and drop it after the file is closed: closing any descriptor of a file
/// drops SQLite's locks on it.
#[derive(Default)]
pub(crate) struct PruneLock {
    /// A lock on the SQLite file that SQLite itself does not use.
    _file: Option<File>,
    /// A transaction that does nothing but hold the lock: behind a pooler a lock of the session would remain.
    _transaction: Option<Transaction>,
}

impl PruneLock {
    /// Takes the lock of a SQLite file; `None` if another run holds it. A database in memory needs none.
    #[must_use]
    pub(crate) fn of_file(path: Option<&Path>) -> Option<Self> {
        // Other errors of the file are reported when the database is opened.
        let Some(Ok(file)) = path.map(regular_file::open) else { return Some(Self::default()) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            // Some file systems do not support locks.
            Ok(()) | Err(TryLockError::Error(_)) => Some(Self { _file: Some(file), ..Self::default() }),
        }
    }

    /// Takes the lock on PostgreSQL, with one connection of the pool; `None` if another run holds it. If the pool has no
    /// second connection, each batch has to [take](take_in) it.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn of_server(connection: &Connection) -> Result<Option<Self>, DbErr> {
        // Without a snapshot, for which the building of an index would wait.
        let transaction = connection.begin(SearchPath::Empty, "").await?;
        transaction.execute_unprepared(mark::KEEPALIVE).await?;
        if !take_in(&transaction).await? {
            return Ok(None);
        }
        if !connection.may_have(2) {
            transaction.rollback().await?;
            return Ok(Some(Self::default()));
        }
        Ok(Some(Self { _transaction: Some(transaction), ..Self::default() }))
    }
}

/// Takes the lock until the end of a transaction; false if another run holds it.
///
/// # Errors
/// The server's error.
pub(crate) async fn take_in(transaction: &Transaction) -> Result<bool, DbErr> {
    let key = key(transaction.namespace());
    let sql = format!("SELECT pg_catalog.pg_try_advisory_xact_lock({key}) AS is_alone");
    row(transaction, &sql).await?.try_get("", "is_alone")
}

/// The key in SQL. Each schema of a database may have a history of its own.
fn key(namespace: &Namespace) -> String {
    match namespace.schema_of(SESSIONS) {
        None | Some("public") => PRUNE.to_string(),
        Some(schema) => format!("{PRUNE} OPERATOR(pg_catalog.#) pg_catalog.hashtextextended({}, 0)", literal(schema)),
    }
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
