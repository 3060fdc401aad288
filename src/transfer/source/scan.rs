//! The source in one read transaction: row counts, digests and all hazards.

use std::sync::Arc;
use std::time::Duration;

use super::constraints::{self, Indexes, LongEntry};
use super::damage::{self, Examination};
use super::error::SourceError;
use super::estimate;
use super::orphans::Orphans;
use super::pass::{Pass, Purpose};
use super::reader::{Reader, Reporting};
use super::row::RowIds;
use super::snapshot::{Snapshot, SourceChanges};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::plan::TablePlan;
use crate::transfer::summary::TableRead;
use crate::transfer::value::hazard::{Fault, Hazard, Reason};
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

/// The result of reading the whole source.
#[derive(Debug, Default)]
pub(crate) struct SourceScan {
    /// In the order of the plan.
    pub tables: Vec<TableRead>,
    /// All values and rows that the target cannot hold.
    pub hazards: Vec<Hazard>,
    /// Index entries so long that they fit only if the server can compress them enough.
    pub long_entries: Vec<Hazard>,
}

/// The rows of a table that the target's keys and indexes may reject.
struct RefusedRows {
    orphans: Vec<Hazard>,
    duplicates: Vec<Hazard>,
    long_entries: Vec<LongEntry>,
}

impl SourceScan {
    /// Adds the result of a table, without the rows that a policy handles.
    fn add(&mut self, table: &TablePlan, mut read: TableRead, refused: RefusedRows, policies: &Policies) {
        let is_listed = |class| policies.of(class) == Policy::Fail;
        self.hazards.append(&mut read.hazards);
        self.tables.push(read);
        self.hazards.extend(refused.orphans.into_iter().filter(|_| is_listed(Class::Orphan)));
        self.hazards.extend(refused.duplicates);
        let long_entries = refused.long_entries.into_iter().filter(|_| is_listed(Class::IndexEntry));
        self.long_entries.extend(long_entries.map(|entry| {
            let fault = Fault::whole(Reason::IndexEntry);
            Hazard::new(&table.name, entry.key, &entry.columns.join(", "), &fault)
        }));
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

    /// Adds the stored value to each hazard that is about one value.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub async fn show_values(
        &mut self,
        tables: &[Arc<TablePlan>],
        hazards: &mut Vec<Hazard>,
    ) -> Result<(), DatabaseError> {
        let (tables, mut found) = (tables.to_vec(), std::mem::take(hazards));
        let shown = self.reader.run(move |connection| {
            for hazard in &mut found {
                if let Some(table) = tables.iter().find(|table| table.name == hazard.table) {
                    hazard.value = constraints::shown_value(connection, table, &hazard.primary_key, &hazard.column)?;
                }
            }
            Ok(found)
        });
        *hazards = shown.await.context((Verb::Read, "the values that cannot be converted"))?;
        Ok(())
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
        let decided = self.reader.run(move |connection| Orphans::decide(connection, &tables, &policies, now_us));
        decided.await.context((Verb::Find, "orphans in the source"))
    }

    /// Reads every row without writing: counts, digests and all hazards.
    ///
    /// # Errors
    /// [`SourceError`] if the file cannot be read, or what a policy would change cannot be written to the report.
    pub(crate) async fn scan(
        &mut self,
        tables: &[Arc<TablePlan>],
        estimates: &[Amount],
        policies: &Arc<Policies>,
        orphans: &Arc<Orphans>,
        reporting: &Reporting<'_>,
    ) -> Result<SourceScan, SourceError> {
        let mut scan = SourceScan::default();
        for (table, estimate) in tables.iter().zip(estimates) {
            let pass = Pass {
                table: Arc::clone(table),
                row_ids: None,
                policies: Arc::clone(policies),
                orphans: Arc::clone(orphans),
                purpose: Purpose::Scan,
            };
            let read = self.reader.scan(pass, *estimate, reporting).await?;
            let refused = self.refused_rows(table).await?;
            scan.add(table, read, refused, policies);
        }
        Ok(scan)
    }

    async fn refused_rows(&mut self, table: &Arc<TablePlan>) -> Result<RefusedRows, DatabaseError> {
        let own = Arc::clone(table);
        let indexes = self.indexes;
        let found = self.reader.run(move |connection| {
            let mut orphans = Vec::new();
            for key in constraints::foreign_keys(&own) {
                let column = key.columns.join(", ");
                let found = constraints::orphans(connection, &own, key)?.into_iter();
                orphans.extend(found.map(|key| Hazard::new(&own.name, key, &column, &Fault::whole(Reason::Orphan))));
            }
            let duplicates = constraints::duplicates(connection, &own, indexes)?;
            Ok(RefusedRows { orphans, duplicates, long_entries: constraints::long_entries(connection, &own)? })
        });
        found.await.context((Verb::Find, format!("orphans and duplicates in {}", table.name)))
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
