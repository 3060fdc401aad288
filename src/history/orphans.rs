//! Rows whose session, stage or chat is gone: SQLite leaves them where foreign keys are not switched on, and where
//! a database has none. What they refer to is TARSy's meaning, whatever the database enforces.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use serde::Serialize;

use super::archive::Archive;
use super::removal::batch::{Batch, BatchError, Limits};
use super::tables::{IdSet, SESSIONS, STAGES};
use crate::database::connection::row;
use crate::database::failure::{DatabaseError, ResultExt};
use crate::schema::model::{ForeignKey, Schema};

/// A column that names a row of another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Reference {
    /// The table that refers.
    pub child: &'static str,
    /// Its column; NULL refers to nothing.
    pub column: &'static str,
    /// The table that is referred to.
    pub parent: &'static str,
    /// Its primary key.
    pub key: &'static str,
}

/// All references of TARSy's, those to parents before those of what hangs on them.
pub(crate) const REFERENCES: [Reference; 8] = [
    Reference::to_session("stage_executions"),
    Reference::to_stage("stage_executions", "parent_stage_execution_id"),
    Reference::to_session("llm_interactions"),
    Reference::to_stage("llm_interactions", "stage_execution_id"),
    Reference::to_session("mcp_communications"),
    Reference::to_stage("mcp_communications", "stage_execution_id"),
    Reference::to_session("chats"),
    Reference { child: "chat_user_messages", column: "chat_id", parent: "chats", key: "chat_id" },
];

/// The references to stages that a schema has.
pub(crate) fn references_to_stages(schema: &Schema) -> impl Iterator<Item = Reference> {
    REFERENCES.into_iter().filter(|reference| reference.parent == STAGES && reference.is_in(schema))
}

impl Reference {
    const fn to_session(child: &'static str) -> Self {
        Self { child, column: "session_id", parent: SESSIONS, key: "session_id" }
    }

    const fn to_stage(child: &'static str, column: &'static str) -> Self {
        Self { child, column, parent: STAGES, key: "execution_id" }
    }

    /// Whether a schema has both ends; older ones lack some.
    #[must_use]
    pub(crate) fn is_in(&self, schema: &Schema) -> bool {
        schema.has_column(self.child, self.column) && schema.has_column(self.parent, self.key)
    }

    /// Whether a foreign key of the table says the same.
    #[must_use]
    pub(crate) fn is_enforced_by(&self, table: &str, key: &ForeignKey) -> bool {
        table == self.child
            && key.columns == [self.column]
            && key.referenced_table == self.parent
            // SQLite takes the primary key where none is named.
            && (key.referenced_columns.is_empty() || key.referenced_columns == [self.key])
    }

    /// The condition that a stage is not needed by this reference. It goes after the stages that have it for a parent, and
    /// stays where they do, or where rows of another session, which is there, refer to it.
    fn is_not_needed(&self) -> String {
        let Self { child, column, parent, key } = self;
        let who = match *child == STAGES {
            true => format!("child_row.{key} <> {parent}.{key}"),
            false => format!(
                "EXISTS (SELECT 1 FROM {SESSIONS} living WHERE living.session_id = child_row.session_id
                                                           AND living.session_id <> {parent}.session_id)"
            ),
        };
        format!(" AND NOT EXISTS (SELECT 1 FROM {child} child_row WHERE child_row.{column} = {parent}.{key} AND {who})")
    }

    /// The condition that a row of the child is an orphan, for a statement that names the child without an alias.
    #[must_use]
    pub(crate) fn is_orphan(&self) -> String {
        let Self { child, column, parent, key } = self;
        format!(
            "{child}.{column} IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM {parent} parent_row WHERE parent_row.{key} = {child}.{column})"
        )
    }
}

/// Orphans of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct OrphanCount {
    /// What leads nowhere.
    #[serde(flatten)]
    pub reference: Reference,
    /// How many rows; at least one.
    pub rows: u64,
}

