//! SQLite's settings for the removal of many rows.

use sea_orm::{DbBackend, DbErr};

use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::history::tables::session_tables;
use crate::schema::model::Schema;

/// The page cache, in KiB. The index entries of a batch are all over the file, so that no cache that is smaller than a
/// large file spares reading it: with a million sessions 128 MiB take as much processor time.
const CACHE_KIB: u32 = 24 * 1024;

/// Sets up a connection that is used only for the removal.
pub(crate) async fn set(connection: &Connection, schema: &Schema) -> Result<(), DbErr> {
    if connection.backend() != DbBackend::Sqlite {
        return Ok(());
    }
    connection.execute_alone(&format!("PRAGMA cache_size = -{CACHE_KIB}")).await?;
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
