//! Finds and ends this process's sessions on the server.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::login_role::as_login_role;
use crate::database::failure::{DatabaseCause, DatabaseError, ResultExt, Verb};
use crate::database::url::PostgresqlAddress;
use crate::database::{connection, mark};

/// How long an interrupted run waits until its sessions have ended.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(800);
/// The interval of the checks for that.
const SHUTDOWN_INTERVAL: Duration = Duration::from_millis(10);

/// When a session began, as text that is independent of any setting.
const STARTED: &str = "to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')";

/// Marks a transaction that was not begun by SeaORM. Returns the SQL condition that its session has been idle since its
/// COMMIT.
pub(crate) async fn join(connection: &mut PgConnection) -> Result<Vec<String>, DatabaseError> {
    let action = (Verb::Read, "the state of the transaction");
    sqlx::raw_sql(AssertSqlSafe(mark::transaction())).execute(&mut *connection).await.context(action)?;
    // A role sees only its own sessions: so the query runs as in [`as_login_role`], and the role is restored
    // afterwards.
    let sql = format!(
        "SAVEPOINT join_watch; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL ROLE NONE;
             SELECT format('(a.pid = %s AND %s = %L AND a.state = ''idle'' AND a.query = ''COMMIT'')', pid, {}, {STARTED}) AS condition
             FROM pg_stat_activity a WHERE pid = pg_backend_pid();
             ROLLBACK TO SAVEPOINT join_watch; RELEASE SAVEPOINT join_watch",
        format_args!("$${STARTED}$$")
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.context(action)?;
    rows.iter().map(|row| row.try_get("condition").context(action)).collect()
}

/// Ends the marked sessions and those that meet one of the conditions, within a short limit. Returns whether no session
/// is left.
pub(crate) async fn end(address: &PostgresqlAddress, mut conditions: Vec<String>) -> bool {
    conditions.push(format!("({})", mark::condition()));
    // A session counts until its transaction has ended.
    let sql = as_login_role(&format!(
        "SELECT count(*) AS left, count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a WHERE {}",
        conditions.join(" OR ")
    ));
    let end = async {
        let mut connection = connection::open_single(address).await?;
        loop {
            let row = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut connection).await?;
            if row.try_get::<i64, _>("left")? == 0 {
                connection.close().await.ok();
                return Ok::<_, DatabaseCause>(());
            }
            tokio::time::sleep(SHUTDOWN_INTERVAL).await;
        }
    };
    tokio::time::timeout(SHUTDOWN_GRACE, end).await.is_ok_and(|ended| ended.is_ok())
}
