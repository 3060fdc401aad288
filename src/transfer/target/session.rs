//! Statements on the one connection to the target.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::schema::sql::quoted;
use crate::transfer::plan::TablePlan;

pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Runs statements one after the other, each with what it is for.
pub(crate) async fn execute_all(
    connection: &mut PgConnection,
    statements: &[(&str, (Verb, &'static str))],
) -> Result<(), DatabaseError> {
    for (statement, action) in statements {
        execute(connection, (*statement).to_owned()).await.context(*action)?;
    }
    Ok(())
}

/// Begins a transaction that its own COMMIT or ROLLBACK ends.
pub(crate) async fn begin_undropped(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    // Dropped, the driver's guard would roll back. Forgotten, the driver counts the transaction as begun and does not
    // end it: what SeaORM begins on this connection is a savepoint.
    std::mem::forget(connection.begin().await.context((Verb::Begin, "the transaction"))?);
    Ok(())
}

/// Ends a session whose transaction is over.
pub(crate) async fn close(connection: PgConnection) {
    // There is nothing left to lose.
    connection.close().await.ok();
}

/// Ends a session that may be out of step after a failed COPY: nothing more is said to it.
pub(crate) async fn abandon(connection: PgConnection) {
    connection.close_hard().await.ok();
}

pub(crate) fn table_list(plan: &[Arc<TablePlan>]) -> String {
    plan.iter().map(|table| quoted(&table.name)).collect::<Vec<_>>().join(", ")
}
