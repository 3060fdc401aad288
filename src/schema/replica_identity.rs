//! Published tables without a replica identity: the server refuses to update or to delete their rows, because it could
//! not say to a subscriber which row it means.

use std::fmt;

use sea_orm::{DbBackend, DbErr};
use serde::Serialize;

use super::visible;
use crate::database::connection::rows;
use crate::database::transaction::Transaction;

/// The changes that a caller makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    Deletes,
    UpdatesAndDeletes,
}

/// A published table without a replica identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WithoutIdentity {
    /// The table in SQL, with its schema.
    pub table: String,
    pub publications: Vec<String>,
    #[serde(skip)]
    updates: bool,
    #[serde(skip)]
    deletes: bool,
    /// Whether it has a primary key that can be the identity.
    #[serde(skip)]
    has_key: bool,
}

impl WithoutIdentity {
    /// The statement that gives it one.
    #[must_use]
    pub(crate) fn remedy(&self) -> String {
        let identity = if self.has_key { "DEFAULT" } else { "FULL" };
        format!("ALTER TABLE {} REPLICA IDENTITY {identity}", self.table)
    }
}

impl fmt::Display for WithoutIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = match (self.updates, self.deletes) {
            (true, true) => "updates and deletes",
            (true, false) => "updates",
            (false, _) => "deletes",
        };
        let names: Vec<_> = self.publications.iter().map(|name| format!("`{name}`")).collect();
        let (table, publications) = (&self.table, names.join(", "));
        write!(
            f,
            "the server refuses {changes} of `{table}`, which has no replica identity, because of the publication \
             {publications}"
        )
    }
}

/// The existing ones of the tables, and of those that inherit from them, whose rows cannot be changed. SQLite publishes
/// nothing.
///
/// # Errors
/// The server's error.
pub(crate) async fn lacking(
    connection: &Transaction,
    tables: &[&str],
    changes: Changes,
) -> Result<Vec<WithoutIdentity>, DbErr> {
    if connection.backend() != DbBackend::Postgres || !has_publications(connection).await? {
        return Ok(Vec::new());
    }
    let counts_updates = changes == Changes::UpdatesAndDeletes;
    let values = [visible::texts(tables), counts_updates.into()];
    let found = visible::rows(connection, include_str!("replica_identity.sql"), values).await?;
    let found = found.iter().map(|row| {
        Ok(WithoutIdentity {
            table: row.try_get("", "place")?,
            publications: row.try_get("", "publications")?,
            updates: counts_updates && row.try_get("", "updates")?,
            deletes: row.try_get("", "deletes")?,
            has_key: row.try_get("", "has_key")?,
        })
    });
    found.collect()
}

/// Most databases have none, and the question which tables they publish takes longer.
async fn has_publications(connection: &Transaction) -> Result<bool, DbErr> {
    let sql = "SELECT FROM pg_publication WHERE pubupdate OR pubdelete LIMIT 1";
    Ok(!rows(connection, sql).await?.is_empty())
}
