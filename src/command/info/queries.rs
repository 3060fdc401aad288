//! The queries of `info`.

use std::collections::BTreeMap;

use chrono::DateTime;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, IntoIden, IntoTableRef, Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use super::summary::{RowCount, StatusCount, TableInfo, Week};
use crate::database::connection::{row, rows};
use crate::database::namespace::{is_tarsys, tables_of_tarsy};
use crate::database::quote::{literal, quoted};
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::{Column, Entity};
use crate::history::entity::{count_rows, select, shown};
use crate::history::retention::policy::has_start;
use crate::schema::visible;

/// The first microsecond that has no date of four digits.
const YEAR_10000_US: i64 = 253_402_300_800_000_000;
/// How many weeks the chart shows.
const WEEKS: i64 = 26;
const WEEK_SECONDS: i64 = 7 * 86_400;
/// The epoch was a Thursday: three days later weeks begin on Mondays.
const EPOCH_AFTER_MONDAY: i64 = 3 * 86_400;

/// The properties of a server, or of SQLite.
pub(crate) struct ServerInfo {
    pub(crate) version: String,
    pub(crate) role: Option<String>,
}

pub(crate) async fn server(connection: &Transaction) -> Result<ServerInfo, DbErr> {
    let sql = match connection.backend() {
        DbBackend::Postgres => "SELECT current_setting('server_version') AS version, current_user::text AS role",
        _ => "SELECT sqlite_version() AS version, NULL AS role",
    };
    let row = row(connection, sql).await?;
    Ok(ServerInfo { version: row.try_get("", "version")?, role: row.try_get("", "role")? })
}

/// The size of the whole database. On PostgreSQL its owner may take the right to measure it from a role.
pub(crate) async fn bytes(connection: &Transaction) -> Result<u64, DbErr> {
    let sql = match connection.backend() {
        DbBackend::Postgres => "SELECT pg_database_size(current_database()) AS bytes",
        _ => "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS bytes",
    };
    Ok(row(connection, sql).await?.try_get::<i64>("", "bytes")?.unsigned_abs())
}

/// Counts the rows of a table. `None` if that could run what its owner planted.
pub(crate) async fn count(connection: &Transaction, table: &TableInfo) -> Result<Option<u64>, DbErr> {
    let name = Alias::new(&table.table).into_iden();
    let place = match &table.schema {
        Some(schema) if !is_countable(connection, schema, &table.table).await? => return Ok(None),
        Some(schema) => (Alias::new(schema).into_iden(), name).into_table_ref(),
        None => name.into_table_ref(),
    };
    let query = Query::select().expr_as(count_rows(), "row_count").from(place).to_owned();
    let row = connection.query_one(&query).await?;
    let rows = row.map(|row| row.try_get::<i64>("", "row_count")).transpose()?;
    Ok(Some(rows.unwrap_or_default().unsigned_abs()))
}

/// Whether counting runs nothing of another owner: neither a view in the place of the table, nor the row policies of a
/// table that is not TARSy's.
async fn is_countable(connection: &Transaction, schema: &str, table: &str) -> Result<bool, DbErr> {
    let held = visible::hold(connection, &format!("{}.{}", quoted(schema), quoted(table))).await?;
    Ok(held.is_table && (is_tarsys(table) || !held.has_row_policies))
}

/// To whom tables belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Tarsy,
    Others,
}

/// What happens to a table that another session has locked exclusively: to measure it waits for that session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockedTables {
    Measured,
    /// Listed without sizes.
    NotMeasured,
}

/// The sizes of PostgreSQL's tables that the role names without a schema, with its estimates of their rows.
pub(crate) async fn postgresql_sizes(
    connection: &Transaction,
    owner: Owner,
    locked: LockedTables,
) -> Result<Vec<TableInfo>, DbErr> {
    let sql = "SELECT c.relname::text AS name, c.nspname::text AS schema, t.reltuples::bigint AS estimate,
                      CASE WHEN m.is_free THEN coalesce(s.table_bytes, 0) END AS table_bytes,
                      CASE WHEN m.is_free THEN coalesce(s.index_bytes, 0) END AS index_bytes,
                      CASE WHEN m.is_free THEN coalesce(s.toast_bytes, 0) END AS toast_bytes
               FROM visible c JOIN pg_class t ON t.oid = c.oid
               CROSS JOIN LATERAL (
                   SELECT $4 OR NOT EXISTS (SELECT FROM pg_locks l
                                            WHERE (l.relation = c.oid OR l.relation = t.reltoastrelid
                                                   OR l.relation IN (SELECT i.indexrelid FROM pg_index i
                                                                     WHERE i.indrelid = c.oid))
                                              AND l.mode = 'AccessExclusiveLock'
                                              AND l.database = (SELECT d.oid FROM pg_database d
                                                                WHERE d.datname = current_database())) AS is_free
                   OFFSET 0) m
               CROSS JOIN LATERAL (
                   -- The rows of a partitioned table are in its partitions.
                   SELECT sum(pg_relation_size(p.oid))::bigint AS table_bytes,
                          sum(pg_indexes_size(p.oid))::bigint AS index_bytes,
                          sum(coalesce(pg_total_relation_size(nullif(p.reltoastrelid, 0)), 0))::bigint AS toast_bytes
                   FROM unnest(c.oid || ARRAY(SELECT relid::oid FROM pg_partition_tree(c.oid)
                                              WHERE isleaf AND c.relkind = 'p')) AS part (oid)
                   JOIN pg_class p ON p.oid = part.oid
                   WHERE m.is_free) s
               WHERE (c.relkind = 'r' OR c.relkind = 'p' AND $3) AND (c.relname = ANY ($2)) = $3 ORDER BY c.relname";
    let values = [
        visible::texts(&tables_of_tarsy().collect::<Vec<_>>()),
        (owner == Owner::Tarsy).into(),
        (locked == LockedTables::Measured).into(),
    ];
    let rows = visible::rows(connection, sql, values).await?;
    let tables = rows.iter().map(|row| {
        let size = |name| row.try_get::<Option<i64>>("", name).map(|bytes| bytes.map(i64::unsigned_abs));
        Ok(TableInfo {
            table: row.try_get("", "name")?,
            schema: row.try_get("", "schema")?,
            // A table without ANALYZE has no estimate.
            rows: u64::try_from(row.try_get::<i64>("", "estimate")?).map_or(RowCount::Unknown, RowCount::Estimated),
            table_bytes: size("table_bytes")?,
            index_bytes: size("index_bytes")?,
            toast_bytes: size("toast_bytes")?,
        })
    });
    tables.collect()
}