/// Counts the orphans by reference, leaving out references without any. A row that lacks its session and its stage
/// counts for both. Reads only; an index on each column makes it quick on SQLite, PostgreSQL scans the tables.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub(crate) async fn count(
    connection: &impl ConnectionTrait,
    schema: &Schema,
) -> Result<Vec<OrphanCount>, DatabaseError> {
    let mut counts = Vec::new();
    for reference in REFERENCES.into_iter().filter(|reference| reference.is_in(schema)) {
        let Reference { child, parent, .. } = reference;
        let sql = format!("SELECT count(*) AS orphans FROM {child} WHERE {}", reference.is_orphan());
        let counted = row(connection, &sql).await.and_then(|row| row.try_get::<i64>("", "orphans"));
        let rows = counted.context(format!("look for rows of {child} without one of {parent}"))?.unsigned_abs();
        if rows > 0 {
            counts.push(OrphanCount { reference, rows });
        }
    }
    Ok(counts)
}

/// The tables by which it was decided what is an orphan.
#[must_use]
pub(crate) fn tables(counts: &[OrphanCount]) -> Vec<&'static str> {
    let both = counts.iter().flat_map(|count| [count.reference.child, count.reference.parent]);
    both.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A table that refers to others, and what refers to it in turn: that would be an orphan as well, or be removed by a
/// cascade, unseen.
struct Child {
    table: &'static str,
    key: &'static str,
    /// Tables with the column that refers.
    dependents: &'static [(&'static str, &'static str)],
}

const CHILDREN: [Child; 5] = [
    Child {
        table: STAGES,
        key: "execution_id",
        dependents: &[("llm_interactions", "stage_execution_id"), ("mcp_communications", "stage_execution_id")],
    },
    Child { table: "llm_interactions", key: "interaction_id", dependents: &[] },
    Child { table: "mcp_communications", key: "communication_id", dependents: &[] },
    Child { table: "chats", key: "chat_id", dependents: &[("chat_user_messages", "chat_id")] },
    Child { table: "chat_user_messages", key: "message_id", dependents: &[] },
];

/// Begins to remove orphans of one kind, at most `size` of them with what hangs on them, in one transaction. Those that
/// somebody else has locked are passed over; `None` means that there are no others.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back.
pub(crate) async fn remove_batch(
    connection: &DatabaseConnection,
    schema: &Schema,
    reference: Reference,
    size: u32,
    limits: Limits,
    archive: Option<&Archive>,
) -> Result<Option<Batch>, BatchError> {
    let Some(Child { table, key, dependents }) = CHILDREN.iter().find(|child| child.table == reference.child) else {
        return Ok(None);
    };
    let mut batch = Batch::begin(connection, limits, archive).await?;
    let is_not_needed = match *table == STAGES {
        true => references_to_stages(schema).map(|reference| reference.is_not_needed()).collect(),
        false => String::new(),
    };
    let orphans = format!(
        "SELECT {key} AS orphan FROM {table} WHERE {}{is_not_needed} ORDER BY {key} LIMIT {size}",
        reference.is_orphan()
    );
    let found = batch.lock(&orphans).await?;
    let ids = found.iter().map(|row| row.try_get("", "orphan")).collect::<Result<Vec<String>, DbErr>>()?;
    if ids.is_empty() {
        return Ok(None);
    }
    let given = IdSet::given(connection.get_database_backend());
    let wanted = ids.len();
    let ids = serde_json::Value::from(ids).to_string();
    for (table, column) in dependents.iter().filter(|(table, column)| schema.has_column(table, column)) {
        batch.delete(table, &given.holds(column), &ids).await?;
    }
    batch.delete_all(wanted, table, &given.holds(key), &ids).await?;
    Ok(Some(batch))
}

#[cfg(test)]
mod tests {
    use sea_orm::Database;

    use super::*;
    use crate::schema;

    #[tokio::test]
    async fn orphans_are_found_without_foreign_keys_and_only_where_the_columns_are() {
        let connection = Database::connect("sqlite::memory:").await.expect("memory");
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
            let sql = format!("DELETE FROM {} WHERE {}", reference.child, reference.is_orphan());
            connection.execute_unprepared(&sql).await.expect("the condition fits a removal");
        }
        assert_eq!(count(&connection, &schema).await.expect("counts"), []);
    }
}
