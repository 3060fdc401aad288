//! SQLite's settings for the removal of many rows.

use sea_orm::{DbBackend, DbErr};

use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::history::tables::session_tables;
use crate::schema::model::Schema;

/// The page cache, in KiB. The rows of a session are close together, but not their index entries.
const CACHE_KIB: u32 = 128 * 1024;
/// The same for events, which are read and removed in the order of their table.
const EVENT_CACHE_KIB: u32 = 24 * 1024;

/// The rows that a page cache is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheFor {
    Sessions,
    Events,
}

/// Sets the size of SQLite's page cache.
pub(crate) async fn set_cache(connection: &Connection, rows: CacheFor) -> Result<(), DbErr> {
    let kib = match rows {
        CacheFor::Sessions => CACHE_KIB,
        CacheFor::Events => EVENT_CACHE_KIB,
    };
    if connection.backend() == DbBackend::Sqlite {
        connection.execute_alone(&format!("PRAGMA cache_size = -{kib}")).await?;
    }
    Ok(())
}

/// Sets up a connection that is used only for the removal.
pub(crate) async fn set(connection: &Connection, schema: &Schema) -> Result<(), DbErr> {
    if connection.backend() != DbBackend::Sqlite {
        return Ok(());
    }
    set_cache(connection, CacheFor::Sessions).await?;
    if connection
        .reading(async |reading| row(reading, "PRAGMA journal_mode").await)
        .await?
        .try_get::<String>("", "journal_mode")?
        == "wal"
    {
        // After a loss of power the last removed sessions may exist again, complete: the next run removes them.
        connection.execute_alone("PRAGMA synchronous = NORMAL").await?;
    }
    if all_keys_are_known(schema) {
        // The removal itself covers all rows that belong to a session, and skips sessions whose stages others need. For
        // the parent of a stage, which has no index, SQLite would scan all stages for each removed one.
        connection.execute_alone("PRAGMA foreign_keys = OFF").await?;
    }
    Ok(())
}

/// Whether only TARSy's own tables refer to them.
fn all_keys_are_known(schema: &Schema) -> bool {
    let is_known = |name: &str| session_tables().any(|table| table == name);
    let foreign = schema.tables.iter().filter(|(name, _)| !is_known(name));
    !foreign.flat_map(|(_, table)| &table.foreign_keys).any(|key| is_known(&key.referenced_table))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::schema;

    #[tokio::test]
    async fn foreign_keys_are_needed_where_a_table_of_the_operators_own_points_to_sessions() {
        let connection = Connection::in_memory().await;
        let sql = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY);
            CREATE TABLE chats (chat_id VARCHAR PRIMARY KEY, session_id VARCHAR REFERENCES alert_sessions (session_id));
            CREATE TABLE groups (id INTEGER PRIMARY KEY);
            CREATE TABLE notes (id INTEGER REFERENCES groups (id))";
        connection.execute_alone(sql).await.expect("sound SQL");
        let known = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        assert!(all_keys_are_known(&known));
        let sql = "CREATE TABLE marks (session_id VARCHAR REFERENCES alert_sessions (session_id))";
        connection.execute_alone(sql).await.expect("sound SQL");
        let own = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        assert!(!all_keys_are_known(&own));
    }
}
