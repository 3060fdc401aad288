//! `info`: shows what is there and which settings are in force. Reads only.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migration::{Revision, ledger};
use sea_orm::{ConnectionTrait, DatabaseExecutor, DbBackend, DbErr};
use serde::Serialize;

use super::retention::Retention;
use crate::cli::info::Info;
use crate::database::connection::{self, Access, LOCK_TIMEOUT, row, rows};
use crate::database::failure::{ErrorClass, ResultExt};
use crate::database::read_transaction::{self, BoundedReader, QUERY_LIMIT, Rows};
use crate::database::url::{Backend, DatabaseUrl};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::history::retention::plan::{self, RetentionPlan};
use crate::history::retention::policy::{ActiveSessions, DAYS_BY_DESIGN, DAYS_OF_RELEASES, has_start};
use crate::history::retention::selection::Selection;
use crate::history::space::{self, Space};
use crate::history::tables::SESSIONS;
use crate::output::{self, Block, Field, Report};
use crate::schema;
use crate::schema::model::Schema;
use crate::schema::row_policy::{self, RowPolicies};
use crate::schema::sql::quoted;
use crate::schema::state::{self, SchemaState};
use crate::settings::{RETENTION_DAYS, Settings, ShownSetting};

/// SQLite has to read every page to tell how large a table is: up to this size it is asked to.
const SMALL_FILE: u64 = 1 << 30;
/// How many weeks the chart shows.
const WEEKS: i64 = 26;
/// How wide the longest bar is, in characters.
const BAR_WIDTH: u64 = 40;
const WEEK_SECONDS: i64 = 7 * 86_400;

#[derive(Serialize)]
struct InfoSummary {
    database: String,
    backend: Backend,
    server_version: String,
    role: Option<String>,
    tls: Option<String>,
    revision: Option<String>,
    bytes: u64,
    tables: Vec<TableInfo>,
    space: Option<SpaceSummary>,
    sessions: Option<Sessions>,
    /// What hides rows from the role: the figures of these tables are partial.
    row_policies: Vec<RowPolicies>,
    /// What was given up because it took too long.
    skipped: Vec<String>,
    settings: BTreeMap<&'static str, SettingSummary>,
}

#[derive(Serialize)]
struct TableInfo {
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
    by_status: Option<Vec<StatusCount>>,
    by_week: Option<Vec<Week>>,
    retention_days: u32,
    /// Whether the retention makes sense.
    #[serde(skip)]
    has_retention: bool,
    retention: Retention,
    /// What `prune` would remove; where no retention was chosen, with the longer of TARSy's defaults. Absent where the
    /// retention makes no sense, or where that took too long.
    would_remove: Option<RetentionPlan>,
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

pub(crate) async fn run(
    arguments: &Info,
    settings: &Settings,
    now: DateTime<Utc>,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let url = &settings.database.value;
    let mut connection = connection::open(url, Access::Read, LOCK_TIMEOUT).await?;
    watch.attach(&mut connection);
    let limit = (!arguments.exact).then_some(QUERY_LIMIT);
    let reader = BoundedReader::new(&connection, limit).await.context("set up the connection")?;
    let mut parts = Sections { reader, skipped: Vec::new() };
    let reading = parts.reader.begin(Rows::Visible).await.context("begin to read")?;
    let standing = SchemaState::read(&reading).await.context("read the ledger")?;
    let found = schema::read::schema(&reading).await.context("read the schema")?;
    let (server_version, role, tls, bytes) = server(&reading).await.context("ask the server about itself")?;
    read_transaction::end(reading).await.ok();
    let tables = match url {
        DatabaseUrl::Postgresql(_) => parts.postgresql_tables(arguments.exact).await?,
        DatabaseUrl::Sqlite(_) => parts.sqlite_tables(&found, arguments.exact || bytes <= SMALL_FILE).await?,
    };
    let retention = Retention::of(settings, &standing);
    let space = parts.read("free space", async |reading| Ok(space::reclaimable(reading, &found).await?)).await?;
    let sessions = match found.tables.contains_key(SESSIONS) {
        true => Some(parts.sessions(&retention, &found, now).await?),
        false => None,
    };
    let tables_of_tarsy = [&Revision::HEAD.tables()[..], &[ledger::TABLE]].concat();
    let row_policies = row_policy::active(&connection, &tables_of_tarsy).await.context("look for row policies")?;
    let shown = shown(settings, &retention);
    let summary = InfoSummary {
        database: url.to_string(),
        backend: url.backend(),
        server_version,
        role,
        tls,
        revision: standing.revision().map(str::to_owned),
        bytes,
        tables,
        space: space.map(|parts| SpaceSummary {
            reclaimable_bytes: parts.reclaimable_bytes(),
            next_command: parts.next_command(),
            parts,
        }),
        sessions,
        row_policies,
        skipped: parts.skipped,
        settings: shown.iter().cloned().map(|(name, value, source)| (name, SettingSummary { value, source })).collect(),
    };
    let blocks = blocks(&summary, shown);
    Ok(Report::new(&summary, blocks))
}

/// Reads the parts of what is shown, and notes those that were given up.
struct Sections<'c> {
    reader: BoundedReader<'c>,
    skipped: Vec<String>,
}

