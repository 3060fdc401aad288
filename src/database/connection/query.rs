//! Queries without parameters.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

/// Runs a query without parameters.
pub(crate) async fn rows(connection: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await
}

/// Runs a query that returns exactly one row, such as an aggregate.
pub(crate) async fn row(connection: &impl ConnectionTrait, sql: &str) -> Result<QueryResult, DbErr> {
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the query gave no row".to_owned()))
}
