//! Reads the target's rows back as binary COPY.

use std::ops::Deref;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::staging;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::progress::{Amount, Meter};
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::copy_format::{RowSplitter, read_field, unreadable};
use crate::transfer::value::digest::{RowDigester, TableDigest, bucket};

/// How many bytes are read before they are passed on and other tasks may run.
const BATCH_BYTES: u64 = 64 * 1024;

/// Which rows of the target's tables are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComparedRows {
    /// All of them.
    All,
    /// Those with the primary keys of staged rows.
    Staged,
}

impl ComparedRows {
    /// The WHERE clause for a table with the alias `there`; empty for all rows.
    pub(crate) fn condition(self, table: &TablePlan) -> String {
        match self {
            ComparedRows::All => String::new(),
            ComparedRows::Staged => format!(" WHERE {}", staging::is_staged(table)),
        }
    }
}

/// Reads a table back and digests its rows on a separate thread. Returns the number of rows and their digest.
///
/// # Errors
/// [`DatabaseError`] if the target cannot be read.
pub(crate) async fn digest_of_target(
    connection: &mut PgConnection,
    table: &Arc<TablePlan>,
    rows: ComparedRows,
    meter: &dyn Meter,
) -> Result<(u64, TableDigest), DatabaseError> {
    let action = Action::from((Verb::Read, format!("back {}", table.name)));
    // One batch is digested while the next is read; more would use too much memory, because a value may be large.
    let (sender, batches) = mpsc::channel(1);
    let own = Arc::clone(table);
    let digesting = tokio::task::spawn_blocking(move || digest_of_batches(&own, batches));
    let sql = copy_out(table, rows);
    tracing::trace!("{sql}");
    let mut chunks = connection.copy_out_raw(&sql).await.context(&action)?;
    let (mut batch, mut amount) = (Vec::new(), Amount::default());
    while let Some(chunk) = chunks.try_next().await.context(&action)? {
        // The server sends one row per chunk.
        amount += Amount { rows: 1, bytes: chunk.len() as u64 };
        batch.push(chunk);
        if amount.bytes >= BATCH_BYTES {
            // If this fails the thread has ended, and its result has the reason.
            if sender.send(std::mem::take(&mut batch)).await.is_err() {
                break;
            }
            meter.advance(std::mem::take(&mut amount));
            // Chunks are often ready at once: without this a signal would not be handled before the end of the table.
            yield_now().await;
        }
    }
    sender.send(batch).await.ok();
    drop(sender);
    meter.advance(amount);
    let digested =
        digesting.await.unwrap_or_else(|error| Err(DatabaseCause::new(ErrorClass::Other, error.to_string())));
    digested.context(action)
}

fn digest_of_batches(
    table: &TablePlan,
    mut batches: mpsc::Receiver<Vec<impl Deref<Target = [u8]>>>,
) -> Result<(u64, TableDigest), DatabaseCause> {
    let (mut rows, mut count, mut digest) = (RowSplitter::new(table.columns.len()), 0, TableDigest::default());
    let mut add = |fields: &[Option<&[u8]>]| {
        let mut row = RowDigester::default();
        for (field, column) in fields.iter().zip(&table.columns) {
            let value = read_field(*field, column.target).ok_or_else(unreadable)?;
            row.add(&value).map_err(|_| unreadable())?;
        }
        digest.add(bucket_of(table, fields)?, row);
        count += 1;
        Ok(())
    };
    while let Some(batch) = batches.blocking_recv() {
        for chunk in batch {
            rows.push(&chunk, &mut add)?;
        }
    }
    if rows.has_ended() { Ok((count, digest)) } else { Err(unreadable()) }
}

pub(crate) fn bucket_of(table: &TablePlan, fields: &[Option<&[u8]>]) -> Result<usize, DatabaseCause> {
    let mut values = Vec::with_capacity(table.primary_key.len());
    for index in &table.primary_key {
        values.push(read_field(fields[*index], table.columns[*index].target).ok_or_else(unreadable)?);
    }
    Ok(bucket(&values))
}

/// The statement that reads a table as binary COPY.
///
/// Printing `jsonb` is most of the server's work. As a function call in a query, parallel workers can do it, once
/// [`PARALLEL`](super::session_settings::PARALLEL) allows them. The bytes are those of a plain COPY.
fn copy_out(table: &TablePlan, rows: ComparedRows) -> String {
    let column = |column: &ColumnPlan| match column.target {
        ColumnType::Jsonb => format!("pg_catalog.jsonb_send({})", quoted(&column.name)),
        _ => quoted(&column.name),
    };
    let columns = table.columns.iter().map(column).collect::<Vec<_>>().join(", ");
    let (name, condition) = (&table.qualified_name, rows.condition(table));
    format!("COPY (SELECT {columns} FROM ONLY {name} AS there{condition}) TO STDOUT (FORMAT binary)")
}

/// Reads a table as binary COPY and calls `visit` with the fields of each row.
pub(crate) async fn for_each_row(
    connection: &mut PgConnection,
    table: &TablePlan,
    rows: ComparedRows,
    mut visit: impl FnMut(&[Option<&[u8]>]) -> Result<(), DatabaseCause>,
) -> Result<(), DatabaseError> {
    let action = Action::from((Verb::Read, format!("back {}", table.name)));
    let sql = copy_out(table, rows);
    tracing::trace!("{sql}");
    let mut chunks = connection.copy_out_raw(&sql).await.context(&action)?;
    let mut splitter = RowSplitter::new(table.columns.len());
    while let Some(chunk) = chunks.try_next().await.context(&action)? {
        yield_now().await;
        splitter.push(&chunk, &mut visit).context(&action)?;
    }
    if splitter.has_ended() { Ok(()) } else { Err(unreadable()).context(action) }
}
