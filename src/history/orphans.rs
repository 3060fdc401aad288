//! Rows whose session, stage or chat does not exist. SQLite leaves them if foreign keys are switched off, and any
//! database without them. The references are TARSy's, whatever the database enforces.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use serde::Serialize;

use super::archive::Archive;
use super::id_set::IdSet;
use super::removal::batch::{Batch, BatchError, Limits};
use super::tables::{
    REFERENCES, Reference, SESSIONS, STAGES, primary_key, references_from_others, references_to_stages,
};
use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

/// The orphans of one reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct OrphanCount {
    /// The broken reference.
    #[serde(flatten)]
    pub reference: Reference,
    /// The number of rows, at least one.
    pub rows: u64,
}

/// Counts the orphans by reference, without references that have none. A row that lacks its session and its stage
/// counts for both. Reads only; SQLite uses an index on each column, PostgreSQL scans the tables.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count(connection: &Transaction, schema: &Schema) -> Result<Vec<OrphanCount>, DatabaseError> {
    let mut counts = Vec::new();
    for reference in REFERENCES.into_iter().filter(|reference| reference.is_in(schema)) {
        let Reference { child, parent, .. } = reference;
        let sql = format!("SELECT count(*) AS orphans FROM {child} WHERE {}", is_orphan(&reference));
        let counted = row(connection, &sql).await.and_then(|row| row.try_get::<i64>("", "orphans"));
        let rows = counted.context((Verb::Find, format!("rows of {child} without a row of {parent}")))?.unsigned_abs();
        if rows > 0 {
            counts.push(OrphanCount { reference, rows });
        }
    }
    Ok(counts)
}

/// The tables that decide whether a row is an orphan.
#[must_use]
pub(crate) fn tables(counts: &[OrphanCount]) -> Vec<&'static str> {
    let both = counts.iter().flat_map(|count| [count.reference.child, count.reference.parent]);
    both.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Begins to remove at most `size` orphans of one reference, with the rows that belong to them, in one transaction.
/// Rows that another session has locked are skipped; `None` means that there are no others.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back.
pub(crate) async fn remove_batch(
    connection: &Connection,
    schema: &Schema,
    reference: Reference,
    size: u32,
    limits: Limits,
    archive: Option<&Archive>,
) -> Result<Option<Batch>, BatchError> {
    let Reference { child: table, .. } = reference;
    let Some(key) = primary_key(table) else { return Ok(None) };
    let mut batch = Batch::begin(connection, limits, archive).await?;
    let found = batch.lock(&next(schema, &reference, key, size)).await?;
    let ids = found.iter().map(|row| row.try_get("", "orphan")).collect::<Result<Vec<String>, DbErr>>()?;
    if ids.is_empty() {
        return Ok(None);
    }
    let bound = IdSet::bound(connection.backend());
    let wanted = ids.len();
    let ids = serde_json::Value::from(ids).to_string();
    for Reference { child, column, .. } in references_from_others(table) {
        if schema.has_column(child, column) {
            batch.delete(child, &bound.contains(column), &ids).await?;
        }
    }
    batch.delete_exactly(wanted, table, &bound.contains(key), &ids).await?;
    Ok(Some(batch))
}

/// The query for the next orphans of one reference. An orphaned stage stays as long as rows need it.
fn next(schema: &Schema, reference: &Reference, key: &str, size: u32) -> String {
    let Reference { child: table, .. } = *reference;
    let is_not_needed = match table == STAGES {
        true => references_to_stages(schema).map(|reference| is_not_needed(&reference)).collect(),
        false => String::new(),
    };
    format!(
        "SELECT {key} AS orphan FROM {table} WHERE {}{is_not_needed} ORDER BY {key} LIMIT {size}",
        is_orphan(reference)
    )
}

/// The condition that a row of the child is an orphan, for a statement without an alias for the child.
fn is_orphan(reference: &Reference) -> String {
    let Reference { child, column, parent, key } = reference;
    format!(
        "{child}.{column} IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM {parent} parent_row WHERE parent_row.{key} = {child}.{column})"
    )
}

/// The condition that this reference does not need a stage. A stage is removed after its child stages, and stays if
/// they do or if rows of another existing session refer to it.
fn is_not_needed(reference: &Reference) -> String {
    let Reference { child, column, parent, key } = reference;
    let is_needed_by = match *child == STAGES {
        true => format!("child_row.{key} <> {parent}.{key}"),
        false => format!(
            "EXISTS (SELECT 1 FROM {SESSIONS} living WHERE living.session_id = child_row.session_id
                                                           AND living.session_id <> {parent}.session_id)"
        ),
    };
    format!(
        " AND NOT EXISTS (SELECT 1 FROM {child} child_row WHERE child_row.{column} = {parent}.{key} AND {is_needed_by})"
    )
}

#[cfg(test)]
mod tests {

    use super::*;
    use sea_orm::ConnectionTrait;

    use crate::schema;

    #[tokio::test]
    async fn orphans_are_found_without_foreign_keys_and_only_where_the_columns_are() {
        let connection = Transaction::in_memory().await;
        let sql = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY);
            CREATE TABLE stage_executions (execution_id VARCHAR PRIMARY KEY, session_id VARCHAR,
                parent_stage_execution_id VARCHAR);
            CREATE TABLE llm_interactions (interaction_id VARCHAR PRIMARY KEY, session_id VARCHAR);
            CREATE TABLE chat_user_messages (message_id VARCHAR PRIMARY KEY, chat_id VARCHAR);
            INSERT INTO alert_sessions VALUES ('s');
            INSERT INTO stage_executions VALUES ('root', 's', NULL), ('child', 's', 'root'), ('lost', 's', 'gone'),
                ('both', 'gone', 'gone'), ('free', NULL, NULL);
            INSERT INTO llm_interactions VALUES ('a', 'gone'), ('b', 's');
            INSERT INTO chat_user_messages VALUES ('m', 'gone')";
        connection.execute_unprepared(sql).await.expect("sound SQL");
        let schema = schema::read::schema(&connection).await.expect("a schema");
        let counts = count(&connection, &schema).await.expect("counts");
        let counts: Vec<_> =
            counts.iter().map(|count| (count.reference.child, count.reference.column, count.rows)).collect();
        let expected = [
            ("stage_executions", "session_id", 1),
            ("stage_executions", "parent_stage_execution_id", 2),
            ("llm_interactions", "session_id", 1),
        ];
        assert_eq!(counts, expected);

        for reference in REFERENCES.iter().filter(|reference| reference.is_in(&schema)) {
            let sql = format!("DELETE FROM {} WHERE {}", reference.child, is_orphan(reference));
            connection.execute_unprepared(&sql).await.expect("the condition fits a removal");
        }
        assert_eq!(count(&connection, &schema).await.expect("counts"), []);
    }
}
