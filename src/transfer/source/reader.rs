//! Reads the source's rows on a thread of its own, straight from SQLite's handle: that takes 1 to 2 µs a row where the
//! driver's stream of rows takes 7 to 9, and leaves the other core to the server.

use crate::transfer::source::row::{AnyRow, RowIds};
use crate::transfer::summary::TableRead;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

use super::error::SourceError;
use super::orphans::Orphans;
use super::table::rows_of;
use crate::database::failure::{DatabaseCause, ErrorClass, ResultExt};
use crate::database::sqlite_value::SqliteValue;
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::plan::TablePlan;
use crate::transfer::report::ChangeSink;
use crate::transfer::value::change::Change;
use crate::transfer::value::convert::{convert, truncated};
use crate::transfer::value::copy_format::{HEADER, TRAILER};
use crate::transfer::value::copy_format::{HEADER, TRAILER, field_parts};
use crate::transfer::value::digest::{RowDigester, RowDigests, bucket, key_of, short_digest};
use crate::transfer::value::digest::{RowDigester, RowDigests, bucket, key_of, short_digest};
use crate::transfer::value::hazard::Hazard;
use crate::transfer::value::index_entry::SAFE_ENTRY;
use crate::transfer::value::pg_value::PgValue;
use crate::transfer::value::policy::{Class, Policies, Policy};

/// How many bytes of binary COPY are collected before they are sent on.
const CHUNK: usize = 256 * 1024;
/// How much is read at most until somebody hears of it.
const ROWS_PER_CHUNK: u64 = 4096;
const BYTES_PER_CHUNK: u64 = 4 * 1024 * 1024;
/// How many chunks wait for the server at most.
const CHUNKS_IN_FLIGHT: usize = 4;

/// How many steps SQLite takes until it is asked whether to go on: those of some 50 rows, or 1000 pages of a check.
const STEPS: i32 = 1000;

/// One connection to the source, in its read transaction.
pub(crate) struct Reader {
    /// On its way while a thread has it.
    connection: Option<PoolConnection<Sqlite>>,
}

/// Work on the connection, which comes back with the result.
type Thread<T> = JoinHandle<(PoolConnection<Sqlite>, Result<T, DatabaseCause>)>;

/// What is to be read, and how.
#[derive(Clone)]
pub(crate) struct Pass {
    pub(crate) table: Arc<TablePlan>,
    /// All rows where there is none.
    pub(crate) row_ids: Option<RowIds>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) exceptions: Arc<Orphans>,
    pub(crate) purpose: Purpose,
}

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To encode rows, until the first value that cannot be carried over.
    Copy,
    /// To find every value that cannot be carried over.
    Look,
}

/// A piece of a table on its way.
#[derive(Default)]
pub(crate) struct Chunk {
    /// A stream of binary COPY, cut anywhere; empty if the rows are only looked at.
    pub(crate) bytes: Vec<u8>,
    /// What was read for it.
    pub(crate) amount: Amount,
    /// What the policies changed in it.
    pub(crate) changes: Vec<Change>,
}

/// A pass that goes on, and the chunks that come from it.
pub(crate) struct Reading<'r> {
    reader: &'r mut Reader,
    thread: Thread<TableRead>,
    pub(crate) chunks: mpsc::Receiver<Chunk>,
}

impl Reading<'_> {
    /// Waits for the end of the pass.
    pub(crate) async fn finish(self) -> Result<TableRead, DatabaseCause> {
        // A thread that still sends would wait for ever.
        drop(self.chunks);
        self.reader.take_back(self.thread).await
    }
}

impl Reader {
    /// Takes a connection that is in its read transaction.
    #[must_use]
    pub(crate) fn new(connection: PoolConnection<Sqlite>) -> Self {
        Self { connection: Some(connection) }
    }

