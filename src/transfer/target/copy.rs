//! Copies one table from the reading thread to the server.

use sqlx::PgConnection;

use super::error::WriteError;
use crate::database::failure::{Action, ResultExt, Verb};
use crate::progress::{Amount, Phase};
use crate::transfer::source::pass::Pass;
use crate::transfer::source::reader::{Reader, Reporting};
use crate::transfer::summary::TableRead;

/// One COPY.
pub(crate) struct TableCopy<'c> {
    /// The rows to read: a table or a range of its rows.
    pub(crate) pass: Pass,
    /// The quoted name of the destination: a table that this transaction created or truncated, as FREEZE requires.
    pub(crate) place: &'c str,
    /// The expected number of rows and bytes, for progress.
    pub(crate) estimate: Amount,
}

/// Copies a table. Returns what was read and how many rows the server counted.
///
/// # Errors
/// [`WriteError::FoundHazard`] at the first value that cannot be converted exactly, or the server's error. The
/// connection is unusable after either.
pub(crate) async fn copy_table(
    connection: &mut PgConnection,
    reader: &mut Reader,
    TableCopy { pass, place, estimate }: TableCopy<'_>,
    reporting: &Reporting<'_>,
) -> Result<(TableRead, u64), WriteError> {
    let table = pass.table.clone();
    let meter = reporting.progress.begin(Phase::new("copying", &table.name), estimate);
    let writing = Action::from((Verb::Copy, format!("rows into {}", table.name)));
    let refused = |error: sqlx::Error| WriteError::of(&writing, error);
    let sql = format!("COPY {place} ({}) FROM STDIN (FORMAT binary, FREEZE)", table.column_list());
    // The driver logs every other statement.
    tracing::debug!("{sql}");
    let mut copy = connection.copy_in_raw(&sql).await.map_err(refused)?;
    let mut reading = reader.read(pass).context((Verb::Read, table.name.clone()))?;
    while let Some(chunk) = reading.chunks.recv().await {
        reporting.findings.changes(&chunk.changes)?;
        copy.send(chunk.bytes).await.map_err(refused)?;
        meter.advance(chunk.amount);
    }
    let read = reading.finish().await.context((Verb::Read, table.name.clone()))?;
    if read.has_hazards {
        // Otherwise the connection would be out of step. That the COPY fails is what is wanted.
        copy.abort("the source holds a value that cannot be converted").await.ok();
        return Err(WriteError::FoundHazard);
    }
    let copied = copy.finish().await.map_err(refused)?;
    meter.finish();
    Ok((read, copied))
}
