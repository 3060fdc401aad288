//! `info`: shows what is there and which settings are in force. Reads only.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migration::{Revision, ledger};
use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use serde::Serialize;

use crate::cli::Info;
use crate::connection::{self, Access, LOCK_TIMEOUT, row, rows};
use crate::database_url::{Backend, DatabaseUrl};
use crate::error::Error;
use crate::failure::Doing;
use crate::history::SESSIONS;
use crate::history::plan::{self, Plan};
use crate::history::policy::{ActiveSessions, Limit, Policy, has_start};
use crate::history::retention::Selection;
use crate::history::space::{self, Space};
use crate::output::{self, Block, Field, Report};
use crate::schema::row_policy::{self, RowPolicies};
use crate::schema::standing::{self, Standing};
use crate::schema::{self, Schema, quoted};
use crate::settings::Settings;

/// SQLite has to read every page to tell how large a table is: up to this size it is asked to.
const SMALL_FILE: u64 = 1 << 30;
/// How many weeks the chart shows.
const WEEKS: i64 = 26;
/// How wide the longest bar is, in characters.
const BAR_WIDTH: u64 = 40;
const WEEK_SECONDS: i64 = 7 * 86_400;

#[derive(Serialize)]
struct Summary {
    database: String,
    backend: Backend,
    server_version: String,
    role: Option<String>,
    tls: Option<String>,
    revision: Option<String>,
    bytes: u64,
    tables: Vec<TableSummary>,
    space: SpaceSummary,
    sessions: Option<Sessions>,
    /// What hides rows from the role: the figures of these tables are partial.
    row_policies: Vec<RowPolicies>,
    settings: BTreeMap<&'static str, SettingSummary>,
}

#[derive(Serialize)]
struct TableSummary {
    table: String,
    rows: Option<u64>,
    /// Whether `rows` was counted rather than estimated.
    exact: bool,
    table_bytes: Option<u64>,
    index_bytes: Option<u64>,
    toast_bytes: Option<u64>,
}

#[derive(Serialize)]
struct SpaceSummary {
    /// What could be given back; an estimate on PostgreSQL.
    reclaimable_bytes: u64,
    /// What gives it back; `None` where that is not worth while.
    next_command: Option<String>,
    #[serde(flatten)]
    parts: Space,
}

#[derive(Serialize)]
struct Sessions {
    oldest: Option<String>,
    newest: Option<String>,
    by_status: Vec<StatusCount>,
    by_week: Vec<Week>,
    retention_days: u32,
    /// What `prune` would remove; absent where the retention makes no sense.
    would_remove: Option<Plan>,
}

#[derive(Serialize)]
struct StatusCount {
    status: String,
    sessions: u64,
}

#[derive(Serialize)]
struct Week {
    /// Its Monday.
    monday: String,
    sessions: u64,
}

#[derive(Serialize)]
struct SettingSummary {
    value: String,
    source: String,
}

pub(super) async fn run(arguments: &Info, settings: &Settings, now: DateTime<Utc>) -> Result<Report, Error> {
    let url = &settings.database.value;
    let connection = connection::open(url, Access::Read, LOCK_TIMEOUT).await?;
    let standing = Standing::read(&connection).await.doing("read the ledger")?;
    let found = schema::read(&connection).await.doing("read the schema")?;
    let (server_version, role, tls, bytes) = server(&connection).await.doing("ask the server about itself")?;
    let measured = arguments.exact || bytes <= SMALL_FILE;
    let tables = match url {
        DatabaseUrl::Postgresql(_) => postgresql_tables(&connection, arguments.exact).await,
        DatabaseUrl::Sqlite(_) => sqlite_tables(&connection, &found, measured).await,
    }
    .doing("measure the tables")?;
    let parts = space::reclaimable(&connection, &found).await?;
    let sessions = match found.tables.contains_key(SESSIONS) {
        true => Some(sessions(&connection, settings, &found, now).await?),
        false => None,
    };
    let tables_of_tarsy = [&Revision::HEAD.tables()[..], &[ledger::TABLE]].concat();
    let row_policies = row_policy::active(&connection, &tables_of_tarsy).await.doing("look for row policies")?;
    let shown = settings.shown().into_iter();
    let summary = Summary {
        database: url.to_string(),
        backend: url.backend(),
        server_version,
        role,
        tls,
        revision: standing.revision().map(str::to_owned),
        bytes,
        tables,
        space: SpaceSummary { reclaimable_bytes: parts.reclaimable_bytes(), next_command: parts.next_command(), parts },
        sessions,
        row_policies,
        settings: shown.map(|(name, value, source)| (name, SettingSummary { value, source })).collect(),
    };
    let blocks = blocks(&summary, settings);
    Ok(Report::new(&summary, blocks))
}