    /// Runs `work` on a thread with SQLite's own handle. What SQLite is doing ends soon after
    /// the caller stops waiting for it.
    pub(crate) async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Result<T, DatabaseCause> {
        let abandoned = Abandoned::default();
        let is_wanted = Arc::clone(&abandoned.0);
        let thread = self.start_until(work, is_wanted)?;
        let result = self.take_back(thread).await;
        drop(abandoned);
        result
    }

    /// Begins to read a table.
    pub(crate) fn read(&mut self, pass: Pass) -> Result<Reading<'_>, DatabaseCause> {
        let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let thread = self.start(move |connection| read_table(connection, &pass, &sender))?;
        Ok(Reading { reader: self, thread, chunks })
    }

    /// Reads a table only to look at it.
    pub(crate) async fn look(
        &mut self,
        pass: Pass,
        total: Amount,
        progress: &dyn Progress,
        note: &ChangeSink<'_>,
    ) -> Result<TableRead, SourceError> {
        let name = pass.table.name.clone();
        let meter = progress.begin(Phase::new("reading", &name), total);
        let mut reading = self.read(pass).context(format!("read {name}"))?;
        while let Some(chunk) = reading.chunks.recv().await {
            note(&chunk.changes)?;
            meter.advance(chunk.amount);
        }
        let read = reading.finish().await.context(format!("read {name}"))?;
        meter.finish();
        Ok(read)
    }

    /// Short digests of the values of the rows that count for some buckets.
    pub(crate) async fn row_digests(
        &mut self,
        pass: Pass,
        buckets: BTreeSet<usize>,
    ) -> Result<RowDigests, DatabaseCause> {
        self.run(move |connection| row_digests(connection, &pass, &buckets)).await
    }

    /// Gives the connection back.
    pub(crate) fn release(&mut self) {
        self.connection = None;
    }

    fn start<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Result<Thread<T>, DatabaseCause> {
        self.start_until(work, Arc::default())
    }

    /// Starts `work`, which SQLite interrupts once it is `abandoned`.
    fn start_until<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
        abandoned: Arc<AtomicBool>,
    ) -> Result<Thread<T>, DatabaseCause> {
        let runtime = Handle::current();
        let mut connection =
            self.connection.take().ok_or_else(|| DatabaseCause::new(ErrorClass::Other, "the source is in use"))?;
        Ok(tokio::task::spawn_blocking(move || {
            let result = with_handle(&runtime, &mut connection, &abandoned, work);
            (connection, result)
        }))
    }

    async fn take_back<T>(&mut self, thread: Thread<T>) -> Result<T, DatabaseCause> {
        let (connection, result) =
            thread.await.map_err(|error| DatabaseCause::new(ErrorClass::Other, error.to_string()))?;
        self.connection = Some(connection);
        result
    }
}

/// Tells, when it is dropped, that nobody waits any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn with_handle<T>(
    runtime: &Handle,
    connection: &mut PoolConnection<Sqlite>,
    abandoned: &Arc<AtomicBool>,
    work: impl FnOnce(&Connection) -> Result<T, DatabaseCause>,
) -> Result<T, DatabaseCause> {
    let mut handle = runtime.block_on(connection.lock_handle())?;
    let abandoned = Arc::clone(abandoned);
    handle.set_progress_handler(STEPS, move || !abandoned.load(Ordering::Relaxed));
    // SAFETY: the handle is open and locked for this thread until `handle` is dropped, which is after `connection`;
    // a connection made from a handle does not close it.
    #[expect(unsafe_code, reason = "there is no safe way to the handle behind a pool")]
    let connection = unsafe { Connection::from_handle(handle.as_raw_handle().as_ptr()) }?;
    let result = work(&connection);
    drop(connection);
    handle.remove_progress_handler();
    result
}

