//! A transaction of a connection of the pool on PostgreSQL.
//!
//! The driver's own would take a message for its beginning and another one for its settings, and would return a
//! connection whose settings failed to the pool, still in the transaction.

use sea_orm::{DbErr, RuntimeErr};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres};

/// A snapshot from before a wait for a lock would not see what was committed meanwhile.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const ROLLBACK: &str = "ROLLBACK";
/// Within a transaction that was not begun here.
const SAVEPOINT: &str = "SAVEPOINT tarsy_db";
const RELEASE: &str = "RELEASE SAVEPOINT tarsy_db";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT tarsy_db; RELEASE SAVEPOINT tarsy_db";

/// Whether a server keeps statements by name, as long as a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementNames {
    /// A pooler may give the session to another client, which would find them.
    None,
    Kept,
}

/// A transaction, or a savepoint. It is rolled back if it is dropped before its end.
pub(crate) struct Session {
    /// `None` after the end.
    connection: Option<PoolConnection<Postgres>>,
    is_savepoint: bool,
    pub(crate) names: StatementNames,
}

impl Session {
    /// Begins with these statements, in one message. Returns the rows that they give.
    pub(crate) async fn begin(
        mut connection: PoolConnection<Postgres>,
        set_up: &str,
    ) -> Result<(Self, Vec<PgRow>), sqlx::Error> {
        let is_savepoint = connection.is_in_transaction();
        let begin = if is_savepoint { SAVEPOINT } else { BEGIN };
        let begun = sqlx::raw_sql(AssertSqlSafe(format!("{begin}; {set_up}"))).fetch_all(&mut *connection).await;
        match begun {
            Ok(rows) => Ok((Self { connection: Some(connection), is_savepoint, names: StatementNames::None }, rows)),
            Err(error) if is_savepoint => Err(error),
            Err(error) => {
                connection.close_on_drop();
                Err(error)
            }
        }
    }

    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, DbErr> {
        self.connection.as_deref_mut().ok_or_else(ended)
    }

    /// After an error the connection is closed: whether the transaction has ended is unknown.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let commit = if self.is_savepoint { RELEASE } else { "COMMIT" };
        end(self.connection.take(), commit).await
    }

    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        let rollback = self.rollback_statement();
        end(self.connection.take(), rollback).await
    }

    fn rollback_statement(&self) -> &'static str {
        if self.is_savepoint { ROLLBACK_TO } else { ROLLBACK }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let rollback = self.rollback_statement();
        let Some(mut connection) = self.connection.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end(Some(connection), rollback))),
            Err(_) => connection.close_on_drop(),
        }
    }
}

async fn end(connection: Option<PoolConnection<Postgres>>, statement: &'static str) -> Result<(), sqlx::Error> {
    let Some(mut connection) = connection else { return Ok(()) };
    let ended = sqlx::raw_sql(statement).execute(&mut *connection).await;
    if ended.is_err() {
        connection.close_on_drop();
    }
    ended.map(drop)
}

/// The error of a statement after the end of its transaction.
pub(crate) fn ended() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the transaction has ended".to_owned()))
}

/// Takes a connection of the pool.
pub(crate) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, DbErr> {
    pool.acquire().await.map_err(connection_error)
}

pub(crate) fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

pub(crate) fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

pub(crate) fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
