//! An index for as long as stages are removed from PostgreSQL.
//!
//! From revision 18 on a foreign key leads from a stage to its parent, and no revision has an index for it: for each
//! stage that goes the server reads all stages, so that a removal takes the longer the more history stays. A partial
//! index, of the few stages that have a parent, does away with that. It is built without locking anybody out.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};

use super::plan::Plan;
use crate::connection::row;
use crate::failure::{Cause, DatabaseError, Doing};
use crate::schema::{Index, Schema};

/// The table and the column that points to its own primary key.
const STAGES: &str = "stage_executions";
const PARENT: &str = "parent_stage_execution_id";
/// The index's name. One that a crash left behind is used, and dropped, by the next run.
const NAME: &str = "tarsy_db_prune_stage_parent";
/// Below so many stages the building costs more than it saves.
const WORTHWHILE: u64 = 200;

/// Whether the database checks, without an index, that no stage has a stage as its parent that goes.
#[must_use]
pub fn is_missing(schema: &Schema) -> bool {
    let Some(stages) = schema.tables.get(STAGES) else { return false };
    let has_key = stages.foreign_keys.iter().any(|key| key.columns == [PARENT]);
    let leads = |index: &Index| {
        let is_partial = index.predicate.as_ref().is_some_and(|predicate| !predicate.contains("IS NOT NULL"));
        index.valid && !is_partial && index.columns.first().is_some_and(|column| column == PARENT)
    };
    has_key && !stages.indexes.values().any(leads)
}

/// Builds the index where it is missing and worth it. Returns whether it is there, to be dropped in the end.
///
/// # Errors
/// [`DatabaseError`] when the server cannot be asked; a role that may not build it, or a server that is too busy, only
/// makes the removal slower.
pub async fn build(connection: &DatabaseConnection, schema: &Schema, plan: &Plan) -> Result<bool, DatabaseError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let left_over = schema.tables.get(STAGES).is_some_and(|stages| stages.indexes.contains_key(NAME));
    let stages = plan.tables.iter().find(|table| table.table == STAGES).map_or(0, |table| table.rows);
    if !left_over && (stages < WORTHWHILE || !is_missing(schema)) {
        return Ok(false);
    }
    let owner =
        format!("SELECT pg_has_role(relowner, 'USAGE') AS is_owner FROM pg_class WHERE oid = '{STAGES}'::regclass");
    let action = "learn to whom the stages belong";
    if !row(connection, &owner).await.doing(action)?.try_get::<bool>("", "is_owner").doing(action)? {
        if is_missing(schema) {
            tracing::warn!(
                "no index leads to the parents of stages, which makes this slow; the tables' owner can create it: \
                 `tarsy-db check` shows how"
            );
        }
        return Ok(false);
    }
    if left_over && is_missing(schema) {
        // What a failed attempt left is of no use.
        drop(connection).await;
    } else if left_over {
        return Ok(true);
    }
    let sql = format!("CREATE INDEX CONCURRENTLY {NAME} ON {STAGES} ({PARENT}) WHERE {PARENT} IS NOT NULL");
    match connection.execute_unprepared(&sql).await {
        Ok(_) => Ok(true),
        Err(error) => {
            let cause = Cause::from(error);
            tracing::warn!(
                "no index leads to the parents of stages, which makes this slow; building one failed: {cause}"
            );
            Ok(true)
        }
    }
}

/// Drops the index again.
pub async fn drop(connection: &DatabaseConnection) {
    let dropped = connection.execute_unprepared(&format!("DROP INDEX CONCURRENTLY IF EXISTS {NAME}")).await;
    if let Err(error) = dropped {
        tracing::warn!("the index {NAME} stays until the next run: {}", Cause::from(error));
    }
}
