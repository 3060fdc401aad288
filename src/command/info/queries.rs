//! The queries of `info`.

use std::collections::BTreeMap;

use chrono::DateTime;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::summary::{RowCount, StatusCount, TableInfo, Week};
use crate::database::connection::{row, rows};
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::history::retention::policy::has_start;
use crate::history::tables::SESSIONS;

/// How many weeks the chart shows.
const WEEKS: i64 = 26;
const WEEK_SECONDS: i64 = 7 * 86_400;
/// The epoch was a Thursday: three days later weeks begin on Mondays.
const EPOCH_AFTER_MONDAY: i64 = 3 * 86_400;

/// The properties of a server, or of SQLite.
pub(crate) struct ServerInfo {
    pub(crate) version: String,
    pub(crate) role: Option<String>,
    pub(crate) tls: Option<String>,
    /// The size of the whole database.
    pub(crate) bytes: u64,
}

pub(crate) async fn server(connection: &Transaction) -> Result<ServerInfo, DbErr> {
    let sql = match connection.backend() {
        DbBackend::Postgres => {
            "SELECT current_setting('server_version') AS version, current_user::text AS role,
                    coalesce((SELECT s.version || ' ' || s.cipher FROM pg_stat_ssl s
                              WHERE s.pid = pg_backend_pid() AND s.ssl), 'none') AS tls,
                    pg_database_size(current_database()) AS bytes"
        }
        _ => {
            "SELECT sqlite_version() AS version, NULL AS role, NULL AS tls,
                    (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS bytes"
        }
    };
    let row = row(connection, sql).await?;
    Ok(ServerInfo {
        bytes: row.try_get::<i64>("", "bytes")?.unsigned_abs(),
        version: row.try_get("", "version")?,
        role: row.try_get("", "role")?,
        tls: row.try_get("", "tls")?,
    })
}

/// Counts the rows of a table.
pub(crate) async fn count(connection: &Transaction, table: &str) -> Result<u64, DbErr> {
    let sql = format!("SELECT count(*) AS row_count FROM {}", quoted(table));
    Ok(row(connection, &sql).await?.try_get::<i64>("", "row_count")?.unsigned_abs())
}

/// The sizes of PostgreSQL's tables that the role names without a schema, with its estimates of their rows.
pub(crate) async fn postgresql_sizes(connection: &Transaction) -> Result<Vec<TableInfo>, DbErr> {
    let sql = "SELECT DISTINCT ON (c.relname)
                      c.relname::text AS name, c.reltuples::bigint AS estimate, pg_relation_size(c.oid) AS table_bytes,
                      pg_indexes_size(c.oid) AS index_bytes,
                      coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes
               FROM unnest($1) WITH ORDINALITY AS p (schema, place)
               JOIN pg_namespace n ON n.nspname = p.schema
               JOIN pg_class c ON c.relnamespace = n.oid
               WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
               ORDER BY c.relname, p.place";
    let path = connection.namespace().path().to_vec();
    let rows =
        connection.query_all_raw(Statement::from_sql_and_values(connection.backend(), sql, [path.into()])).await?;
    let tables = rows.iter().map(|row| {
        let size = |name| row.try_get::<i64>("", name).map(|bytes| Some(bytes.unsigned_abs()));
        Ok(TableInfo {
            table: row.try_get("", "name")?,
            // A table without ANALYZE has no estimate.
            rows: u64::try_from(row.try_get::<i64>("", "estimate")?).map_or(RowCount::Unknown, RowCount::Estimated),
            table_bytes: size("table_bytes")?,
            index_bytes: size("index_bytes")?,
            toast_bytes: size("toast_bytes")?,
        })
    });
    tables.collect()
}

/// The size in bytes of each table, and of all its indexes.
pub(crate) async fn sqlite_sizes(connection: &Transaction) -> Result<BTreeMap<(String, bool), u64>, DbErr> {
    let sql = "SELECT m.tbl_name AS name, m.type = 'index' AS is_index, sum(s.pgsize) AS bytes
               FROM dbstat s JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1, 2";
    let rows = rows(connection, sql).await?;
    let sizes = rows.iter().map(|row| {
        let key = (row.try_get("", "name")?, row.try_get::<i32>("", "is_index")? != 0);
        Ok((key, row.try_get::<i64>("", "bytes")?.unsigned_abs()))
    });
    sizes.collect()
}

/// The starts of the oldest and of the newest session.
pub(crate) async fn edges(connection: &Transaction) -> Result<(Option<i64>, Option<i64>), DbErr> {
    let span = format!(
        "SELECT min(started_at_us) AS oldest, max(started_at_us) AS newest FROM {SESSIONS} WHERE {}",
        has_start(connection.backend())
    );
    let span = row(connection, &span).await?;
    Ok((span.try_get("", "oldest")?, span.try_get("", "newest")?))
}

/// How many sessions have each status.
pub(crate) async fn by_status(connection: &Transaction) -> Result<Vec<StatusCount>, DbErr> {
    let sql = format!("SELECT status, count(*) AS sessions FROM {SESSIONS} GROUP BY status ORDER BY 2 DESC, 1");
    let rows = rows(connection, &sql).await?;
    let counts = rows.iter().map(|row| {
        let sessions = row.try_get::<i64>("", "sessions")?.unsigned_abs();
        Ok(StatusCount { status: row.try_get("", "status")?, sessions })
    });
    counts.collect()
}

/// The last weeks with sessions, and the empty weeks between them.
pub(crate) async fn by_week(connection: &Transaction) -> Result<Vec<Week>, DbErr> {
    let sql = format!(
        "SELECT (started_at_us / 1000000 + 3 * 86400) / {WEEK_SECONDS} AS week, count(*) AS sessions
         FROM {SESSIONS} WHERE {} AND started_at_us >= 0 GROUP BY 1 ORDER BY 1 DESC LIMIT {WEEKS}",
        has_start(connection.backend())
    );
    let mut counts = BTreeMap::new();
    for row in rows(connection, &sql).await? {
        counts.insert(row.try_get::<i64>("", "week")?, row.try_get::<i64>("", "sessions")?.unsigned_abs());
    }
    Ok(weeks(&counts))
}

/// The weeks up to the last one with sessions. The keys of `counts` are weeks since the epoch.
fn weeks(counts: &BTreeMap<i64, u64>) -> Vec<Week> {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    let first = *first.max(&(last - WEEKS + 1));
    let weeks = (first..=*last).map(|week| {
        let monday = DateTime::from_timestamp(week * WEEK_SECONDS - EPOCH_AFTER_MONDAY, 0).unwrap_or_default();
        Week { monday: monday.format("%Y-%m-%d").to_string(), sessions: counts.get(&week).copied().unwrap_or(0) }
    });
    weeks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_mondays_and_empty_ones_between_are_shown() {
        let weeks = weeks(&BTreeMap::from([(2822, 4), (2824, 1)]));
        let weeks: Vec<_> = weeks.iter().map(|week| (week.monday.as_str(), week.sessions)).collect();
        assert_eq!(weeks, [("2024-01-29", 4), ("2024-02-05", 0), ("2024-02-12", 1)]);
    }

    #[test]
    fn half_a_year_of_weeks_is_shown_at_most() {
        assert!(weeks(&BTreeMap::new()).is_empty());
        let weeks = weeks(&BTreeMap::from([(2000, 4), (2824, 1)]));
        assert_eq!((weeks.len(), weeks[0].sessions, weeks[25].sessions), (26, 0, 1));
    }
}
