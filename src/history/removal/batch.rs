//! A batch: one transaction that removes rows, and archives them first if requested.
//! [`crate::history::retention::session_batch`], [`crate::history::events`] and [`crate::history::orphans`] choose the
//! rows.

use std::time::{Duration, Instant};

use migration::ledger::{self, Ledger};
use sea_orm::sea_query::{
    CommonTableExpression, Expr, LockBehavior, LockType, Query, SelectStatement, WithClause, WithQuery,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, StatementBuilder};

use super::archived_rows::{may_split, remove_chunks, remove_returning};
use super::batch_error::{
    BatchError, FailedIn, Removed, altered_concurrently, kept_by_trigger, too_few_removed, upgraded_concurrently,
};
use super::definitions::Definitions;
use super::prune_lock;
use crate::database::connection::{Connection, milliseconds};
use crate::database::failure::{DatabaseCause, ErrorClass, Verb};
use crate::database::mark;
use crate::database::namespace::Namespace;
use crate::database::read_transaction::EVERY_ROW;
use crate::database::transaction::{SearchPath, Transaction};
use crate::history::archive::transaction::SharedTransaction;
use crate::history::entity::count_rows;
use crate::history::places::Place;
use crate::history::tables::delete_many;

/// The lock and statement limits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For a lock that another session has.
    pub lock: Duration,
    /// For each statement; `None` is no limit.
    pub statement: Option<Duration>,
}

/// How rows of several tables are deleted on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeleteStatements {
    /// One for all tables, because each statement takes two round trips.
    One,
    OnePerTable,
}

/// Whether the operator's triggers, or rules, fire when rows are deleted.
///
/// Each table then has a DELETE of its own: PostgreSQL refuses to delete from a table with a rule in a part of a statement,
/// triggers would find the rows of all tables gone, and could not change a row that another part deletes. After each
/// DELETE it is checked that no row was kept, which would be an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeleteTriggers {
    None,
    Fire,
}

/// An open transaction that removes rows. It is rolled back if it is dropped before its commit.
pub(crate) struct Batch {
    transaction: Transaction,
    archive: Option<SharedTransaction>,
    triggers: DeleteTriggers,
    /// Whether rows for the archive are removed in chunks.
    may_split: bool,
    removed: Removed,
    began: Instant,
}

impl Batch {
    /// Begins a transaction that removes nothing yet.
    pub(crate) async fn begin(
        connection: &Connection,
        limits: Limits,
        archive: Option<SharedTransaction>,
        triggers: DeleteTriggers,
    ) -> Result<Self, BatchError> {
        let transaction = connection.begin(SearchPath::Empty, &set_up(limits)).await?;
        if transaction.backend() == DbBackend::Postgres
            && !connection.may_have(2)
            && !prune_lock::take_in(&transaction).await?
        {
            let cause = DatabaseCause::new(ErrorClass::Busy, "another `prune` is running");
            return Err(BatchError { place: FailedIn::PruneLock, ..BatchError::from(cause) });
        }
        let may_split = archive.is_some() && may_split(&transaction).await?;
        Ok(Self { transaction, archive, triggers, may_split, removed: Removed::new(), began: Instant::now() })
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.transaction.backend()
    }

    /// The transaction of the archive, if the removed rows go to one.
    pub(crate) fn archive(&self) -> Option<&SharedTransaction> {
        self.archive.as_ref()
    }

    /// Where the tables are.
    pub(crate) fn namespace(&self) -> &Namespace {
        self.transaction.namespace()
    }

    /// Locks the rows that a query finds, and returns them; rows that another session has locked are skipped. SQLite has
    /// no locks of rows.
    pub(crate) async fn lock(&self, mut query: SelectStatement) -> Result<Vec<QueryResult>, DbErr> {
        query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        self.transaction.query_planned_anew(StatementBuilder::build(&query, &self.backend())).await
    }

    /// Calls `take` for each row that a query finds, and locks it as [`Batch::lock`] does. On SQLite, where a batch may be
    /// large, the rows are not gathered.
    pub(crate) async fn lock_each(
        &self,
        query: SelectStatement,
        mut take: impl FnMut(&QueryResult) -> Result<(), DbErr>,
    ) -> Result<(), DbErr> {
        if self.backend() == DbBackend::Sqlite {
            let statement = StatementBuilder::build(&query, &DbBackend::Sqlite);
            return self.transaction.each(statement, async |row| take(&row)).await;
        }
        self.lock(query).await?.iter().try_for_each(take)
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, query: &impl StatementBuilder) -> Result<Vec<QueryResult>, DbErr> {
        self.transaction.query_all(query).await
    }

