//! How long a move will take and how large the target will be, by a sample of its rows in temporary tables.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::load::{Load, Verification};
use crate::database::connection;
use crate::database::failure::{ResultExt, Verb};
use crate::database::url::PostgresqlAddress;
use crate::progress::{Amount, Silence};
use crate::schema::model::IndexMethod;
use crate::schema::sql::{literal, quoted};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::source::pass::Pass;
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::row::RowIds;
use crate::transfer::source::scan::Source;
use crate::transfer::target::copy::{TableCopy, copy_table};
use crate::transfer::target::error::WriteError;
use crate::transfer::target::read_back::{ComparedRows, digest_of_target};
use crate::transfer::target::session::execute;
use crate::transfer::target::session_settings;

/// About how many bytes of values are tried out.
const SAMPLE: u64 = 6_000_000;
/// Fewer bytes than this are moved in little more time than the trial would take.
const WORTH_A_TRIAL: u64 = 8 * SAMPLE;
/// From how many places of a table its sample comes.
const PLACES: u64 = 3;
/// How long a b-tree takes for each row and a GIN index for each byte, and how large they become. A sample is too small
/// to tell: measured with PostgreSQL 15 by `benchsuite/migrate`.
const B_TREE_NANOSECONDS_PER_ROW: u64 = 1000;
const B_TREE_BYTES_PER_ROW: u64 = 60;
const GIN_NANOSECONDS_PER_BYTE: u64 = 2;
const GIN_BYTES_PER_KILOBYTE: u64 = 12;

/// What a move will take, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Forecast {
    /// What the target's tables and indexes will take, in bytes.
    pub target_bytes: u64,
    /// How long it will take, in seconds.
    pub seconds: u64,
    /// How many bytes of values the target took in each second of the trial.
    pub bytes_per_second: u64,
}

/// What a trial took.
#[derive(Debug, Clone, Copy, Default)]
struct Trial {
    sample: Amount,
    nanoseconds: u128,
    stored_bytes: u64,
}

impl Load<'_> {
    /// Copies a sample of the large tables into temporary ones, reads it back if everything will be, and forgets it.
    /// `None` for a history that is moved in no time, or whose sample holds what cannot be carried over.
    ///
    /// # Errors
    /// [`TransferError`] when one of the ends cannot be used.
    pub(crate) async fn forecast(
        &self,
        target: &PostgresqlAddress,
        source: &mut Source,
    ) -> Result<Option<Forecast>, TransferError> {
        let total: Amount = self.amounts.iter().copied().sum();
        if total.bytes < WORTH_A_TRIAL {
            return Ok(None);
        }
        let mut connection = connection::open_single(target).await.context((Verb::Open, "the target"))?;
        let trial = match self.trial(&mut connection, source, total).await {
            Ok(trial) if trial.sample.bytes > 0 => Some(trial),
            Ok(_) | Err(TransferError::Write(WriteError::FoundHazard | WriteError::Rejected { .. })) => None,
            Err(error) => return Err(error),
        };
        // After a failed COPY it is out of step; what is temporary ends with it.
        connection.close_hard().await.ok();
        Ok(trial.map(|trial| self.extrapolated(trial, total)))
    }

    async fn trial(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        total: Amount,
    ) -> Result<Trial, TransferError> {
        for sql in ["BEGIN", session_settings::SETTINGS, session_settings::PARALLEL, "SET LOCAL search_path = pg_temp"]
        {
            execute(connection, sql.to_owned()).await.context((Verb::Begin, "the trial transaction"))?;
        }
        self.choose_compression(connection).await?;
        let mut trial = Trial::default();
        for (table, amount) in self.plan.tables.iter().zip(self.amounts) {
            // The small ones would take longer to prepare than they tell.
            if amount.bytes >= total.bytes / 20 {
                let places = source.places(table, SAMPLE, total.bytes, PLACES).await?;
                self.try_out(connection, source, table, places, &mut trial).await?;
            }
        }
        Ok(trial)
    }

    /// Adds what some rows of a table take.
    async fn try_out(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        table: &Arc<TablePlan>,
        places: Vec<RowIds>,
        trial: &mut Trial,
    ) -> Result<(), TransferError> {
        const ACTION: (Verb, &str) = (Verb::Copy, "a sample into the target");
        let columns = table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.target));
        let columns = columns.collect::<Vec<_>>().join(", ");
        execute(connection, format!("CREATE TEMPORARY TABLE {} ({columns})", quoted(&table.name)))
            .await
            .context(ACTION)?;
        let (mut sample, mut fastest) = (Amount::default(), u128::MAX);
        for row_ids in places {
            let pass = Pass { row_ids: Some(row_ids), ..self.pass(table) };
            let started = Instant::now();
            let copy = TableCopy { pass, place: &quoted(&table.name), estimate: Amount::default() };
            let silent = Reporting { progress: &Silence, changes: &|_| Ok(()) };
            let (read, _) = copy_table(connection, &mut source.reader, copy, &silent).await?;
            sample += read.amount;
            // In picoseconds for a byte. Now and then a short COPY waits for an acknowledgement on the network's way.
            fastest = fastest.min(started.elapsed().as_nanos() * 1000 / u128::from(read.amount.bytes.max(1)));
        }
        trial.sample += sample;
        trial.nanoseconds += fastest.saturating_mul(sample.bytes.into()) / 1000;
        if self.verification == Verification::Full {
            let started = Instant::now();
            digest_of_target(connection, table, ComparedRows::All, &Silence).await?;
            trial.nanoseconds += started.elapsed().as_nanos();
        }
        let sql = format!("SELECT pg_total_relation_size({})", literal(&quoted(&table.name)));
        let stored: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.context(ACTION)?;
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
