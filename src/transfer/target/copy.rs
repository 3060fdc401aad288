//! One table's way from the reading thread to the server.

use sqlx::PgConnection;

use super::error::WriteError;
use crate::database::failure::{Action, ResultExt, Verb};
use crate::progress::{Amount, Phase};
use crate::transfer::source::pass::Pass;
use crate::transfer::source::reader::{Reader, Reporting};
use crate::transfer::summary::TableRead;

/// What is copied, and where to.
pub(crate) struct TableCopy<'c> {
    /// A table, or a part of it.
    pub(crate) pass: Pass,
    /// Where it goes, as SQL names it: a table that this transaction has made or truncated.
    pub(crate) place: &'c str,
    /// About how much there is.
    pub(crate) estimate: Amount,
}

/// Copies a table, and gives what was read, and how many rows the server took.
///
/// # Errors
/// [`WriteError::FoundHazard`] at the first value that cannot be carried over, or what the server refused; the
/// connection is out of step after that.
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
    let mut copy = connection.copy_in_raw(&sql).await.map_err(refused)?;
    let mut reading = reader.read(pass).context((Verb::Read, table.name.clone()))?;
    while let Some(chunk) = reading.chunks.recv().await {
        (reporting.changes)(&chunk.changes)?;
        copy.send(chunk.bytes).await.map_err(refused)?;
        meter.advance(chunk.amount);
    }
    let read = reading.finish().await.context((Verb::Read, table.name.clone()))?;
    if !read.hazards.is_empty() {
        return Err(WriteError::FoundHazard);
    }
    let copied = copy.finish().await.map_err(refused)?;
    meter.finish();
    Ok((read, copied))
}
