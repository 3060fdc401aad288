//! Reads a database with a limit for each query. On PostgreSQL in short transactions, so that their settings and locks
//! end with them.
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

/// Reads a database in parts.
pub(crate) struct BoundedReader<'c> {
    connection: &'c Connection,
    limit: Option<Duration>,
    /// When SQLite interrupts the current query.
    deadline: Arc<Mutex<Option<Instant>>>,
    /// That of the last part, if it read catalogs: to end it and to begin another one takes as long as several queries of
    /// a catalog.
    open: Mutex<Option<(Rows, Transaction)>>,
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
        Ok(Self { connection, limit, deadline, open: Mutex::default() })
    }

    #[must_use]
    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    #[must_use]
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Ends the last part: no limit and no lock of it holds for what the connection does from now on.
    pub(crate) async fn end(&self) {
        *lock(&self.deadline) = None;
        let open = lock(&self.open).take();
        if let Some((_, transaction)) = open {
            transaction.rollback().await.ok();
        }
    }

    /// Reads a part. On SQLite all of it counts as one query.
    ///
    /// # Errors
    /// The database's error if it cannot begin.
    pub(crate) async fn read<T>(&self, rows: Rows, read: impl AsyncFnOnce(&Transaction) -> T) -> Result<T, DbErr> {
        let reading = self.begin(rows).await?;
        let result = read(&reading).await;
        reading.rollback().await.ok();
        Ok(result)
    }

    /// Reads a part from catalogs alone. The next part may begin in the same transaction, because no table stays locked
    /// that another session may wait for. `rows` is what that part needs.
    ///
    /// # Errors
    /// The database's error if it cannot begin.
    pub(crate) async fn read_catalogs<T>(
        &self,
        rows: Rows,
        read: impl AsyncFnOnce(&Transaction) -> T,
    ) -> Result<T, DbErr> {
        let reading = self.begin(rows).await?;
        let result = read(&reading).await;
        if reading.is_intact() {
            *lock(&self.open) = Some((rows, reading));
        } else {
            reading.rollback().await.ok();
        }
        Ok(result)
    }

    /// The transaction for a part.
    async fn begin(&self, rows: Rows) -> Result<Transaction, DbErr> {
        let open = lock(&self.open).take_if(|(of, _)| *of == rows);
        if open.is_none() {
            self.end().await;
        }
        *lock(&self.deadline) = self.limit.map(|limit| Instant::now() + limit);
        match open {
            Some((_, transaction)) => Ok(transaction),
            None => begin(self.connection, self.limit, rows).await,
        }
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
        let read = async |sql| {
            let row = reader.read(Rows::Every, async |reading: &Transaction| row(reading, sql).await).await;
            row.expect("a transaction").map_err(DatabaseCause::from)
        };
        let cause = read(COUNT).await.expect_err("it takes minutes");
        assert_eq!(cause.class, ErrorClass::TimedOut, "{cause}");
        let answer = read("SELECT 1 AS one").await.expect("an answer");
        assert_eq!(answer.try_get::<i32>("", "one").expect("a number"), 1);

        reader.end().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let count = COUNT.replace("10000000000", "10000");
        let counted = connection.reading(async |reading| row(reading, &count).await).await.expect("no limit holds");
        assert_eq!(counted.try_get::<i64>("", "numbers").expect("a number"), 10_000);
    }
}
