//! The SQLite end: one snapshot, read once to survey and once to copy, never written.

use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, TypeInfo, ValueRef};
use tokio::task::yield_now;

use super::TransferError;
use super::digest::{RowDigester, TableDigest};
use super::hazard::{Fault, Hazard, Reason};
use super::plan::TablePlan;
use super::snapshot::{Aftermath, Snapshot};
use super::value::{self, Stored};
use crate::failure::{DatabaseError, Doing};
use crate::progress::{Amount, Progress};
use crate::schema::quoted;

/// The source, held in one read transaction.
pub struct Source {
    connection: PoolConnection<Sqlite>,
    snapshot: Snapshot,
}

/// What one pass over the source found.
#[derive(Debug, Default)]
pub struct Survey {
    /// One for each table of the plan.
    pub tables: Vec<TableSurvey>,
    /// Every value that the target cannot hold.
    pub hazards: Vec<Hazard>,
}

/// What one table holds.
#[derive(Debug, Default, Clone, Copy)]
pub struct TableSurvey {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// What the target has to match.
    pub digest: TableDigest,
}

impl Survey {
    /// All tables together.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.tables.iter().fold(Amount::default(), |sum, table| Amount {
            rows: sum.rows + table.amount.rows,
            bytes: sum.bytes + table.amount.bytes,
        })
    }
}

impl Source {
    /// Takes the first connection of a snapshot.
    ///
    /// # Errors
    /// [`DatabaseError`] when somebody else has it.
    pub async fn begin(snapshot: Snapshot) -> Result<Self, DatabaseError> {
        let pool = snapshot.readers()[0].get_sqlite_connection_pool();
        let connection = pool.acquire().await.doing("open the source")?;
        Ok(Self { connection, snapshot })
    }

    /// Reads every row: counts, digests, and checks that the target can hold each value.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file cannot be read.
    pub async fn survey(&mut self, plan: &[TablePlan], progress: &dyn Progress) -> Result<Survey, DatabaseError> {
        let mut survey = Survey::default();
        for table in plan {
            progress.start(&format!("reading {}", table.name), Amount::default());
            let mut found = TableSurvey::default();
            let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await.doing(format!("read {}", table.name))? {
                // Rows are always ready: without this nobody would hear a signal until the table ends.
                yield_now().await;
                let bytes = survey_row(table, &row, &mut found.digest, &mut survey.hazards);
                found.amount.rows += 1;
                found.amount.bytes += bytes;
                progress.advance(Amount { rows: 1, bytes });
            }
            drop(rows);
            self.find_orphans(table, &mut survey.hazards).await?;
            progress.finish();
            survey.tables.push(found);
        }
        Ok(survey)
    }

    /// The rows of a table, in the order of the plan's columns.
    pub fn rows<'s>(
        &'s mut self,
        table: &TablePlan,
    ) -> futures_util::stream::BoxStream<'s, Result<SqliteRow, sqlx::Error>> {
        sqlx::query(AssertSqlSafe(select(table))).fetch(&mut *self.connection)
    }

    /// Ends the snapshot and tells what happened to the source meanwhile.
    ///
    /// # Errors
    /// [`TransferError::SourceChanged`] when what was read cannot be trusted.
    pub async fn finish(self) -> Result<Aftermath, TransferError> {
        drop(self.connection);
        self.snapshot.finish().await
    }

    /// Looks for rows that point nowhere, by the target's foreign keys: the source's need not exist.
    async fn find_orphans(&mut self, table: &TablePlan, hazards: &mut Vec<Hazard>) -> Result<(), DatabaseError> {
        let is_there = |name: &String| table.columns.iter().any(|column| column.name == *name);
        for key in table.foreign_keys.iter().filter(|key| key.columns.iter().all(is_there)) {
            let pairs: Vec<_> = key.columns.iter().zip(&key.referenced_columns).collect();
            let joined = |parts: Vec<String>| parts.join(" AND ");
            let sql = format!(
                "SELECT {key_columns}, {columns} FROM {child} AS child WHERE {given} AND NOT EXISTS \
                 (SELECT 1 FROM {parent} AS parent WHERE {matching})",
                key_columns = primary_key_list(table),
                columns = key.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "),
                child = quoted(&table.name),
                given = joined(key.columns.iter().map(|column| format!("{} IS NOT NULL", quoted(column))).collect()),
                parent = quoted(&key.referenced_table),
                matching = joined(
                    pairs.iter().map(|(from, to)| format!("parent.{} = child.{}", quoted(to), quoted(from))).collect()
                ),
            );
            let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await.doing(format!("look for orphans in {}", table.name))? {
                let fault = Fault::whole(Reason::Orphan);
                let places = 0..table.primary_key.len();
                hazards.push(hazard(table, shown_key(&row, places), &key.columns.join(", "), fault));
            }
        }
        Ok(())
    }
}

fn survey_row(table: &TablePlan, row: &SqliteRow, digest: &mut TableDigest, hazards: &mut Vec<Hazard>) -> u64 {
    let mut digester = RowDigester::default();
    let mut bytes = 0;
    for (index, column) in table.columns.iter().enumerate() {
        let stored = stored(row, index);
        bytes += stored.size() as u64;
        let digested = value::convert(stored, column.target).and_then(|value| {
            value::check(&value, column.target, column.nullable)?;
            digester.add(&value)
        });
        if let Err(fault) = digested {
            hazards.push(hazard(table, shown_key(row, table.primary_key.iter().copied()), &column.name, fault));
        }
    }
    digest.add(digester);
    bytes
}

fn hazard(table: &TablePlan, primary_key: String, column: &str, fault: Fault) -> Hazard {
    Hazard {
        table: table.name.clone(),
        primary_key,
        column: column.to_owned(),
        byte_offset: fault.offset,
        reason: fault.reason.to_string(),
    }
}

/// The value at `index` as SQLite stores it, not as its column was declared.
#[must_use]
pub fn stored(row: &SqliteRow, index: usize) -> Stored<'_> {
    let class = row.try_get_raw(index).map(|value| (value.is_null(), value.type_info().name().to_owned()));
    match class.as_ref().map(|(is_null, name)| (*is_null, name.as_str())) {
        Ok((true, _)) | Err(_) => Stored::Null,
        Ok((false, "INTEGER")) => Stored::Integer(row.get_unchecked(index)),
        Ok((false, "REAL")) => Stored::Real(row.get_unchecked(index)),
        Ok((false, "TEXT")) => Stored::Text(row.get_unchecked(index)),
        Ok((false, _)) => Stored::Blob(row.get_unchecked(index)),
    }
}

fn shown_key(row: &SqliteRow, places: impl Iterator<Item = usize>) -> String {
    let parts = places.map(|index| match stored(row, index) {
        Stored::Null => "NULL".to_owned(),
        Stored::Integer(number) => number.to_string(),
        Stored::Real(number) => number.to_string(),
        Stored::Text(bytes) | Stored::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn select(table: &TablePlan) -> String {
    format!("SELECT {} FROM {}", table.column_list(), quoted(&table.name))
}

fn primary_key_list(table: &TablePlan) -> String {
    table.primary_key.iter().map(|index| quoted(&table.columns[*index].name)).collect::<Vec<_>>().join(", ")
}