    /// The first row of a query.
    pub(crate) async fn one(&self, query: &SelectStatement) -> Result<Option<QueryResult>, DbErr> {
        self.transaction.query_one(query).await
    }

    /// The places that a query finds, in their order.
    pub(crate) async fn places(&self, query: &SelectStatement) -> Result<Vec<Place>, DbErr> {
        let (backend, mut places) = (self.backend(), Vec::new());
        let add = async |row: QueryResult| Place::of_row(backend, &row).map(|place| places.push(place));
        self.transaction.each(StatementBuilder::build(query, &backend), add).await?;
        places.sort_unstable();
        Ok(places)
    }

    /// Removes the rows of a table that meet a condition, and returns their number.
    pub(crate) async fn delete(&mut self, table: &'static str, condition: Expr) -> Result<u64, BatchError> {
        let kept = (self.triggers == DeleteTriggers::Fire).then(|| row_of(self.namespace(), table, condition.clone()));
        let gone = match &self.archive {
            None => {
                let delete = delete_many(self.transaction.namespace(), table).and_where(condition).to_owned();
                self.transaction.execute(&delete).await?.rows_affected()
            }
            Some(archive) if self.may_split => remove_chunks(&self.transaction, archive, table, condition).await?,
            Some(archive) => remove_returning(&self.transaction, archive, table, condition).await?,
        };
        if let Some(kept) = kept
            && self.one(&kept).await?.is_some()
        {
            return Err(kept_by_trigger(table).into());
        }
        *self.removed.entry(table).or_default() += gone;
        Ok(gone)
    }

