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

/// How long a transaction may last whose next part begins in it.
const SHORT: Duration = Duration::from_millis(200);

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
    /// The transaction of the last part, if another one may be read in it: to end it and to begin one takes as long as
    /// several queries of a catalog.
    open: Mutex<Option<OpenTransaction>>,
}

struct OpenTransaction {
    transaction: Transaction,
    rows: Rows,
    began: Instant,
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

    /// No limit holds for what the connection does from now on.
    pub(crate) async fn end(self) {
        self.end_open().await;
        *lock(&self.deadline) = None;
    }

    /// Reads a part. On SQLite all of it counts as one query.
    ///
    /// # Errors
    /// The database's error if it cannot begin.
    pub(crate) async fn read<T>(&self, rows: Rows, read: impl AsyncFnOnce(&Transaction) -> T) -> Result<T, DbErr> {
        *lock(&self.deadline) = self.limit.map(|limit| Instant::now() + limit);
        let open = lock(&self.open).take();
        let reading = match open {
            Some(open) if open.rows == rows => open,
            other => {
                end(other).await;
                let began = Instant::now();
                OpenTransaction { transaction: begin(self.connection, self.limit, rows).await?, rows, began }
            }
        };
        let result = read(&reading.transaction).await;
        if reading.transaction.is_intact() && reading.began.elapsed() < SHORT {
            *lock(&self.open) = Some(reading);
        } else {
            end(Some(reading)).await;
        }
        Ok(result)
    }

    /// Ends the transaction of the last part.
    pub(crate) async fn end_open(&self) {
        let open = lock(&self.open).take();
        end(open).await;
    }
}

async fn end(open: Option<OpenTransaction>) {
    if let Some(OpenTransaction { transaction, .. }) = open {
        transaction.rollback().await.ok();
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
    }
}