fn read_table(connection: &Connection, pass: &Pass, sender: &Sender<Chunk>) -> Result<TableRead, DatabaseCause> {
    let table = pass.table.as_ref();
    let mut found = TableRead::default();
    let mut outgoing = Outgoing::new(sender, pass.purpose);
    // In the same messages as the rows: small ones on their own may wait for the server's TCP acknowledgement.
    outgoing.push(HEADER)?;
    for_each_row(connection, pass, |row| {
        let key = || row.shown_key(table.primary_key.iter().copied());
        if let AnyRow::MadeUp(_) = row {
            outgoing.chunk.changes.push(Change::of_placeholder(&table.name, key(), &table.key_columns()));
        }
        if pass.exceptions.drops(table, key) {
            outgoing.left_behind(table, &key(), row)?;
            return Ok(ControlFlow::Continue(()));
        }
        let mut digester = RowDigester::default();
        let mut values = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let value = row.stored(index);
            let cut = cut_for_index(pass, index, value);
            if cut.is_some() {
                let (class, policy) = (Class::IndexEntry, Policy::Truncate);
                let change = Change::of_value(&table.name, key(), &column.name, class, policy, value);
                outgoing.chunk.changes.push(change);
            }
            let carried = convert(cut.unwrap_or(value), column, &pass.policies, &mut digester);
            for fault in carried.faults {
                found.hazards.push(Hazard::new(&table.name, key(), &column.name, &fault));
            }
            for (class, policy) in carried.changes {
                let change = Change::of_value(&table.name, key(), &column.name, class, policy, value);
                outgoing.chunk.changes.push(change);
            }
            for normalization in carried.normalizations.iter() {
                found.normalizations[normalization as usize] += 1;
            }
            outgoing.chunk.amount.bytes += value.size() as u64;
            values.push(carried.value);
        }
        if pass.purpose == Purpose::Copy && !found.hazards.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        outgoing.row(&values)?;
        found.digest.add(bucket_of(table, &values), digester);
        Ok(ControlFlow::Continue(()))
    })?;
    outgoing.push(&TRAILER)?;
    outgoing.send()?;
    found.amount = outgoing.sent;
    Ok(found)
}