    /// Removes the rows of several tables that meet conditions, in this order. With an archive or triggers, one statement
    /// per table.
    pub(crate) async fn delete_from_tables(
        &mut self,
        conditions: Vec<(&'static str, Expr)>,
        statements: DeleteStatements,
    ) -> Result<(), BatchError> {
        let may_be_one = self.archive.is_none() && self.triggers == DeleteTriggers::None;
        if statements == DeleteStatements::OnePerTable || !may_be_one {
            for (table, condition) in conditions {
                self.delete(table, condition).await?;
            }
            return Ok(());
        }
        let tables: Vec<_> = conditions.iter().map(|(table, _)| *table).collect();
        for row in self.rows(&delete_and_count(self.namespace(), conditions)).await? {
            for table in &tables {
                *self.removed.entry(table).or_default() += row.try_get::<i64>("", table)?.unsigned_abs();
            }
        }
        Ok(())
    }

    /// Like [`Batch::delete`], and makes sure that the batch has removed exactly this many rows of the table.
    pub(crate) async fn delete_exactly(
        &mut self,
        wanted: usize,
        table: &'static str,
        condition: Expr,
    ) -> Result<(), BatchError> {
        self.delete(table, condition).await?;
        self.require_removed(table, wanted)
    }

    /// Makes sure that exactly this many rows of a table were removed since the batch began.
    pub(crate) fn require_removed(&self, table: &'static str, wanted: usize) -> Result<(), BatchError> {
        let gone = self.removed.get(table).copied().unwrap_or_default();
        if gone == wanted as u64 { Ok(()) } else { Err(too_few_removed(gone, wanted, table).into()) }
    }

    /// The rows that the commit removes.
    #[must_use]
    pub(crate) fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Makes sure that the ledger is still the one from when the schema was read: an upgrade may have added columns that
    /// were not archived, and tables that were not searched.
    ///
    /// # Errors
    /// [`upgraded_concurrently`], or the database's error.
    pub(crate) async fn require_ledger(&self, ledger: &Ledger) -> Result<(), BatchError> {
        if is_upgraded(&self.transaction, ledger).await? { Err(upgraded_concurrently()) } else { Ok(()) }
    }

    /// Makes sure that the tables are still those for which the batch was made. Another session cannot change one from which
    /// the batch has removed a row.
    ///
    /// # Errors
    /// [`altered_concurrently`], or the database's error.
    pub(crate) async fn require_definitions(&self, definitions: &Definitions) -> Result<(), BatchError> {
        if definitions.are_current(&self.transaction).await? { Ok(()) } else { Err(altered_concurrently()) }
    }

    /// Commits the removal, if its archive is on the disk. Returns how long other sessions may have waited. It must
    /// not be cancelled.
    ///
    /// # Errors
    /// [`BatchError`]; the batch is rolled back, unless the connection or the disk failed: then the outcome is unknown.
    pub(crate) async fn commit(self) -> Result<(Removed, Duration), BatchError> {
        if let Some(archive) = &self.archive {
            archive.lock().await.require_committed().map_err(BatchError::in_archive)?;
        }
        match self.transaction.commit().await {
            Ok(()) => Ok((self.removed, self.began.elapsed())),
            Err(error) => {
                let (error, action) = (BatchError::from(error), (Verb::Commit, "the removal of old rows").into());
                let uncommitted = if error.cause.leaves_commit_open() { self.removed } else { Removed::new() };
                Err(BatchError { action, uncommitted: Some(Box::new(uncommitted)), ..error })
            }
        }
    }
}

/// Whether another session has upgraded the schema since this ledger was read.
///
/// # Errors
/// The database's error.
pub(crate) async fn is_upgraded(transaction: &Transaction, ledger: &Ledger) -> Result<bool, DbErr> {
    let place = transaction.namespace().table_ref(ledger::TABLE);
    Ok(*ledger != Ledger::Missing && ledger::read(transaction, place).await? != *ledger)
}

/// The query for one of the rows of a table that meet a condition.
fn row_of(namespace: &Namespace, table: &'static str, condition: Expr) -> SelectStatement {
    Query::select().expr(Expr::cust("1")).from(namespace.table_ref(table)).and_where(condition).limit(1).to_owned()
}

/// One statement that deletes rows of several tables, and returns the number of them by table. Foreign keys are checked
/// at its end.
fn delete_and_count(namespace: &Namespace, deletes: Vec<(&'static str, Expr)>) -> WithQuery {
    let (mut with, mut counts) = (WithClause::new(), Query::select());
    for (table, condition) in deletes {
        let mut delete = delete_many(namespace, table).and_where(condition).to_owned();
        delete.returning(Query::returning().expr(Expr::cust("1")));
        with.cte(CommonTableExpression::new().query(delete).table_name(table).to_owned());
        let rows = Query::select().expr(count_rows()).from(table).to_owned();
        counts.expr_as(Expr::SubQuery(None, Box::new(rows.into())), table);
    }
    counts.with(with)
}

/// The first statements of a transaction on PostgreSQL.
fn set_up(limits: Limits) -> String {
    let (lock, statement) = (milliseconds(limits.lock), limits.statement.map_or(0, milliseconds));
    // After a crash of the server the last removed sessions may exist again, complete: the next run removes them. So no
    // commit waits for the disk.
    // Without statistics the server expects many rows, and would compile each of these short statements for 100 ms. Or it
    // expects few, and would sort all remaining sessions for each batch instead of reading the next ones from an index.
    format!(
        "SET LOCAL synchronous_commit = off; SET LOCAL jit = off; SET LOCAL enable_sort = off;
                 {EVERY_ROW}; SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}; {}",
        mark::transaction()
    )
}

#[cfg(test)]
mod tests {
    use sea_orm::sea_query::ExprTrait;

    use super::*;

    #[test]
    fn one_statement_deletes_rows_of_several_tables_and_counts_them() {
        let conditions = vec![("chats", Expr::col("session_id").eq(1)), ("alert_sessions", Expr::col("id").eq(2))];
        let query = delete_and_count(&Namespace::default(), conditions);
        let expected = r#"WITH "chats" AS (DELETE FROM "chats" WHERE "session_id" = $1 RETURNING 1) , "alert_sessions" AS (DELETE FROM "alert_sessions" WHERE "id" = $2 RETURNING 1) SELECT (SELECT COUNT(*) FROM "chats") AS "chats", (SELECT COUNT(*) FROM "alert_sessions") AS "alert_sessions""#;
        assert_eq!(DbBackend::Postgres.build(&query).sql, expected);
    }

    #[test]
    fn a_statement_without_a_limit_has_none() {
        let limits = Limits { lock: Duration::from_millis(50), statement: None };
        let sql = set_up(limits);
        assert!(sql.contains("SET LOCAL lock_timeout = 50; SET LOCAL statement_timeout = 0; "), "{sql}");
    }
}
