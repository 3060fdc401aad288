//! Loads a history into empty tables, in one transaction: a failure leaves nothing. `append` shares the setup, the
//! comparison and the commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::ending::give_up;
use super::verify::Comparison;
use crate::database::connection::{Connection, row};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::database::transaction::SearchPath;
use crate::database::watchdog::Watch;
use crate::progress::{Amount, Progress};
use crate::schema::{lock, upgrade};
use crate::transfer::error::TransferError;
use crate::transfer::mismatch::{Mismatch, MismatchError};
use crate::transfer::plan::{TablePlan, TransferPlan};
use crate::transfer::report::{Findings, ReportError};
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::pass::{Pass, Purpose};
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::scan::Source;
use crate::transfer::summary::{TableLoad, TableRead};
use crate::transfer::target::conflict::ConflictSink;
use crate::transfer::target::copy::{TableCopy, copy_table};
use crate::transfer::target::empty::require_empty;
use crate::transfer::target::indexes::DroppedIndexes;
use crate::transfer::target::read_back::ComparedRows;
use crate::transfer::target::session::{self, begin_undropped, close, execute, table_list};
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::Values;
use crate::transfer::value::policy::Policies;

/// What is compared before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Every value, read back from the target.
    Full,
    /// The number of rows.
    Counts,
    /// Nothing; the server accepted every row.
    None,
}

/// How the server compresses long values of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toast {
    /// With LZ4, if the server supports it.
    Lz4,
    /// As the server is configured.
    Keep,
}

/// Receives the result right before the commit; an error rolls back.
pub(crate) type CommitGuard<'l> = Box<dyn Fn(&[TableLoad]) -> Result<(), ReportError> + 'l>;

/// The settings of a load or an append.
pub(crate) struct Load<'l> {
    /// The tables and columns to copy.
    pub plan: &'l TransferPlan,
    /// The estimated rows and bytes of each table of the plan.
    pub amounts: &'l [Amount],
    /// What is done with values that the target cannot hold.
    pub policies: Arc<Policies>,
    /// The rows to leave out, and the placeholders for missing parents.
    pub orphans: Arc<Orphans>,
    /// How long to wait for a lock of another session.
    pub lock_timeout: Duration,
    /// What is compared before the commit.
    pub verification: Verification,
    /// How the server compresses long values.
    pub toast: Toast,
    /// Receives the progress.
    pub progress: &'l dyn Progress,
    /// Receives what is found in the source.
    pub findings: &'l dyn Findings,
    /// Whether orphans that an append finds have the values that they are about.
    pub values: Values,
    /// Receives the rows that conflict with rows of the target.
    pub on_conflict: Box<ConflictSink<'l>>,
    /// Detects a silent connection to the target.
    pub watch: &'l Watch<'l>,
    /// Called right before the commit.
    pub on_commit: CommitGuard<'l>,
}

