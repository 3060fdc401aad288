//! The source in one read transaction: row counts, digests and all hazards.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::chunks::HazardSender;
use super::constraints::{HazardSink, Indexes, Search};
use super::converted;
use super::damage::{self, Examination};
use super::error::SourceError;
use super::estimate;
use super::missing::Parents;
use super::orphans::Orphans;
use super::pass::{Pass, Purpose};
use super::reader::{Reader, Reporting};
use super::row::RowIds;
use super::snapshot::{Snapshot, SourceChanges};
use super::table::rows_of;
use super::undecided::Undecided;
use crate::database::failure::{DatabaseCause, DatabaseError, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::plan::TablePlan;
use crate::transfer::report::Findings;
use crate::transfer::summary::TableRead;
use crate::transfer::value::hazard::{Hazard, Values};
use crate::transfer::value::policy::{Class, Policies, Policy};

/// How often the elapsed time of a check is updated.
const TICK: Duration = Duration::from_secs(1);

/// The source, held in one read transaction.
pub struct Source {
    pub(crate) reader: Reader,
    /// `None` after `finish`.
    snapshot: Option<Snapshot>,
    indexes: Indexes,
}

/// What a scan looks for.
#[derive(Clone)]
pub(crate) struct Scan {
    pub(crate) policies: Arc<Policies>,
    pub(crate) orphans: Arc<Orphans>,
    pub(crate) values: Values,
    pub(crate) parents: Parents,
}

impl Scan {
    /// Finds the rows of a table that the target's keys reject, without those that a policy handles.
    fn refused_rows(
        &self,
        search: Search<'_>,
        indexes: Indexes,
        sink: &mut HazardSink<'_>,
    ) -> Result<(), DatabaseCause> {
        if self.policies.of(Class::Orphan) == Policy::Fail && self.parents == Parents::InSource {
            search.orphans(sink)?;
        }
        search.duplicates(indexes, sink)
    }
}

impl Source {
    /// Takes over the connection of a snapshot.
    ///
    /// # Errors
    /// [`DatabaseError`] if the connection is not available.
    pub async fn begin(snapshot: Snapshot) -> Result<Self, DatabaseError> {
        let pool = snapshot.reader().pool().get_sqlite_connection_pool();
        let connection = pool.acquire().await.context((Verb::Open, "the source"))?;
        Ok(Self { reader: Reader::new(connection), snapshot: Some(snapshot), indexes: Indexes::Sound })
    }

    /// Runs SQLite's integrity check on the whole file: its pages, and every index against its table.
    ///
    /// # Errors
    /// [`SourceError`] if the file cannot be read, or changed meanwhile, which would look like damage. Damage is not an
    /// error here but part of the result.
    pub async fn examine(&mut self, progress: &dyn Progress) -> Result<Examination, SourceError> {
        tracing::debug!("running SQLite's integrity check on the source");
        let meter = progress.begin(Phase::new("checking", "the source"), Amount::default());
        let mut work = std::pin::pin!(self.reader.run(damage::examine));
        let examined = loop {
            // SQLite does not report the progress of a check, so only the elapsed time is shown.
            tokio::select! {
                examined = &mut work => break examined,
                () = tokio::time::sleep(TICK) => meter.advance(Amount::default()),
            }
        };
        let examination = examined.context((Verb::Check, "the source"))?;
        meter.finish();
        if let Some(snapshot) = &self.snapshot {
            snapshot.require_unchanged()?;
        }
        if examination.doubts_indexes() {
            self.indexes = Indexes::Doubted;
        }
        Ok(examination)
    }

    /// Counts the rows of each table and estimates the bytes of their values from a sample.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub async fn estimate(&mut self, tables: &[Arc<TablePlan>]) -> Result<Vec<Amount>, DatabaseError> {
        let (tables, indexes) = (tables.to_vec(), self.indexes);
        let amounts = self
            .reader
            .run(move |connection| tables.iter().map(|table| estimate::of_table(connection, table, indexes)).collect());
        amounts.await.context((Verb::Count, "the rows of the source"))
    }

    /// The largest number in a column; `None` also if it cannot be read, which the copy reports.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file is not readable at all.
    pub(crate) async fn largest_number(&mut self, table: &str, column: &str) -> Result<Option<i64>, DatabaseError> {
        let action = (Verb::Read, format!("the numbers of {table}"));
        let sql = format!("SELECT max({0}) FROM {1} WHERE typeof({0}) = 'integer'", quoted(column), rows_of(table));
        let largest =
            self.reader.run(move |connection| Ok(connection.query_row(&sql, [], |row| row.get(0)).unwrap_or_default()));
        largest.await.context(action)
    }

    /// Chooses `places` ranges of rows from a table of about so many bytes together.
    pub(crate) async fn places(
        &mut self,
        table: &Arc<TablePlan>,
        bytes: u64,
        total_bytes: u64,
        places: u64,
    ) -> Result<Vec<RowIds>, DatabaseError> {
        let own = Arc::clone(table);
        let found =
            self.reader.run(move |connection| Ok(estimate::places(connection, &own, bytes, total_bytes, places)));
        found.await.context((Verb::Read, "a sample of the source"))
    }

    /// Finds the orphans and applies the policy to them.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub async fn decide(
        &mut self,
        tables: &[Arc<TablePlan>],
        policies: &Arc<Policies>,
        now_us: i64,
    ) -> Result<Orphans, DatabaseError> {
        let (tables, policies) = (tables.to_vec(), Arc::clone(policies));
        let decided = self.reader.run(move |connection| {
            converted::define(connection, &tables, &policies)?;
            Orphans::decide(connection, &tables, &policies, now_us)
        });
        decided.await.context((Verb::Find, "orphans in the source"))
    }

    /// Reads every row without writing: counts, digests and all hazards.
    ///
    /// # Errors
    /// [`SourceError`] if the file cannot be read, or what was found cannot be written to the report.
    pub(crate) async fn scan(
        &mut self,
        tables: &[Arc<TablePlan>],
        estimates: &[Amount],
        scan: &Scan,
        reporting: &Reporting<'_>,
    ) -> Result<Vec<TableRead>, SourceError> {
        let mut found = Vec::new();
        for (table, estimate) in tables.iter().zip(estimates) {
            let pass = Pass {
                table: Arc::clone(table),
                only: None,
                policies: Arc::clone(&scan.policies),
                orphans: Arc::clone(&scan.orphans),
                purpose: Purpose::Scan(scan.values),
            };
            found.push(self.reader.scan(pass, *estimate, reporting).await?);
            self.refused_rows(table, scan, reporting.findings).await?;
        }
        Ok(found)
    }

    async fn refused_rows(
        &mut self,
        table: &Arc<TablePlan>,
        scan: &Scan,
        findings: &dyn Findings,
    ) -> Result<(), SourceError> {
        let (own, scan, indexes) = (Arc::clone(table), scan.clone(), self.indexes);
        let work = move |connection: &Connection, hazards: &mut HazardSender| {
            let left_out = scan.orphans.is_dropped(&own);
            let search = Search { connection, table: &own, values: scan.values, left_out: left_out.as_deref() };
            scan.refused_rows(search, indexes, &mut |hazard| hazards.add(hazard))
        };
        let action = (Verb::Find, format!("orphans and duplicates in {}", table.name));
        self.reader.search(work, action.into(), findings).await
    }

    /// Finds the rows that only the server can accept or reject.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub(crate) async fn undecided(
        &mut self,
        tables: &[Arc<TablePlan>],
        policies: &Arc<Policies>,
        orphans: &Arc<Orphans>,
    ) -> Result<Vec<Undecided>, DatabaseError> {
        let (tables, policies, orphans) = (tables.to_vec(), Arc::clone(policies), Arc::clone(orphans));
        let found = self.reader.run(move |connection| {
            let mut found = Vec::new();
            for table in &tables {
                let left_out = orphans.is_dropped(table);
                let search = Search { connection, table, values: Values::Hidden, left_out: left_out.as_deref() };
                found.extend(Undecided::find(search, &policies)?);
            }
            Ok(found)
        });
        found.await.context((Verb::Find, "long values in the source"))
    }

    /// A row that the server rejected with this message, as a hazard.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub(crate) async fn rejected(
        &mut self,
        table: &Arc<TablePlan>,
        question: &Undecided,
        row: i64,
        (values, message): (Values, String),
    ) -> Result<Vec<Hazard>, DatabaseError> {
        let (table, question) = (Arc::clone(table), question.without_rows());
        let found = self.reader.run(move |connection| {
            let search = Search { connection, table: &table, values, left_out: None };
            question.rejected(search, row, &message)
        });
        found.await.context((Verb::Read, "a row that the target rejects"))
    }

    /// Ends the snapshot. Returns what happened to the source meanwhile.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if the rows that were read may be inconsistent.
    pub async fn finish(&mut self) -> Result<SourceChanges, SourceError> {
        self.reader.release();
        match self.snapshot.take() {
            Some(snapshot) => snapshot.finish().await,
            None => Ok(SourceChanges::default()),
        }
    }
}
