//! Statements in transactions whose settings end with them, so that a pooler can give the server's session to the
//! backend next.
//!
//! On PostgreSQL every setting is `SET LOCAL`, and statements have names only in sessions that no other client gets. On SQLite a read runs without a
//! transaction, because writers would wait for its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::TryStreamExt;
use futures_util::lock::Mutex;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Postgres, Sqlite, SqliteConnection};

use super::failure::{DatabaseCause, ErrorClass};
use super::namespace::Namespace;
use super::quote::quoted;
use super::session::{Session, StatementNames, ended, exec_error, query_error};
use super::sqlite_thread::{Work, on_handle};

/// Where unqualified names lead in a transaction on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchPath {
    /// Nowhere but to PostgreSQL's own objects: all tables are named with their schemas.
    Empty,
    /// To TARSy's schema, for changes of the schema. Nothing that is evaluated for each row may be unqualified.
    Tarsy,
    /// To temporary tables.
    Temporary,
}

impl SearchPath {
    /// The statements that set the path until the end of the transaction. Texts are quoted as the standard says, and times
    /// are in UTC, whatever the role's settings are.
    pub(crate) fn statements(self, namespace: &Namespace) -> String {
        let schemas = match self {
            // Temporary objects of an earlier client of a pooler would hide the catalog's otherwise.
            SearchPath::Empty => "pg_catalog, pg_temp".to_owned(),
            SearchPath::Temporary => "pg_temp".to_owned(),
            SearchPath::Tarsy => {
                let schemas = namespace.schemas().into_iter().map(quoted);
                schemas.chain(["pg_temp".to_owned()]).collect::<Vec<_>>().join(", ")
            }
        };
        format!(
            "SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off; SET LOCAL TimeZone = 'UTC'; \
             SET LOCAL search_path = {schemas}"
        )
    }
}

/// Runs statements: on PostgreSQL in a transaction, which is rolled back if it is dropped before its commit; on SQLite in
/// one or without, as it was begun.
pub struct Transaction {
    inner: Inner,
    namespace: Arc<Namespace>,
    /// Counts the answers of the database.
    answers: Arc<AtomicU64>,
    has_failed: AtomicBool,
}

enum Inner {
    /// SQLite without a transaction.
    SqliteConnection(DatabaseConnection),
    Sqlite(Mutex<SqliteSession>),
    Postgresql(Mutex<Session>),
}

/// A transaction on SQLite, which is rolled back if it is dropped before its end.
pub(crate) type SqliteTransaction = sqlx::Transaction<'static, Sqlite>;

/// `None` while a thread works in it, and afterwards if its result was not awaited.
struct SqliteSession(Option<SqliteTransaction>);

impl SqliteSession {
    fn take(&mut self) -> Result<SqliteTransaction, DbErr> {
        self.0.take().ok_or_else(ended)
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, DbErr> {
        self.0.as_deref_mut().ok_or_else(ended)
    }
}

impl Transaction {
    /// Reads from SQLite without a transaction.
    pub(crate) fn of_sqlite_connection(connection: DatabaseConnection, answers: Arc<AtomicU64>) -> Self {
        Self::of(Inner::SqliteConnection(connection), Arc::default(), answers)
    }

    /// On an empty database of SQLite's in memory, for tests.
    #[cfg(test)]
    pub(crate) async fn in_memory() -> Self {
        let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).max_lifetime(None);
        let pool = options.connect("sqlite::memory:").await.expect("memory");
        Self::of_sqlite_connection(sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(pool), Arc::default())
    }

    pub(crate) fn of_sqlite(transaction: SqliteTransaction, answers: Arc<AtomicU64>) -> Self {
        Self::of(Inner::Sqlite(Mutex::new(SqliteSession(Some(transaction)))), Arc::default(), answers)
    }

    pub(crate) fn of_postgresql(session: Session, namespace: Arc<Namespace>, answers: Arc<AtomicU64>) -> Self {
        Self::of(Inner::Postgresql(Mutex::new(session)), namespace, answers)
    }

    fn of(inner: Inner, namespace: Arc<Namespace>, answers: Arc<AtomicU64>) -> Self {
        Self { inner, namespace, answers, has_failed: AtomicBool::new(false) }
    }

    /// Whether no statement has failed. After one that has, PostgreSQL refuses all others.
    #[must_use]
    pub(crate) fn is_intact(&self) -> bool {
        !self.has_failed.load(Ordering::Relaxed)
    }

