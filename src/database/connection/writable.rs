//! Whether a server accepts writes.

use sea_orm::DbBackend;

use super::query::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::transaction::Transaction;

/// Makes sure that a PostgreSQL server is not a standby. Does nothing on SQLite.
///
/// # Errors
/// [`ErrorClass::Standby`], or the server's error.
pub(crate) async fn require_primary(connection: &Transaction) -> Result<(), DatabaseCause> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(());
    }
    match row(connection, "SELECT pg_is_in_recovery() AS is_standby").await?.try_get("", "is_standby")? {
        true => Err(DatabaseCause::new(ErrorClass::Standby, "the server is a standby and accepts no writes")),
        false => Ok(()),
    }
}

/// Makes sure that a PostgreSQL server accepts writes from this role. Call it before work that writes, because a
/// standby refuses each kind of statement with another SQLSTATE. SQLite itself reports a locked file.
///
/// # Errors
/// [`ErrorClass::Standby`], [`ErrorClass::ReadOnly`], or the server's error.
pub(crate) async fn require_writable(connection: &Transaction) -> Result<(), DatabaseCause> {
    require_primary(connection).await?;
    if connection.backend() != DbBackend::Postgres {
        return Ok(());
    }
    let sql = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only";
    match row(connection, sql).await?.try_get("", "is_read_only")? {
        true => Err(DatabaseCause::new(ErrorClass::ReadOnly, "this role's transactions are read-only by default")),
        false => Ok(()),
    }
}
