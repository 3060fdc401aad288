//! Reads the source's rows on a separate thread, directly with SQLite's handle.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rusqlite::Connection;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use tokio::sync::mpsc::{self, Sender};

use super::chunks::{Chunk, ChunkSender, HazardSender};
use super::error::SourceError;
use super::pass::{Pass, Purpose};
use super::row::AnyRow;
use super::row_converter::RowConverter;
use crate::database::failure::{Action, DatabaseCause, ErrorClass, ResultExt, Verb};
use crate::database::sqlite_thread::Work;
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::report::Findings;
use crate::transfer::summary::TableRead;
use crate::transfer::value::change::Change;
use crate::transfer::value::digest::{RowDigests, bucket, key_of, short_digest};

/// The maximum number of chunks that wait for the server.
const CHUNKS_IN_FLIGHT: usize = 4;

/// One connection to the source, in its read transaction.
pub(crate) struct Reader {
    /// `None` while a thread uses it, and after the release.
    connection: Option<PoolConnection<Sqlite>>,
}

/// The receivers of what a pass reports.
#[derive(Clone, Copy)]
pub(crate) struct Reporting<'r> {
    /// Receives the rows and bytes read so far.
    pub(crate) progress: &'r dyn Progress,
    /// Receives what policies change, and of a scan all hazards.
    pub(crate) findings: &'r dyn Findings,
}

/// A running pass and its chunks.
pub(crate) struct Reading<'r> {
    reader: &'r mut Reader,
    work: Work<PoolConnection<Sqlite>, TableRead>,
    pub(crate) chunks: mpsc::Receiver<Chunk>,
}

impl Reading<'_> {
    /// Waits for the end of the pass.
    pub(crate) async fn finish(self) -> Result<TableRead, DatabaseCause> {
        // Otherwise a thread that is still sending would wait forever.
        drop(self.chunks);
        self.reader.take_back(self.work).await
    }
}

impl Reader {
    /// Takes a connection that is in its read transaction.
    #[must_use]
    pub(crate) fn new(connection: PoolConnection<Sqlite>) -> Self {
        Self { connection: Some(connection) }
    }

    /// Runs `work` on a thread with SQLite's handle. If the caller drops the future, SQLite is interrupted soon after.
    pub(crate) async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Result<T, DatabaseCause> {
        let work = self.start(work)?;
        self.take_back(work).await
    }

    /// Starts a pass over a table.
    pub(crate) fn read(&mut self, pass: Pass) -> Result<Reading<'_>, DatabaseCause> {
        let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let work = self.start(move |connection| read_table(connection, &pass, &sender))?;
        Ok(Reading { reader: self, work, chunks })
    }

    /// Scans a table without sending rows. `estimate` is for the progress.
    pub(crate) async fn scan(
        &mut self,
        pass: Pass,
        estimate: Amount,
        reporting: &Reporting<'_>,
    ) -> Result<TableRead, SourceError> {
        let name = pass.table.name.clone();
        let meter = reporting.progress.begin(Phase::new("reading", &name), estimate);
        let mut reading = self.read(pass).context((Verb::Read, name.clone()))?;
        while let Some(chunk) = reading.chunks.recv().await {
            reporting.findings.changes(&chunk.changes)?;
            reporting.findings.hazards(&chunk.hazards)?;
            meter.advance(chunk.amount);
        }
        let read = reading.finish().await.context((Verb::Read, name.clone()))?;
        meter.finish();
        Ok(read)
    }

    /// Runs a search for hazards, which it sends in parts. If the caller drops the future, SQLite is interrupted.
    pub(crate) async fn search<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection, &mut HazardSender) -> Result<T, DatabaseCause> + Send + 'static,
        action: Action,
        findings: &dyn Findings,
    ) -> Result<T, SourceError> {
        let (sender, mut found) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let search = move |connection: &Connection| {
            let mut hazards = HazardSender::new(sender);
            let result = work(connection, &mut hazards)?;
            hazards.finish()?;
            Ok(result)
        };
        let work = self.start(search).context(&action)?;
        while let Some(hazards) = found.recv().await {
            findings.hazards(&hazards)?;
        }
        Ok(self.take_back(work).await.context(action)?)
    }

    /// Returns short digests of the values of all rows in these buckets.
    pub(crate) async fn row_digests(
        &mut self,
        pass: Pass,
        buckets: BTreeSet<usize>,
    ) -> Result<RowDigests, DatabaseCause> {
        self.run(move |connection| row_digests(connection, &pass, &buckets)).await
    }

    /// Returns the connection to its pool.
    pub(crate) fn release(&mut self) {
        self.connection = None;
    }

    fn start<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Result<Work<PoolConnection<Sqlite>, T>, DatabaseCause> {
        let connection = self.connection.take();
        let connection = connection.ok_or_else(|| DatabaseCause::new(ErrorClass::Other, "the source is in use"))?;
        Ok(Work::start(connection, work))
    }

    async fn take_back<T: Send + 'static>(
        &mut self,
        work: Work<PoolConnection<Sqlite>, T>,
    ) -> Result<T, DatabaseCause> {
        let (connection, result) = work.finish().await?;
        self.connection = Some(connection);
        result
    }
}

