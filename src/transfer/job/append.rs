//! Appends the source's rows to a target that already holds rows and is in use.
//!
//! The rows are first staged in temporary tables. Rows that already exist are locked and must be identical; then the
//! others are inserted. No index or key is dropped.

use std::sync::Arc;
use std::time::Instant;

use sqlx::{AssertSqlSafe, PgConnection};

use super::ending::give_up;
use super::load::{Load, SEQUENCE_OF};
use crate::database::connection::Connection;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::namespace::tables_of_tarsy;
use crate::database::quote::{literal, quoted};
use crate::progress::{Amount, Phase};
use crate::schema::model::Schema;
use crate::schema::{self, lock};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::source::constraints::foreign_keys;
use crate::transfer::source::missing::is_asked_for;
use crate::transfer::source::scan::Source;
use crate::transfer::summary::{TableLoad, TableRead};
use crate::transfer::target::conflict::{ConflictError, ConflictList, find_conflicts, find_orphans};
use crate::transfer::target::copy::{TableCopy, copy_table};
use crate::transfer::target::read_back::ComparedRows;
use crate::transfer::target::session::{close, execute, table_list};
use crate::transfer::target::staging::{self, Hold};
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::Hazard;
use crate::transfer::value::hazard_list::{HazardError, HazardList, ShownHazards};
use crate::transfer::value::policy::{Class, Policy};

/// Up to this distance a sequence is advanced with `nextval`, beyond it with `setval`: other sessions do not take this
/// many numbers between two statements, so that `setval` does not move it backwards.
const NEXTVAL_LIMIT: i64 = 1000;

/// What is done with the rows that can be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendMode {
    /// They are inserted and committed.
    Insert,
    /// They are only counted; nothing is changed.
    Count,
}

impl Load<'_> {
    /// Appends the source's rows and commits, or leaves the target unchanged. Other sessions can write meanwhile,
    /// except to rows that both sides have. `found` is the target's schema for which the plan was made; `target` has
    /// one connection, which is consumed.
    ///
    /// # Errors
    /// [`TransferError`]; the transaction is rolled back. [`ConflictError`] with all conflicting rows,
    /// [`WriteError::FoundHazard`](crate::transfer::target::error::WriteError::FoundHazard) at the first value that
    /// cannot be converted exactly.
    pub(crate) async fn append(
        &self,
        target: &Connection,
        found: &Schema,
        source: &mut Source,
        ending: AppendMode,
    ) -> Result<Vec<TableLoad>, TransferError> {
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        if let Err(error) = self.begin_beside_others(&mut connection).await {
            give_up(connection.detach(), &error).await;
            return Err(error);
        }
        // Reads in the same transaction: behind a pooler another connection may wait for this one.
        drop(connection);
        let locked = target.reading(async |reading| schema::read::schema(reading).await).await;
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?.detach();
        let result = async {
            // Before the locks were taken another session may have altered the tables.
            if let Some(table) = altered(found, &locked.context((Verb::Read, "the target's schema"))?) {
                let what = format!("another session altered {table} in the meantime");
                return Err(in_conflict((Verb::Insert, "rows into the target"), &what));
            }
            self.append_in_transaction(&mut connection, source, ending).await
        };
        match result.await {
            Ok(loads) => {
                close(connection).await;
                Ok(loads)
            }
            Err(error) => {
                give_up(connection, &error).await;
                Err(error)
            }
        }
    }

    /// Begins the transaction and locks the tables: other sessions cannot alter them, but can write to them.
    async fn begin_beside_others(&self, connection: &mut PgConnection) -> Result<(), TransferError> {
        self.begin(connection).await?;
        execute(connection, lock::statement()).await.context((Verb::Lock, "the target"))?;
        let sql = format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", table_list(&self.plan.tables));
        Ok(execute(connection, sql).await.context((Verb::Lock, "the target's tables"))?)
    }

    async fn append_in_transaction(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        ending: AppendMode,
    ) -> Result<Vec<TableLoad>, TransferError> {
        self.alter(connection).await?;
        self.choose_compression(connection).await?;
        let (mut reads, mut loads) = (Vec::new(), Vec::new());
        for (table, estimate) in self.plan.tables.iter().zip(self.amounts) {
            let started = Instant::now();
            let read = self.stage(connection, source, table, *estimate).await?;
            loads.push(TableLoad::new(&read, started.elapsed()));
            reads.push(read);
        }
        self.match_rows(connection, &mut loads, ending).await?;
        match ending {
            AppendMode::Insert => {
                self.insert_rows(connection, source, &reads, &mut loads).await?;
                self.verify(connection, source, &reads, &mut loads, ComparedRows::Staged).await?;
                self.commit(connection, source, &loads).await?;
            }
            AppendMode::Count => {
                for warning in source.finish().await?.warnings() {
                    tracing::warn!("{warning}");
                }
                execute(connection, "ROLLBACK".to_owned()).await.context((Verb::RollBack, "the transaction"))?;
            }
        }
        Ok(loads)
    }

    /// Copies a table to its temporary table.
    async fn stage(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        table: &Arc<TablePlan>,
        estimate: Amount,
    ) -> Result<TableRead, TransferError> {
        staging::create(connection, table).await?;
        let copy = TableCopy { pass: self.pass(table), place: &staging::place(table), estimate };
        let (read, _) = copy_table(connection, &mut source.reader, copy, &self.reporting()).await?;
        staging::index(connection, table).await?;
        Ok(read)
    }

    /// Requires that every staged row is identical to an existing one or can be inserted.
    async fn match_rows(
        &self,
        connection: &mut PgConnection,
        loads: &mut [TableLoad],
        ending: AppendMode,
    ) -> Result<(), TransferError> {
        let tables = &self.plan.tables;
        let hold = if ending == AppendMode::Insert { Hold::Shared } else { Hold::No };
        let mut found = ConflictList::default();
        for (table, load) in tables.iter().zip(loads.iter_mut()) {
            let started = Instant::now();
            let meter = self.progress.begin(Phase::new("matching", &table.name), load.amount);
            load.present = staging::count_present(connection, table, hold).await?;
            find_conflicts(connection, table, &mut found, &*self.on_conflict).await?;
            meter.finish();
            load.duration += started.elapsed();
        }
        if !found.is_empty() {
            let rows = loads.iter().map(|load| load.amount.rows).sum();
            let present = loads.iter().map(|load| load.present).sum();
            return Err(ConflictError::of(found, rows, present).into());
        }
        // Only now: one report has either conflicts or hazards.
        let mut hazards = HazardList::default();
        for (table, load) in tables.iter().zip(loads.iter_mut()) {
            let started = Instant::now();
            find_orphans(connection, table, self.plan, self.values, (&mut hazards, self.findings)).await?;
            load.duration += started.elapsed();
        }
        match hazards.first() {
            None => Ok(()),
            // The policy was applied to all that were orphans then.
            Some(Hazard { table, primary_key, column, .. }) if self.decided_before(table, column) => {
                let what = format!("another session removed a parent of {table} `{primary_key}` in the meantime");
                Err(in_conflict((Verb::Insert, "rows into the target"), &what))
            }
            Some(_) => Err(HazardError(hazards, ShownHazards::Each).into()),
        }
    }

    /// Whether a policy was applied to the orphans of a column.
    fn decided_before(&self, table: &str, column: &str) -> bool {
        let tables = self.plan.tables.iter().filter(|own| own.name == table);
        let mut keys = tables.flat_map(|own| foreign_keys(own)).filter(|key| key.columns == [column]);
        self.policies.of(Class::Orphan) != Policy::Fail && keys.any(is_asked_for)
    }

    async fn insert_rows(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        reads: &[TableRead],
        loads: &mut [TableLoad],
    ) -> Result<(), TransferError> {
        for ((table, read), load) in self.plan.tables.iter().zip(reads).zip(loads) {
            let started = Instant::now();
            let meter = self.progress.begin(Phase::new("inserting", &table.name), load.amount);
            // Before the rows are inserted: no other session may take one of their numbers.
            advance_sequences(connection, table).await?;
            let inserted = staging::insert(connection, table).await?;
            if inserted + load.present != read.amount.rows {
                // If a trigger skipped rows, the comparison names them.
                self.comparison([(table, read)], ComparedRows::Staged).run(connection, &mut source.reader).await?;
                let action = Action::from((Verb::Insert, format!("rows into {}", table.name)));
                return Err(in_conflict(action, "another session inserted rows with the same keys in the meantime"));
            }
            meter.finish();
            load.duration += started.elapsed();
        }
        Ok(())
    }
}