    /// Takes an answer of the database.
    fn answered<T, E>(&self, answer: Result<T, E>) -> Result<T, E> {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.has_failed.fetch_or(answer.is_err(), Ordering::Relaxed);
        answer
    }

    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        match &self.inner {
            Inner::SqliteConnection(_) | Inner::Sqlite(_) => DbBackend::Sqlite,
            Inner::Postgresql(_) => DbBackend::Postgres,
        }
    }

    /// Where TARSy's tables are.
    #[must_use]
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The quoted name of a table, with its schema on PostgreSQL.
    #[must_use]
    pub(crate) fn table(&self, table: &str) -> String {
        self.namespace.table(table)
    }

    /// Looks again where the tables are. `None` on SQLite.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn renew_namespace(&mut self) -> Result<Option<Arc<Namespace>>, DbErr> {
        let Inner::Postgresql(session) = &self.inner else { return Ok(None) };
        let mut session = session.lock().await;
        let found = Namespace::look_up(session.connection()?, Some(self.namespace.path())).await;
        let found = self.answered(found).map(Arc::new).map_err(query_error)?;
        drop(session);
        self.namespace = Arc::clone(&found);
        Ok(Some(found))
    }

    /// Changes the search path until the end of the transaction. Does nothing on SQLite.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn search(&self, path: SearchPath) -> Result<(), DbErr> {
        match self.backend() {
            DbBackend::Postgres => self.execute_unprepared(&path.statements(&self.namespace)).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The rows of a query that PostgreSQL plans for its values, also if it has run before: a plan for any values might
    /// sort what an index would give in order.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn query_planned_anew(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Inner::Postgresql(session) = &self.inner else { return self.query_all_raw(statement).await };
        let rows = prepared(&statement, StatementNames::None).fetch_all(session.lock().await.connection()?).await;
        Ok(self.answered(rows).map_err(query_error)?.into_iter().map(Into::into).collect())
    }

    /// Runs `work` on PostgreSQL so that the transaction continues if it fails. What it locked is released, and what it set
    /// or changed is undone.
    ///
    /// # Errors
    /// The database's error, if the transaction cannot continue.
    pub(crate) async fn attempt<T, E>(&self, work: impl AsyncFnOnce() -> Result<T, E>) -> Result<Result<T, E>, DbErr> {
        self.execute_unprepared("SAVEPOINT attempt").await?;
        let result = work().await;
        self.execute_unprepared("ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt").await?;
        Ok(result)
    }

    /// Calls `take` for each row of a query, while the query runs.
    ///
    /// # Errors
    /// The database's error, or that of `take`.
    pub(crate) async fn each<E: From<DbErr>>(
        &self,
        statement: Statement,
        take: impl AsyncFnMut(QueryResult) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.inner {
            Inner::SqliteConnection(connection) => {
                self.drain(sea_orm::StreamTrait::stream_raw(connection, statement).await?, take).await
            }
            Inner::Sqlite(session) => {
                let mut session = session.lock().await;
                let rows = bound::<Sqlite>(&statement).fetch(session.connection()?);
                self.drain(rows.map_ok(Into::into).map_err(query_error), take).await
            }
            Inner::Postgresql(session) => {
                let mut session = session.lock().await;
                let statement = prepared(&statement, session.names);
                let rows = statement.fetch(session.connection()?);
                self.drain(rows.map_ok(Into::into).map_err(query_error), take).await
            }
        }
    }

    /// Each row counts as an answer: a server whose rows are taken slowly is not silent.
    async fn drain<E: From<DbErr>>(
        &self,
        mut rows: impl futures_util::Stream<Item = Result<QueryResult, DbErr>> + Unpin,
        mut take: impl AsyncFnMut(QueryResult) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(row) = self.answered(rows.try_next().await)? {
            take(row).await?;
        }
        Ok(())
    }

    /// Runs `work` with SQLite's handle, in a transaction on SQLite.
    ///
    /// # Errors
    /// SQLite's error, or that of `work`.
    pub(crate) async fn on_sqlite_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Result<T, DatabaseCause> {
        let Inner::Sqlite(session) = &self.inner else {
            return Err(DatabaseCause::new(ErrorClass::Other, "there is no transaction on SQLite"));
        };
        let mut session = session.lock().await;
        let (transaction, result) = Work::start(session.take()?, work).finish().await?;
        session.0 = Some(transaction);
        self.answered(result)
    }

    /// Runs short work with SQLite's handle outside of a transaction, for example to add a function.
    ///
    /// # Errors
    /// SQLite's error, or that of `work`.
    pub(crate) async fn on_sqlite_handle<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DatabaseCause>,
    ) -> Result<T, DatabaseCause> {
        let Inner::SqliteConnection(pool) = &self.inner else {
            return Err(DatabaseCause::new(
                ErrorClass::Other,
                "there is no connection to SQLite without a transaction",
            ));
        };
        let mut connection = pool.get_sqlite_connection_pool().acquire().await?;
        on_handle(&mut connection.lock_handle().await?, work)
    }

    /// Ends the transaction. Nothing happens on SQLite without one.
    ///
    /// # Errors
    /// The database's error; if the connection broke, the outcome is unknown.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        match self.inner {
            Inner::SqliteConnection(_) => Ok(()),
            Inner::Sqlite(session) => session.into_inner().take()?.commit().await.map_err(exec_error),
            Inner::Postgresql(session) => session.into_inner().commit().await.map_err(exec_error),
        }
    }

    /// Undoes the transaction. Nothing happens on SQLite without one.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        match self.inner {
            Inner::SqliteConnection(_) => Ok(()),
            Inner::Sqlite(session) => session.into_inner().take()?.rollback().await.map_err(exec_error),
            Inner::Postgresql(session) => session.into_inner().rollback().await.map_err(exec_error),
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let done = match &self.inner {
            Inner::SqliteConnection(connection) => connection.execute_raw(statement).await,
            Inner::Sqlite(session) => {
                let done = bound::<Sqlite>(&statement).execute(session.lock().await.connection()?).await;
                done.map(Into::into).map_err(exec_error)
            }
            Inner::Postgresql(session) => execute(session, &statement).await,
        };
        self.answered(done)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let done = match &self.inner {
            Inner::SqliteConnection(connection) => connection.execute_unprepared(sql).await,
            Inner::Sqlite(session) => {
                let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(session.lock().await.connection()?).await;
                done.map(Into::into).map_err(exec_error)
            }
            Inner::Postgresql(session) => {
                let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(session.lock().await.connection()?).await;
                done.map(Into::into).map_err(exec_error)
            }
        };
        self.answered(done)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows = match &self.inner {
            Inner::SqliteConnection(connection) => connection.query_all_raw(statement).await,
            Inner::Sqlite(session) => {
                let rows = bound::<Sqlite>(&statement).fetch_all(session.lock().await.connection()?).await;
                rows.map(|rows| rows.into_iter().map(Into::into).collect()).map_err(query_error)
            }
            Inner::Postgresql(session) => query(session, &statement).await,
        };
        self.answered(rows)
    }
}

