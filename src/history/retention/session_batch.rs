//! Removes the sessions of a selection in batches, each in one transaction.

use std::collections::BTreeSet;
use std::ops::Bound;

use sea_orm::sea_query::{Condition, Expr, ExprTrait, Order, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, DbBackend, DbErr, QueryResult};

use super::known_sessions::{KnownSession, MOST_NAMED};
use super::policy::ActiveSessions;
use super::selection::Selection;
use super::{in_use, known_sessions, needed};
use crate::database::namespace::Namespace;
use crate::history::entity::{self, alert_sessions};
use crate::history::id_set::{IdSet, is_none_of};
use crate::history::removal::batch::{Batch, DeleteStatements};
use crate::history::removal::batch_error::{BatchError, gave_way, not_in_index};
use crate::history::tables::{CHATS, DEPENDENTS, Dependent, Reference, SESSIONS, STAGES, references_to_stages};
use crate::schema::model::{Index, Schema};

/// The most sessions of a batch: they are listed in memory.
pub(crate) const MOST_AT_ONCE: u32 = 1 << 16;

/// The number of sessions in one statement.
const PART: usize = 128;

/// The number of sessions in one query of SQLite for those to keep. The query has the list several times in memory.
const EXAMINED: usize = 4096;

/// Up to this many sessions are deleted from all tables with one statement. It saves round trips, but looks at each row
/// once more to count it, which takes a tenth longer.
const MOST_WITH_ONE: usize = 16;

/// The sessions that a batch picked, also if it failed.
#[derive(Debug, Default)]
pub(crate) struct Picked {
    /// All of them.
    pub sessions: Vec<KnownSession>,
    /// Those that the batch keeps.
    pub kept: Vec<KnownSession>,
}

/// The position of a pass over the sessions, from the oldest to the newest.
///
/// Each batch continues where the last one ended: from the beginning it would scan all removed sessions again, as long
/// as a snapshot still sees them.
///
/// There may be many sessions to skip, and each query names some of them. So a pass goes on in stretches, each of which
/// ends at the last session that is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// The last session of the last batch, or of the last stretch.
    pub after: Option<KnownSession>,
    /// Sessions that are skipped besides those that the selection keeps: a batch kept them, or could not remove them.
    pub without: BTreeSet<KnownSession>,
}

impl Cursor {
    /// The last session of the current stretch. `None` if it is the last stretch of the pass.
    pub(crate) fn end_of_stretch<'s>(&'s self, selection: &'s Selection) -> Option<&'s KnownSession> {
        let behind = self.next_to_skip(selection);
        (behind.len() > MOST_NAMED).then(|| behind[MOST_NAMED - 1])
    }

    /// The next sessions to skip behind the position, in order: those of the stretch, and the first of the next one.
    fn next_to_skip<'s>(&'s self, selection: &'s Selection) -> Vec<&'s KnownSession> {
        let after = self.after.as_ref();
        let most = MOST_NAMED + 1;
        let found = self.without.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let needed = selection.needed.sessions.after(after).take(most);
        let in_use = selection.in_use.after(after).take(most);
        let mut behind: Vec<_> = needed.chain(in_use).chain(found.take(most)).collect();
        behind.sort_unstable();
        behind.dedup();
        behind.truncate(most);
        behind
    }

    /// Adds the stretch to the condition for the sessions of the pass.
    fn add_to(&self, mut condition: Condition, selection: &Selection) -> Condition {
        let backend = selection.backend();
        let start = alert_sessions::Column::StartedAtUs;
        let place = Expr::tuple([start.into_expr(), key_in_order(backend)]);
        let of = |session: &KnownSession| Expr::tuple([session.started_at_us.into(), (*session.session_id).into()]);
        // The conditions for the start alone are redundant, but use the index.
        if let Some(after) = &self.after {
            condition = condition.add(start.gte(after.started_at_us)).add(place.clone().gt(of(after)));
        }
        if let Some(end) = self.end_of_stretch(selection) {
            condition = condition.add(start.lte(end.started_at_us)).add(place.lte(of(end)));
        }
        let named = self.next_to_skip(selection).into_iter().take(MOST_NAMED);
        let named: Vec<_> = named.map(|session| session.session_id.to_string()).collect();
        if named.is_empty() {
            return condition;
        }
        condition.add(is_none_of(backend, alert_sessions::Column::SessionId.as_column_ref(), named))
    }
}

