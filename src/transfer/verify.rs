//! Proves that the target holds what the source holds: every value is read back and digested.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use sqlx::PgConnection;
use tokio::task::yield_now;

use super::binary::{RowSplitter, unreadable};
use super::digest::{BUCKETS, RowDigester, TableDigest, bucket};
use super::plan::TablePlan;
use super::reader::{Pass, Reader, TableRead};
use super::value::Value;
use super::{Mismatch, TransferError};
use crate::failure::{Cause, DatabaseError, Doing};
use crate::progress::{Amount, Progress};
use crate::schema::quoted;

/// How many differing rows of a table are named.
const NAMED_DIFFERENCES: usize = 10;
/// About how many rows are held at a time to find these.
const ROWS_HELD: u64 = 20_000;

/// By primary key: a short digest of each value.
pub(super) type RowDigests = BTreeMap<Vec<u8>, Vec<[u8; 8]>>;

/// Reads a table back, or the rows of it that `condition` names.
///
/// # Errors
/// [`DatabaseError`] when the target cannot be read.
pub(super) async fn digest_of_target(
    connection: &mut PgConnection,
    table: &TablePlan,
    condition: &str,
    progress: &dyn Progress,
) -> Result<(u64, TableDigest), DatabaseError> {
    let mut digest = TableDigest::default();
    let mut count = 0;
    for_each_row(connection, table, condition, |fields| {
        let mut row = RowDigester::default();
        let mut bytes = 0;
        for (field, column) in fields.iter().zip(&table.columns) {
            bytes += field.map_or(0, <[u8]>::len) as u64;
            let value = Value::read_field(*field, column.target).ok_or_else(unreadable)?;
            row.add(&value).map_err(|_| unreadable())?;
        }
        digest.add(bucket_of(table, fields)?, row);
        count += 1;
        progress.advance(Amount { rows: 1, bytes });
        Ok(())
    })
    .await?;
    Ok((count, digest))
}

fn bucket_of(table: &TablePlan, fields: &[Option<&[u8]>]) -> Result<usize, Cause> {
    let mut values = Vec::with_capacity(table.primary_key.len());
    for index in &table.primary_key {
        values.push(Value::read_field(fields[*index], table.columns[*index].target).ok_or_else(unreadable)?);
    }
    Ok(bucket(&values))
}

/// Finds the rows behind two different digests, or the first of them.
///
/// # Errors
/// [`TransferError`] when one side cannot be read.
pub(super) async fn find_mismatch(
    connection: &mut PgConnection,
    reader: &mut Reader,
    pass: Pass,
    read: &TableRead,
    (target_rows, digest): (u64, &TableDigest),
) -> Result<Mismatch, TransferError> {
    let table = pass.table.clone();
    let rows_per_bucket = read.amount.rows.max(target_rows) / BUCKETS as u64 + 1;
    let wanted = usize::try_from(ROWS_HELD / rows_per_bucket).unwrap_or(usize::MAX).max(1);
    let buckets: BTreeSet<usize> = read.digest.differing_buckets(digest).into_iter().take(wanted).collect();
    let mut target = RowDigests::new();
    for_each_row(connection, &table, "", |fields| {
        if !buckets.contains(&bucket_of(&table, fields)?) {
            return Ok(());
        }
        let mut values = Vec::with_capacity(fields.len());
        for (field, column) in fields.iter().zip(&table.columns) {
            values.push(Value::read_field(*field, column.target).ok_or_else(unreadable)?);
        }
        let key = key_of(table.primary_key.iter().map(|index| &values[*index]));
        target.insert(key, values.iter().map(short_digest).collect());
        Ok(())
    })
    .await?;
    let source = reader.row_digests(pass, buckets).await.doing(format!("read {}", table.name))?;
    let differences = differences(&table, &source, &target);
    Ok(Mismatch { table: table.name.clone(), source_rows: read.amount.rows, target_rows, differences })
}

fn differences(table: &TablePlan, source: &RowDigests, target: &RowDigests) -> Vec<String> {
    let shown = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let changed = source.iter().filter_map(|(key, expected)| {
        let Some(found) = target.get(key) else { return Some(format!("{}: not in the target", shown(key))) };
        let values = found.iter().zip(expected).zip(&table.columns);
        let columns: Vec<_> = values.filter(|((a, b), _)| a != b).map(|(_, column)| column.name.as_str()).collect();
        (!columns.is_empty()).then(|| format!("{}: {}", shown(key), columns.join(", ")))
    });
    let additional = target.keys().filter(|key| !source.contains_key(*key));
    let additional = additional.map(|key| format!("{}: only in the target", shown(key)));
    changed.chain(additional).take(NAMED_DIFFERENCES).collect()
}

/// The primary key as both ends write it.
pub(super) fn key_of<'v>(values: impl IntoIterator<Item = impl Borrow<Value<'v>>>) -> Vec<u8> {
    let parts = values.into_iter().map(|value| match value.borrow() {
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::BigInt(number) => number.to_string().into_bytes(),
        other => format!("{other:?}").into_bytes(),
    });
    parts.collect::<Vec<_>>().join(b", ".as_slice())
}

/// A digest that is good enough to tell which values of a row differ.
pub(super) fn short_digest(value: &Value<'_>) -> [u8; 8] {
    let mut row = RowDigester::default();
    // What cannot be digested on one side only differs, as it should.
    let _ = row.add(value);
    let mut short = [0; 8];
    short.copy_from_slice(&row.digest()[..8]);
    short
}

/// Reads a table as binary COPY and hands each row's fields to `visit`.
async fn for_each_row(
    connection: &mut PgConnection,
    table: &TablePlan,
    condition: &str,
    mut visit: impl FnMut(&[Option<&[u8]>]) -> Result<(), Cause>,
) -> Result<(), DatabaseError> {
    let action = format!("read back {}", table.name);
    let (columns, name) = (table.column_list(), quoted(&table.name));
    let sql = match condition {
        "" => format!("COPY {name} ({columns}) TO STDOUT (FORMAT binary)"),
        condition => format!("COPY (SELECT {columns} FROM {name} WHERE {condition}) TO STDOUT (FORMAT binary)"),
    };
    let mut chunks = connection.copy_out_raw(&sql).await.doing(action.as_str())?;
    let mut rows = RowSplitter::default();
    while let Some(chunk) = chunks.try_next().await.doing(action.as_str())? {
        // Chunks are often ready: without this nobody would hear a signal until the table ends.
        yield_now().await;
        rows.push(&chunk, &mut visit).doing(action.as_str())?;
    }
    if rows.has_ended() { Ok(()) } else { Err(unreadable()).doing(action) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn keys_are_shown_as_the_database_shows_them() {
        let values = [Value::Integer(-5), Value::Bytes(Cow::Borrowed(b"sessions"))];
        assert_eq!(key_of(&values), b"-5, sessions");
    }
}
