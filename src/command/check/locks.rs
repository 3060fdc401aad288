//! The check of locks of TARSy's tables: no other check reads all of them.

use std::time::{Duration, Instant};

use sea_orm::DbErr;
use serde_json::json;

use super::finding::Finding;
use crate::database::connection::LOCK_TIMEOUT;
use crate::database::failure::ErrorClass;
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::transaction::Transaction;
use crate::schema::lock::{self, Blocked, holder_against};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// TARSy's tables that no other session can read at this moment.
pub(crate) async fn locked_tables(reader: &BoundedReader<'_>) -> Result<Vec<String>, DbErr> {
    let look = async |reading: &Transaction| lock::locked_tables(reading, Blocked::Reads).await;
    reader.read_catalogs(Rows::Every, look).await.flatten()
}

/// Whether another session keeps TARSy's tables locked for as long as a query waits, counted from `since`.
pub(crate) async fn locks(reader: &BoundedReader<'_>, since: Instant) -> Option<Finding> {
    const NAME: &str = "locks";
    loop {
        match locked_tables(reader).await {
            Ok(tables) if tables.is_empty() => return None,
            Ok(_) if since.elapsed() < LOCK_TIMEOUT => tokio::time::sleep(PAUSE).await,
            Ok(tables) => {
                // The connection may be the only one.
                reader.end().await;
                let holder = holder_against(reader.connection(), Blocked::Reads).await.ok().flatten();
                return Some(locked(NAME, &tables, holder));
            }
            Err(error) => return Some(Finding::unanswered(NAME, &error.into())),
        }
    }
}

fn locked(name: &'static str, tables: &[String], holder: Option<String>) -> Finding {
    let holder = holder.unwrap_or_else(|| "another session".to_owned());
    let names = tables.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    let detail = format!("{holder} has locked {names}; until it ends, the queries of all other sessions wait");
    let finding = Finding::failed(name, ErrorClass::Busy.exit_code(), detail).unanswered_by(ErrorClass::Busy);
    finding.with(json!({ "class": ErrorClass::Busy, "tables": tables, "holder": holder }))
}