/// The key of a session as it is ordered: by its bytes, as in [`KnownSession`], whatever the collation of the column is.
fn key_in_order(backend: DbBackend) -> Expr {
    let collation = match backend {
        DbBackend::Postgres => r#"$1 COLLATE "C""#,
        _ => "? COLLATE BINARY",
    };
    Expr::cust_with_expr(collation, entity::text(backend, alert_sessions::Column::SessionId.as_column_ref()))
}

/// The next sessions of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'p> {
    pub(crate) selection: &'p Selection,
    pub(crate) cursor: &'p Cursor,
    /// The maximal number of sessions.
    pub(crate) size: u32,
}

impl Page<'_> {
    fn query(&self, namespace: &Namespace) -> SelectStatement {
        let backend = self.selection.backend();
        let is_removable = self.selection.policy.is_removable_in_order(backend);
        known_sessions::query(backend, namespace, self.cursor.add_to(is_removable, self.selection))
            .order_by(alert_sessions::Column::StartedAtUs, Order::Asc)
            .order_by_expr(key_in_order(backend), Order::Asc)
            .limit(u64::from(self.size))
            .to_owned()
    }
}

/// Picks the next sessions, and begins to remove them in one transaction. Sessions that the backend is writing to are
/// skipped; `None` means that there are no others in this stretch. The sessions are added to `picked`, also on failure.
/// `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`gave_way`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    page: Page<'_>,
    picked: &mut Picked,
    may_continue: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    let take = |row: &QueryResult| KnownSession::of(row).map(|session| picked.sessions.push(session));
    batch.lock_each(page.query(batch.namespace()), take).await?;
    if picked.sessions.is_empty() {
        return Ok(None);
    }
    let Examined { dependents, kept } = examine(&batch, schema, page.selection, &picked.sessions).await?;
    let is_kept = |id: &str| kept.contains(id) || page.selection.is_needed(id);
    let (staying, going): (Vec<_>, Vec<_>) = picked.sessions.iter().partition(|session| is_kept(&session.session_id));
    picked.kept = staying.into_iter().cloned().collect();
    delete(&mut batch, schema, &dependents, &going, may_continue).await?;
    Ok(Some(batch))
}

/// What is known about picked sessions before they are deleted.
struct Examined {
    /// The tables that may have rows of the sessions.
    dependents: Vec<Dependent>,
    /// The sessions that are in use, and those that other sessions need because of interactions.
    kept: BTreeSet<String>,
}

/// Looks for sessions to keep, in each batch and only among its sessions, so that neither a change since the plan nor the
/// number of such sessions matters. What others need is not asked again if the plan knows all of it and no archive would
/// lack a row that a cascade takes along: it doubles the time of a short batch.
///
/// On PostgreSQL it locks the chats of the sessions first: a session that sends a message locks the chat, not the
/// session. While the sessions are locked none gets its first chat, and while the chats are locked none comes into use.
async fn examine(
    batch: &Batch,
    schema: &Schema,
    selection: &Selection,
    sessions: &[KnownSession],
) -> Result<Examined, DbErr> {
    let (backend, namespace) = (batch.backend(), batch.namespace());
    let policy = &selection.policy;
    let cutoff_us = (policy.active == ActiveSessions::Keep).then_some(policy.cutoff_us);
    let asks_again = !selection.needed.are_all || batch.archive().is_some();
    let dependents = DEPENDENTS.iter().copied().filter(|dependent| schema.tables.contains_key(dependent.table));
    if backend == DbBackend::Postgres && schema.has_column(CHATS, "session_id") {
        let taken = ids(batch, sessions);
        let needed = needed::queries(backend, namespace, schema, &taken).filter(|_| asks_again);
        let is_taken = taken.contains("session_id");
        let query = in_use::query_that_locks_chats(namespace, schema, cutoff_us, &is_taken, needed);
        let (mut kept, mut have_chats) = (BTreeSet::new(), false);
        for row in batch.rows(&query).await? {
            have_chats |= row.try_get::<bool>("", in_use::IS_CHAT)?;
            if row.try_get("", in_use::IS_KEPT)? {
                kept.insert(row.try_get("", "session_id")?);
            }
        }
        let dependents = dependents.filter(|dependent| have_chats || !dependent.is_of_chats()).collect();
        return Ok(Examined { dependents, kept });
    }
    let mut kept = BTreeSet::new();
    for part in sessions.chunks(EXAMINED) {
        let taken = ids(batch, part);
        let needed = needed::queries(backend, namespace, schema, &taken).filter(|_| asks_again);
        let is_meant = |_| Condition::all().add(taken.contains("session_id"));
        let in_use = cutoff_us.map(|cutoff_us| in_use::query(backend, namespace, schema, cutoff_us, is_meant));
        let queries = in_use.into_iter().chain(needed);
        let Some(query) = queries.reduce(|mut all, query| all.union(UnionType::Distinct, query).to_owned()) else {
            break;
        };
        for row in batch.rows(&query).await? {
            kept.insert(row.try_get("", "session_id")?);
        }
    }
    Ok(Examined { dependents: dependents.collect(), kept })
}

