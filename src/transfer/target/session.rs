//! Statements on the only connection to the target.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::session_settings;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::transfer::plan::TablePlan;

pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Begins a transaction that only an explicit COMMIT or ROLLBACK ends.
///
/// The isolation level is READ COMMITTED, whatever the role's default is: a snapshot older than the lock would not see
/// what other sessions committed while this one waited.
pub(crate) async fn begin_undropped(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    // Dropping the driver's guard would roll back. Because it is forgotten, the driver still counts the transaction as
    // begun, so that a transaction that SeaORM begins on this connection becomes a savepoint.
    let begun = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await;
    std::mem::forget(begun.context((Verb::Begin, "the transaction"))?);
    Ok(())
}

/// Sets the parameters of a transaction that has begun, until its end.
pub(crate) async fn set_up(
    connection: &mut PgConnection,
    namespace: &Namespace,
    lock_timeout: Duration,
) -> Result<(), DatabaseError> {
    let statements = session_settings::statements(namespace, lock_timeout);
    execute(connection, statements).await.context((Verb::Set, "the parameters of the transaction"))
}

/// Closes a session after its transaction has ended.
pub(crate) async fn close(connection: PgConnection) {
    // The outcome is known, so an error no longer matters.
    connection.close().await.ok();
}

/// Rolls back and closes the session. A pooler can then give the server's session to its next client.
pub(crate) async fn roll_back(mut connection: PgConnection) {
    execute(&mut connection, "ROLLBACK".to_owned()).await.ok();
    close(connection).await;
}

/// Closes the socket without a message: after a failed COPY the protocol may be out of sync.
pub(crate) async fn abandon(connection: PgConnection) {
    connection.close_hard().await.ok();
}

pub(crate) fn table_list(plan: &[Arc<TablePlan>]) -> String {
    plan.iter().map(|table| table.qualified_name.as_str()).collect::<Vec<_>>().join(", ")
}
