//! An index for as long as stages are removed from PostgreSQL.
//!
//! From revision 18 on a foreign key leads from a stage to its parent, and no revision has an index for it: for each
//! stage that goes the server reads all stages, so that a removal takes the longer the more history stays. A partial
//! index, of the few stages that have a parent, does away with that. It is built without locking anybody out.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};

use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, DatabaseError, ResultExt};
use crate::database::mark;
use crate::history::retention::plan::RetentionPlan;
use crate::schema::model::Schema;
use crate::schema::parent_index::{self, ParentIndex, TABLE as STAGES};

/// The index's name. One that a crash left behind is used, and dropped, by the next run.
const NAME: &str = "tarsy_db_prune_stage_parent";
/// Below so many stages the building costs more than it saves.
const WORTHWHILE: u64 = 200;

/// Builds the index where it is missing and worth it. Returns whether it is there, to be dropped in the end.
///
/// # Errors
/// [`DatabaseError`] when the server cannot be asked; a role that may not build it, or a server that is too busy, only
/// makes the removal slower.
pub(crate) async fn build(
    connection: &DatabaseConnection,
    schema: &Schema,
    plan: &RetentionPlan,
) -> Result<bool, DatabaseError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let stages = plan.tables.iter().find(|table| table.table == STAGES).map_or(0, |table| table.rows);
    let is_left_over = is_left_over(schema);
    match ParentIndex::of(schema) {
        ParentIndex::Present(name) if name == NAME => return Ok(true),
        ParentIndex::Missing | ParentIndex::Invalid(_) if stages >= WORTHWHILE || is_left_over => {}
        _ => return Ok(false),
    }
    let owner =
        format!("SELECT pg_has_role(relowner, 'USAGE') AS is_owner FROM pg_class WHERE oid = '{STAGES}'::regclass");
    let action = "learn to whom the stages belong";
    if !row(connection, &owner).await.context(action)?.try_get::<bool>("", "is_owner").context(action)? {
        tracing::warn!(
            "no index leads to the parents of stages, which makes this slow; the tables' owner can create one: \
             `tarsy-db check` shows how"
        );
        return Ok(false);
    }
    if is_left_over {
        // What a failed attempt left is of no use.
        drop(connection).await;
    }
    let sql = parent_index::create(NAME, DbBackend::Postgres);
    if let Err(error) = connection.execute_unprepared(&mark::statement(&sql)).await {
        let cause = DatabaseCause::from(error);
        tracing::warn!("no index leads to the parents of stages, which makes this slow; building one failed: {cause}");
    }
    Ok(true)
}

/// Drops the index that a crash left behind.
pub(crate) async fn drop_left_over(connection: &DatabaseConnection, schema: &Schema) {
    if connection.get_database_backend() == DbBackend::Postgres && is_left_over(schema) {
        drop(connection).await;
    }
}

fn is_left_over(schema: &Schema) -> bool {
    schema.tables.get(STAGES).is_some_and(|stages| stages.indexes.contains_key(NAME))
}

/// Drops the index again.
pub(crate) async fn drop(connection: &DatabaseConnection) {
    let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {NAME}");
    let dropped = connection.execute_unprepared(&mark::statement(&sql)).await;
    if let Err(error) = dropped {
        tracing::warn!("the index {NAME} stays until the next run: {}", DatabaseCause::from(error));
    }
}