impl Sections<'_> {
    /// Reads one part in a transaction of its own. `None` where a query took too long.
    async fn read<T>(
        &mut self,
        part: impl Into<String>,
        read: impl AsyncFnOnce(&DatabaseExecutor<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let part = part.into();
        let reading = self.reader.begin(Rows::Visible).await.context(format!("read {part}"))?;
        let result = read(&reading).await;
        read_transaction::end(reading).await.ok();
        match result {
            Err(Error::Database(error))
                if self.reader.limit().is_some() && error.cause.class == ErrorClass::TimedOut =>
            {
                self.skipped.push(part);
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    async fn count(&mut self, table: &str) -> Result<Option<u64>, Error> {
        let sql = format!("SELECT count(*) AS row_count FROM {}", quoted(table));
        let count = async |reading: &DatabaseExecutor<'_>| {
            let counted = row(reading, &sql).await.and_then(|row| row.try_get::<i64>("", "row_count"));
            Ok(counted.context(format!("count the rows of {table}"))?.unsigned_abs())
        };
        self.read(format!("the rows of {table}"), count).await
    }

    async fn postgresql_tables(&mut self, exact: bool) -> Result<Vec<TableInfo>, Error> {
        let sizes = async |reading: &DatabaseExecutor<'_>| Ok(postgresql_sizes(reading).await.context(MEASURE)?);
        let mut tables = self.read("the sizes of the tables", sizes).await?.unwrap_or_default();
        for table in &mut tables {
            // A table that was never analysed has no estimate.
            table.exact = exact || table.rows.is_none();
            if table.exact {
                table.rows = self.count(&table.table).await?;
            }
        }
        Ok(tables)
    }

    async fn sqlite_tables(&mut self, found: &Schema, measured: bool) -> Result<Vec<TableInfo>, Error> {
        let mut sizes = None;
        if measured {
            let measure = async |reading: &DatabaseExecutor<'_>| Ok(sqlite_sizes(reading).await.context(MEASURE)?);
            sizes = self.read("the sizes of the tables", measure).await?;
        }
        let mut tables = Vec::new();
        for table in found.tables.keys() {
            let size = |is_index| Some(sizes.as_ref()?.get(&(table.clone(), is_index)).copied().unwrap_or_default());
            tables.push(TableInfo {
                rows: self.count(table).await?,
                exact: true,
                table_bytes: size(false),
                index_bytes: size(true),
                toast_bytes: None,
                table: table.clone(),
            });
        }
        Ok(tables)
    }

    async fn sessions(&mut self, retention: &Retention, found: &Schema, now: DateTime<Utc>) -> Result<Sessions, Error> {
        let action = "summarise the sessions";
        let edges =
            self.read("the oldest and the newest session", async |reading| Ok(edges(reading).await.context(action)?));
        let (oldest, newest) = edges.await?.unwrap_or_default();
        let mut retention = retention.clone();
        self.read("what TARSy's own defaults would remove", async |reading| retention.count(reading, found, now).await)
            .await?;
        let policy = retention.policy(ActiveSessions::Keep, now).ok();
        let has_retention = policy.is_some();
        let mut would_remove = None;
        if let Some(policy) = policy {
            let plan = async |reading: &DatabaseExecutor<'_>| {
                let selection = Selection::of(reading, found, policy).await?;
                Ok(plan::plan(reading, found, &selection).await?)
            };
            would_remove = self.read("what the retention would remove", plan).await?;
        }
        let by_status = async |reading: &DatabaseExecutor<'_>| Ok(by_status(reading).await.context(action)?);
        let by_week = async |reading: &DatabaseExecutor<'_>| Ok(by_week(reading).await.context(action)?);
        Ok(Sessions {
            oldest: oldest.and_then(crate::format::rfc3339),
            newest: newest.and_then(crate::format::rfc3339),
            by_status: self.read("sessions by status", by_status).await?,
            by_week: self.read("sessions by week", by_week).await?,
            retention_days: retention.days(),
            has_retention,
            retention,
            would_remove,
        })
    }
}

const MEASURE: &str = "measure the tables";

/// The settings; a retention that was not chosen is no 90 days.
fn shown(settings: &Settings, retention: &Retention) -> Vec<ShownSetting> {
    let mut shown = settings.shown();
    let is_retention = |(name, ..): &&mut ShownSetting| *name == RETENTION_DAYS.path;
    if let Some((_, value, _)) = shown.iter_mut().find(is_retention).filter(|_| !retention.is_chosen()) {
        *value = format!("{DAYS_BY_DESIGN} or {DAYS_OF_RELEASES}: not set");
    }
    shown
}

/// Version, role, TLS, and the size of the whole database in bytes.
async fn server(connection: &DatabaseExecutor<'_>) -> Result<(String, Option<String>, Option<String>, u64), DbErr> {
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

async fn postgresql_sizes(connection: &DatabaseExecutor<'_>) -> Result<Vec<TableInfo>, DbErr> {
    let sql = "SELECT c.relname::text AS name, c.reltuples::bigint AS estimate, pg_relation_size(c.oid) AS table_bytes,
                      pg_indexes_size(c.oid) AS index_bytes,
                      coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes
               FROM pg_class c
               WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid)
                 AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
               ORDER BY c.relname";
    let rows = rows(connection, sql).await?;
    let tables = rows.iter().map(|row| {
        let size = |name| row.try_get::<i64>("", name).map(|bytes| Some(bytes.unsigned_abs()));
        Ok(TableInfo {
            table: row.try_get("", "name")?,
            rows: u64::try_from(row.try_get::<i64>("", "estimate")?).ok(),
            exact: false,
            table_bytes: size("table_bytes")?,
            index_bytes: size("index_bytes")?,
            toast_bytes: size("toast_bytes")?,
        })
    });
    tables.collect()
}

/// The bytes of each table, and of all its indexes.
async fn sqlite_sizes(connection: &DatabaseExecutor<'_>) -> Result<BTreeMap<(String, bool), u64>, DbErr> {
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
async fn edges(connection: &DatabaseExecutor<'_>) -> Result<(Option<i64>, Option<i64>), DbErr> {
    let span = format!(
        "SELECT min(started_at_us) AS oldest, max(started_at_us) AS newest FROM {SESSIONS} WHERE {}",
        has_start(connection.get_database_backend())
    );
    let span = row(connection, &span).await?;
    Ok((span.try_get("", "oldest")?, span.try_get("", "newest")?))
}

async fn by_status(connection: &DatabaseExecutor<'_>) -> Result<Vec<StatusCount>, DbErr> {
    let sql = format!("SELECT status, count(*) AS sessions FROM {SESSIONS} GROUP BY status ORDER BY 2 DESC, 1");
    let rows = rows(connection, &sql).await?;
    let counts = rows.iter().map(|row| {
        let sessions = row.try_get::<i64>("", "sessions")?.unsigned_abs();
        Ok(StatusCount { status: row.try_get("", "status")?, sessions })
    });
    counts.collect()
}

/// The last weeks that have sessions, and those without any between them.
async fn by_week(connection: &DatabaseExecutor<'_>) -> Result<Vec<Week>, DbErr> {
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

fn blocks(summary: &InfoSummary, settings: Vec<ShownSetting>) -> Vec<Block> {
    let text = |value: &Option<String>| Field::from(value.clone().unwrap_or_else(|| "-".to_owned()));
    let revision = summary.revision.as_deref().map_or_else(|| "no ledger".to_owned(), state::described);
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
    blocks.extend(summary.space.iter().flat_map(space_blocks));
    blocks.extend(summary.sessions.iter().flat_map(session_blocks));
    blocks.extend(summary.row_policies.iter().map(|policies| {
        Block::Line(format!("partial: {}; the figures of this table count only the others", policies.text()))
    }));
    if !summary.skipped.is_empty() {
        let (limit, parts) = (humantime::format_duration(QUERY_LIMIT), summary.skipped.join(", "));
        let line =
            format!("skipped, because it took longer than {limit}: {parts}; `tarsy-db info --exact` has no limit");
        blocks.push(Block::Line(line));
    }
    let rows = settings.into_iter().map(|(name, value, source)| vec![name.into(), value.into(), source.into()]);
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
        None if sessions.has_retention => "-".to_owned(),
        None => "nothing: the setting makes no sense".to_owned(),
        Some(plan) => format!(
            "{} sessions, {} rows, {}; {} old ones stay, because they are not over or in use",
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
        sessions
            .by_status
            .iter()
            .flatten()
            .map(|count| vec![count.status.as_str().into(), count.sessions.to_string().into()]),
    );
    let mut blocks = vec![Block::Table { title: "sessions", header: vec![], rows }];
    blocks.extend(sessions.retention.lines().into_iter().map(Block::Line));
    let most = sessions.by_week.iter().flatten().map(|week| week.sessions).max().unwrap_or_default();
    if most > 0 {
        let rows = sessions.by_week.iter().flatten().map(|week| {
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
