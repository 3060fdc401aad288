//! Reads the schema of a live database.
//!
//! | module | what it is for |
//! |---|---|
//! | [`postgresql`] | from the catalog |
//! | [`sqlite`] | from its PRAGMAs |

pub(crate) mod postgresql;
pub(crate) mod sqlite;

use sea_orm::{DbBackend, DbErr};

use super::model::Schema;
use super::state::SchemaState;
use crate::database::failure::DatabaseCause;
use crate::database::transaction::Transaction;

/// Reads the schema that unqualified names refer to.
///
/// # Errors
/// The database's error, also if a type or a definition cannot be read.
pub async fn schema(connection: &Transaction) -> Result<Schema, DbErr> {
    match connection.backend() {
        DbBackend::Postgres => postgresql::read(connection).await,
        _ => sqlite::read(connection).await,
    }
}

/// Reads the ledger and the schema that belongs to it. It reads both again if an upgrade ended in between.
///
/// # Errors
/// As [`SchemaState::read`].
pub(crate) async fn schema_and_state(connection: &Transaction) -> Result<(SchemaState, Schema), DatabaseCause> {
    let mut state = SchemaState::read(connection).await?;
    loop {
        let found = schema(connection).await?;
        let after = SchemaState::read(connection).await?;
        if after == state {
            return Ok((state, found));
        }
        state = after;
    }
}