/// Version, role, TLS, and the size of the whole database in bytes.
async fn server(connection: &DatabaseConnection) -> Result<(String, Option<String>, Option<String>, u64), DbErr> {
    let sql = match connection.get_database_backend() {
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
    let bytes = row.try_get::<i64>("", "bytes")?.unsigned_abs();
    Ok((row.try_get("", "version")?, row.try_get("", "role")?, row.try_get("", "tls")?, bytes))
}

async fn postgresql_tables(connection: &DatabaseConnection, exact: bool) -> Result<Vec<TableSummary>, DbErr> {
    let sql = "SELECT c.relname::text AS name, c.reltuples::bigint AS estimate, pg_relation_size(c.oid) AS table_bytes,
                      pg_indexes_size(c.oid) AS index_bytes,
                      coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes
               FROM pg_class c
               WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid)
                 AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
               ORDER BY c.relname";
    let mut tables = Vec::new();
    for row in rows(connection, sql).await? {
        let table: String = row.try_get("", "name")?;
        let size = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
        // A table that was never analysed has no estimate.
        let estimate = u64::try_from(row.try_get::<i64>("", "estimate")?).ok();
        let rows = if exact || estimate.is_none() { Some(count(connection, &table).await?) } else { estimate };
        tables.push(TableSummary {
            exact: exact || estimate.is_none(),
            rows,
            table_bytes: Some(size("table_bytes")?),
            index_bytes: Some(size("index_bytes")?),
            toast_bytes: Some(size("toast_bytes")?),
            table,
        });
    }
    Ok(tables)
}

async fn sqlite_tables(
    connection: &DatabaseConnection,
    found: &Schema,
    measured: bool,
) -> Result<Vec<TableSummary>, DbErr> {
    let mut sizes: BTreeMap<(String, bool), u64> = BTreeMap::new();
    if measured {
        let sql = "SELECT m.tbl_name AS name, m.type = 'index' AS is_index, sum(s.pgsize) AS bytes
                   FROM dbstat s JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1, 2";
        for row in rows(connection, sql).await? {
            let key = (row.try_get("", "name")?, row.try_get::<i32>("", "is_index")? != 0);
            sizes.insert(key, row.try_get::<i64>("", "bytes")?.unsigned_abs());
        }
    }
    let mut tables = Vec::new();
    for table in found.tables.keys() {
        let size = |is_index| measured.then(|| sizes.get(&(table.clone(), is_index)).copied().unwrap_or_default());
        tables.push(TableSummary {
            rows: Some(count(connection, table).await?),
            exact: true,
            table_bytes: size(false),
            index_bytes: size(true),
            toast_bytes: None,
            table: table.clone(),
        });
    }
    Ok(tables)
}

async fn count(connection: &DatabaseConnection, table: &str) -> Result<u64, DbErr> {
    let counted = row(connection, &format!("SELECT count(*) AS row_count FROM {}", quoted(table))).await?;
    counted.try_get::<i64>("", "row_count").map(i64::unsigned_abs)
}

