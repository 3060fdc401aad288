//! How much space removed rows occupy.
//!
//! | module | what it is for |
//! |---|---|
//! | [`postgresql`] | dead rows of tables, estimated |
//! | [`sqlite`] | free pages of a file |

pub(crate) mod postgresql;
pub(crate) mod sqlite;

use sea_orm::DbBackend;
use serde::Serialize;

use self::postgresql::TableSpace;
use self::sqlite::FileSpace;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

/// Less reclaimable space than this, or than a tenth of the whole, is not reported.
const WORTH_BYTES: u64 = 8 << 20;

/// The reclaimable space of a database.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// TARSy's tables on PostgreSQL.
    Tables(Vec<TableSpace>),
    /// The whole SQLite file.
    File(FileSpace),
}

impl Space {
    /// The reclaimable space in bytes.
    #[must_use]
    pub fn reclaimable_bytes(&self) -> u64 {
        match self {
            Space::Tables(tables) => tables.iter().map(|table| table.reclaimable_bytes).sum(),
            Space::File(file) => file.reclaimable_bytes,
        }
    }

    /// The command that reclaims it, if that is worth while.
    #[must_use]
    pub fn next_command(&self) -> Option<String> {
        match self {
            Space::Tables(tables) => {
                let worth = tables.iter().filter(|table| is_worth(table.reclaimable_bytes, table.bytes));
                let names: Vec<_> = worth.map(|table| table.table.as_str()).collect();
                (!names.is_empty()).then(|| format!("VACUUM (ANALYZE) {}", names.join(", ")))
            }
            Space::File(file) => {
                is_worth(file.reclaimable_bytes, file.bytes).then(|| "tarsy-db prune --vacuum".to_owned())
            }
        }
    }
}

fn is_worth(reclaimable: u64, bytes: u64) -> bool {
    reclaimable >= WORTH_BYTES && reclaimable >= bytes / 10
}

/// Measures the reclaimable space. Reads only, and needs no privilege on the tables.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub async fn reclaimable(connection: &Transaction, schema: &Schema) -> Result<Space, DatabaseError> {
    match connection.backend() {
        DbBackend::Postgres => postgresql::tables(connection, schema).await.map(Space::Tables),
        _ => sqlite::file(connection).await.map(Space::File),
    }
    .context((Verb::Measure, "the reclaimable space"))
}

/// A table with one live row and no dead ones.
#[cfg(test)]
pub(crate) fn table(name: &str, reclaimable_bytes: u64, bytes: u64) -> TableSpace {
    TableSpace {
        table: name.to_owned(),
        live_rows: 1,
        dead_rows: 1,
        bytes,
        reclaimable_bytes,
        last_vacuum: None,
        last_autovacuum: None,
        may_vacuum: true,
    }
}

#[cfg(test)]
mod tests {
    use super::sqlite::AutoVacuum;
    use super::*;

    fn file_of(bytes: u64, reclaimable_bytes: u64) -> FileSpace {
        FileSpace { bytes, reclaimable_bytes, page_bytes: 4096, auto_vacuum: AutoVacuum::None }
    }

    #[test]
    fn only_what_is_worth_while_has_a_next_command() {
        let tables = vec![
            table("chats", WORTH_BYTES - 1, WORTH_BYTES),
            table("events", WORTH_BYTES, WORTH_BYTES * 10),
            table("llm_interactions", WORTH_BYTES, WORTH_BYTES * 10 + 10),
            table("mcp_communications", WORTH_BYTES * 2, WORTH_BYTES * 3),
        ];
        let space = Space::Tables(tables);
        assert_eq!(space.next_command().as_deref(), Some("VACUUM (ANALYZE) events, mcp_communications"));
        assert_eq!(space.reclaimable_bytes(), WORTH_BYTES * 5 - 1);
        assert_eq!(Space::File(file_of(1 << 30, 1 << 20)).next_command(), None);
        let next = Space::File(file_of(1 << 30, 1 << 29)).next_command();
        assert_eq!(next.as_deref(), Some("tarsy-db prune --vacuum"));
    }
}
