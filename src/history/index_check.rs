//! How SQLite is set up for the removal of many rows.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

use super::tables::{DEPENDENTS, SESSIONS};
use crate::database::connection::{row, rows};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::schema::model::Schema;
use crate::schema::sql::literal;

/// Pages that are kept in memory, in KiB: the rows of a session lie together, but their entries in the indexes do not.
const CACHE_KIB: u32 = 128 * 1024;

/// Sets up a connection, which is used for nothing else.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn set_up(connection: &DatabaseConnection, schema: &Schema) -> Result<(), DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    connection.execute_unprepared(&format!("PRAGMA cache_size = -{CACHE_KIB}")).await?;
    if row(connection, "PRAGMA journal_mode").await?.try_get::<String>("", "journal_mode")? == "wal" {
        // A loss of power may bring back the last sessions that were removed, whole: the next run removes them again.
        connection.execute_unprepared("PRAGMA synchronous = NORMAL").await?;
    }
    if all_keys_are_known(schema) {
        // A session goes with everything that hangs on it, and none whose stages others need. For the parent of a stage,
        // which has no index, SQLite would look through all stages for each one that goes.
        connection.execute_unprepared("PRAGMA foreign_keys = OFF").await?;
    }
    Ok(())
}

/// Whether nothing but TARSy's own tables points to them.
fn all_keys_are_known(schema: &Schema) -> bool {
    let is_known = |name: &str| name == SESSIONS || DEPENDENTS.iter().any(|dependent| dependent.table == name);
    let foreign = schema.tables.iter().filter(|(name, _)| !is_known(name));
    !foreign.flat_map(|(_, table)| &table.foreign_keys).any(|key| is_known(&key.referenced_table))
}

/// How many findings of damage are named.
const MOST_NAMED: usize = 5;

/// Makes sure that the indexes of these tables match them. An orphan is a row whose parent an index does not have: where
/// an index lost entries, sound rows look like orphans.
///
/// # Errors
/// [`ErrorClass::Corrupt`] with SQLite's findings, or whatever the database answers. Findings about values (NULL where that
/// is not allowed, duplicates) are none of its business.
pub(crate) async fn require_matching_indexes(
    connection: &impl ConnectionTrait,
    tables: &[&str],
) -> Result<(), DatabaseCause> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    let mut damage = Vec::new();
    for table in tables {
        let sql = format!("SELECT integrity_check AS finding FROM pragma_integrity_check({})", literal(table));
        for row in rows(connection, &sql).await? {
            let finding: String = row.try_get("", "finding")?;
            let is_about_values = finding.contains(" value in ") || finding.contains("non-unique entry in index ");
            if finding != "ok" && !is_about_values {
                damage.push(finding);
            }
        }
    }
    if damage.is_empty() {
        return Ok(());
    }
    let more = damage.len().saturating_sub(MOST_NAMED);
    damage.truncate(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let message = format!(
        "SQLite's integrity check finds `{}`{more}: rows that look like orphans may have their parents. If only indexes \
         are damaged, `REINDEX` in sqlite3 builds them again",
        damage.join("`; `")
    );
    Err(DatabaseCause::new(ErrorClass::Corrupt, message))
}