async fn sessions(
    connection: &DatabaseConnection,
    settings: &Settings,
    found: &Schema,
    now: DateTime<Utc>,
) -> Result<Sessions, Error> {
    let action = "summarise the sessions";
    let backend = connection.get_database_backend();
    let span = format!(
        "SELECT min(started_at_us) AS oldest, max(started_at_us) AS newest FROM {SESSIONS} WHERE {}",
        has_start(backend)
    );
    let span = row(connection, &span).await.doing(action)?;
    let edge = |name: &str| span.try_get::<Option<i64>>("", name).doing(action);
    let retention_days = settings.retention_days.value;
    let limit = Limit::OlderThan(settings.retention());
    let would_remove = match Policy::new(limit, ActiveSessions::Keep, now) {
        Ok(policy) => {
            let selection = Selection::of(connection, found, policy).await?;
            Some(plan::plan(connection, found, &selection).await?)
        }
        Err(_) => None,
    };
    Ok(Sessions {
        oldest: edge("oldest")?.and_then(output::rfc3339),
        newest: edge("newest")?.and_then(output::rfc3339),
        by_status: by_status(connection).await.doing(action)?,
        by_week: by_week(connection).await.doing(action)?,
        retention_days,
        would_remove,
    })
}

async fn by_status(connection: &DatabaseConnection) -> Result<Vec<StatusCount>, DbErr> {
    let sql = format!("SELECT status, count(*) AS sessions FROM {SESSIONS} GROUP BY status ORDER BY 2 DESC, 1");
    let rows = rows(connection, &sql).await?;
    let counts = rows.iter().map(|row| {
        let sessions = row.try_get::<i64>("", "sessions")?.unsigned_abs();
        Ok(StatusCount { status: row.try_get("", "status")?, sessions })
    });
    counts.collect()
}

/// The last weeks that have sessions, and those without any between them.
async fn by_week(connection: &DatabaseConnection) -> Result<Vec<Week>, DbErr> {
    // The epoch was a Thursday: three days later weeks begin on Mondays.
    let sql = format!(
        "SELECT (started_at_us / 1000000 + 3 * 86400) / {WEEK_SECONDS} AS week, count(*) AS sessions
         FROM {SESSIONS} WHERE {} AND started_at_us >= 0 GROUP BY 1 ORDER BY 1 DESC LIMIT {WEEKS}",
        has_start(connection.get_database_backend())
    );
    let mut counts = BTreeMap::new();
    for row in rows(connection, &sql).await? {
        counts.insert(row.try_get::<i64>("", "week")?, row.try_get::<i64>("", "sessions")?.unsigned_abs());
    }
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Ok(Vec::new());
    };
    let first = *first.max(&(last - WEEKS + 1));
    let weeks = (first..=*last).map(|week| {
        let monday = DateTime::from_timestamp(week * WEEK_SECONDS - 3 * 86_400, 0).unwrap_or_default();
        Week { monday: monday.format("%Y-%m-%d").to_string(), sessions: counts.get(&week).copied().unwrap_or(0) }
    });
    Ok(weeks.collect())
}

fn blocks(summary: &Summary, settings: &Settings) -> Vec<Block> {
    let text = |value: &Option<String>| Field::from(value.clone().unwrap_or_else(|| "-".to_owned()));
    let revision = summary.revision.as_deref().map_or_else(|| "no ledger".to_owned(), standing::described);
    let mut facts: Vec<Vec<Field>> = vec![
        vec!["database".into(), summary.database.as_str().into()],
        vec!["backend".into(), format!("{} {}", summary.backend, summary.server_version).into()],
        vec!["revision".into(), revision.into()],
        vec!["size".into(), indicatif::HumanBytes(summary.bytes).to_string().into()],
    ];
    if summary.backend == Backend::Postgresql {
        facts.insert(2, vec!["role".into(), text(&summary.role)]);
        facts.insert(3, vec!["TLS".into(), text(&summary.tls)]);
    }
    let mut blocks = vec![Block::Table { title: "database", header: vec![], rows: facts }];
    if !summary.tables.is_empty() {
        let dash = || Field::Number("-".to_owned());
        let size = |bytes: Option<u64>| bytes.map_or_else(dash, output::bytes);
        let rows = summary.tables.iter().map(|table| {
            let rows = match (table.rows, table.exact) {
                (None, _) => dash(),
                (Some(rows), true) => output::count(rows),
                (Some(rows), false) => Field::Number(format!("~{}", indicatif::HumanCount(rows))),
            };
            let (data, index, toast) = (size(table.table_bytes), size(table.index_bytes), size(table.toast_bytes));
            vec![table.table.as_str().into(), rows, data, index, toast]
        });
        let header = vec!["table", "rows", "table size", "indexes", "TOAST"];
        blocks.push(Block::Table { title: "tables", header, rows: rows.collect() });
    }
    blocks.extend(space_blocks(&summary.space));
    blocks.extend(summary.sessions.iter().flat_map(session_blocks));
    blocks.extend(summary.row_policies.iter().map(|policies| {
        Block::Line(format!("partial: {}; the figures of this table count only the others", policies.text()))
    }));
    let rows = settings.shown().into_iter().map(|(name, value, source)| vec![name.into(), value.into(), source.into()]);
    blocks.push(Block::Table { title: "settings", header: vec!["setting", "value", "from"], rows: rows.collect() });
    blocks
}

