//! Estimates the duration of a move and the size of the target by copying a sample of the rows to temporary tables.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sqlx::PgConnection;

use super::load::{Load, Verification};
use crate::database::connection::Connection;
use crate::database::failure::{ResultExt, Verb};
use crate::database::quote::quoted;
use crate::progress::{Amount, Silence};
use crate::schema::model::IndexMethod;
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::report::Unreported;
use crate::transfer::source::pass::Pass;
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::row::RowIds;
use crate::transfer::source::scan::Source;
use crate::transfer::target::copy::{TableCopy, copy_table};
use crate::transfer::target::error::WriteError;
use crate::transfer::target::read_back::{ComparedRows, digest_of_target};
use crate::transfer::target::session::{abandon, execute};
use crate::transfer::target::session_settings;

const ACTION: (Verb, &str) = (Verb::Copy, "a sample into the target");
/// The approximate size of the sample, in bytes of values.
const SAMPLE: u64 = 6_000_000;
/// A smaller history, in bytes, is moved in little more time than the trial takes.
pub(crate) const WORTH_A_TRIAL: u64 = 8 * SAMPLE;
/// The number of ranges of rows in the sample of a table.
const PLACES: u64 = 3;
/// Build time and size of a b-tree by row and of a GIN index by byte. A sample is too small to measure them; these are
/// measurements of `benchsuite/migrate` with PostgreSQL 15.
const B_TREE_NANOSECONDS_PER_ROW: u64 = 1000;
const B_TREE_BYTES_PER_ROW: u64 = 60;
const GIN_NANOSECONDS_PER_BYTE: u64 = 2;
const GIN_BYTES_PER_KILOBYTE: u64 = 12;

/// The estimate for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Forecast {
    /// The size of the target's tables and indexes, in bytes.
    pub target_bytes: u64,
    /// The duration in seconds.
    pub seconds: u64,
    /// The throughput of the trial, in bytes of values.
    pub bytes_per_second: u64,
}

/// The measurements of a trial.
#[derive(Debug, Clone, Copy, Default)]
struct Trial {
    sample: Amount,
    nanoseconds: u128,
    stored_bytes: u64,
}

impl Load<'_> {
    /// Copies a sample of the large tables to temporary tables, reads it back if the move will, and rolls back. `None`
    /// for a small history, or if the sample has values that cannot be converted exactly.
    ///
    /// # Errors
    /// [`TransferError`] if the source or the target cannot be used.
    pub(crate) async fn forecast(
        &self,
        target: &Connection,
        source: &mut Source,
    ) -> Result<Option<Forecast>, TransferError> {
        let total: Amount = self.amounts.iter().copied().sum();
        if total.bytes < WORTH_A_TRIAL {
            return Ok(None);
        }
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        let trial = match self.trial(&mut connection, source, total).await {
            Ok(trial) => {
                execute(&mut connection, "ROLLBACK".to_owned()).await.context((Verb::RollBack, "the trial"))?;
                Some(trial).filter(|trial| trial.sample.bytes > 0)
            }
            Err(error) => {
                // After a failed COPY the protocol may be out of sync.
                abandon(connection.detach()).await;
                match error {
                    TransferError::Write(WriteError::FoundHazard | WriteError::Rejected { .. }) => None,
                    error => return Err(error),
                }
            }
        };
        Ok(trial.map(|trial| self.extrapolated(trial, total)))
    }

    async fn trial(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        total: Amount,
    ) -> Result<Trial, TransferError> {
        const BEGIN: (Verb, &str) = (Verb::Begin, "the trial transaction");
        execute(connection, "BEGIN".to_owned()).await.context(BEGIN)?;
        self.set_up(connection).await?;
        execute(connection, session_settings::PARALLEL.to_owned()).await.context(BEGIN)?;
        self.choose_compression(connection).await?;
        let mut trial = Trial::default();
        for (table, amount) in self.plan.tables.iter().zip(self.amounts) {
            // Smaller tables hardly change the estimate.
            if amount.bytes >= total.bytes / 20 {
                let places = source.places(table, SAMPLE, total.bytes, PLACES).await?;
                self.measure(connection, source, table, places, &mut trial).await?;
            }
        }
        Ok(trial)
    }

    /// Adds the measurements of a sample of one table.
    async fn measure(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        table: &Arc<TablePlan>,
        places: Vec<RowIds>,
        trial: &mut Trial,
    ) -> Result<(), TransferError> {
        let place = format!("pg_temp.{}", quoted(&table.name));
        let table = &Arc::new(TablePlan { qualified_name: place.clone(), ..TablePlan::clone(table) });
        let columns = table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.target));
        let columns = columns.collect::<Vec<_>>().join(", ");
        execute(connection, format!("CREATE TEMPORARY TABLE {place} ({columns})")).await.context(ACTION)?;
        let (mut sample, mut fastest) = (Amount::default(), u128::MAX);
        for row_ids in places {
            let only = format!("rowid >= {} AND rowid < {}", row_ids.start, row_ids.end);
            let pass = Pass { only: Some(only), ..self.pass(table) };
            let started = Instant::now();
            let copy = TableCopy { pass, place: &place, estimate: Amount::default() };
            let silent = Reporting { progress: &Silence, findings: &Unreported };
            let (read, _) = copy_table(connection, &mut source.reader, copy, &silent).await?;
            sample += read.amount;
            // In picoseconds a byte. The fastest counts: a short COPY may wait for a TCP acknowledgement.
            fastest = fastest.min(started.elapsed().as_nanos() * 1000 / u128::from(read.amount.bytes.max(1)));
        }
        trial.sample += sample;
        trial.nanoseconds += fastest.saturating_mul(sample.bytes.into()) / 1000;
        if self.verification == Verification::Full {
            let started = Instant::now();
            digest_of_target(connection, table, ComparedRows::All, &Silence).await?;
            trial.nanoseconds += started.elapsed().as_nanos();
        }
        let query = sqlx::query_scalar("SELECT pg_total_relation_size($1::text::regclass)").persistent(false);
        let stored: i64 = query.bind(&place).fetch_one(connection).await.context(ACTION)?;
        trial.stored_bytes += u64::try_from(stored).unwrap_or(0);
        Ok(())
    }

    fn extrapolated(&self, trial: Trial, total: Amount) -> Forecast {
        let Trial { sample, nanoseconds, stored_bytes } = trial;
        let scaled = |part: u128| part.saturating_mul(total.bytes.into()) / u128::from(sample.bytes);
        let (mut time, mut size) = (scaled(nanoseconds), scaled(stored_bytes.into()));
        for (table, amount) in self.plan.tables.iter().zip(self.amounts) {
            let (b_trees, gins) = (table.index_count(&IndexMethod::BTree), table.index_count(&IndexMethod::Gin));
            time += u128::from(b_trees * amount.rows * B_TREE_NANOSECONDS_PER_ROW);
            time += u128::from(gins * amount.bytes * GIN_NANOSECONDS_PER_BYTE);
            size += u128::from(b_trees * amount.rows * B_TREE_BYTES_PER_ROW);
            size += u128::from(gins * amount.bytes / 1000 * GIN_BYTES_PER_KILOBYTE);
        }
        let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Forecast {
            target_bytes: whole(size),
            seconds: whole(time.div_ceil(1_000_000_000)),
            bytes_per_second: whole(u128::from(sample.bytes) * 1_000_000_000 / nanoseconds.max(1)),
        }
    }
}
