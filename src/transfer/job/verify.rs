//! Verifies that the target holds the source's rows: every value is read back and digested.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::ending::give_up;
use crate::database::connection::Connection;
use crate::database::failure::{ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::watchdog::Watch;
use crate::progress::{Phase, Progress};
use crate::transfer::error::TransferError;
use crate::transfer::mismatch::{Mismatch, MismatchError};
use crate::transfer::plan::TablePlan;
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::pass::{Pass, Purpose};
use crate::transfer::source::reader::Reader;
use crate::transfer::source::scan::Source;
use crate::transfer::summary::{TableLoad, TableRead};
use crate::transfer::target::read_back::{ComparedRows, bucket_of, digest_of_target, for_each_row};
use crate::transfer::target::session::{execute, roll_back, set_up};
use crate::transfer::target::session_settings;
use crate::transfer::value::copy_format::{read_field, unreadable};
use crate::transfer::value::digest::{BUCKETS, RowDigests, TableDigest, key_of, short_digest};
use crate::transfer::value::hazard::Values;
use crate::transfer::value::policy::Policies;

/// The maximum number of differing rows that are named for a table.
const NAMED_DIFFERENCES: usize = 10;
/// Approximately how many rows are kept in memory to find them.
const ROWS_HELD: u64 = 20_000;

/// What was read from the source and must be on the target.
pub(crate) struct Comparison<'c> {
    /// The tables, each with its pass and the result of it.
    pub(crate) tables: Vec<(Pass, &'c TableRead)>,
    /// Which rows of the target are compared.
    pub(crate) rows: ComparedRows,
    pub(crate) progress: &'c dyn Progress,
    pub(crate) watch: &'c Watch<'c>,
}

impl Comparison<'_> {
    /// Reads every table back. Returns the digest and the duration of each.
    ///
    /// # Errors
    /// [`MismatchError`] with all tables that differ, or one side cannot be read.
    pub(crate) async fn run(
        &self,
        connection: &mut PgConnection,
        reader: &mut Reader,
    ) -> Result<Vec<(TableDigest, Duration)>, TransferError> {
        execute(connection, session_settings::PARALLEL.to_owned())
            .await
            .context((Verb::Set, "the number of parallel workers"))?;
        let (mut equal, mut mismatches) = (Vec::new(), Vec::new());
        for (pass, read) in &self.tables {
            let started = Instant::now();
            let meter = self.progress.begin(Phase::new("comparing", &pass.table.name), read.amount);
            let (rows, digest) = digest_of_target(connection, &pass.table, self.rows, meter.as_ref()).await?;
            meter.finish();
            if rows == read.amount.rows && digest == read.digest {
                equal.push((digest, started.elapsed()));
            } else {
                mismatches.push(self.find_mismatch(connection, reader, pass, read, (rows, &digest)).await?);
            }
        }
        if mismatches.is_empty() { Ok(equal) } else { Err(MismatchError::OfLoad(mismatches).into()) }
    }

    /// Finds the first rows that differ.
    ///
    /// # Errors
    /// [`TransferError`] if one side cannot be read.
    async fn find_mismatch(
        &self,
        connection: &mut PgConnection,
        reader: &mut Reader,
        pass: &Pass,
        read: &TableRead,
        (target_rows, digest): (u64, &TableDigest),
    ) -> Result<Mismatch, TransferError> {
        let table = pass.table.clone();
        let rows_per_bucket = read.amount.rows.max(target_rows) / BUCKETS as u64 + 1;
        let wanted = usize::try_from(ROWS_HELD / rows_per_bucket).unwrap_or(usize::MAX).max(1);
        let buckets: BTreeSet<usize> = read.digest.differing_buckets(digest).into_iter().take(wanted).collect();
        let mut target = RowDigests::new();
        for_each_row(connection, &table, self.rows, |fields| {
            if !buckets.contains(&bucket_of(&table, fields)?) {
                return Ok(());
            }
            let mut values = Vec::with_capacity(fields.len());
            for (field, column) in fields.iter().zip(&table.columns) {
                values.push(read_field(*field, column.target).ok_or_else(unreadable)?);
            }
            let key = key_of(table.primary_key.iter().map(|index| &values[*index]));
            target.insert(key, values.iter().map(short_digest).collect());
            Ok(())
        })
        .await?;
        let pass = Pass { purpose: Purpose::Scan(Values::Hidden), ..pass.clone() };
        let source = self.watch.elsewhere(reader.row_digests(pass, buckets)).await;
        let source = source.context((Verb::Read, table.name.clone()))?;
        let differences = differences(&table, &source, &target);
        Ok(Mismatch { table: table.name.clone(), source_rows: read.amount.rows, target_rows, differences })
    }
}

