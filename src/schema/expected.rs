//! The shape that a revision should have: its migrations, replayed where nobody sees it.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqlxSqliteConnector, TransactionTrait,
};
use sea_orm_migration::SchemaManager;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::{Schema, postgresql, sqlite};

/// Replays all migrations up to the last of the `wanted` revisions and reads what came out at each of
/// those: TARSy's tables, without the ledger.
///
/// On SQLite that happens in memory; on PostgreSQL with temporary tables in a transaction that is
/// rolled back, for which the role needs no more than `TEMPORARY` on the database, and the server
/// has to be writable.
///
/// # Errors
/// Whatever the database answers.
pub async fn replay<C>(connection: &C, wanted: &BTreeSet<Revision>) -> Result<BTreeMap<Revision, Schema>, DbErr>
where
    C: ConnectionTrait + TransactionTrait<Transaction = DatabaseTransaction>,
{
    let last = wanted.last().copied().unwrap_or(Revision::BASELINE);
    let mut schemas = BTreeMap::new();
    match connection.get_database_backend() {
        DbBackend::Postgres => {
            let transaction = begin_temporary(connection).await?;
            for revision in last.since(None) {
                revision.migration().up(&SchemaManager::new(&transaction)).await?;
                if wanted.contains(&revision) {
                    schemas.insert(revision, postgresql::read(&transaction, postgresql::Namespace::Temporary).await?);
                }
            }
            transaction.rollback().await?;
        }
        _ => {
            let scratch = memory().await?;
            for revision in last.since(None) {
                revision.migration().up(&SchemaManager::new(&scratch)).await?;
                if wanted.contains(&revision) {
                    schemas.insert(revision, sqlite::read(&scratch).await?);
                }
            }
        }
    }
    Ok(schemas)
}

/// Begins a transaction in which unqualified names are those of temporary tables. It is to be rolled back.
pub(super) async fn begin_temporary<C>(connection: &C) -> Result<DatabaseTransaction, DbErr>
where
    C: TransactionTrait<Transaction = DatabaseTransaction>,
{
    let transaction = connection.begin().await?;
    transaction.execute_unprepared("SET TRANSACTION READ WRITE").await?;
    transaction.execute_unprepared("SET LOCAL search_path = pg_temp").await?;
    Ok(transaction)
}

/// A SQLite database that ends with its one connection.
pub(super) async fn memory() -> Result<DatabaseConnection, DbErr> {
    let options = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = options
        .connect_with(SqliteConnectOptions::new().in_memory(true))
        .await
        .map_err(|error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}
