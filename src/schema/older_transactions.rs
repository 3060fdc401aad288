//! The transactions for whose end PostgreSQL waits while it builds an index without blocking writers.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::format;

/// How long to wait for them in one run.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// A transaction of another session.
struct Older {
    transaction: String,
    holder: String,
}

/// Waits for the end of the transactions that hold up an index of a table (quoted and with its schema), and says so. Comes
/// before the build: one that gives up while it waits leaves an invalid index, which it then cannot drop.
///
/// `left` is what is left of [`LIMIT`].
///
/// # Errors
/// [`ErrorClass::Busy`] if nothing is left, or the server's error.
pub(crate) async fn wait_for_end(
    connection: &Connection,
    place: &str,
    index: &str,
    left: &mut Duration,
) -> Result<(), DatabaseCause> {
    let mut older = read(connection, place).await?;
    if let Some(Older { holder, .. }) = older.first() {
        let limit = format::duration(*left);
        tracing::info!("index {index}: waiting up to {limit} until {holder} ends its transaction");
    }
    while let Some(Older { holder, .. }) = older.first() {
        if left.is_zero() {
            let waited = format::duration(LIMIT);
            let message = format!("{holder} has an open transaction that would hold it up; gave up after {waited}");
            return Err(DatabaseCause::new(ErrorClass::Busy, message));
        }
        let pause = PAUSE.min(*left);
        tokio::time::sleep(pause).await;
        *left -= pause;
        // A later one holds nothing up.
        let open = read(connection, place).await?;
        older.retain(|older| open.iter().any(|open| open.transaction == older.transaction));
    }
    Ok(())
}

async fn read(connection: &Connection, place: &str) -> Result<Vec<Older>, DbErr> {
    let sql = include_str!("older_transactions.sql");
    let statement = Statement::from_sql_and_values(connection.backend(), sql, [place.into()]);
    let rows = connection.reading(async |reading| reading.query_all_raw(statement).await).await?;
    rows.iter()
        .map(|row| Ok(Older { transaction: row.try_get("", "transaction")?, holder: row.try_get("", "holder")? }))
        .collect()
}
