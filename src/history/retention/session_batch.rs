//! Removes the sessions of a selection in batches, each in one transaction.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Condition, Expr, ExprTrait, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, DbBackend, DbErr, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait};

use super::policy::ActiveSessions;
use super::selection::Selection;
use super::{in_use, needed};
use crate::database::namespace::Namespace;
use crate::history::entity::{self, alert_sessions};
use crate::history::id_set::{IdSet, is_none_of};
use crate::history::removal::batch::{Batch, BatchError, DeleteStatements, gave_way};
use crate::history::tables::{CHATS, DEPENDENTS, Dependent, SESSIONS};
use crate::schema::model::Schema;

/// The most sessions of a batch: they are listed in memory.
pub(crate) const MOST_AT_ONCE: u32 = 1 << 16;

/// The number of sessions in one statement.
const PART: usize = 128;

/// The number of sessions in one query of SQLite for those to keep. The query has the list several times in memory.
const EXAMINED: usize = 4096;

/// Up to this many sessions are deleted from all tables with one statement. It saves round trips, but looks at each row
/// once more to count it, which takes a tenth longer.
const MOST_WITH_ONE: usize = 16;

/// A session of the current batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PickedSession {
    /// Its start, in microseconds since the epoch.
    pub started_at_us: i64,
    pub session_id: String,
}

impl PickedSession {
    fn of(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self { started_at_us: row.try_get("", "started_at_us")?, session_id: row.try_get("", "picked")? })
    }
}

/// The position of a pass over the sessions, from the oldest to the newest.
///
/// Each batch continues where the last one ended: from the beginning it would scan all removed sessions again, as long
/// as a snapshot still sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// The last session of the last batch.
    pub after: Option<PickedSession>,
    /// Sessions that are skipped, because they cannot be removed.
    pub without: BTreeSet<String>,
}

impl Cursor {
    /// Adds the position to the condition for the sessions of the pass.
    fn add_to(&self, mut condition: Condition, backend: DbBackend) -> Condition {
        let [start, key] = [alert_sessions::Column::StartedAtUs, alert_sessions::Column::SessionId];
        if let Some(PickedSession { started_at_us, session_id }) = &self.after {
            let place = Expr::tuple([start.into_expr(), key.into_expr()]);
            let after = Expr::tuple([(*started_at_us).into(), session_id.as_str().into()]);
            // The first condition is redundant, but uses the index.
            condition = condition.add(start.gte(*started_at_us)).add(place.gt(after));
        }
        if !self.without.is_empty() {
            condition = condition.add(is_none_of(backend, key.as_column_ref(), self.without.iter().cloned().collect()));
        }
        condition
    }
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
        entity::select::<alert_sessions::Entity>(namespace)
            .expr_as(
                entity::text(self.selection.backend(), alert_sessions::Column::SessionId.as_column_ref()),
                "picked",
            )
            .column(alert_sessions::Column::StartedAtUs)
            .filter(self.cursor.add_to(self.selection.condition_for_batch(), self.selection.backend()))
            .order_by_asc(alert_sessions::Column::StartedAtUs)
            .order_by_asc(alert_sessions::Column::SessionId)
            .limit(u64::from(self.size))
            .into_query()
    }
}

