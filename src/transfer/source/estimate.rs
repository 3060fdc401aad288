//! Estimates rows and bytes before everything is read.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::constraints::Indexes;
use super::row::RowIds;
use super::table::rows_of;
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::progress::Amount;
use crate::transfer::plan::TablePlan;

/// The number of rows in the sample of a table.
const SAMPLE: i64 = 200;

/// Counts the rows of a table and estimates the bytes of their values from a sample of rows all over the table.
pub(crate) fn of_table(connection: &Connection, table: &TablePlan, indexes: Indexes) -> Result<Amount, DatabaseCause> {
    let name = rows_of(&table.name);
    let counted = match indexes {
        // Many times faster: SQLite counts the entries of the smallest index.
        Indexes::Sound => quoted(&table.name),
        Indexes::Doubted => name.clone(),
    };
    let rows = connection.query_row(&format!("SELECT count(*) FROM {counted}"), [], |row| row.get::<_, i64>(0))?;
    let sizes = table.columns.iter().map(|column| format!("coalesce(octet_length({}), 0)", quoted(&column.name)));
    let sizes = sizes.collect::<Vec<_>>().join(" + ");
    // Evenly spaced rowids; the rows between them are not read.
    let sql = format!(
        "WITH RECURSIVE bounds (first, last) AS ({}),
             place (number, at) AS (SELECT 0, first FROM bounds UNION ALL
                 SELECT number + 1, first + (last - first) / {SAMPLE} * (number + 1)
                        + (last - first) % {SAMPLE} * (number + 1) / {SAMPLE}
                 FROM place, bounds WHERE number < {SAMPLE} - 1)
         SELECT avg(size) FROM (
             SELECT (SELECT {sizes} FROM {name} WHERE rowid >= at ORDER BY rowid LIMIT 1) AS size FROM place)",
        ends(table)
    );
    let average = match connection.query_row(&sql, [], |row| Ok(as_number(row.get_ref(0)?))) {
        Ok(average) => average,
        // A table WITHOUT ROWID.
        Err(rusqlite::Error::SqliteFailure(..)) => 0.0,
        Err(error) => return Err(error.into()),
    };
    let rows = u64::try_from(rows).unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a guess")]
    let bytes = (average * rows as f64) as u64;
    Ok(Amount { rows, bytes })
}

/// Evenly spaced ranges of rowids with about so many bytes together; none if the rows have no rowid.
pub(crate) fn places(
    connection: &Connection,
    table: &TablePlan,
    bytes: u64,
    total_bytes: u64,
    places: u64,
) -> Vec<RowIds> {
    let (first, last): (i64, i64) = match connection.query_row(&ends(table), [], |row| Ok((row.get(0)?, row.get(1)?))) {
        Ok(ends) => ends,
        Err(_) => return Vec::new(),
    };
    let (first, span) = (i128::from(first), i128::from(last) - i128::from(first) + 1);
    let places = i128::from(places);
    let length = (span * i128::from(bytes) / i128::from(total_bytes.max(1)) / places).max(1);
    let place = |number: i128| {
        let start = first + span * number / places;
        Some(i64::try_from(start).ok()?..i64::try_from(start + length).ok()?)
    };
    (0..places).filter_map(place).collect()
}

/// The first and the last rowid. A plain query for both would make SQLite read every row.
fn ends(table: &TablePlan) -> String {
    let name = rows_of(&table.name);
    format!("SELECT (SELECT min(rowid) FROM {name}), (SELECT max(rowid) FROM {name})")
}

fn as_number(value: ValueRef<'_>) -> f64 {
    match value {
        ValueRef::Real(number) => number,
        _ => 0.0,
    }
}
