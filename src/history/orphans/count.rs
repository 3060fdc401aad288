//! How many orphans there are.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;
use serde::Serialize;

use super::condition::{is_not_needed, orphans_of};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::history::entity::count_rows;
use crate::history::index_check::Searched;
use crate::history::tables::{
    REFERENCES, Reference, SESSIONS, STAGES, primary_key, references_from_others, references_to_stages,
};
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

/// Which orphans are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    All,
    /// Without the stages that rows of existing sessions refer to. A stage that is only the parent of such a stage counts,
    /// because it would take a search along all chains of stages to know that it stays.
    Removable,
}

/// Counts the orphans by reference, without references that have none. A row that lacks its session and its stage
/// counts for both. Reads only; SQLite uses an index on each column, PostgreSQL scans the tables.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count(
    connection: &Transaction,
    schema: &Schema,
    counted: Counted,
) -> Result<Vec<OrphanCount>, DatabaseError> {
    let mut counts = Vec::new();
    let namespace = connection.namespace();
    for reference in REFERENCES.iter().copied().filter(|reference| reference.is_in(schema)) {
        let Reference { child, parent, .. } = reference;
        let mut query = orphans_of(namespace, &reference);
        if counted == Counted::Removable && child == STAGES {
            for reference in references_to_stages(schema).filter(|reference| reference.child != STAGES) {
                query.and_where(is_not_needed(namespace, &reference));
            }
        }
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

/// What decides whether a row is an orphan, whether an orphaned stage stays, and what is removed with it.
#[must_use]
pub(crate) fn searched(schema: &Schema, counts: &[OrphanCount]) -> Searched {
    let mut references = BTreeSet::new();
    for OrphanCount { reference, .. } in counts {
        references.insert(*reference);
        references.extend(references_from_others(reference.child));
    }
    let mut searched = Searched::new();
    if counts.iter().any(|count| count.reference.child == STAGES) {
        references.extend(references_to_stages(schema));
        searched.entry(SESSIONS).or_default().extend(primary_key(SESSIONS));
    }
    for reference in references.into_iter().filter(|reference| reference.is_in(schema)) {
        searched.entry(reference.child).or_default().insert(reference.column);
        searched.entry(reference.parent).or_default().insert(reference.key);
    }
    searched
}

/// Whether orphans are searched in a table.
pub(crate) fn are_searched_in(schema: &Schema, table: &str) -> bool {
    REFERENCES.iter().any(|reference| reference.child == table && reference.is_in(schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::orphans::condition::{LOST_INTERACTIONS, is_orphan, reference_of};
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
        let counts = count(&connection, &schema, Counted::All).await.expect("counts");
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
        assert_eq!(count(&connection, &schema, Counted::All).await.expect("counts"), []);
    }

    #[tokio::test]
    async fn what_a_search_reads_is_what_decides_about_the_orphans_that_were_found() {
        let connection = Transaction::in_memory().await;
        connection.execute_unprepared(LOST_INTERACTIONS).await.expect("sound SQL");
        let schema = schema::read::schema(&connection).await.expect("a schema");
        let searched = |child: &str| searched(&schema, &[OrphanCount { reference: reference_of(child), rows: 1 }]);
        let sessions = (SESSIONS, BTreeSet::from(["session_id"]));
        let interactions = ("llm_interactions", BTreeSet::from(["session_id"]));
        assert_eq!(searched("llm_interactions"), Searched::from([sessions.clone(), interactions]));
        let stages = (STAGES, BTreeSet::from(["execution_id", "parent_stage_execution_id", "session_id"]));
        let with_stages = ("llm_interactions", BTreeSet::from(["stage_execution_id"]));
        assert_eq!(searched(STAGES), Searched::from([sessions, stages, with_stages]));
        assert_eq!(super::searched(&schema, &[]), Searched::new());
    }
}
