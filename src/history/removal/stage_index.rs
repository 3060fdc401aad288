//! A temporary index for the removal of stages from PostgreSQL.
//!
//! From revision 18 on a stage has a foreign key to its parent, and no revision has an index for it: the server scans
//! all stages for each removed one. A partial index of the few stages that have a parent avoids that. Building it
//! blocks neither readers nor writers.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::SearchPath;
use crate::history::tables::{PARENT_STAGE, STAGES};
use crate::schema::model::Schema;
use crate::schema::parent_index::ParentIndex;

/// The index's name. The next run uses, and drops, an index that a crash left behind.
const NAME: &str = "tarsy_db_prune_stage_parent";
/// With fewer stages building the index costs more than it saves.
const WORTHWHILE: u64 = 200;

/// After this time a run says what it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a run does about the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexDecision {
    /// Another index exists, or it is not worth building.
    NotNeeded,
    /// A crash left a valid one.
    Reuse,
    /// A failed attempt left an invalid one.
    Rebuild,
    /// None exists.
    Build,
}

/// Decides what to do about the index on PostgreSQL, for the removal of this many stages.
fn decide(schema: &Schema, stages: u64) -> IndexDecision {
    let is_left_over = is_left_over(schema);
    match ParentIndex::of(schema) {
        ParentIndex::Present(name) if name == NAME => IndexDecision::Reuse,
        ParentIndex::Missing | ParentIndex::Invalid(_) if is_left_over => IndexDecision::Rebuild,
        ParentIndex::Missing | ParentIndex::Invalid(_) if stages >= WORTHWHILE => IndexDecision::Build,
        _ => IndexDecision::NotNeeded,
    }
}

/// Builds the index if it is missing and worth it for this many stages, and the transactions of other sessions that the
/// server waits for end before the limit. Returns whether it exists and is to be dropped at the end.
///
/// # Errors
/// [`DatabaseError`] if the server cannot be asked. A role that may not build it, or a server that is too busy, only
/// makes the removal slower.
pub(crate) async fn build(
    connection: &Connection,
    schema: &Schema,
    stages: u64,
    limit: Option<Duration>,
) -> Result<bool, DatabaseError> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let decision = decide(schema, stages);
    match decision {
        IndexDecision::NotNeeded => return Ok(false),
        IndexDecision::Reuse => return Ok(true),
        IndexDecision::Rebuild | IndexDecision::Build => {}
    }
    if !is_owner(connection).await? {
        tracing::warn!(
            "`stage_executions.parent_stage_execution_id` has no index, so each removed stage scans the whole table; the \
             table's owner can create one with the statement that `tarsy-db check` shows"
        );
        return Ok(false);
    }
    if decision == IndexDecision::Rebuild {
        drop_index(connection, limit).await;
    }
    create(connection, limit).await;
    Ok(true)
}

/// Whether the role may create indexes on the stages.
async fn is_owner(connection: &Connection) -> Result<bool, DatabaseError> {
    let action = (Verb::Determine, "the owner of stage_executions");
    let reading = connection.begin_reading(SearchPath::Empty, "").await.context(action)?;
    let sql = "SELECT pg_has_role(relowner, 'USAGE') AS is_owner FROM pg_class WHERE oid = $1::regclass";
    let statement = Statement::from_sql_and_values(reading.backend(), sql, [reading.table(STAGES).into()]);
    let owner = reading.query_one_raw(statement).await.context(action)?;
    reading.rollback().await.ok();
    owner.map_or(Ok(false), |row| row.try_get("", "is_owner")).context(action)
}

async fn create(connection: &Connection, limit: Option<Duration>) {
    let create = |namespace: &Namespace| {
        let table = namespace.table(STAGES);
        format!("CREATE INDEX CONCURRENTLY {NAME} ON {table} ({PARENT_STAGE}) WHERE {PARENT_STAGE} IS NOT NULL")
    };
    if let Err(cause) = execute(connection, limit, create).await {
        tracing::warn!(
            "`stage_executions.parent_stage_execution_id` has no index, so each removed stage scans the whole table; \
             creating one failed: {cause}"
        );
    }
}

/// Drops an index that a crash left behind.
pub(crate) async fn drop_left_over(connection: &Connection, schema: &Schema) {
    if connection.backend() == DbBackend::Postgres && is_left_over(schema) {
        drop_index(connection, None).await;
    }
}

fn is_left_over(schema: &Schema) -> bool {
    schema.tables.get(STAGES).is_some_and(|stages| stages.indexes.contains_key(NAME))
}

/// Drops the index, unless the transactions of other sessions last longer than the limit.
pub(crate) async fn drop_index(connection: &Connection, limit: Option<Duration>) {
    let drop = |namespace: &Namespace| {
        let schema = namespace.schema_of(STAGES).map(|schema| quoted(schema) + ".").unwrap_or_default();
        format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}{NAME}")
    };
    if let Err(cause) = execute(connection, limit, drop).await {
        tracing::warn!("cannot drop the temporary index {NAME}: {cause}; the next run drops it");
    }
}

/// Runs a statement that waits for every older transaction, at most this long for each, but blocks no session.
async fn execute(
    connection: &Connection,
    limit: Option<Duration>,
    sql: impl FnOnce(&Namespace) -> String,
) -> Result<(), DatabaseCause> {
    let sql = sql(&*connection.namespace().await?);
    let mut own = connection.open_own(limit).await?;
    let done = {
        let mut work = std::pin::pin!(own.execute(&sql));
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            done
        } else {
            tracing::info!("the server waits for older transactions of other sessions, such as a backup: {sql}");
            work.await
        }
    };
    own.close().await;
    Ok(done?)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::schema;

    /// Stages with indexes of the parents.
    async fn with_indexes(names: &[&str]) -> Schema {
        let connection = Connection::in_memory().await;
        let mut sql = format!(
            "CREATE TABLE {STAGES} (execution_id VARCHAR PRIMARY KEY,
                 {PARENT_STAGE} VARCHAR REFERENCES {STAGES} (execution_id));"
        );
        sql.extend(names.iter().map(|name| format!("CREATE INDEX {name} ON {STAGES} ({PARENT_STAGE});")));
        connection.execute_alone(&sql).await.expect("sound SQL");
        connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema")
    }

    fn after_failure(mut schema: Schema) -> Schema {
        let indexes = schema.tables.values_mut().flat_map(|table| table.indexes.values_mut());
        indexes.for_each(|index| index.valid = false);
        schema
    }

    #[tokio::test]
    async fn the_index_is_built_where_none_works_and_many_stages_go() {
        assert_eq!(decide(&with_indexes(&[]).await, WORTHWHILE), IndexDecision::Build);
        assert_eq!(decide(&with_indexes(&[]).await, WORTHWHILE - 1), IndexDecision::NotNeeded);
        assert_eq!(decide(&with_indexes(&["own"]).await, WORTHWHILE), IndexDecision::NotNeeded);
        assert_eq!(decide(&after_failure(with_indexes(&["own"]).await), WORTHWHILE), IndexDecision::Build);
        assert_eq!(decide(&Schema::default(), WORTHWHILE), IndexDecision::NotNeeded);
    }

    #[tokio::test]
    async fn what_a_crash_left_is_used_or_built_again() {
        assert_eq!(decide(&with_indexes(&[NAME]).await, 0), IndexDecision::Reuse);
        assert_eq!(decide(&after_failure(with_indexes(&[NAME]).await), 0), IndexDecision::Rebuild);
    }
}