/// The size in bytes of each table, and of all its indexes. The order of the join makes SQLite read no other table's.
pub(crate) async fn sqlite_sizes(
    connection: &Transaction,
    owner: Owner,
) -> Result<BTreeMap<(String, bool), u64>, DbErr> {
    let tables: Vec<_> = tables_of_tarsy().map(literal).collect();
    let is_of_owner = if owner == Owner::Tarsy { "IN" } else { "NOT IN" };
    let sql = format!(
        "SELECT m.tbl_name AS name, m.type = 'index' AS is_index, sum(s.pgsize) AS bytes
         FROM sqlite_master m CROSS JOIN dbstat s ON s.name = m.name AND s.aggregate = TRUE
         WHERE m.tbl_name {is_of_owner} ({}) GROUP BY 1, 2",
        tables.join(", ")
    );
    let rows = rows(connection, &sql).await?;
    let sizes = rows.iter().map(|row| {
        let key = (row.try_get("", "name")?, row.try_get::<i32>("", "is_index")? != 0);
        Ok((key, row.try_get::<i64>("", "bytes")?.unsigned_abs()))
    });
    sizes.collect()
}

/// The starts of the oldest and of the newest session.
pub(crate) async fn edges(connection: &Transaction) -> Result<(Option<i64>, Option<i64>), DbErr> {
    let sessions = select::<Entity>(connection.namespace())
        .expr(Column::StartedAtUs.min())
        .expr(Column::StartedAtUs.max())
        .filter(has_start(connection.backend()));
    Ok(sessions.into_tuple().one(connection).await?.unwrap_or_default())
}

/// How many sessions have each status.
pub(crate) async fn by_status(connection: &Transaction) -> Result<Vec<StatusCount>, DbErr> {
    let counts = select::<Entity>(connection.namespace())
        .expr(shown(connection.backend(), Column::Status))
        .expr(count_rows())
        .group_by(Column::Status)
        .order_by_desc(count_rows())
        .order_by_asc(Column::Status);
    let counts = counts.into_tuple::<(Option<String>, i64)>().all(connection).await?.into_iter();
    let count = |(status, sessions): (Option<String>, i64)| StatusCount {
        status: status.unwrap_or_else(|| "NULL".to_owned()),
        sessions: sessions.unsigned_abs(),
    };
    Ok(counts.map(count).collect())
}

/// The last weeks with sessions, and the empty weeks between them.
pub(crate) async fn by_week(connection: &Transaction) -> Result<Vec<Week>, DbErr> {
    let week = Column::StartedAtUs.into_expr().div(1_000_000_i64).add(EPOCH_AFTER_MONDAY).div(WEEK_SECONDS);
    // The first column by its number: PostgreSQL does not know that two expressions with parameters are the same.
    let mut weeks_with_sessions = select::<Entity>(connection.namespace())
        .expr(week)
        .expr(count_rows())
        .filter(has_start(connection.backend()))
        .filter(Column::StartedAtUs.gte(0))
        // A time behind the year 9999 would hide the weeks of all others.
        .filter(Column::StartedAtUs.lt(YEAR_10000_US))
        .group_by(Expr::cust("1"));
    let last = QueryTrait::query(&mut weeks_with_sessions).order_by_expr(Expr::cust("1"), Order::Desc);
    last.limit(WEEKS.unsigned_abs());
    let counts = weeks_with_sessions.into_tuple::<(i64, i64)>().all(connection).await?.into_iter();
    Ok(weeks(&counts.map(|(week, sessions)| (week, sessions.unsigned_abs())).collect()))
}

/// The weeks up to the last one with sessions. The keys of `counts` are weeks since the epoch.
fn weeks(counts: &BTreeMap<i64, u64>) -> Vec<Week> {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    let first = std::cmp::max(*first, last - WEEKS + 1);
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
