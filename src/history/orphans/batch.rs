//! Removes orphans in one transaction.

use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{DbBackend, DbErr};

use super::condition::{is_not_needed, orphans_of};
use crate::database::namespace::Namespace;
use crate::history::id_set::IdSet;
use crate::history::places::{self, Place};
use crate::history::removal::batch::Batch;
use crate::history::removal::batch_error::{BatchError, gave_way};
use crate::history::tables::{Reference, STAGES, primary_key, references_from_others, references_to_stages};
use crate::schema::model::Schema;

/// The number of orphans in one statement on SQLite.
const PART: usize = 4096;

/// What a batch found at the places of orphans, also if it failed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The orphans that it removes, in order.
    pub(crate) removed: Vec<Place>,
    /// The number of orphans that another session has locked.
    pub(crate) locked: u64,
}

/// Begins to remove the orphans of one reference at these places, with the rows that belong to them, in one transaction.
/// Rows that another session has locked are skipped, and those that are no orphans any more or that are needed; `None`
/// means that there are no others. On SQLite `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`gave_way`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    reference: &Reference,
    at: &[Place],
    found: &mut Found,
    may_continue: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    let Reference { child: table, .. } = *reference;
    let Some(key) = primary_key(table) else { return Ok(None) };
    let backend = batch.backend();
    let locked = lock(&batch, table, at).await?;
    let orphans = |at: &[Place]| still_orphans(backend, batch.namespace(), schema, reference, at);
    found.removed = batch.places(&orphans(&locked)).await?;
    let skipped: Vec<_> = at.iter().copied().filter(|place| locked.binary_search(place).is_err()).collect();
    found.locked = if skipped.is_empty() { 0 } else { batch.places(&orphans(&skipped)).await?.len() as u64 };
    if found.removed.is_empty() {
        return Ok(None);
    }
    let part = if backend == DbBackend::Sqlite { PART } else { found.removed.len() };
    for part in found.removed.chunks(part) {
        let are_in_part = places::are_at(backend, table, part);
        let mut rows = Query::select().column(key).from(batch.namespace().table_ref(table)).to_owned();
        let ids = IdSet::looked_up(backend, rows.and_where(are_in_part.clone()).to_owned());
        for Reference { child, column, .. } in references_from_others(table) {
            if schema.has_column(child, column) {
                batch.delete(child, ids.contains(column)).await?;
            }
        }
        batch.delete(table, are_in_part).await?;
        if backend == DbBackend::Sqlite && !may_continue() {
            return Err(gave_way());
        }
    }
    batch.require_removed(table, found.removed.len())?;
    Ok(Some(batch))
}

/// Locks the rows at these places on PostgreSQL, without those that another session has locked, and returns them in order.
/// What they are is read afterwards: a condition of this query would not be judged anew for a row that changes before it
/// is locked.
async fn lock(batch: &Batch, table: &'static str, at: &[Place]) -> Result<Vec<Place>, DbErr> {
    let backend = batch.backend();
    if backend == DbBackend::Sqlite {
        return Ok(at.to_vec());
    }
    let mut query = Query::select().from(batch.namespace().table_ref(table)).to_owned();
    places::select(backend, table, query.and_where(places::are_at(backend, table, at)));
    let locked = batch.lock(query).await?;
    let mut places: Vec<_> = locked.iter().map(|row| Place::of_row(backend, row)).collect::<Result<_, _>>()?;
    places.sort_unstable();
    Ok(places)
}