/// Short digests of the values of the rows that count for some buckets.
fn row_digests(connection: &Connection, pass: &Pass, buckets: &BTreeSet<usize>) -> Result<RowDigests, DatabaseCause> {
    let table = pass.table.as_ref();
    let mut found = RowDigests::new();
    for_each_row(connection, pass, |row| {
        if pass.exceptions.drops(table, || row.shown_key(table.primary_key.iter().copied())) {
            return Ok(ControlFlow::Continue(()));
        }
        let value = |index: usize| {
            let stored = row.stored(index);
            let cut = cut_for_index(pass, index, stored).unwrap_or(stored);
            convert(cut, &table.columns[index], &pass.policies, &mut RowDigester::default()).value
        };
        let key: Vec<_> = table.primary_key.iter().map(|index| value(*index)).collect();
        if buckets.contains(&bucket(&key)) {
            found.insert(key_of(&key), (0..table.columns.len()).map(|index| short_digest(&value(index))).collect());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Reads the rows of a pass: those that are made up, then those of the source.
fn for_each_row(
    connection: &Connection,
    pass: &Pass,
    mut visit: impl FnMut(AnyRow<'_>) -> Result<ControlFlow<()>, DatabaseCause>,
) -> Result<(), DatabaseCause> {
    let table = pass.table.as_ref();
    if pass.row_ids.as_ref().is_none_or(|ids| ids.start == i64::MIN) {
        for placeholder in pass.exceptions.placeholders(table) {
            // Nothing is wrong with these.
            let _ = visit(AnyRow::MadeUp(placeholder))?;
        }
    }
    let mut statement = connection.prepare(&select(table, pass.row_ids.as_ref()))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if visit(AnyRow::SqliteValue(row))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn bucket_of(table: &TablePlan, values: &[PgValue<'_>]) -> usize {
    bucket(table.primary_key.iter().map(|index| &values[*index]))
}

/// Under the policy for index entries, so much of a value that every b-tree surely holds it; `None` if that is all of it.
fn cut_for_index<'r>(pass: &Pass, index: usize, value: SqliteValue<'r>) -> Option<SqliteValue<'r>> {
    let name = &pass.table.columns[index].name;
    let is_too_long = |bytes: &[u8]| {
        bytes.len() > SAFE_ENTRY
            && pass.policies.of(Class::IndexEntry) == Policy::Truncate
            && pass.table.b_trees.iter().flatten().any(|column| column == name)
    };
    match value {
        SqliteValue::Text(bytes) if is_too_long(bytes) => Some(SqliteValue::Text(truncated(bytes, SAFE_ENTRY))),
        // Another policy may make a text of it.
        SqliteValue::Blob(bytes) if is_too_long(bytes) => Some(SqliteValue::Blob(truncated(bytes, SAFE_ENTRY))),
        _ => None,
    }
}

/// Collects chunks and sends them on.
struct Outgoing<'s> {
    sender: &'s Sender<Chunk>,
    chunk: Chunk,
    purpose: Purpose,
    sent: Amount,
    /// What the changes of this chunk hold of rows that stay behind.
    left_behind: Amount,
}

impl<'s> Outgoing<'s> {
    fn new(sender: &'s Sender<Chunk>, purpose: Purpose) -> Self {
        Self { sender, chunk: Chunk::default(), purpose, sent: Amount::default(), left_behind: Amount::default() }
    }

    fn row(&mut self, values: &[PgValue<'_>]) -> Result<(), DatabaseCause> {
        self.chunk.amount.rows += 1;
        let columns = i16::try_from(values.len()).expect("tables have fewer than 1600 columns");
        self.push(&columns.to_be_bytes())?;
        for value in values {
            let (head, body) = field_parts(value);
            self.push(&head)?;
            self.push(body)?;
        }
        self.send_if_due()
    }

    /// Notes a row that does not go over, value by value.
    fn left_behind(&mut self, table: &TablePlan, key: &str, row: AnyRow<'_>) -> Result<(), DatabaseCause> {
        self.left_behind.rows += 1;
        for (index, column) in table.columns.iter().enumerate() {
            let (class, policy, value) = (Class::Orphan, Policy::Drop, row.stored(index));
            self.left_behind.bytes += value.size() as u64;
            let change = Change::of_value(&table.name, key.to_owned(), &column.name, class, policy, value);
            self.chunk.changes.push(change);
        }
        self.send_if_due()
    }

    /// Adds bytes; those of a large value travel in pieces, so that it is never held twice.
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), DatabaseCause> {
        while self.purpose == Purpose::Copy && !bytes.is_empty() {
            if self.chunk.bytes.capacity() == 0 {
                self.chunk.bytes.reserve_exact(CHUNK);
            }
            let (fitting, rest) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.bytes.len()));
            self.chunk.bytes.extend_from_slice(fitting);
            bytes = rest;
            if self.chunk.bytes.len() == CHUNK {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Lets others hear of rows that are many and small, or not encoded.
    fn send_if_due(&mut self) -> Result<(), DatabaseCause> {
        let Amount { rows, bytes } = [self.chunk.amount, self.left_behind].into_iter().sum();
        if rows >= ROWS_PER_CHUNK || bytes >= BYTES_PER_CHUNK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), DatabaseCause> {
        let chunk = std::mem::take(&mut self.chunk);
        self.left_behind = Amount::default();
        self.sent += chunk.amount;
        self.sender
            .blocking_send(chunk)
            .map_err(|_| DatabaseCause::new(ErrorClass::Other, "nobody takes what was read"))
    }
}

fn select(table: &TablePlan, row_ids: Option<&RowIds>) -> String {
    let condition = row_ids.map(|ids| format!(" WHERE rowid >= {} AND rowid < {}", ids.start, ids.end));
    format!("SELECT {} FROM {}{}", table.column_list(), rows_of(&table.name), condition.unwrap_or_default())
}
