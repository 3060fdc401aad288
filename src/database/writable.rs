//! Whether a server accepts writes.

use sea_orm::DbBackend;

use super::connection::{Connection, row};
use super::failure::{DatabaseCause, ErrorClass, OTHER_HOSTS};

/// Whether a PostgreSQL server is a standby; false on SQLite.
///
/// # Errors
/// The server's error.
pub(crate) async fn is_standby(connection: &Connection) -> Result<bool, DatabaseCause> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let sql = "SELECT pg_is_in_recovery() AS is_standby";
    Ok(connection.reading(async |reading| row(reading, sql).await).await?.try_get("", "is_standby")?)
}

/// Makes sure that a PostgreSQL server is not a standby. Does nothing on SQLite.
///
/// # Errors
/// [`ErrorClass::Standby`], or the server's error.
pub(crate) async fn require_primary(connection: &Connection) -> Result<(), DatabaseCause> {
    if is_standby(connection).await? {
        let what = "the server is a standby and accepts no writes";
        return Err(DatabaseCause::new(
            ErrorClass::Standby,
            match connection.may_find_primary() {
                true => format!("{what}; {OTHER_HOSTS}"),
                false => what.to_owned(),
            },
        ));
    }
    Ok(())
}

/// Makes sure that a PostgreSQL server accepts writes from this role. Call it before work that writes, because a
/// standby refuses each kind of statement with another SQLSTATE. SQLite itself reports a locked file.
///
/// # Errors
/// [`ErrorClass::Standby`], [`ErrorClass::ReadOnly`], or the server's error.
pub(crate) async fn require_writable(connection: &Connection) -> Result<(), DatabaseCause> {
    require_primary(connection).await?;
    if connection.backend() != DbBackend::Postgres {
        return Ok(());
    }
    let sql = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only";
    match connection.reading(async |reading| row(reading, sql).await).await?.try_get("", "is_read_only")? {
        true => Err(DatabaseCause::new(ErrorClass::ReadOnly, "this role's transactions are read-only by default")),
        false => Ok(()),
    }
}
