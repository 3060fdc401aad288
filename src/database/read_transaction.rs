//! Reads a database with a limit for each query. On PostgreSQL in short transactions, so that their settings end with
//! them.
//!
//! On SQLite without transactions, because writers would wait for their end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr};

use super::connection::milliseconds;
use super::mark;
use crate::database::connection::Connection;
use crate::database::transaction::{SearchPath, Transaction};
use crate::mutex::lock;

/// The limit of a query whose answer is only informative.
pub(crate) const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// Makes the server refuse a query from which a row policy would hide rows, until the end of the transaction.
pub(crate) const EVERY_ROW: &str = "SET LOCAL row_security = off";

/// How many instructions SQLite runs between two checks of the deadline.
const INSTRUCTIONS: i32 = 10_000;

/// Which rows a transaction reads if a row policy of PostgreSQL hides some from the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All rows, for decisions: the server refuses a query from which a policy would hide rows.
    Every,
    /// The rows that the role may see.
    Visible,
}

/// Reads from one connection.
pub(crate) struct BoundedReader<'c> {
    connection: &'c Connection,
    limit: Option<Duration>,
    /// When SQLite interrupts the current query.
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl<'c> BoundedReader<'c> {
    /// Prepares to read. A query that takes longer than `limit` fails as
    /// [`crate::database::failure::ErrorClass::TimedOut`].
    pub(crate) async fn new(connection: &'c Connection, limit: Option<Duration>) -> Result<Self, DbErr> {
        let deadline = Arc::<Mutex<Option<Instant>>>::default();
        if connection.backend() == DbBackend::Sqlite && limit.is_some() {
            let of_handler = Arc::clone(&deadline);
            let may_continue = move || {
                let deadline = *lock(&of_handler);
                deadline.is_none_or(|deadline| Instant::now() < deadline)
            };
            let acquired = connection.pool().get_sqlite_connection_pool().acquire().await;
            let mut connection = acquired.map_err(|error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))?;
            let handle = connection.lock_handle().await;
            let mut handle = handle.map_err(|error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))?;
            handle.set_progress_handler(INSTRUCTIONS, may_continue);
        }
        Ok(Self { connection, limit, deadline })
    }

    #[must_use]
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// No limit holds for what the connection does from now on.
    pub(crate) fn end(self) {
        *lock(&self.deadline) = None;
    }

    /// Begins to read. On SQLite everything that is read until the next `begin` counts as one query.
    pub(crate) async fn begin(&self, rows: Rows) -> Result<Transaction, DbErr> {
        *lock(&self.deadline) = self.limit.map(|limit| Instant::now() + limit);
        begin(self.connection, self.limit, rows).await
    }
}

/// Begins a read transaction in which each statement may take `limit`. It overrides the role's own limit.
pub(crate) async fn begin(connection: &Connection, limit: Option<Duration>, rows: Rows) -> Result<Transaction, DbErr> {
    connection.begin_reading(SearchPath::Empty, &set_up(limit, rows)).await
}

/// The first statements of a read transaction on PostgreSQL.
pub(crate) fn set_up(limit: Option<Duration>, rows: Rows) -> String {
    let limit = limit.map_or(0, milliseconds);
    let every_row = if rows == Rows::Every { EVERY_ROW } else { "" };
    format!("SET LOCAL statement_timeout = {limit}; {every_row}; {}", mark::transaction())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::connection::row;
    use crate::database::failure::{DatabaseCause, ErrorClass};

    const COUNT: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000000000)
        SELECT count(*) AS numbers FROM n";

    #[tokio::test]
    async fn a_query_of_sqlite_that_takes_too_long_is_given_up_and_the_next_one_is_not() {
        let connection = Connection::in_memory().await;
        let reader = BoundedReader::new(&connection, Some(Duration::from_millis(50))).await.expect("a handler");
        let reading = reader.begin(Rows::Every).await.expect("a transaction");
        let cause = DatabaseCause::from(row(&reading, COUNT).await.expect_err("it takes minutes"));
        assert_eq!(cause.class, ErrorClass::TimedOut, "{cause}");
        reading.rollback().await.ok();
        let reading = reader.begin(Rows::Every).await.expect("a transaction");
        let answer = row(&reading, "SELECT 1 AS one").await.expect("an answer");
        assert_eq!(answer.try_get::<i32>("", "one").expect("a number"), 1);
    }
}