async fn execute(session: &Mutex<Session>, statement: &Statement) -> Result<ExecResult, DbErr> {
    let mut session = session.lock().await;
    let names = session.names;
    let connection = session.connection()?;
    let done = match has_values(statement) {
        true => prepared(statement, names).execute(connection).await,
        false => sqlx::raw_sql(AssertSqlSafe(statement.sql.as_str())).execute(connection).await,
    };
    done.map(Into::into).map_err(exec_error)
}

async fn query(session: &Mutex<Session>, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
    let mut session = session.lock().await;
    let names = session.names;
    let connection = session.connection()?;
    let rows = match has_values(statement) {
        true => prepared(statement, names).fetch_all(connection).await,
        false => sqlx::raw_sql(AssertSqlSafe(statement.sql.as_str())).fetch_all(connection).await,
    };
    Ok(rows.map_err(query_error)?.into_iter().map(Into::into).collect())
}

/// Whether values are bound. A statement without any is a simple query, which takes one round trip instead of two.
fn has_values(statement: &Statement) -> bool {
    statement.values.as_ref().is_some_and(|values| !values.0.is_empty())
}

/// The statement as sqlx runs it on PostgreSQL.
fn prepared(statement: &Statement, names: StatementNames) -> sqlx::query::Query<'_, Postgres, SqlxValues> {
    bound::<Postgres>(statement).persistent(names == StatementNames::Kept)
}

/// The statement as sqlx runs it.
fn bound<D: sqlx::Database>(statement: &Statement) -> sqlx::query::Query<'_, D, SqlxValues>
where
    SqlxValues: sqlx::IntoArguments<D>,
{
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_row_of_a_long_answer_shows_that_the_database_is_alive() {
        let transaction = Transaction::in_memory().await;
        let rows = Statement::from_string(DbBackend::Sqlite, "VALUES (1), (2), (3)");
        let mut answers = Vec::new();
        let take = async |_| {
            answers.push(transaction.answers.load(Ordering::Relaxed));
            Ok::<_, DbErr>(())
        };
        transaction.each(rows, take).await.expect("an answer");
        assert_eq!(answers, [1, 2, 3]);
    }

    #[test]
    fn a_statement_has_a_name_on_the_server_only_if_the_session_is_its_own() {
        let statement = Statement::from_string(DbBackend::Postgres, "SELECT 1");
        let has_name = |names| sqlx::Execute::persistent(&prepared(&statement, names));
        assert_eq!([StatementNames::None, StatementNames::Kept].map(has_name), [false, true]);
    }
}