/// A target that was filled earlier, or by another tool, and what it must hold.
pub(crate) struct FilledTarget<'t> {
    /// The tables to compare.
    pub tables: &'t [Arc<TablePlan>],
    /// What was done with values that the target cannot hold.
    pub policies: Arc<Policies>,
    /// The rows that were left out, and the placeholders for missing parents.
    pub orphans: Arc<Orphans>,
    /// The result of reading each table of the source.
    pub reads: &'t [TableRead],
    /// How long to wait for a lock of another session.
    pub lock_timeout: Duration,
    /// Receives the progress.
    pub progress: &'t dyn Progress,
    /// Detects a silent connection to the target.
    pub watch: &'t Watch<'t>,
}

impl FilledTarget<'_> {
    /// Compares one snapshot of the target with the source. Changes nothing.
    ///
    /// # Errors
    /// [`MismatchError`] with all tables that differ, or one side cannot be read.
    pub(crate) async fn compare(
        &self,
        target: &Connection,
        source: &mut Source,
    ) -> Result<Vec<TableLoad>, TransferError> {
        let namespace = target.namespace().await.context((Verb::Read, "the target's schema"))?;
        let mut connection =
            target.pool().get_postgres_connection_pool().acquire().await.context((Verb::Open, "the target"))?.detach();
        let compared = self.compare_in_transaction(&mut connection, &namespace, source).await;
        match &compared {
            Ok(_) => roll_back(connection).await,
            Err(error) => give_up(connection, error).await,
        }
        let compared = compared?;
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        let loads = self.reads.iter().zip(compared);
        let loads = loads
            .map(|(read, (digest, duration))| TableLoad { digest: Some(digest), ..TableLoad::new(read, duration) });
        Ok(loads.collect())
    }

    async fn compare_in_transaction(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        source: &mut Source,
    ) -> Result<Vec<(TableDigest, Duration)>, TransferError> {
        let begun = execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned()).await;
        begun.context((Verb::Begin, "the transaction"))?;
        set_up(connection, namespace, self.lock_timeout).await?;
        self.watch.join(connection).await?;
        let pass = |table: &Arc<TablePlan>| Pass {
            table: Arc::clone(table),
            only: None,
            policies: Arc::clone(&self.policies),
            orphans: Arc::clone(&self.orphans),
            purpose: Purpose::Scan(Values::Hidden),
        };
        let tables = self.tables.iter().map(pass).zip(self.reads).collect();
        let comparison = Comparison { tables, rows: ComparedRows::All, progress: self.progress, watch: self.watch };
        comparison.run(connection, &mut source.reader).await.map_err(|error| match error {
            TransferError::Mismatch(MismatchError::OfLoad(mismatches)) => {
                MismatchError::OfFilledTarget(mismatches).into()
            }
            error => error,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::column::ColumnPlan;
    use crate::transfer::value::column_type::ColumnType;

    #[test]
    fn differences_name_columns_and_rows_that_one_side_lacks() {
        let column = |name: &str| ColumnPlan { name: name.to_owned(), target: ColumnType::BigInt, nullable: true };
        let table = TablePlan {
            name: "events".to_owned(),
            qualified_name: String::new(),
            columns: vec![column("id"), column("created_at_us"), column("channel")],
            primary_key: vec![0],
            foreign_keys: Vec::new(),
            unique_keys: Vec::new(),
            b_trees: BTreeSet::new(),
            index_methods: Vec::new(),
        };
        let rows = |rows: &[(&str, [u8; 3])]| -> RowDigests {
            let digests = |row: [u8; 3]| row.map(|value| [value; 8]).to_vec();
            rows.iter().map(|(key, row)| (key.as_bytes().to_vec(), digests(*row))).collect()
        };
        let source = rows(&[("1", [1, 2, 3]), ("2", [1, 2, 3]), ("3", [1, 2, 3])]);
        let target = rows(&[("1", [1, 2, 3]), ("2", [1, 0, 0]), ("4", [1, 2, 3])]);
        let expected = ["2: created_at_us, channel", "3: not in the target", "4: only in the target"];
        assert_eq!(differences(&table, &source, &target), expected);
    }
}
