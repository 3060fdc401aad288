//! Rows whose session, stage or chat does not exist. SQLite leaves them if foreign keys are switched off, and any
//! database without them. The references are TARSy's, whatever the database enforces.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, StatementBuilder};
use serde::Serialize;

use super::entity::count_rows;
use super::id_set::IdSet;
use super::places::{self, FirstPlaces, Place};
use super::removal::batch::{Batch, BatchError, gave_way};
use super::tables::{
    REFERENCES, Reference, SESSIONS, STAGES, primary_key, references_from_others, references_to_stages,
};
use crate::database::connection::Connection;
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::read_transaction::{self, Rows};
use crate::database::transaction::{SearchPath, Transaction};
use crate::schema::model::Schema;

/// How many places are kept at a time. After so many removals a search begins anew.
const MOST_PLACES: usize = 1 << 20;

/// The number of orphans in one statement on SQLite.
const PART: usize = 4096;

/// Makes PostgreSQL compare the two tables as wholes, whatever its statistics say: looking up the parent of each row takes
/// six times as long, and is quadratic without an index.
const JOIN: &str = "SET LOCAL enable_nestloop = off; SET LOCAL jit = off";

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

/// The tables that decide whether a row is an orphan, and whether an orphaned stage stays.
#[must_use]
pub(crate) fn tables(counts: &[OrphanCount]) -> Vec<&'static str> {
    let both = counts.iter().flat_map(|count| [count.reference.child, count.reference.parent]);
    let has_stages = counts.iter().any(|count| count.reference.child == STAGES);
    let of_stages = references_from_others(STAGES).filter(|_| has_stages).map(|reference| reference.child);
    both.chain(of_stages).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether orphans are searched in a table.
pub(crate) fn are_searched_in(schema: &Schema, table: &str) -> bool {
    REFERENCES.iter().any(|reference| reference.child == table && reference.is_in(schema))
}

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
        let place = Place::of_row(DbBackend::Sqlite, &row)?;
        if among.binary_search(&place).is_ok() {
            parents.insert(place);
        }
        Ok::<_, DbErr>(())
    };
    let query = parents_by(reading.namespace(), &between_stages);
    reading.each(StatementBuilder::build(&query, &DbBackend::Sqlite), add).await?;
    Ok(parents)
}

/// The query for the places of all stages that are the parents of others.
fn parents_by(namespace: &Namespace, reference: &Reference) -> SelectStatement {
    let Reference { child, column, key, .. } = *reference;
    let parents = Query::select()
        .column(("child_row", column))
        .from(namespace.table_ref(child).alias("child_row"))
        .and_where(Expr::col(("child_row", column)).not_equals(("child_row", key)))
        .to_owned();
    let is_parent = Expr::col((child, key)).in_subquery(parents);
    let mut query = Query::select().from(namespace.table_ref(child)).and_where(is_parent).to_owned();
    places::select(DbBackend::Sqlite, child, &mut query);
    query
}

/// Begins to remove the orphans of one reference at these places, with the rows that belong to them, in one transaction.
/// Rows that another session has locked are skipped, and those that are no orphans any more or that are needed. `found`
/// receives the others, in order; `None` means that there are none. On SQLite `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`gave_way`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    reference: &Reference,
    at: &[Place],
    found: &mut Vec<Place>,
    may_continue: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    let Reference { child: table, .. } = *reference;
    let Some(key) = primary_key(table) else { return Ok(None) };
    let backend = batch.backend();
    let locked = lock(&batch, table, at).await?;
    *found = batch.places(&still_orphans(backend, batch.namespace(), schema, reference, &locked)).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let part = if backend == DbBackend::Sqlite { PART } else { found.len() };
    for part in found.chunks(part) {
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
    batch.require_removed(table, found.len())?;
    Ok(Some(batch))
}

/// Locks the rows at these places on PostgreSQL, without those that another session has locked. What they are is read
/// afterwards: a condition of this query would not be judged anew for a row that changes before it is locked.
async fn lock(batch: &Batch, table: &'static str, at: &[Place]) -> Result<Vec<Place>, DbErr> {
    let backend = batch.backend();
    if backend == DbBackend::Sqlite {
        return Ok(at.to_vec());
    }
    let mut query = Query::select().from(batch.namespace().table_ref(table)).to_owned();
    places::select(backend, table, query.and_where(places::are_at(backend, table, at)));
    batch.lock(query).await?.iter().map(|row| Place::of_row(backend, row)).collect()
}

/// The query for those rows that are orphans of the reference. An orphaned stage stays as long as rows need it; on SQLite
/// [`find_parents`] has found those that other stages need.
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
/// they do or if rows of an existing session refer to it, which may be its own session.
fn is_not_needed(namespace: &Namespace, reference: &Reference) -> Expr {
    let Reference { child, column, parent, key } = *reference;
    let living = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(SESSIONS).alias("living"))
        .and_where(Expr::col(("living", "session_id")).equals(("child_row", "session_id")))
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
    use migration::ledger::Ledger;

    use super::*;
    use crate::history::removal::batch::{DeleteTriggers, Limits};
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

    const LOST_INTERACTIONS: &str = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY);
        CREATE TABLE stage_executions (execution_id VARCHAR PRIMARY KEY, session_id VARCHAR,
            parent_stage_execution_id VARCHAR);
        CREATE TABLE llm_interactions (interaction_id VARCHAR PRIMARY KEY, session_id VARCHAR,
            stage_execution_id VARCHAR);
        CREATE INDEX of_stage ON llm_interactions (stage_execution_id);
        INSERT INTO alert_sessions VALUES ('s');
        INSERT INTO stage_executions VALUES ('root', 'gone', NULL), ('child', 'gone', 'root'), ('own', 'gone', 'own');
        INSERT INTO llm_interactions VALUES ('a', 'gone', NULL), ('b', 's', NULL), ('c', 'lost', NULL)";

    fn reference_of(child: &str) -> Reference {
        let is_meant = |reference: &&Reference| reference.child == child && reference.column == "session_id";
        *REFERENCES.iter().find(is_meant).expect("a reference")
    }

    /// Begins to remove orphans of a reference to sessions. Returns how many it found.
    async fn begin(connection: &Connection, child: &str, at: &[Place]) -> (Option<Batch>, Vec<Place>) {
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let limits = Limits { lock: Duration::ZERO, statement: None };
        let batch = Batch::begin(connection, limits, None, DeleteTriggers::None).await.expect("a transaction");
        let mut found = Vec::new();
        let batch = remove_batch(batch, &schema, &reference_of(child), at, &mut found, || true).await;
        (batch.expect("a batch"), found)
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
        batch.expect("rows").commit(&Ledger::Missing).await.expect("a commit");
        let (batch, found) = begin(&connection, "llm_interactions", &places).await;
        assert!(batch.is_none() && found.is_empty());
        assert_eq!(find(&connection, &reference, None, None).await.expect("places"), (Vec::new(), None));
    }

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
