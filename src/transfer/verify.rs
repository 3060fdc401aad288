//! Proves that the target holds what the source holds: every value is read back and digested.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::PgConnection;
use tokio::task::yield_now;

use super::binary::{BinaryReader, unreadable};
use super::carry::carry;
use super::digest::{self, RowDigester, TableDigest};
use super::plan::TablePlan;
use super::policy::Policies;
use super::source::{self, Source};
use super::value::Value;
use super::{Mismatch, TransferError};
use crate::failure::{Cause, DatabaseError, Doing};
use crate::progress::{Amount, Progress};
use crate::schema::quoted;

/// How many differing rows of a table are named.
const NAMED_DIFFERENCES: usize = 10;

/// Reads a table back inside the transaction that loaded it.
///
/// # Errors
/// [`DatabaseError`] when the target cannot be read.
pub async fn digest_of_target(
    connection: &mut PgConnection,
    table: &TablePlan,
    progress: &dyn Progress,
) -> Result<(u64, TableDigest), DatabaseError> {
    let mut digest = TableDigest::default();
    let mut count = 0;
    for_each_row(connection, table, |fields| {
        let mut row = RowDigester::default();
        let mut bytes = 0;
        let mut values = Vec::with_capacity(fields.len());
        for (field, column) in fields.iter().zip(&table.columns) {
            bytes += field.map_or(0, <[u8]>::len) as u64;
            let value = Value::read_field(*field, column.target).ok_or_else(unreadable)?;
            row.add(&value).map_err(|_| unreadable())?;
            values.push(value);
        }
        digest.add(digest::bucket(table.primary_key.iter().map(|index| &values[*index])), row);
        count += 1;
        progress.advance(Amount { rows: 1, bytes });
        Ok(())
    })
    .await?;
    Ok((count, digest))
}

/// Finds the rows behind two different digests. Holds one short digest per value, which is acceptable
/// only because it happens when something went wrong.
///
/// # Errors
/// [`TransferError`] when one side cannot be read.
pub async fn find_mismatch(
    connection: &mut PgConnection,
    source: &mut Source,
    table: &TablePlan,
) -> Result<Mismatch, TransferError> {
    let mut target: HashMap<Vec<u8>, Vec<[u8; 8]>> = HashMap::new();
    for_each_row(connection, table, |fields| {
        let mut values = Vec::with_capacity(fields.len());
        for (field, column) in fields.iter().zip(&table.columns) {
            values.push(Value::read_field(*field, column.target).ok_or_else(unreadable)?);
        }
        target.insert(key_of(table, &values), short_digests(&values));
        Ok(())
    })
    .await?;
    let mut mismatch = Mismatch {
        table: table.name.clone(),
        source_rows: 0,
        target_rows: target.len() as u64,
        differences: Vec::new(),
    };
    let mut differs = |text: String| {
        if mismatch.differences.len() < NAMED_DIFFERENCES {
            mismatch.differences.push(text);
        }
    };
    let mut rows = source.rows(table);
    while let Some(row) = rows.try_next().await.doing(format!("read {}", table.name))? {
        yield_now().await;
        mismatch.source_rows += 1;
        let stored = table.columns.iter().enumerate().map(|(index, column)| {
            let stored = source::stored(&row, index);
            carry(stored, column, &Policies::default(), &mut RowDigester::default()).value
        });
        let values: Vec<_> = stored.collect();
        let key = key_of(table, &values);
        let shown = String::from_utf8_lossy(&key).into_owned();
        match target.remove(&key) {
            None => differs(format!("{shown}: missing in the target")),
            Some(found) => {
                let columns: Vec<_> = (found.iter().zip(short_digests(&values)).zip(&table.columns))
                    .filter(|((found, expected), _)| *found != expected)
                    .map(|(_, column)| column.name.as_str())
                    .collect();
                if !columns.is_empty() {
                    differs(format!("{shown}: {}", columns.join(", ")));
                }
            }
        }
    }
    for key in target.keys() {
        differs(format!("{}: only in the target", String::from_utf8_lossy(key)));
    }
    Ok(mismatch)
}

fn key_of(table: &TablePlan, values: &[Value<'_>]) -> Vec<u8> {
    let parts = table.primary_key.iter().map(|index| match &values[*index] {
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::BigInt(number) => number.to_string().into_bytes(),
        other => format!("{other:?}").into_bytes(),
    });
    parts.collect::<Vec<_>>().join(b", ".as_slice())
}

fn short_digests(values: &[Value<'_>]) -> Vec<[u8; 8]> {
    let digest = |value: &Value<'_>| {
        let mut row = RowDigester::default();
        // What cannot be digested on one side only differs, as it should.
        let _ = row.add(value);
        let mut short = [0; 8];
        short.copy_from_slice(&row.digest()[..8]);
        short
    };
    values.iter().map(digest).collect()
}

/// Reads a table as binary COPY and hands each row's fields to `visit`.
async fn for_each_row(
    connection: &mut PgConnection,
    table: &TablePlan,
    mut visit: impl FnMut(&[Option<&[u8]>]) -> Result<(), Cause>,
) -> Result<(), DatabaseError> {
    let action = format!("read back {}", table.name);
    let sql = format!("COPY {} ({}) TO STDOUT (FORMAT binary)", quoted(&table.name), table.column_list());
    let mut chunks = connection.copy_out_raw(&sql).await.doing(action.as_str())?;
    let mut reader = BinaryReader::default();
    while let Some(chunk) = chunks.try_next().await.doing(action.as_str())? {
        // Chunks are often ready: without this nobody would hear a signal until the table ends.
        yield_now().await;
        reader.push(&chunk);
        while let Some(row) = reader.next_row().doing(action.as_str())? {
            visit(&reader.fields(&row)).doing(action.as_str())?;
            reader.consume(&row);
        }
    }
    if reader.has_ended() { Ok(()) } else { Err(unreadable()).doing(action) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{ColumnPlan, Target};
    use super::*;

    #[test]
    fn keys_are_shown_as_the_database_shows_them() {
        let column = |name: &str, target| ColumnPlan { name: name.to_owned(), target, nullable: false };
        let table = TablePlan {
            name: "events".to_owned(),
            columns: vec![column("channel", Target::Text(None)), column("id", Target::Integer)],
            primary_key: vec![1, 0],
            foreign_keys: Vec::new(),
        };
        let values = [Value::Bytes(Cow::Borrowed(b"sessions")), Value::Integer(-5)];
        assert_eq!(key_of(&table, &values), b"-5, sessions");
    }
}
