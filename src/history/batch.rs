//! One transaction that removes rows. Which ones is left to [`super::retention`] and [`super::events`].

use std::collections::BTreeMap;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, TryGetable, Value,
};

use crate::connection::rows;
use crate::failure::{Cause, DatabaseError, Doing, Failure};

/// How long a batch waits for a row that the backend has locked; how long it works is its own affair.
const LIMITS: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = 0";

/// What was removed: rows by table.
pub type Removed = BTreeMap<&'static str, u64>;

/// Rows that are removed once the batch is committed. Dropped before, it is rolled back.
pub struct Batch {
    transaction: DatabaseTransaction,
    removed: Removed,
}

impl Batch {
    /// Begins a transaction that removes nothing yet.
    pub(super) async fn begin(connection: &DatabaseConnection) -> Result<Self, DbErr> {
        let mut options = TransactionOptions::default();
        match connection.get_database_backend() {
            // A reader that turns into a writer may find the database busy at once: begin as a writer.
            DbBackend::Sqlite => options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate),
            _ => options.isolation_level = Some(IsolationLevel::ReadCommitted),
        }
        let transaction = connection.begin_with_options(options).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            transaction.execute_unprepared(LIMITS).await?;
        }
        Ok(Self { transaction, removed: Removed::new() })
    }

    /// The first column of the rows that a query finds, which are locked; those that somebody else has locked
    /// are passed over.
    pub(super) async fn lock<T: TryGetable>(&self, query: &str) -> Result<Vec<T>, DbErr> {
        let lock = match self.transaction.get_database_backend() {
            DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let found = rows(&self.transaction, &format!("{query}{lock}")).await?;
        found.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    /// Removes the rows of a table that meet a condition, to which `given` is bound as `$1`.
    pub(super) async fn delete(&mut self, table: &'static str, condition: &str, given: &str) -> Result<u64, DbErr> {
        let sql = format!("DELETE FROM {table} WHERE {condition}");
        let backend = self.transaction.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, [Value::from(given)]);
        let gone = self.transaction.execute_raw(statement).await?.rows_affected();
        self.removed.insert(table, gone);
        Ok(gone)
    }

    /// Does as [`Batch::delete`], and makes sure that this many rows are gone.
    pub(super) async fn delete_all(
        &mut self,
        wanted: usize,
        table: &'static str,
        condition: &str,
        given: &str,
    ) -> Result<(), Cause> {
        let gone = self.delete(table, condition, given).await?;
        if gone != wanted as u64 {
            // A trigger or a policy kept them: the next batch would find the same ones for ever.
            let message =
                format!("the database removed {gone} of {wanted} rows of {table}; is there a trigger or a row policy?");
            return Err(Cause::new(Failure::Other, message));
        }
        Ok(())
    }

    /// Makes the removal last. From here on there is no way back: let it come to its end.
    ///
    /// # Errors
    /// [`DatabaseError`]; the batch is rolled back, unless the connection broke and nobody knows.
    pub async fn commit(self) -> Result<Removed, DatabaseError> {
        self.transaction.commit().await.doing("commit the removal of a batch")?;
        Ok(self.removed)
    }
}