/// Picks the next sessions, and begins to remove them in one transaction. Sessions that the backend is writing to are
/// skipped; `None` means that there are no others. The picked sessions are added to `taken`, also on failure.
/// `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`gave_way`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    page: Page<'_>,
    taken: &mut Vec<PickedSession>,
    may_continue: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    let take = |row: &QueryResult| PickedSession::of(row).map(|session| taken.push(session));
    batch.lock_each(page.query(batch.namespace()), take).await?;
    if taken.is_empty() {
        return Ok(None);
    }
    let Examined { dependents, kept } = examine(&batch, schema, page.selection, taken).await?;
    let is_going = |id: &String| !kept.contains(id) && !page.selection.is_needed(id);
    let going: Vec<_> = taken.iter().filter(|session| is_going(&session.session_id)).collect();
    delete(&mut batch, &dependents, &going, may_continue).await?;
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
    sessions: &[PickedSession],
) -> Result<Examined, DbErr> {
    let (backend, namespace) = (batch.backend(), batch.namespace());
    let policy = &selection.policy;
    let cutoff_us = (policy.active == ActiveSessions::Keep).then_some(policy.cutoff_us);
    let asks_again = !selection.needed.are_all || batch.has_archive();
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
    dependents: &[Dependent],
    sessions: &[&PickedSession],
    may_continue: impl Fn() -> bool,
) -> Result<(), BatchError> {
    if batch.backend() == DbBackend::Postgres {
        for part in sessions.chunks(PART) {
            let ids = ids(batch, part.iter().copied());
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
            let is_of_session = dependent.of_sessions(batch.namespace(), &ids(batch, part.iter().copied()));
            batch.delete(dependent.table, is_of_session).await?;
            if !may_continue() {
                return Err(gave_way());
            }
        }
    }
    for part in sessions.chunks(PART) {
        batch.delete(SESSIONS, ids(batch, part.iter().copied()).contains(alert_sessions::Column::SessionId.as_column_ref())).await?;
    }
    batch.require_removed(SESSIONS, sessions.len())
}

/// The keys of sessions.
fn ids<'s>(batch: &Batch, sessions: impl IntoIterator<Item = &'s PickedSession>) -> IdSet {
    let ids: Vec<String> = sessions.into_iter().map(|session| session.session_id.clone()).collect();
    IdSet::bound(batch.backend(), ids)
}

#[cfg(test)]
mod tests {
    use sea_orm::sea_query::SqliteQueryBuilder;
    use sea_orm::{ConnectionTrait, Statement};

    use super::*;
    use crate::database::connection::Connection;

    #[test]
    fn a_pass_continues_after_the_last_session_and_skips_those_that_cannot_be_removed() {
        let sql = |cursor: &Cursor| {
            let sessions =
                entity::keys_of_sessions(&Namespace::default(), cursor.add_to(Condition::all(), DbBackend::Postgres));
            DbBackend::Postgres.build(&sessions)
        };
        let mut cursor = Cursor::default();
        let all = r#"SELECT "alert_sessions"."session_id" FROM "alert_sessions""#;
        assert_eq!(sql(&cursor).sql, format!("{all} WHERE TRUE"));
        cursor.after = Some(PickedSession { started_at_us: 7, session_id: "it's".to_owned() });
        let after = r#" WHERE "alert_sessions"."started_at_us" >= $1 AND ("alert_sessions"."started_at_us", "alert_sessions"."session_id") > ($2, $3)"#;
        assert_eq!(sql(&cursor).sql, format!("{all}{after}"));
        assert_eq!(sql(&cursor).values.expect("values").0, [7_i64.into(), 7_i64.into(), "it's".into()]);
        cursor.without.insert("stuck".to_owned());
        let without = r#" AND "alert_sessions"."session_id" <> ALL($4)"#;
        assert_eq!(sql(&cursor).sql, format!("{all}{after}{without}"));
    }

    #[tokio::test]
    async fn sqlite_reads_the_next_sessions_from_an_index_instead_of_sorting_all() {
        let connection = Connection::in_memory().await;
        let sql = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY, status VARCHAR, started_at_us BIGINT);
            CREATE INDEX ix_alert_sessions_started_at_us ON alert_sessions (started_at_us);
            CREATE INDEX ix_alert_sessions_status ON alert_sessions (status);
            CREATE INDEX ix_alert_sessions_status_started_at ON alert_sessions (status, started_at_us)";
        connection.execute_alone(sql).await.expect("sound SQL");
        let after = PickedSession { started_at_us: 3, session_id: "a".to_owned() };
        for after in [None, Some(after)] {
            let cursor = Cursor { after, ..Cursor::default() };
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
