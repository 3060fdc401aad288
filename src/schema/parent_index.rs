//! The index on the parent of parallel stages, which TARSy does not create and the removal of stages needs.

use sea_orm::DbBackend;

use super::model::{Index, IndexMethod, Schema};

/// The table, which refers to itself.
pub(crate) const TABLE: &str = "stage_executions";
/// The column of the foreign key to the parent of parallel stages.
const COLUMN: &str = "parent_stage_execution_id";
/// The name of the recommended index.
const NAME: &str = "ix_stage_executions_parent";

/// Whether an index supports the foreign key to the parent of parallel stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParentIndex {
    /// No foreign key uses the column.
    NotNeeded,
    /// This index supports it.
    Present(String),
    /// This index would support it, but its creation failed.
    Invalid(String),
    /// No index supports it: each deleted stage scans the whole table.
    Missing,
}

impl ParentIndex {
    /// Looks for the index in a schema.
    #[must_use]
    pub(crate) fn of(schema: &Schema) -> Self {
        let Some(table) = schema.tables.get(TABLE) else { return Self::NotNeeded };
        if !table.foreign_keys.iter().any(|key| key.columns == [COLUMN]) {
            return Self::NotNeeded;
        }
        let mut usable: Vec<_> = table.indexes.iter().filter(|(_, index)| is_usable(index)).collect();
        usable.sort_by_key(|(_, index)| !index.valid);
        match usable.first() {
            None => Self::Missing,
            Some((name, index)) if index.valid => Self::Present((*name).clone()),
            Some((name, _)) => Self::Invalid((*name).clone()),
        }
    }
}

/// The statement that creates the recommended index.
#[must_use]
pub(crate) fn create_parent_index(backend: DbBackend) -> String {
    create(NAME, backend)
}

/// The statement that creates such an index under another name. It leaves out stages without a parent, which are most;
/// on PostgreSQL it blocks neither readers nor writers.
#[must_use]
pub(crate) fn create(name: &str, backend: DbBackend) -> String {
    let concurrently = if backend == DbBackend::Postgres { "CONCURRENTLY " } else { "" };
    format!("CREATE INDEX {concurrently}{name} ON {TABLE} ({COLUMN}) WHERE {COLUMN} IS NOT NULL")
}

/// Whether an index finds the rows of a given parent.
fn is_usable(index: &Index) -> bool {
    let leads = index.columns.first().is_some_and(|first| first.trim_end_matches(" DESC") == COLUMN);
    leads
        && matches!(index.method, IndexMethod::BTree | IndexMethod::Hash)
        && index.predicate.as_deref().is_none_or(keeps_parents)
}

/// Whether a partial index leaves out only stages without a parent. SQLite returns the whole definition, PostgreSQL the
/// condition.
fn keeps_parents(predicate: &str) -> bool {
    let words = predicate.to_lowercase().replace(['(', ')', '"', '`', '[', ']'], " ");
    let words: Vec<_> = words.split_whitespace().collect();
    let condition = words.iter().rposition(|word| *word == "where").map_or(&words[..], |place| &words[place + 1..]);
    condition == [COLUMN, "is", "not", "null"]
        || condition == [COLUMN, "not", "null"]
        || condition == [COLUMN, "notnull"]
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::database::transaction::Transaction;

    async fn after(sql: &str) -> ParentIndex {
        let connection = Transaction::in_memory().await;
        let table = "CREATE TABLE stage_executions (execution_id VARCHAR PRIMARY KEY, session_id VARCHAR,
                         parent_stage_execution_id VARCHAR REFERENCES stage_executions (execution_id))";
        connection.execute_unprepared(&format!("{table}; {sql}")).await.expect("sound SQL");
        ParentIndex::of(&crate::schema::read::schema(&connection).await.expect("a schema"))
    }

    #[tokio::test]
    async fn an_index_that_leads_with_the_column_and_has_all_parents_is_enough() {
        let recommended = create_parent_index(DbBackend::Sqlite);
        assert_eq!(after(&recommended).await, ParentIndex::Present(NAME.to_owned()));
        for sql in [
            "CREATE INDEX mine ON stage_executions (parent_stage_execution_id DESC, session_id)",
            "CREATE INDEX mine ON stage_executions (parent_stage_execution_id)
                 WHERE ((\"parent_stage_execution_id\") NOT NULL)",
        ] {
            assert_eq!(after(sql).await, ParentIndex::Present("mine".to_owned()), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "CREATE INDEX mine ON stage_executions (session_id, parent_stage_execution_id)",
            "CREATE INDEX mine ON stage_executions (parent_stage_execution_id) WHERE session_id = 'x'",
            "CREATE INDEX mine ON stage_executions (parent_stage_execution_id)
                 WHERE session_id = 'x' AND parent_stage_execution_id IS NOT NULL",
        ] {
            assert_eq!(after(sql).await, ParentIndex::Missing, "{sql}");
        }
    }

    #[test]
    fn where_no_key_uses_the_column_none_is_needed() {
        assert_eq!(ParentIndex::of(&Schema::default()), ParentIndex::NotNeeded);
    }

    #[test]
    fn postgresql_gives_the_condition_in_brackets() {
        assert!(keeps_parents("(parent_stage_execution_id IS NOT NULL)"));
        assert!(!keeps_parents("((parent_stage_execution_id)::text > ''::text)"));
        assert_eq!(
            create_parent_index(DbBackend::Postgres),
            "CREATE INDEX CONCURRENTLY ix_stage_executions_parent ON stage_executions (parent_stage_execution_id) \
             WHERE parent_stage_execution_id IS NOT NULL"
        );
    }
}
