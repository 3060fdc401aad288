//! The shape that a revision should have: its migrations, replayed where nobody sees it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, SqlxSqliteConnector, TransactionTrait};
use sea_orm_migration::SchemaManager;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::{Schema, postgresql, sqlite};

/// Replays the baseline and reads what came out: the four tables, without the ledger.
///
/// On SQLite that happens in memory; on PostgreSQL with temporary tables in a transaction that is
/// rolled back, for which the role needs no more than `TEMPORARY` on the database, and the server
/// has to be writable.
///
/// # Errors
/// Whatever the database answers.
pub async fn baseline<C>(connection: &C) -> Result<Schema, DbErr>
where
    C: ConnectionTrait + TransactionTrait<Transaction = DatabaseTransaction>,
{
    if connection.get_database_backend() == DbBackend::Postgres {
        let transaction = connection.begin().await?;
        transaction.execute_unprepared("SET TRANSACTION READ WRITE").await?;
        transaction.execute_unprepared("SET LOCAL search_path = pg_temp").await?;
        migration::baseline().up(&SchemaManager::new(&transaction)).await?;
        let schema = postgresql::read(&transaction, postgresql::Namespace::Temporary).await;
        transaction.rollback().await?;
        return schema;
    }
    let options = SqlitePoolOptions::new().max_connections(1);
    let pool = options
        .connect_with(SqliteConnectOptions::new().in_memory(true))
        .await
        .map_err(|error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))?;
    let scratch = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
    migration::baseline().up(&SchemaManager::new(&scratch)).await?;
    sqlite::read(&scratch).await
}