impl Load<'_> {
    /// Upgrades the target to the plan's revision, loads the source into its empty tables and commits, or leaves the
    /// target unchanged. `target` has one connection, which is consumed.
    ///
    /// # Errors
    /// [`TransferError`]; the transaction is rolled back.
    /// [`WriteError::FoundHazard`](crate::transfer::target::error::WriteError::FoundHazard) at the first value that
    /// cannot be converted exactly.
    pub(crate) async fn run(&self, target: &Connection, source: &mut Source) -> Result<Vec<TableLoad>, TransferError> {
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        self.begin(&mut connection).await?;
        drop(connection);
        upgrade::upgrade(target, self.plan.revision, self.lock_timeout, &|| ()).await?;
        self.require_places(target).await.context((Verb::Find, "the tables of the target"))?;
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?.detach();
        let result = self.in_transaction(&mut connection, source).await;
        match &result {
            Ok(_) => close(connection).await,
            Err(error) => give_up(connection, error).await,
        }
        result
    }

    /// Makes sure that the tables are where the plan expects them.
    async fn require_places(&self, target: &Connection) -> Result<(), DatabaseCause> {
        let namespace = target.renew_namespace().await?;
        match self.plan.tables.iter().find(|table| namespace.table(&table.name) != table.qualified_name) {
            None => Ok(()),
            Some(table) => {
                let message = format!("another session has created {} in another schema", table.name);
                Err(DatabaseCause::new(ErrorClass::Conflict, message))
            }
        }
    }

    /// Begins the one transaction.
    pub(crate) async fn begin(&self, connection: &mut PgConnection) -> Result<(), TransferError> {
        begin_undropped(connection).await?;
        self.set_up(connection).await?;
        Ok(self.watch.join(connection).await?)
    }

    /// Sets the parameters of the transaction. Work on the schema changes some of them.
    pub(crate) async fn set_up(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        session::set_up(connection, &self.plan.namespace, self.lock_timeout).await
    }

    async fn in_transaction(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
    ) -> Result<Vec<TableLoad>, TransferError> {
        let tables = &self.plan.tables;
        // The upgrade has its own search path and lock timeout.
        self.set_up(connection).await?;
        lock_empty_tables(connection, tables).await?;
        self.alter(connection).await?;
        self.choose_compression(connection).await?;
        let indexes = DroppedIndexes::take(connection, tables).await?;
        let (mut reads, mut loads) = (Vec::new(), Vec::new());
        for (table, estimate) in tables.iter().zip(self.amounts) {
            let started = Instant::now();
            let read = self.fill(connection, source, table, *estimate).await?;
            loads.push(TableLoad::new(&read, started.elapsed()));
            reads.push(read);
        }
        indexes.rebuild(connection, self.progress).await?;
        finish_tables(connection, tables).await?;
        self.verify(connection, source, &reads, &mut loads, ComparedRows::All).await?;
        self.commit(connection, source, &loads).await?;
        Ok(loads)
    }

    /// Fills an empty table.
    async fn fill(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        table: &Arc<TablePlan>,
        estimate: Amount,
    ) -> Result<TableRead, TransferError> {
        let copy = TableCopy { pass: self.pass(table), place: &table.qualified_name, estimate };
        let (read, copied) = copy_table(connection, &mut source.reader, copy, &self.reporting()).await?;
        if copied != read.amount.rows {
            self.comparison([(table, &read)], ComparedRows::All).run(connection, &mut source.reader).await?;
        }
        Ok(read)
    }

    /// Compares the target's rows with those read from the source.
    pub(crate) async fn verify(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        reads: &[TableRead],
        loads: &mut [TableLoad],
        rows: ComparedRows,
    ) -> Result<(), TransferError> {
        match self.verification {
            Verification::Full => {
                let comparison = self.comparison(self.plan.tables.iter().zip(reads), rows);
                let compared = comparison.run(connection, &mut source.reader).await?;
                for (load, (digest, duration)) in loads.iter_mut().zip(compared) {
                    (load.digest, load.duration) = (Some(digest), load.duration + duration);
                }
                Ok(())
            }
            Verification::Counts => self.compare_counts(connection, reads, rows).await,
            Verification::None => Ok(()),
        }
    }

    /// Commits, unless the source changed meanwhile or `on_commit` fails.
    pub(crate) async fn commit(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        loads: &[TableLoad],
    ) -> Result<(), TransferError> {
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        (self.on_commit)(loads)?;
        self.watch.commit_begins();
        let committed = execute(connection, "COMMIT".to_owned()).await;
        Ok(committed.map_err(|error| DatabaseError::of_commit("the migrated rows", error))?)
    }

    /// Changes the target's columns so that they accept the source's rows. The statements do not name the schema.
    pub(crate) async fn alter(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let TransferPlan { namespace, alterations, .. } = self.plan;
        if alterations.is_empty() {
            return Ok(());
        }
        let [there, back] = [SearchPath::Tarsy, SearchPath::Empty].map(|path| path.statements(namespace));
        let sql = format!("{there}; {}; {back}", alterations.join("; "));
        execute(connection, sql).await.context((Verb::Change, "the target's columns to match the source"))
    }

    pub(crate) async fn choose_compression(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        match self.toast {
            Toast::Lz4 => {
                execute(connection, LZ4.to_owned()).await.context((Verb::Set, "the compression of the columns"))
            }
            Toast::Keep => Ok(()),
        }
    }

    pub(crate) fn reporting(&self) -> Reporting<'_> {
        Reporting { progress: self.progress, findings: self.findings }
    }

    pub(crate) fn pass(&self, table: &Arc<TablePlan>) -> Pass {
        Pass {
            table: Arc::clone(table),
            only: None,
            policies: Arc::clone(&self.policies),
            orphans: Arc::clone(&self.orphans),
            purpose: Purpose::Copy,
        }
    }

    pub(crate) fn comparison<'c>(
        &'c self,
        tables: impl IntoIterator<Item = (&'c Arc<TablePlan>, &'c TableRead)>,
        rows: ComparedRows,
    ) -> Comparison<'c> {
        let tables = tables.into_iter().map(|(table, read)| (self.pass(table), read)).collect();
        Comparison { tables, rows, progress: self.progress, watch: self.watch }
    }

    async fn compare_counts(
        &self,
        connection: &mut PgConnection,
        reads: &[TableRead],
        rows: ComparedRows,
    ) -> Result<(), TransferError> {
        let mut mismatches = Vec::new();
        for (table, read) in self.plan.tables.iter().zip(reads) {
            let sql = format!("SELECT count(*) FROM ONLY {} AS there{}", table.qualified_name, rows.condition(table));
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
            let counted: Result<i64, _> = query.fetch_one(&mut *connection).await;
            let target_rows =
                u64::try_from(counted.context((Verb::Count, format!("the rows of {}", table.name)))?).unwrap_or(0);
            let source_rows = read.amount.rows;
            if target_rows != source_rows {
                let (table, differences) = (table.name.clone(), Vec::new());
                mismatches.push(Mismatch { table, source_rows, target_rows, differences });
            }
        }
        if mismatches.is_empty() { Ok(()) } else { Err(MismatchError::OfLoad(mismatches).into()) }
    }
}

