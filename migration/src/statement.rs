//! Runs statements that SeaORM cannot build.

use sea_orm_migration::SchemaManager;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr, Statement};

pub(crate) async fn execute(manager: &SchemaManager<'_>, sql: impl Into<String>) -> Result<(), DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    manager.get_connection().execute_raw(statement).await.map(|_| ())
}

/// The texts that a query gives in its column `answer`.
pub(crate) async fn texts(manager: &SchemaManager<'_>, sql: String) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    let rows = manager.get_connection().query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get("", "answer")).collect()
}
