//! The check of the tables that a publication sends to subscribers.

use serde_json::json;

use super::finding::Finding;
use crate::database::namespace::tables_of_tarsy;
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::transaction::Transaction;
use crate::exit_code::ExitCode;
use crate::schema::replica_identity::{Changes, WithoutIdentity, lacking};

/// Whether the server lets the backend change the rows of published tables.
pub(crate) async fn replica_identity(reader: &BoundedReader<'_>) -> Option<Finding> {
    const NAME: &str = "replica identity";
    let tables: Vec<_> = tables_of_tarsy().collect();
    let look = async |reading: &Transaction| lacking(reading, &tables, Changes::UpdatesAndDeletes).await;
    match reader.read_catalogs(Rows::Every, look).await.flatten() {
        Ok(found) if found.is_empty() => None,
        Ok(found) => Some(refused(NAME, &found)),
        Err(error) => Some(Finding::unanswered(NAME, &error.into())),
    }
}

fn refused(name: &'static str, found: &[WithoutIdentity]) -> Finding {
    let line = |table: &WithoutIdentity| format!("{table}; its owner can run `{}`", table.remedy());
    let statements: Vec<_> = found.iter().map(WithoutIdentity::remedy).collect();
    let finding = Finding::failed(name, ExitCode::Drift, found.iter().map(line).collect::<Vec<_>>());
    finding.because("replica_identity_missing").with(json!({ "tables": found, "statements": statements }))
}
