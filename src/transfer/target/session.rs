//! Statements on the one connection to the target.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::schema::sql::quoted;
use crate::transfer::plan::TablePlan;

pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Ends the session. After a failed COPY it is out of step: nothing more is said to it.
pub(crate) async fn close(connection: PgConnection, is_in_step: bool) {
    let closed = if is_in_step { connection.close().await } else { connection.close_hard().await };
    // There is nothing left to lose.
    closed.ok();
}

pub(crate) fn table_list(plan: &[Arc<TablePlan>]) -> String {
    plan.iter().map(|table| quoted(&table.name)).collect::<Vec<_>>().join(", ")
}