/// Whether the server supports LZ4 compression.
///
/// # Errors
/// [`DatabaseError`] if the target cannot be read.
pub(crate) async fn has_lz4(target: &Connection) -> Result<bool, DatabaseError> {
    const ACTION: (Verb, &str) = (Verb::List, "the server's compression methods");
    let sql = "SELECT EXISTS (SELECT FROM pg_settings
                              WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) AS has_lz4";
    let reading = target.begin_reading(SearchPath::Empty, "").await.context(ACTION)?;
    let has_lz4 = row(&reading, sql).await.and_then(|row| row.try_get("", "has_lz4")).context(ACTION);
    reading.rollback().await.ok();
    has_lz4
}

/// Only if the server supports it; otherwise the parameter does not accept the value.
const LZ4: &str = "SELECT set_config(name, 'lz4', true) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";

async fn lock_empty_tables(connection: &mut PgConnection, plan: &[Arc<TablePlan>]) -> Result<(), TransferError> {
    let names = table_list(plan);
    execute(connection, lock::statement()).await.context((Verb::Lock, "the target"))?;
    execute(connection, format!("LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
        .await
        .context((Verb::Lock, "the target's tables"))?;
    Ok(require_empty(connection, plan).await?)
}

/// Gives the sequence of a table's column.
pub(crate) const SEQUENCE_OF: &str = include_str!("sequence_of.sql");

/// Sets sequences beyond their data and analyzes the tables.
async fn finish_tables(connection: &mut PgConnection, plan: &[Arc<TablePlan>]) -> Result<(), TransferError> {
    for table in plan {
        for column in &table.columns {
            let sql = format!(
                "SELECT setval(s, greatest(largest, 1), coalesce(largest >= 1, false))
                 FROM ({SEQUENCE_OF}) sequence, (SELECT max({column}) AS largest FROM {table}) t
                 WHERE s IS NOT NULL",
                column = quoted(&column.name),
                table = table.qualified_name,
            );
            if matches!(column.target, ColumnType::Integer | ColumnType::BigInt) {
                let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
                let query = query.bind(&table.qualified_name).bind(&column.name);
                query
                    .execute(&mut *connection)
                    .await
                    .context((Verb::Set, format!("the sequence of {}", table.name)))?;
            }
        }
    }
    Ok(execute(connection, format!("ANALYZE {}", table_list(plan))).await.context((Verb::Analyze, "the tables"))?)
}
