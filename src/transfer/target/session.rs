//! Statements on the only connection to the target.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::transfer::plan::TablePlan;

pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Runs statements in order; each has the action for its error message.
pub(crate) async fn execute_all(
    connection: &mut PgConnection,
    statements: &[(&str, (Verb, &'static str))],
) -> Result<(), DatabaseError> {
    for (statement, action) in statements {
        execute(connection, (*statement).to_owned()).await.context(*action)?;
    }
    Ok(())
}

/// Begins a transaction that only an explicit COMMIT or ROLLBACK ends.
pub(crate) async fn begin_undropped(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    // Dropping the driver's guard would roll back. Because it is forgotten, the driver still counts the transaction as
    // begun, so that a transaction that SeaORM begins on this connection becomes a savepoint.
    std::mem::forget(connection.begin().await.context((Verb::Begin, "the transaction"))?);
    Ok(())
}

/// Closes a session after its transaction has ended.
pub(crate) async fn close(connection: PgConnection) {
    // The outcome is known, so an error no longer matters.
    connection.close().await.ok();
}

/// Closes the socket without a message: after a failed COPY the protocol may be out of sync.
pub(crate) async fn abandon(connection: PgConnection) {
    connection.close_hard().await.ok();
}

pub(crate) fn table_list(plan: &[Arc<TablePlan>]) -> String {
    plan.iter().map(|table| quoted(&table.name)).collect::<Vec<_>>().join(", ")
}
