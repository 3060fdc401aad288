//! Where orphans are, and which of them are the parents of others.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{DbBackend, DbErr, QueryResult, StatementBuilder};

use super::condition::orphans_of;
use crate::database::connection::Connection;
use crate::database::namespace::Namespace;
use crate::database::read_transaction::{self, Rows};
use crate::database::transaction::SearchPath;
use crate::history::places::{self, FirstPlaces, Place};
use crate::history::tables::{Reference, STAGES, references_to_stages};
use crate::schema::model::Schema;

/// How many places are kept at a time. After so many removals a search begins anew.
const MOST_PLACES: usize = 1 << 20;
/// Makes PostgreSQL compare the two tables as wholes, whatever its statistics say: looking up the parent of each row takes
/// six times as long, and is quadratic without an index.
const JOIN: &str = "SET LOCAL enable_nestloop = off; SET LOCAL jit = off";

/// Finds the places of the orphans of one reference that are behind a place: at most [`MOST_PLACES`] of them, in their
/// order, and the last one if there are others behind it. Reads only; each statement may take `limit` on PostgreSQL.
///
/// # Errors
/// The database's error.
pub(crate) async fn find(
    connection: &Connection,
    reference: &Reference,
    after: Option<Place>,
    limit: Option<Duration>,
) -> Result<(Vec<Place>, Option<Place>), DbErr> {
    let set_up = format!("{}; {JOIN}", read_transaction::set_up(limit, Rows::Every));
    let reading = connection.begin_reading(SearchPath::Empty, &set_up).await?;
    let backend = reading.backend();
    let mut query = orphans_of(reading.namespace(), reference);
    places::select(backend, reference.child, &mut query);
    let mut first = FirstPlaces::new(MOST_PLACES, after);
    let add = async |row: QueryResult| Place::of_row(backend, &row).map(|place| first.add(place));
    reading.each(StatementBuilder::build(&query, &backend), add).await?;
    reading.rollback().await?;
    Ok(first.sorted())
}

/// Finds the places of stages that are the parents of others, among those of orphans, on SQLite. No index leads from a stage
/// to its child stages there: a scan in each batch would keep writers waiting, and so one without a lock serves many
/// batches. Reads only.
///
/// # Errors
/// The database's error.
pub(crate) async fn find_parents(
    connection: &Connection,
    schema: &Schema,
    reference: &Reference,
    among: &[Place],
) -> Result<BTreeSet<Place>, DbErr> {
    let mut parents = BTreeSet::new();
    let between_stages = references_to_stages(schema).find(|reference| reference.child == STAGES);
    let (DbBackend::Sqlite, STAGES, Some(between_stages)) = (connection.backend(), reference.child, between_stages)
    else {
        return Ok(parents);
    };
    let reading = connection.begin_reading(SearchPath::Empty, "").await?;
    let add = async |row: QueryResult| {
        parents.insert(Place::of_row(DbBackend::Sqlite, &row)?);
        Ok::<_, DbErr>(())
    };
    let query = parents_by(reading.namespace(), &between_stages, among);
    reading.each(StatementBuilder::build(&query, &DbBackend::Sqlite), add).await?;
    Ok(parents)
}

/// The query for those places of stages that are the parents of others.
fn parents_by(namespace: &Namespace, reference: &Reference, among: &[Place]) -> SelectStatement {
    let Reference { child, column, key, .. } = *reference;
    let parents = Query::select()
        .column(("child_row", column))
        .from(namespace.table_ref(child).alias("child_row"))
        .and_where(Expr::col(("child_row", column)).not_equals(("child_row", key)))
        .to_owned();
    let is_parent = Expr::col((child, key)).in_subquery(parents);
    let is_meant = places::are_at(DbBackend::Sqlite, child, among);
    let mut query =
        Query::select().from(namespace.table_ref(child)).and_where(is_meant).and_where(is_parent).to_owned();
    places::select(DbBackend::Sqlite, child, &mut query);
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::orphans::condition::{LOST_INTERACTIONS, reference_of};
    use crate::schema;

    #[tokio::test]
    async fn stages_that_others_need_are_found_at_once() {
        let connection = Connection::in_memory().await;
        connection.execute_alone(LOST_INTERACTIONS).await.expect("sound SQL");
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let reference = reference_of(STAGES);
        let (places, _) = find(&connection, &reference, None, None).await.expect("places");
        let parents_among =
            async |among| find_parents(&connection, &schema, &reference, among).await.expect("an answer");
        // One is its own parent.
        assert_eq!((places.len(), parents_among(&places).await), (3, BTreeSet::from([places[0]])));
        assert_eq!(parents_among(&places[1..]).await, BTreeSet::new());
        connection.execute_alone("DELETE FROM stage_executions WHERE execution_id = 'child'").await.expect("sound SQL");
        assert_eq!(parents_among(&places).await, BTreeSet::new());
        let others = find_parents(&connection, &schema, &reference_of("llm_interactions"), &places).await;
        assert_eq!(others.expect("an answer"), BTreeSet::new());
    }
}
