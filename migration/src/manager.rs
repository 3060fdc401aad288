//! Runs the statements of a revision, and records those that change the database.
//!
//! SeaORM's schema manager would run on SeaORM's own connections only, whose statements have names on a server.

use std::sync::{Mutex, PoisonError};

use sea_orm_migration::async_trait::async_trait;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, StatementBuilder};
use sea_orm_migration::sea_query::{IndexCreateStatement, TableAlterStatement, TableCreateStatement};

/// A connection of any kind.
#[async_trait]
trait Executor: Sync {
    fn backend(&self) -> DbBackend;
    /// Returns the number of changed rows.
    async fn execute(&self, statement: Statement) -> Result<u64, DbErr>;
    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr>;
}

#[async_trait]
impl<C: ConnectionTrait> Executor for C {
    fn backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    async fn execute(&self, statement: Statement) -> Result<u64, DbErr> {
        Ok(self.execute_raw(statement).await?.rows_affected())
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.query_all_raw(statement).await
    }
}

/// Runs the statements of a revision on a connection.
pub(crate) struct Manager<'c> {
    connection: &'c dyn Executor,
    statements: Mutex<Vec<String>>,
}

impl<'c> Manager<'c> {
    pub(crate) fn on(connection: &'c impl ConnectionTrait) -> Self {
        Self { connection, statements: Mutex::default() }
    }

    /// The statements that were run, without queries.
    pub(crate) fn into_statements(self) -> Vec<String> {
        self.statements.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.connection.backend()
    }

    pub(crate) async fn create_table(&self, table: TableCreateStatement) -> Result<(), DbErr> {
        self.change(&table).await.map(|_| ())
    }

    pub(crate) async fn alter_table(&self, table: TableAlterStatement) -> Result<(), DbErr> {
        self.change(&table).await.map(|_| ())
    }

    pub(crate) async fn create_index(&self, index: IndexCreateStatement) -> Result<(), DbErr> {
        self.change(&index).await.map(|_| ())
    }

    /// Runs a statement that SeaORM cannot build.
    pub(crate) async fn execute(&self, sql: impl Into<String>) -> Result<(), DbErr> {
        self.run(Statement::from_string(self.backend(), sql)).await.map(|_| ())
    }

    /// Runs a statement, and returns the number of changed rows.
    pub(crate) async fn run(&self, statement: Statement) -> Result<u64, DbErr> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).push(statement.to_string());
        self.connection.execute(statement).await
    }

    pub(crate) async fn query(&self, sql: String) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.query(Statement::from_string(self.backend(), sql)).await
    }

    /// The texts that a query gives in its column `answer`.
    pub(crate) async fn texts(&self, sql: String) -> Result<Vec<String>, DbErr> {
        self.query(sql).await?.iter().map(|row| row.try_get("", "answer")).collect()
    }

    /// Runs a statement of SeaORM's, and returns the number of changed rows.
    pub(crate) async fn change(&self, statement: &impl StatementBuilder) -> Result<u64, DbErr> {
        self.run(self.backend().build(statement)).await
    }
}