/// A table of TARSy's that is not as it was, if there is one. What other applications do in the same schema is theirs.
fn altered(before: &Schema, now: &Schema) -> Option<&'static str> {
    tables_of_tarsy().find(|name| before.tables.get(*name) != now.tables.get(*name))
}

/// An error that another session caused, which a retry can solve.
fn in_conflict(action: impl Into<Action>, what: &str) -> TransferError {
    DatabaseError { action: action.into(), cause: DatabaseCause::new(ErrorClass::Conflict, what) }.into()
}

/// Advances sequences beyond the staged rows, and never moves them back: other sessions use them at the same time.
async fn advance_sequences(connection: &mut PgConnection, table: &TablePlan) -> Result<(), DatabaseError> {
    let action = Action::from((Verb::Set, format!("the sequence of {}", table.name)));
    for column in &table.columns {
        if !matches!(column.target, ColumnType::Integer | ColumnType::BigInt) {
            continue;
        }
        let sql = format!(
            "SELECT s, largest, largest - coalesce(pg_sequence_last_value(s::regclass), 0) AS ahead
             FROM ({SEQUENCE_OF}) AS sequence, (SELECT max({})::bigint AS largest FROM {}) AS staged
             WHERE s IS NOT NULL AND largest IS NOT NULL",
            quoted(&column.name),
            staging::place(table)
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        let query = query.bind(&table.qualified_name).bind(&column.name);
        let found: Option<(String, i64, i64)> = query.fetch_optional(&mut *connection).await.context(&action)?;
        let Some((sequence, largest, ahead)) = found.filter(|(_, _, ahead)| *ahead > 0) else { continue };
        let advance = match ahead {
            // Each call takes one number, whatever other sessions take in between.
            ..=NEXTVAL_LIMIT => format!("nextval({}) FROM generate_series(1, {ahead})", literal(&sequence)),
            _ => format!("setval({}, {largest})", literal(&sequence)),
        };
        execute(connection, format!("SELECT {advance}")).await.context(&action)?;
    }
    Ok(())
}
