//! The SQLite end: one snapshot, never written.

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

/// How often it is shown for how long a check has been going on.
const TICK: Duration = Duration::from_secs(1);

/// The source, held in one read transaction.
pub struct Source {
    pub(crate) reader: Reader,
    /// Until it is ended.
    snapshot: Option<Snapshot>,
    indexes: Indexes,
}

/// What one look at the whole source found.
#[derive(Debug, Default)]
pub(crate) struct SourceScan {
    /// One for each table of the plan.
    pub tables: Vec<TableRead>,
    /// Every value and row that the target cannot hold.
    pub hazards: Vec<Hazard>,
    /// Index entries so long that only the server can tell whether they fit: it compresses them first.
    pub long_entries: Vec<Hazard>,
}

/// The rows of a table that the target's keys and indexes may refuse.
struct RefusedRows {
    orphans: Vec<Hazard>,
    duplicates: Vec<Hazard>,
    long_entries: Vec<LongEntry>,
}

impl SourceScan {
    /// Adds what was found in a table, as far as no policy lets it through.
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
    /// Takes the connection of a snapshot.
    ///
    /// # Errors
    /// [`DatabaseError`] when somebody else has it.
    pub async fn begin(snapshot: Snapshot) -> Result<Self, DatabaseError> {
        let pool = snapshot.reader().get_sqlite_connection_pool();
        let connection = pool.acquire().await.context((Verb::Open, "the source"))?;
        Ok(Self { reader: Reader::new(connection), snapshot: Some(snapshot), indexes: Indexes::Sound })
    }

    /// Has SQLite check the whole file: its pages, and every index against its table.
    ///
    /// # Errors
    /// [`SourceError`] when the file cannot be read, or was written to meanwhile, which would look like damage. Damage
    /// is no error here, but what was found.
    pub async fn examine(&mut self, progress: &dyn Progress) -> Result<Examination, SourceError> {
        tracing::debug!("SQLite checks the source");
        let meter = progress.begin(Phase::new("checking", "the source"), Amount::default());
        let mut work = std::pin::pin!(self.reader.run(damage::examine));
        let examined = loop {
            // SQLite does not say how far it is: what can be shown is how long it takes.
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

    /// How many rows each table has, and about how many bytes of values: from a sample of its rows.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file cannot be read.
    pub async fn estimate(&mut self, tables: &[Arc<TablePlan>]) -> Result<Vec<Amount>, DatabaseError> {
        let (tables, indexes) = (tables.to_vec(), self.indexes);
        let amounts = self
            .reader
            .run(move |connection| tables.iter().map(|table| estimate::of_table(connection, table, indexes)).collect());
        amounts.await.context((Verb::Count, "the rows of the source"))
    }

    /// Rows of about so many bytes together, from several places of a table.
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

    /// Adds the values to hazards that are about one.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file cannot be read.
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

    /// Decides about the rows that do not simply go over.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file cannot be read.
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

    /// Reads every row without writing anything: counts, digests, and everything that the target cannot hold.
    ///
    /// # Errors
    /// [`SourceError`] when the file cannot be read, or what a policy would change cannot be noted.
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

    /// Ends the snapshot and tells what happened to the source meanwhile.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when what was read cannot be trusted.
    pub async fn finish(&mut self) -> Result<SourceChanges, SourceError> {
        self.reader.release();
        match self.snapshot.take() {
            Some(snapshot) => snapshot.finish().await,
            None => Ok(SourceChanges::default()),
        }
    }
}