/// Reads, converts and sends the rows of a table.
fn read_table(connection: &Connection, pass: &Pass, sender: &Sender<Chunk>) -> Result<TableRead, DatabaseCause> {
    let table = pass.table.as_ref();
    let converter = RowConverter::new(pass);
    let mut chunks = ChunkSender::begin(sender, pass.purpose)?;
    let mut found = TableRead::default();
    pass.for_each_row(connection, |row| {
        if let AnyRow::Placeholder(_) = row {
            chunks.add_changes(vec![Change::of_placeholder(&table.name, pass.shown_key(row), &table.key_columns())])?;
        }
        if pass.drops(row) {
            chunks.add_changes(vec![dropped_row(pass, row)])?;
            return Ok(ControlFlow::Continue(()));
        }
        let mut converted = converter.convert(row);
        chunks.add_changes(std::mem::take(&mut converted.changes))?;
        found.has_hazards |= !converted.hazards.is_empty();
        for (sum, count) in found.normalizations.iter_mut().zip(converted.normalizations) {
            *sum += count;
        }
        if pass.purpose == Purpose::Copy && found.has_hazards {
            return Ok(ControlFlow::Break(()));
        }
        chunks.add_hazards(std::mem::take(&mut converted.hazards))?;
        chunks.add(&converted.values, converted.bytes)?;
        found.digest.add(converted.bucket(table), converted.digester);
        Ok(ControlFlow::Continue(()))
    })?;
    found.amount = chunks.finish()?;
    Ok(found)
}

/// A row that is left out, with all its values.
fn dropped_row(pass: &Pass, row: AnyRow<'_>) -> Change {
    let table = &pass.table;
    let values = table.columns.iter().enumerate().map(|(index, column)| (column.name.as_str(), row.stored(index)));
    Change::of_dropped_row(&table.name, pass.shown_key(row), &table.key_columns(), values)
}

/// Short digests of the values of all rows in these buckets, by primary key.
fn row_digests(connection: &Connection, pass: &Pass, buckets: &BTreeSet<usize>) -> Result<RowDigests, DatabaseCause> {
    let table = pass.table.as_ref();
    let converter = RowConverter::new(pass);
    let mut found = RowDigests::new();
    pass.for_each_row(connection, |row| {
        if pass.drops(row) {
            return Ok(ControlFlow::Continue(()));
        }
        let key: Vec<_> = table.primary_key.iter().map(|index| converter.value(row, *index)).collect();
        if buckets.contains(&bucket(&key)) {
            let digests = (0..table.columns.len()).map(|index| short_digest(&converter.value(row, index)));
            found.insert(key_of(&key), digests.collect());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