/// Deletes sessions and the rows that belong to them.
async fn delete(
    batch: &mut Batch,
    schema: &Schema,
    dependents: &[Dependent],
    sessions: &[&KnownSession],
    may_continue: impl Fn() -> bool,
) -> Result<(), BatchError> {
    let backend = batch.backend();
    let listed = |part: &[&KnownSession]| IdSet::listed(backend, keys(part.iter().copied()));
    if backend == DbBackend::Postgres {
        for part in sessions.chunks(PART) {
            let ids = listed(part);
            let of_session = |dependent: &Dependent| (dependent.table, dependent.of_sessions(batch.namespace(), &ids));
            let mut conditions: Vec<_> = dependents.iter().map(of_session).collect();
            conditions.push((SESSIONS, ids.contains(alert_sessions::Column::SessionId.as_column_ref())));
            let is_small = part.len() <= MOST_WITH_ONE;
            let statements = if is_small { DeleteStatements::One } else { DeleteStatements::OnePerTable };
            batch.delete_from_tables(conditions, statements).await?;
        }
        return batch.require_removed(SESSIONS, sessions.len());
    }
    // One table after the other, so that the pages of its indexes stay in memory.
    for dependent in dependents {
        for part in sessions.chunks(PART) {
            if dependent.table == STAGES {
                require_no_interactions(batch, schema, &listed(part)).await?;
            }
            let is_of_session = dependent.of_sessions(batch.namespace(), &listed(part));
            batch.delete(dependent.table, is_of_session).await?;
            if !may_continue() {
                return Err(gave_way());
            }
        }
    }
    for part in sessions.chunks(PART) {
        batch.delete(SESSIONS, listed(part).contains(alert_sessions::Column::SessionId.as_column_ref())).await?;
    }
    batch.require_removed(SESSIONS, sessions.len())
}

/// Makes sure on SQLite that no interactions of the sessions are left, which were found by one index, by another one: that of
/// the stages. An index may lack entries.
async fn require_no_interactions(batch: &Batch, schema: &Schema, sessions: &IdSet) -> Result<(), BatchError> {
    for (table, query) in interactions_by_stage(batch.namespace(), schema, sessions) {
        if batch.one(&query).await?.is_some() {
            return Err(not_in_index(table).into());
        }
    }
    Ok(())
}