/// The query for those rows that are orphans of the reference. An orphaned stage stays as long as rows need it; on SQLite
/// [`find_parents`](super::search::find_parents) has found those that other stages need.
fn still_orphans(
    backend: DbBackend,
    namespace: &Namespace,
    schema: &Schema,
    reference: &Reference,
    at: &[Place],
) -> SelectStatement {
    let table = reference.child;
    let mut query = orphans_of(namespace, reference);
    query.and_where(places::are_at(backend, table, at));
    if table == STAGES {
        let is_looked_up = |reference: &Reference| backend == DbBackend::Postgres || reference.child != STAGES;
        for reference in references_to_stages(schema).filter(is_looked_up) {
            query.and_where(is_not_needed(namespace, &reference));
        }
    }
    places::select(backend, table, &mut query);
    query
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::{ConnectionTrait, StatementBuilder};

    use super::*;
    use crate::database::connection::Connection;
    use crate::database::transaction::Transaction;
    use crate::history::orphans::condition::{LOST_INTERACTIONS, reference_of};
    use crate::history::orphans::search::find;
    use crate::history::removal::batch::{DeleteTriggers, Limits};
    use crate::schema;

    /// Begins to remove orphans of a reference to sessions. Returns how many it found.
    async fn begin(connection: &Connection, child: &str, at: &[Place]) -> (Option<Batch>, Vec<Place>) {
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let limits = Limits { lock: Duration::ZERO, statement: None };
        let batch = Batch::begin(connection, limits, None, DeleteTriggers::None).await.expect("a transaction");
        let mut found = Found::default();
        let batch = remove_batch(batch, &schema, &reference_of(child), at, &mut found, || true).await;
        (batch.expect("a batch"), found.removed)
    }

    #[tokio::test]
    async fn what_is_no_orphan_any_more_stays() {
        let connection = Connection::in_memory().await;
        connection.execute_alone(LOST_INTERACTIONS).await.expect("sound SQL");
        let reference = reference_of("llm_interactions");
        let (places, more) = find(&connection, &reference, None, None).await.expect("places");
        assert_eq!((places.len(), more), (2, None));
        let behind = find(&connection, &reference, places.first().copied(), None).await.expect("places");
        assert_eq!(behind, (places[1..].to_vec(), None));

        connection.execute_alone("INSERT INTO alert_sessions VALUES ('gone')").await.expect("sound SQL");
        let (batch, found) = begin(&connection, "llm_interactions", &places).await;
        assert_eq!(found, places[1..]);
        batch.expect("rows").commit().await.expect("a commit");
        let (batch, found) = begin(&connection, "llm_interactions", &places).await;
        assert!(batch.is_none() && found.is_empty());
        assert_eq!(find(&connection, &reference, None, None).await.expect("places"), (Vec::new(), None));
    }
    /// How SQLite runs the query of a batch.
    async fn steps_of_batch(child: &str) -> String {
        let connection = Transaction::in_memory().await;
        connection.execute_unprepared(LOST_INTERACTIONS).await.expect("sound SQL");
        let schema = schema::read::schema(&connection).await.expect("a schema");
        let (backend, reference) = (connection.backend(), reference_of(child));
        let query = still_orphans(backend, connection.namespace(), &schema, &reference, &[]);
        let mut statement = StatementBuilder::build(&query, &backend);
        statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let steps = connection.query_all_raw(statement).await.expect("steps");
        let steps = steps.iter().map(|row| row.try_get::<String>("", "detail").expect("a text"));
        steps.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn a_batch_reads_its_rows_and_looks_their_parents_up() {
        let steps = steps_of_batch("llm_interactions").await;
        assert!(steps.contains("SEARCH llm_interactions USING INTEGER PRIMARY KEY (rowid=?)"), "{steps}");
        assert!(!steps.contains("SCAN llm_interactions") && !steps.contains("SCAN parent_row"), "{steps}");
        let steps = steps_of_batch(STAGES).await;
        assert!(steps.contains("SEARCH stage_executions USING INTEGER PRIMARY KEY (rowid=?)"), "{steps}");
        assert_eq!(steps.matches("SCAN").count(), steps.matches("SCAN ids VIRTUAL TABLE").count(), "{steps}");
    }

    #[test]
    fn postgresql_reads_the_rows_of_a_batch_from_their_places() {
        let (namespace, backend) = (Namespace::default(), DbBackend::Postgres);
        let reference = reference_of("llm_interactions");
        let query = still_orphans(backend, &namespace, &Schema::default(), &reference, &[]);
        let expected = r#"SELECT CAST("llm_interactions"."ctid" AS text) AS "place", CAST("llm_interactions"."tableoid" AS bigint) AS "part" FROM "llm_interactions" WHERE "llm_interactions"."session_id" IS NOT NULL AND (NOT EXISTS(SELECT 1 FROM "alert_sessions" AS "parent_row" WHERE "parent_row"."session_id" = "llm_interactions"."session_id")) AND ("llm_interactions"."ctid" = ANY(ARRAY(SELECT CAST(unnest($1) AS tid))) AND "llm_interactions"."tableoid" = CAST($2 AS oid))"#;
        assert_eq!(backend.build(&query).sql, expected);
    }
}
