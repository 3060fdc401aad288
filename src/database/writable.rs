//! Whether a server accepts writes.

use sea_orm::{DbBackend, DbErr};

use super::connection::{Connection, row};
use super::failure::{DatabaseCause, ErrorClass, OTHER_HOSTS};
use super::transaction::Transaction;

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
/// [`ErrorClass::Standby`], [`ErrorClass::ReadOnly`], [`ErrorClass::CommitsWait`], or the server's error.
pub(crate) async fn require_writable(connection: &Connection) -> Result<(), DatabaseCause> {
    require_primary(connection).await?;
    if connection.backend() != DbBackend::Postgres {
        return Ok(());
    }
    let sql = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only";
    let look = async |reading: &Transaction| {
        if row(reading, sql).await?.try_get("", "is_read_only")? {
            let what = "this role's transactions are read-only by default";
            return Ok(Some(DatabaseCause::new(ErrorClass::ReadOnly, what)));
        }
        obstacle_to_commit(reading).await
    };
    connection.reading(look).await?.map_or(Ok(()), Err)
}

/// Why no transaction that writes can end on a server that is not read-only: the server has used up the numbers of its
/// transactions, or each commit waits for a standby. A role that may not look finds nothing.
///
/// # Errors
/// The server's error.
pub(crate) async fn obstacle_to_commit(reading: &Transaction) -> Result<Option<DatabaseCause>, DbErr> {
    // The transaction gets a number, as one that writes.
    let sql = "SELECT pg_current_xact_id()::text AS number, current_setting('synchronous_standby_names') AS names,
                      current_setting('synchronous_commit') NOT IN ('off', 'local') AS waits";
    let settings = match row(reading, sql).await.map_err(DatabaseCause::from) {
        Ok(settings) => settings,
        Err(cause) if cause.class == ErrorClass::Privilege => return Ok(None),
        Err(cause) => return Ok(Some(cause)),
    };
    let names: String = settings.try_get("", "names")?;
    if names.is_empty() || !settings.try_get::<bool>("", "waits")? {
        return Ok(None);
    }
    // What a role may not see is NULL.
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_replication
                              WHERE sync_state IS NULL OR sync_state IN ('sync', 'quorum')) AS may_confirm";
    let standby = row(reading, sql).await.map(|row| row.try_get("", "may_confirm"));
    let message =
        format!("commits wait for a standby, because `synchronous_standby_names` is `{names}`, and none is connected");
    let waits = DatabaseCause::new(ErrorClass::CommitsWait, message)
        .with_remedy("start that standby, or let a superuser change `synchronous_standby_names` of the server");
    Ok(matches!(standby, Ok(Ok(false))).then_some(waits))
}