/// The queries for one of the interactions of sessions on SQLite, found by the index of the stages, where there is one.
fn interactions_by_stage(
    namespace: &Namespace,
    schema: &Schema,
    sessions: &IdSet,
) -> impl Iterator<Item = (&'static str, SelectStatement)> {
    let has_index = |reference: &Reference| {
        let leads = |index: &Index| {
            index.predicate.is_none() && index.columns.first().is_some_and(|first| first == reference.column)
        };
        schema.tables.get(reference.child).is_some_and(|table| table.indexes.values().any(leads))
    };
    let of_interactions = references_to_stages(schema).filter(|reference| reference.child != STAGES);
    of_interactions.filter(has_index).map(|Reference { child, column, key, .. }| {
        // A cross join runs in this order, and `+` keeps SQLite from the index by which the rows were deleted.
        let query = Query::select()
            .expr(Expr::cust("1"))
            .from(namespace.table_ref(STAGES).alias("s"))
            .cross_join(namespace.table_ref(child).alias("o"))
            .and_where(sessions.contains(("s", "session_id")))
            .and_where(Expr::col(("o", column)).equals(("s", key)))
            .and_where(sessions.has(Expr::cust(r#"+"o"."session_id""#)))
            .limit(1)
            .to_owned();
        (child, query)
    })
}

/// The keys of sessions.
fn ids<'s>(batch: &Batch, sessions: impl IntoIterator<Item = &'s KnownSession>) -> IdSet {
    IdSet::bound(batch.backend(), keys(sessions))
}

fn keys<'s>(sessions: impl IntoIterator<Item = &'s KnownSession>) -> Vec<String> {
    sessions.into_iter().map(|session| session.session_id.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use sea_orm::sea_query::SqliteQueryBuilder;
    use sea_orm::{ConnectionTrait, Statement};

    use super::*;
    use crate::database::connection::Connection;
    use crate::schema;

    fn session(started_at_us: i64, session_id: &str) -> KnownSession {
        KnownSession { started_at_us, session_id: session_id.into() }
    }

    #[test]
    fn a_pass_continues_after_the_last_session_and_skips_those_that_cannot_be_removed() {
        let selection = Selection::of_policy(DbBackend::Postgres);
        let sql = |cursor: &Cursor| {
            let sessions = entity::keys_of_sessions(&Namespace::default(), cursor.add_to(Condition::all(), &selection));
            DbBackend::Postgres.build(&sessions)
        };
        let mut cursor = Cursor::default();
        let all = r#"SELECT "alert_sessions"."session_id" FROM "alert_sessions""#;
        assert_eq!(sql(&cursor).sql, format!("{all} WHERE TRUE"));
        cursor.after = Some(session(7, "it's"));
        let place = r#"("alert_sessions"."started_at_us", CAST("alert_sessions"."session_id" AS text) COLLATE "C")"#;
        let after = format!(r#" WHERE "alert_sessions"."started_at_us" >= $1 AND {place} > ($2, $3)"#);
        assert_eq!(sql(&cursor).sql, format!("{all}{after}"));
        assert_eq!(sql(&cursor).values.expect("values").0, [7_i64.into(), 7_i64.into(), "it's".into()]);
        cursor.without.extend([session(7, "behind"), session(7, "stuck")]);
        let without = r#" AND "alert_sessions"."session_id" <> ALL($4)"#;
        assert_eq!(sql(&cursor).sql, format!("{all}{after}{without}"));
        assert_eq!(sql(&cursor).values.expect("values").0[3], vec!["stuck".to_owned()].into());
        cursor.without.extend((0..MOST_NAMED).map(|number| session(8, &number.to_string())));
        let until = format!(r#" AND "alert_sessions"."started_at_us" <= $4 AND {place} <= ($5, $6)"#);
        let without = r#" AND "alert_sessions"."session_id" <> ALL($7)"#;
        assert_eq!(sql(&cursor).sql, format!("{all}{after}{until}{without}"));
    }

    #[test]
    fn each_session_to_skip_is_named_in_one_stretch() {
        let sessions = |count: usize, is_meant: fn(&usize) -> bool| -> Vec<_> {
            (0..count).filter(is_meant).map(|number| session(1, &number.to_string())).collect()
        };
        let stretches = |count: usize| {
            // Some are kept for two reasons.
            let mut selection = Selection::of_policy(DbBackend::Postgres);
            selection.needed.sessions = sessions(count, |number| number % 2 == 0).into();
            selection.in_use = sessions(count, |number| number % 3 == 0).into();
            let without = sessions(count, |number| number % 2 != 0 && number % 3 != 0).into_iter().collect();
            let mut cursor = Cursor { after: None, without };
            let mut named = Vec::new();
            loop {
                named.push(cursor.next_to_skip(&selection).len().min(MOST_NAMED));
                let Some(end) = cursor.end_of_stretch(&selection).cloned() else { return named };
                cursor.after = Some(end);
            }
        };
        assert_eq!(stretches(0), [0]);
        assert_eq!(stretches(MOST_NAMED), [MOST_NAMED]);
        assert_eq!(stretches(2 * MOST_NAMED + 1), [MOST_NAMED, MOST_NAMED, 1]);
    }

    #[tokio::test]
    async fn interactions_are_looked_up_by_the_index_of_their_stages_or_not_at_all() {
        let connection = Connection::in_memory().await;
        let sql = "CREATE TABLE stage_executions (execution_id VARCHAR PRIMARY KEY, session_id VARCHAR);
            CREATE INDEX of_session ON stage_executions (session_id);
            CREATE TABLE llm_interactions (interaction_id VARCHAR, session_id VARCHAR, stage_execution_id VARCHAR);
            CREATE INDEX by_session ON llm_interactions (session_id);
            CREATE INDEX by_stage ON llm_interactions (stage_execution_id);
            CREATE TABLE mcp_communications (session_id VARCHAR, stage_execution_id VARCHAR)";
        connection.execute_alone(sql).await.expect("sound SQL");
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let sessions = IdSet::listed(DbBackend::Sqlite, vec!["a".to_owned(), "b".to_owned()]);
        let namespace = Namespace::default();
        let queries: Vec<_> = interactions_by_stage(&namespace, &schema, &sessions).collect();
        let tables: Vec<_> = queries.iter().map(|(table, _)| *table).collect();
        assert_eq!(tables, ["llm_interactions"], "the other table has no such index");
        let mut statement = DbBackend::Sqlite.build(&queries[0].1);
        statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let steps = connection.reading(async |reading| reading.query_all_raw(statement).await).await.expect("a plan");
        let steps: Vec<String> = steps.iter().map(|row| row.try_get("", "detail").expect("text")).collect();
        assert!(steps[0].starts_with("SEARCH s USING INDEX of_session"), "{steps:?}");
        assert!(steps[1].starts_with("SEARCH o USING INDEX by_stage"), "{steps:?}");
    }

    #[tokio::test]
    async fn sqlite_reads_the_next_sessions_from_an_index_instead_of_sorting_all() {
        let connection = Connection::in_memory().await;
        let sql = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY, status VARCHAR, started_at_us BIGINT);
            CREATE INDEX ix_alert_sessions_started_at_us ON alert_sessions (started_at_us);
            CREATE INDEX ix_alert_sessions_status ON alert_sessions (status);
            CREATE INDEX ix_alert_sessions_status_started_at ON alert_sessions (status, started_at_us)";
        connection.execute_alone(sql).await.expect("sound SQL");
        for after in [None, Some(session(3, "a"))] {
            let without = (0..=MOST_NAMED).map(|number| session(4, &number.to_string())).collect();
            let cursor = Cursor { after, without };
            let selection = &Selection::of_policy(DbBackend::Sqlite);
            let mut query =
                Page { selection, cursor: &cursor, size: 1 }.query(&Namespace::default()).build(SqliteQueryBuilder);
            query.0.insert_str(0, "EXPLAIN QUERY PLAN ");
            let statement = Statement::from_sql_and_values(DbBackend::Sqlite, query.0, query.1);
            let steps =
                connection.reading(async |reading| reading.query_all_raw(statement).await).await.expect("a plan");
            let is_of_query = |row: &&QueryResult| row.try_get::<i64>("", "parent").expect("a number") == 0;
            let details = steps.iter().filter(is_of_query).map(|row| row.try_get("", "detail").expect("text"));
            let steps: Vec<String> = details.collect();
            let plan = steps.join("\n");
            assert!(plan.contains("USING INDEX ix_alert_sessions_started_at_us"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{plan}");
        }
    }
}