fn space_blocks(space: &SpaceSummary) -> Vec<Block> {
    let text = |value: &Option<String>| Field::from(value.clone().unwrap_or_else(|| "-".to_owned()));
    let mut blocks = Vec::new();
    match &space.parts {
        Space::Tables(tables) if tables.is_empty() => {}
        Space::Tables(tables) => {
            let rows = tables.iter().map(|table| {
                let dead = output::count(table.dead_rows);
                let (by_hand, by_server) = (text(&table.last_vacuum), text(&table.last_autovacuum));
                vec![table.table.as_str().into(), dead, output::bytes(table.reclaimable_bytes), by_hand, by_server]
            });
            let header = vec!["table", "dead rows", "bytes (estimate)", "last VACUUM", "last autovacuum"];
            blocks.push(Block::Table { title: "space to reclaim", header, rows: rows.collect() });
        }
        Space::File(file) => {
            let rows = vec![
                vec!["free pages in the file".into(), output::bytes(file.reclaimable_bytes)],
                vec!["auto_vacuum".into(), file.auto_vacuum.to_string().into()],
            ];
            blocks.push(Block::Table { title: "space to reclaim", header: vec![], rows });
        }
    }
    blocks.extend(space.next_command.iter().map(|command| Block::Line(format!("`{command}` reclaims this space"))));
    blocks
}

fn session_blocks(sessions: &Sessions) -> Vec<Block> {
    let text = |value: &Option<String>| Field::from(value.clone().unwrap_or_else(|| "-".to_owned()));
    let would_remove = match &sessions.would_remove {
        None => "nothing: the setting makes no sense".to_owned(),
        Some(plan) => format!(
            "{} sessions, {} rows, {}; {} old ones stay because they are not over",
            plan.sessions,
            indicatif::HumanCount(plan.rows()),
            indicatif::HumanBytes(plan.bytes()),
            plan.kept.len()
        ),
    };
    let mut rows = vec![
        vec!["oldest".into(), text(&sessions.oldest)],
        vec!["newest".into(), text(&sessions.newest)],
        vec![format!("retention of {} days would remove", sessions.retention_days).into(), would_remove.into()],
    ];
    rows.extend(
        sessions.by_status.iter().map(|count| vec![count.status.as_str().into(), count.sessions.to_string().into()]),
    );
    let mut blocks = vec![Block::Table { title: "sessions", header: vec![], rows }];
    let most = sessions.by_week.iter().map(|week| week.sessions).max().unwrap_or_default();
    if most > 0 {
        let rows = sessions.by_week.iter().map(|week| {
            vec![week.monday.as_str().into(), output::count(week.sessions), bar(week.sessions, most).into()]
        });
        let header = vec!["week from", "sessions", ""];
        blocks.push(Block::Table { title: "sessions by week", header, rows: rows.collect() });
    }
    blocks
}

/// A bar as long as its share of the largest one; what is not nothing is seen.
fn bar(value: u64, most: u64) -> String {
    let width = (value * BAR_WIDTH).div_ceil(most);
    "█".repeat(usize::try_from(width).unwrap_or_default())
}
