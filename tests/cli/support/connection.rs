//! A connection of a test's own to either backend, for code that is not asynchronous.

use sqlx::{AssertSqlSafe, Connection as _, Decode, PgConnection, Postgres, Sqlite, SqliteConnection, Type};
use tokio::runtime::Runtime;

use super::database::runtime;

/// A value of a column on either backend.
pub(crate) trait Value:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin
{
}

impl<T> Value for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin
{
}

/// A connection. Every method panics on an error.
pub(crate) struct Connection {
    runtime: Runtime,
    driver: Driver,
}

enum Driver {
    Sqlite(SqliteConnection),
    Postgresql(PgConnection),
}

impl Connection {
    /// Connects to a URL as the driver reads it.
    #[track_caller]
    pub(crate) fn open(url: &str) -> Self {
        let runtime = runtime();
        let opened = runtime.block_on(async {
            match url.starts_with("sqlite:") {
                true => SqliteConnection::connect(url).await.map(Driver::Sqlite),
                false => PgConnection::connect(url).await.map(Driver::Postgresql),
            }
        });
        Self { runtime, driver: opened.unwrap_or_else(|error| panic!("{error}")) }
    }

    /// Runs one statement or several.
    #[track_caller]
    pub(crate) fn execute(&mut self, sql: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql));
        let done = self.runtime.block_on(async {
            match &mut self.driver {
                Driver::Sqlite(connection) => statements.execute(connection).await.map(drop),
                Driver::Postgresql(connection) => statements.execute(connection).await.map(drop),
            }
        });
        done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The first column of each row.
    #[track_caller]
    pub(crate) fn column<T: Value>(&mut self, sql: &str) -> Vec<T> {
        let column = self.runtime.block_on(async {
            match &mut self.driver {
                Driver::Sqlite(connection) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await,
                Driver::Postgresql(connection) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await,
            }
        });
        column.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// The first column of each row as text. The query has to cast what is not text.
    #[track_caller]
    pub(crate) fn texts(&mut self, sql: &str) -> Vec<Option<String>> {
        self.column(sql)
    }

    /// The one number that a query gives.
    #[track_caller]
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        self.column(sql)[0]
    }

    /// Ends the connection, and with it its transaction.
    pub(crate) fn close(self) {
        let closed = self.runtime.block_on(async {
            match self.driver {
                Driver::Sqlite(connection) => connection.close().await,
                Driver::Postgresql(connection) => connection.close().await,
            }
        });
        closed.expect("the connection closes");
    }
}
