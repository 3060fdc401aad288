//! One table's way from the reading thread to the server.

use sqlx::PgConnection;

use super::error::WriteError;
use crate::database::failure::ResultExt;
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::report::ChangeSink;
use crate::transfer::source::reader::{Pass, Reader};
use crate::transfer::summary::TableRead;

/// Copies a table, or as much of it as the pass names, to a place that SQL names so: a table that this transaction has
/// made or truncated. Gives what was read, and how many rows the server took.
///
/// # Errors
/// [`WriteError::FoundHazard`] at the first value that cannot be carried over, or what the server refused; the connection
/// is out of step after that.
pub(crate) async fn copy_table(
    connection: &mut PgConnection,
    reader: &mut Reader,
    pass: Pass,
    place: &str,
    total: Amount,
    progress: &dyn Progress,
    note: &ChangeSink<'_>,
) -> Result<(TableRead, u64), WriteError> {
    let table = pass.table.clone();
    let meter = progress.begin(Phase::new("copying", &table.name), total);
    let writing = format!("copy into {}", table.name);
    let refused = |error: sqlx::Error| WriteError::of(&*writing, error);
    let sql = format!("COPY {place} ({}) FROM STDIN (FORMAT binary, FREEZE)", table.column_list());
    let mut copy = connection.copy_in_raw(&sql).await.map_err(refused)?;
    let mut reading = reader.read(pass).context(format!("read {}", table.name))?;
    while let Some(chunk) = reading.chunks.recv().await {
        note(&chunk.changes)?;
        copy.send(chunk.bytes).await.map_err(refused)?;
        meter.advance(chunk.amount);
    }
    let read = reading.finish().await.context(format!("read {}", table.name))?;
    if !read.hazards.is_empty() {
        return Err(WriteError::FoundHazard);
    }
    let copied = copy.finish().await.map_err(refused)?;
    meter.finish();
    Ok((read, copied))
}
