//! The rows that an upgrade reads and fills while the tables are locked, and about how long that takes.

use std::fmt;
use std::time::Duration;

use sea_orm::{DbBackend, DbErr};
use serde::Serialize;

use super::assess::UpgradePlan;
use crate::database::connection::{Connection, row};
use crate::database::quote::literal;
use crate::database::transaction::Transaction;
use crate::format;

/// What it costs to fill a row, and how fast values are read and searched: see `docs/upgrading.md`. A guess for other
/// machines.
const SECONDS_A_ROW: f64 = 0.000_060;
const BYTES_A_SECOND: f64 = 100_000_000.0;
/// What takes less is not worth a line.
const SHORT_SECONDS: u64 = 2;

/// What an upgrade fills.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Filling {
    #[serde(skip)]
    backend: DbBackend,
    tables: Vec<FilledTable>,
    /// About how long that takes.
    seconds: u64,
}

/// A table whose rows a pending revision reads and fills one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FilledTable {
    revision: &'static str,
    table: &'static str,
    /// About how many.
    rows: u64,
    /// With the values that are stored apart; `None` on SQLite, and before the first VACUUM or ANALYZE.
    bytes: Option<u64>,
}

impl Filling {
    /// Estimates what the pending revisions fill. Takes no lock.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn of(connection: &Connection, plan: &UpgradePlan) -> Result<Self, DbErr> {
        let pending = plan.pending.iter().filter(|_| plan.has_tables());
        let filled: Vec<_> = pending.filter_map(|revision| Some((revision.id(), revision.filled_table()?))).collect();
        let mut tables = Vec::new();
        for (revision, table) in filled {
            let (rows, bytes) = connection.reading(async |reading| estimate(reading, table).await).await?;
            tables.push(FilledTable { revision, table, rows, bytes });
        }
        Ok(Self::new(connection.backend(), tables))
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a guess")]
    fn new(backend: DbBackend, tables: Vec<FilledTable>) -> Self {
        let seconds = |table: &FilledTable| {
            table.rows as f64 * SECONDS_A_ROW + table.bytes.unwrap_or_default() as f64 / BYTES_A_SECOND
        };
        let seconds = tables.iter().map(seconds).sum::<f64>() as u64;
        Self { backend, tables, seconds }
    }

    /// Whether it takes so long that the operator should know it beforehand.
    pub(crate) fn is_long(&self) -> bool {
        self.seconds >= SHORT_SECONDS
    }
}

/// About how many rows and bytes a table has. The catalog knows it since the last VACUUM or ANALYZE. To measure a
/// table's files would take a lock, and wait for an upgrade by another session.
async fn estimate(reading: &Transaction, table: &str) -> Result<(u64, Option<u64>), DbErr> {
    let place = reading.namespace().table(table);
    let sql = match reading.backend() {
        DbBackend::Postgres => format!(
            "SELECT coalesce(nullif(c.reltuples, -1)::bigint, pg_stat_get_live_tuples(c.oid)) AS row_count,
                    nullif(c.relpages + coalesce(t.relpages, 0), 0)::bigint
                        * current_setting('block_size')::bigint AS bytes
             FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = {}::regclass",
            literal(&place)
        ),
        // No count, which would read a whole index: the largest number is about as large.
        _ => format!("SELECT coalesce(max(_rowid_), 0) AS row_count, NULL AS bytes FROM {place}"),
    };
    let row = row(reading, &sql).await?;
    let bytes = row.try_get::<Option<i64>>("", "bytes")?;
    Ok((row.try_get::<i64>("", "row_count")?.unsigned_abs(), bytes.map(i64::unsigned_abs)))
}

impl fmt::Display for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = match self.backend {
            DbBackend::Postgres => "TARSy's tables are locked",
            _ => "other programs cannot write",
        };
        let filled = self.tables.iter().filter(|table| table.rows > 0);
        let tables = filled.map(FilledTable::to_string).collect::<Vec<_>>().join(" and ");
        let duration = format::duration(Duration::from_secs(self.seconds));
        write!(f, "{lock} until the commit, because filling {tables} takes roughly {duration}")
    }
}

impl fmt::Display for FilledTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} of `{}`", format::counted(self.rows, "row"), self.table)?;
        self.bytes.map_or(Ok(()), |bytes| write!(f, " ({})", format::size(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(table: &'static str, rows: u64, bytes: Option<u64>) -> FilledTable {
        FilledTable { revision: "7c617b3e7c2c", table, rows, bytes }
    }

    #[test]
    fn a_large_history_is_announced_with_its_rows() {
        let tables = vec![table("llm_interactions", 1_000_000, Some(3 << 30)), table("alert_sessions", 1, None)];
        let filling = Filling::new(DbBackend::Postgres, tables);
        assert!(filling.is_long());
        assert_eq!(
            filling.to_string(),
            "TARSy's tables are locked until the commit, because filling about 1,000,000 rows of `llm_interactions` \
             (3.0 GiB) and about 1 row of `alert_sessions` takes roughly 1m 32s"
        );
    }

    #[test]
    fn a_small_history_is_not_announced() {
        let tables = |rows| vec![table("llm_interactions", 0, None), table("alert_sessions", rows, None)];
        let filling = |rows| Filling::new(DbBackend::Sqlite, tables(rows));
        assert!(!filling(10_000).is_long());
        assert_eq!(
            filling(100_000).to_string(),
            "other programs cannot write until the commit, because filling about 100,000 rows of `alert_sessions` takes \
             roughly 6s"
        );
        assert!(!Filling::new(DbBackend::Sqlite, Vec::new()).is_long());
    }
}
