//! Rows whose session, stage or chat does not exist. SQLite leaves them if foreign keys are switched off, and any
//! database without them. The references are TARSy's, whatever the database enforces.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Condition, Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;

use super::archive::Archive;
use super::entity::{self, count_rows};
use super::id_set::IdSet;
use super::removal::batch::{Batch, BatchError, Limits};
use super::tables::{
    REFERENCES, Reference, SESSIONS, STAGES, primary_key, references_from_others, references_to_stages,
};
use crate::database::connection::Connection;
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
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
    let namespace = connection.namespace();
    for reference in REFERENCES.iter().copied().filter(|reference| reference.is_in(schema)) {
        let Reference { child, parent, .. } = reference;
        let mut query = orphans_of(namespace, &reference);
        query.expr_as(count_rows(), "orphans");
        let action = Action::from((Verb::Find, format!("rows of {child} without a row of {parent}")));
        let row = connection.query_one(&query).await.context(&action)?;
        let counted = row.map(|row| row.try_get::<i64>("", "orphans")).transpose().context(&action)?;
        let rows = counted.unwrap_or_default().unsigned_abs();
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
    let found = batch.lock(next(&batch, schema, &reference, key, size)).await?;
    let ids = found.iter().map(|row| row.try_get("", "orphan")).collect::<Result<Vec<String>, DbErr>>()?;
    if ids.is_empty() {
        return Ok(None);
    }
    let wanted = ids.len();
    let ids = IdSet::bound(connection.backend(), ids);
    for Reference { child, column, .. } in references_from_others(table) {
        if schema.has_column(child, column) {
            batch.delete(child, ids.contains(column)).await?;
        }
    }
    batch.delete_exactly(wanted, table, ids.contains(key)).await?;
    Ok(Some(batch))
}

/// The query for the next orphans of one reference. An orphaned stage stays as long as rows need it.
fn next(batch: &Batch, schema: &Schema, reference: &Reference, key: &'static str, size: u32) -> SelectStatement {
    let (backend, namespace) = (batch.backend(), batch.namespace());
    let mut query = orphans_of(namespace, reference);
    if reference.child == STAGES {
        for reference in references_to_stages(schema) {
            query.and_where(is_not_needed(namespace, &reference));
        }
    }
    query.expr_as(entity::text(backend, key), "orphan").order_by(key, Order::Asc).limit(u64::from(size)).to_owned()
}

/// The query for the orphans of one reference, without columns.
fn orphans_of(namespace: &Namespace, reference: &Reference) -> SelectStatement {
    let child = namespace.table_ref(reference.child);
    Query::select().from(child).cond_where(is_orphan(namespace, reference)).to_owned()
}

/// The condition that a row of the child is an orphan, for a statement without an alias for the child.
fn is_orphan(namespace: &Namespace, reference: &Reference) -> Condition {
    let Reference { child, column, parent, key } = *reference;
    let parents = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(parent).alias("parent_row"))
        .and_where(Expr::col(("parent_row", key)).equals((child, column)))
        .to_owned();
    Condition::all().add(Expr::col((child, column)).is_not_null()).add(Expr::not_exists(parents))
}

/// The condition that this reference does not need a stage. A stage is removed after its child stages, and stays if
/// they do or if rows of another existing session refer to it.
fn is_not_needed(namespace: &Namespace, reference: &Reference) -> Expr {
    let Reference { child, column, parent, key } = *reference;
    let living = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(SESSIONS).alias("living"))
        .and_where(Expr::col(("living", "session_id")).equals(("child_row", "session_id")))
        .and_where(Expr::col(("living", "session_id")).not_equals((parent, "session_id")))
        .to_owned();
    let is_other = Expr::col(("child_row", key)).not_equals((parent, key));
    let is_needed = if child == STAGES { is_other } else { Expr::exists(living) };
    let children = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(child).alias("child_row"))
        .and_where(Expr::col(("child_row", column)).equals((parent, key)))
        .and_where(is_needed)
        .to_owned();
    Expr::not_exists(children)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::history::tables::delete_many;
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
            let mut delete = delete_many(connection.namespace(), reference.child);
            delete.cond_where(is_orphan(connection.namespace(), reference));
            connection.execute(&delete).await.expect("the condition fits a removal");
        }
        assert_eq!(count(&connection, &schema).await.expect("counts"), []);
    }
}
