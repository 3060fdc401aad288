//! `check`: tells whether connection, schema and data are sound. Reads only, unless it is asked to mend.

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::schema::drift::ledger_hint;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseExecutor, DbBackend, DbErr};
use serde::{Serialize, Serializer};

use super::retention::Retention;
use crate::cli::Check;
use crate::database::connection::{self, Access, LOCK_TIMEOUT, row, rows};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::read_transaction::{self, BoundedReader, QUERY_LIMIT, Rows};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::history::retention::policy::ActiveSessions;
use crate::history::tables::{REFERENCES, Reference, SESSIONS};
use crate::history::{archive, index_check, orphans, overdue};
use crate::output::{self, Block, Field, Report, Status};
use crate::schema::model::{ForeignKey, Schema};
use crate::schema::parent_index::{self, ParentIndex};
use crate::schema::row_policy::{self, RowPolicies};
use crate::schema::sequence::{self, Sequence};
use crate::schema::sql::{literal, quoted};
use crate::schema::state::{self, Decision, SchemaState, StateError, leftover_hint};
use crate::schema::variant::{self, Match, Shape};
use crate::schema::{self, diff, early, expected, lock, privilege, repair};
use crate::settings::Settings;

/// The oldest PostgreSQL that its makers still mend.
const OLDEST_POSTGRESQL: i32 = 14;

#[derive(Serialize)]
struct CheckSummary {
    database: String,
    sound: bool,
    exit_code: ExitCode,
    checks: Vec<Finding>,
}

/// The result of one check.
#[derive(Serialize)]
struct Finding {
    name: &'static str,
    status: Status,
    detail: Detail,
    /// What this failure means for the exit code.
    #[serde(skip)]
    exit_code: ExitCode,
    /// Whether a query of it was given up.
    #[serde(skip)]
    is_given_up: bool,
}

/// What a check found: one line or several.
struct Detail(Vec<String>);

impl From<&str> for Detail {
    fn from(line: &str) -> Self {
        Self(vec![line.to_owned()])
    }
}

impl From<String> for Detail {
    fn from(line: String) -> Self {
        Self(vec![line])
    }
}

impl From<Vec<String>> for Detail {
    fn from(lines: Vec<String>) -> Self {
        Self(lines)
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.join("\n"))
    }
}

impl Finding {
    fn new(name: &'static str, status: Status, detail: impl Into<Detail>) -> Self {
        Self { name, status, detail: detail.into(), exit_code: ExitCode::Done, is_given_up: false }
    }

    fn failed(name: &'static str, exit_code: ExitCode, detail: impl Into<Detail>) -> Self {
        Self { name, status: Status::Failed, detail: detail.into(), exit_code, is_given_up: false }
    }

    /// A check that the database did not answer.
    fn unanswered(name: &'static str, cause: &DatabaseCause) -> Self {
        match cause.class {
            // A role that may not look is not a database that is broken.
            ErrorClass::Privilege => Self::new(name, Status::Skipped, format!("not permitted: {cause}")),
            // The check of the policies fails for them.
            ErrorClass::RowPolicy => Self::new(name, Status::Skipped, format!("a row policy hides rows: {cause}")),
            class => Self {
                is_given_up: class == ErrorClass::TimedOut,
                ..Self::failed(name, class.exit_code(), cause.to_string())
            },
        }
    }
}

/// Runs one check in a transaction of its own. Where it takes too long it is skipped.
async fn look(
    reader: &BoundedReader<'_>,
    name: &'static str,
    check: impl AsyncFnOnce(&DatabaseExecutor<'_>) -> Finding,
) -> Finding {
    let finding = match reader.begin(Rows::Every).await {
        Ok(reading) => {
            let finding = check(&reading).await;
            read_transaction::end(reading).await.ok();
            finding
        }
        Err(error) => Finding::unanswered(name, &error.into()),
    };
    match reader.limit() {
        Some(limit) if finding.is_given_up => {
            let limit = humantime::format_duration(limit);
            let detail = format!("given up after {limit}: `tarsy-db check --deep` has no limit");
            Finding::new(name, Status::Skipped, detail)
        }
        _ => finding,
    }
}

pub(crate) async fn run(
    arguments: &Check,
    settings: &Settings,
    now: DateTime<Utc>,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let url = &settings.database.value;
    // Before SQLite opens the file: closing it afterwards would drop SQLite's own locks.
    let writable = match url {
        DatabaseUrl::Sqlite(location) => Some(sqlite_writable(location.path.as_deref())),
        DatabaseUrl::Postgresql(_) => None,
    };
    let started = Instant::now();
    let access = if arguments.fix { Access::Write } else { Access::Read };
    let (checks, error) = match connection::open(url, access, LOCK_TIMEOUT).await {
        Ok(mut connection) => {
            watch.attach(&mut connection);
            (checks(arguments, settings, now, &connection, started.elapsed(), writable).await, None)
        }
        Err(error) => {
            let code = error.exit_code();
            (vec![Finding::failed("connection", code, error.cause.described())], Some(Error::Connect(error)))
        }
    };
    // The first failure decides, because later ones often follow from it. Only a schema that is merely
    // not there yet gives way: `init` mends no damage.
    let codes = checks.iter().filter(|check| check.status == Status::Failed).map(|check| check.exit_code);
    let exit_code = codes
        .clone()
        .find(|code| *code != ExitCode::Pending)
        .or_else(|| codes.clone().next())
        .unwrap_or(ExitCode::Done);
    let rows = checks
        .iter()
        .map(|check| vec![check.name.into(), Field::Status(check.status), Field::Lines(check.detail.0.clone())]);
    let verdict = match exit_code {
        ExitCode::Done => format!("{url} is sound"),
        _ => format!("{url} is NOT sound (exit code {exit_code})"),
    };
    let blocks = vec![
        Block::Table { title: "checks", header: vec!["check", "result", "detail"], rows: rows.collect() },
        Block::Line(verdict),
    ];
    let summary = CheckSummary { database: url.to_string(), sound: exit_code == ExitCode::Done, exit_code, checks };
    Ok(Report { exit_code, error, ..Report::new(&summary, blocks) })
}

async fn checks(
    arguments: &Check,
    settings: &Settings,
    now: DateTime<Utc>,
    connection: &DatabaseConnection,
    opened: Duration,
    writable: Option<Finding>,
) -> Vec<Finding> {
    let mut checks = vec![connected(connection, opened).await];
    if arguments.fix {
        checks.push(mend(connection).await);
    }
    let limit = (!arguments.deep).then_some(QUERY_LIMIT);
    let reader = match BoundedReader::new(connection, limit).await {
        Ok(reader) => reader,
        Err(error) => {
            checks.push(Finding::unanswered("connection", &error.into()));
            return checks;
        }
    };
    match writable {
        Some(writable) => checks.push(writable),
        None => checks.extend(postgresql_server(&reader).await),
    }
    let read = async {
        let reading = reader.begin(Rows::Visible).await?;
        let read = schema::read::schema_and_state(&reading).await?;
        read_transaction::end(reading).await?;
        Ok(read)
    };
    let (standing, found) = match read.await {
        Ok(read) => read,
        Err(cause) => {
            let cause: DatabaseCause = cause;
            checks.push(Finding::failed("revision", cause.class.exit_code(), cause.described()));
            return checks;
        }
    };
    checks.push(look(&reader, "privileges", async |reading| privileges(reading, &standing).await).await);
    checks.extend(row_policies(connection).await);
    checks.push(match row_policy::refuse(connection, &[ledger::TABLE]).await {
        Err(cause) if standing.ledger == Ledger::Empty => Finding::unanswered("revision", &cause),
        _ => revision(&standing, settings.schema_target.value),
    });
    checks.push(shape(connection, &standing, &found).await);
    checks.push(indexes(connection.get_database_backend(), &found));
    checks
        .push(look(&reader, "foreign keys", async |reading| foreign_keys(reading, &found, arguments.deep).await).await);
    checks.push(look(&reader, "integrity", async |reading| integrity(reading, arguments.deep).await).await);
    checks.push(look(&reader, "sequences", async |reading| sequences(reading).await).await);
    let retention = Retention::of(settings, &standing);
    let fail = arguments.fail_if_overdue;
    checks.push(
        look(&reader, "retention", async |reading| old_sessions(reading, retention, &found, now, fail).await).await,
    );
    checks
}

async fn connected(connection: &DatabaseConnection, opened: Duration) -> Finding {
    let started = Instant::now();
    match rows(connection, "SELECT 1").await.map_err(DatabaseCause::from) {
        Ok(_) => {
            let detail = format!("opened in {opened:.1?}, one round trip takes {:.1?}", started.elapsed());
            Finding::new("connection", Status::Ok, detail)
        }
        Err(cause) => Finding::unanswered("connection", &cause),
    }
}

async fn postgresql_server(reader: &BoundedReader<'_>) -> Vec<Finding> {
    let sql = "SELECT current_setting('server_version') AS version,
                      current_setting('server_version_num')::int / 10000 AS major,
                      current_setting('server_encoding') AS encoding,
                      pg_is_in_recovery() AS standby,
                      current_setting('transaction_read_only') = 'on' AS read_only,
                      (SELECT string_agg(split_part(c, '=', 2), ', ')
                       FROM pg_db_role_setting s, unnest(s.setconfig) c
                       WHERE c ILIKE 'timezone=%' AND s.setdatabase IN (0, (SELECT oid FROM pg_database
                                                                          WHERE datname = current_database()))
                         AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))) AS time_zone";
    let answer = async {
        let reading = reader.begin(Rows::Every).await?;
        let row = row(&reading, sql).await?;
        read_transaction::end(reading).await?;
        Ok((
            row.try_get::<String>("", "version")?,
            row.try_get::<i32>("", "major")?,
            row.try_get::<String>("", "encoding")?,
            (row.try_get::<bool>("", "standby")?, row.try_get::<bool>("", "read_only")?),
            row.try_get::<Option<String>>("", "time_zone")?,
        ))
    };
    let (version, major, encoding, (standby, read_only), time_zone) =
        match answer.await.map_err(|e: DbErr| DatabaseCause::from(e)) {
            Ok(answer) => answer,
            Err(cause) => return vec![Finding::unanswered("server", &cause)],
        };
    let server = match major < OLDEST_POSTGRESQL {
        true => Finding::new("server", Status::Warning, format!("PostgreSQL {version} is out of support")),
        false => Finding::new("server", Status::Ok, format!("PostgreSQL {version}")),
    };
    let encoding = match encoding.as_str() {
        "UTF8" => Finding::new("encoding", Status::Ok, encoding),
        _ => {
            Finding::failed("encoding", ExitCode::Drift, format!("{encoding} cannot hold every text; TARSy needs UTF8"))
        }
    };
    let is_utc = |zone: &str| matches!(zone.to_uppercase().as_str(), "UTC" | "ETC/UTC" | "GMT");
    let time_zone = match time_zone {
        Some(zone) if !is_utc(&zone) => {
            let detail = format!("database or role are set to {zone}: TARSy's events would be stamped in that zone");
            Finding::new("time zone", Status::Warning, detail)
        }
        _ => Finding::new("time zone", Status::Ok, "neither database nor role are set to another zone than UTC"),
    };
    let writable = match (standby, read_only) {
        (true, _) => Finding::failed("writable", ExitCode::Unavailable, "the server is a standby"),
        (_, true) => Finding::failed("writable", ExitCode::Unavailable, "transactions are read-only by default"),
        _ => Finding::new("writable", Status::Ok, "the server accepts writes"),
    };
    vec![server, encoding, time_zone, writable]
}

/// Opening a file for writing changes nothing in it.
fn sqlite_writable(path: Option<&std::path::Path>) -> Finding {
    let Some(path) = path else { return Finding::new("writable", Status::Ok, "memory") };
    let file = std::fs::OpenOptions::new().append(true).open(path);
    match file {
        Ok(_) => Finding::new("writable", Status::Ok, "the file can be written"),
        Err(error) => Finding::failed("writable", ExitCode::Privilege, format!("the file cannot be written: {error}")),
    }
}

async fn privileges(connection: &DatabaseExecutor<'_>, standing: &SchemaState) -> Finding {
    const NAME: &str = "privileges";
    if connection.get_database_backend() != DbBackend::Postgres {
        return Finding::new(NAME, Status::Ok, "SQLite has no roles");
    }
    if standing.is_empty() {
        return Finding::new(NAME, Status::Skipped, "there are no tables yet");
    }
    let tables = [&Revision::HEAD.tables()[..], &[ledger::TABLE]].concat();
    let lacking = privilege::lacking(connection, &tables, &["SELECT", "INSERT", "UPDATE", "DELETE"]).await;
    match lacking.map_err(DatabaseCause::from) {
        Err(cause) => Finding::unanswered(NAME, &cause),
        Ok(lacking) if lacking.is_empty() => Finding::new(NAME, Status::Ok, "the role may read and write all tables"),
        Ok(lacking) => {
            let texts: Vec<_> = lacking.iter().map(ToString::to_string).collect();
            let detail = format!("the role lacks {}", texts.join("; "));
            match lacking.iter().any(|lacking| lacking.privilege == "SELECT") {
                true => Finding::failed(NAME, ExitCode::Privilege, detail),
                false => Finding::new(NAME, Status::Warning, format!("{detail}: enough to check, not for the backend")),
            }
        }
    }
}

/// What hides rows from the role: `None` where nothing does.
async fn row_policies(connection: &DatabaseConnection) -> Option<Finding> {
    const NAME: &str = "row policies";
    let tables = [&Revision::HEAD.tables()[..], &[ledger::TABLE]].concat();
    let policies = match row_policy::active(connection, &tables).await {
        Ok(policies) => policies,
        Err(error) => return Some(Finding::unanswered(NAME, &error.into())),
    };
    let cause = row_policy::cause(&policies)?;
    let hint = cause.hint().map(str::to_owned);
    let lines: Vec<_> = policies.iter().map(RowPolicies::text).chain(hint).collect();
    Some(Finding::failed(NAME, cause.class.exit_code(), lines))
}

fn revision(standing: &SchemaState, target: Revision) -> Finding {
    const NAME: &str = "revision";
    match standing.plan(target) {
        Decision::Nothing { revision } if Revision::from_id(&revision).is_none() => {
            Finding::failed(NAME, ExitCode::Newer, format!("{}: newer than this tool?", state::described(&revision)))
        }
        Decision::Nothing { revision } => Finding::new(NAME, Status::Ok, state::described(&revision)),
        Decision::Upgrade { from, to } => {
            let detail = format!("{from}; `schema.target` asks for {to}: run `tarsy-db init`");
            Finding::failed(NAME, ExitCode::Pending, detail)
        }
        Decision::Create { .. } if standing.revision().is_some() => {
            Finding::failed(NAME, ExitCode::Pending, "there is a ledger but no tables: run `tarsy-db init`")
        }
        Decision::Create { .. } => {
            Finding::failed(NAME, ExitCode::Pending, "there is no schema yet: run `tarsy-db init`")
        }
        Decision::Adopt => {
            Finding::failed(NAME, ExitCode::Pending, "the tables have no ledger: run `tarsy-db init` to adopt them")
        }
        Decision::Incomplete { revision, missing } => {
            let ledger =
                revision.map_or("there is no ledger".to_owned(), |revision| format!("the ledger says {revision}"));
            Finding::failed(NAME, ExitCode::Drift, format!("{ledger}, and there is no table {}", missing.join(", ")))
        }
        Decision::Ambiguous { revisions } => {
            let rows = revisions.join(", ");
            let count = revisions.len();
            let detail =
                format!("`alembic_version` has {count} rows: {rows}; find out which one is right, delete the others");
            Finding::failed(NAME, ExitCode::Drift, detail)
        }
        Decision::Leftover { tables } => {
            let left = StateError::Leftover(tables.clone());
            Finding::failed(NAME, ExitCode::Drift, format!("{left}: {}", leftover_hint(&tables)))
        }
    }
}

async fn shape(connection: &DatabaseConnection, standing: &SchemaState, found: &Schema) -> Finding {
    const NAME: &str = "schema";
    if standing.is_empty() {
        return Finding::new(NAME, Status::Skipped, "there are no tables yet");
    }
    let (revision, shape) = match shape_of(connection, standing, found).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Finding::new(NAME, Status::Skipped, "this version does not know the shape of that revision");
        }
        Err(cause) => {
            return Finding::new(NAME, Status::Skipped, format!("the expected shape could not be made: {cause}"));
        }
    };
    let mut faults = diff::texts(shape.faults());
    if !faults.is_empty() {
        if standing.revision().is_some()
            && let Ok(Some(other)) = variant::look_alike(connection, revision, found).await
        {
            faults.insert(0, format!("these are the tables of revision {other}: {}", ledger_hint(other)));
        }
        if let Some(next) = half_done(connection, revision, &shape, found).await {
            let part =
                format!("a part of revision {next} is there: `tarsy-db init --to {}` completes it", next.number());
            faults.insert(0, part);
        }
        return Finding::failed(NAME, ExitCode::Drift, faults);
    }
    let mut lines = vec![format!("as in revision {revision}")];
    if shape.shape != Shape::A {
        lines.push(shape.shape.origin().to_owned());
    }
    if shape.has_doubled_keys {
        lines.push("foreign keys are there twice, as TARSy's own upgrade leaves them: harmless".to_owned());
    }
    let early = early::columns(revision, found);
    if let Some(last) = early.last() {
        let names: Vec<_> = early.iter().map(|column| format!("{}.{}", column.table, column.name)).collect();
        lines.push(format!(
            "columns of later revisions are there already, up to {}, as TARSy's backend creates or leaves them: {}; \
             harmless, its upgrade keeps them",
            last.revision,
            names.join(", ")
        ));
    }
    let status = if shape.differences.is_empty() { Status::Ok } else { Status::Note };
    lines.extend(diff::texts(shape.differences.iter()));
    Finding::new(NAME, status, lines)
}

/// Whether there is the index that no revision makes.
fn indexes(backend: DbBackend, found: &Schema) -> Finding {
    const NAME: &str = "indexes";
    let use_of_it = "for each stage that is removed the whole table is read";
    match ParentIndex::of(found) {
        ParentIndex::NotNeeded => Finding::new(NAME, Status::Ok, "no foreign key needs one that TARSy does not make"),
        ParentIndex::Present(name) => {
            Finding::new(NAME, Status::Ok, format!("{name} serves the foreign key to parallel parents"))
        }
        ParentIndex::Invalid(name) => {
            let detail = format!("{name} is invalid, and {use_of_it}: `REINDEX INDEX CONCURRENTLY {}`", quoted(&name));
            Finding::new(NAME, Status::Note, detail)
        }
        ParentIndex::Missing => {
            let detail = vec![
                format!("the foreign key to parallel parents has none, and {use_of_it}: recommended is"),
                parent_index::create_parent_index(backend),
            ];
            Finding::new(NAME, Status::Note, detail)
        }
    }
}

/// The form that the tables are most like: of the ledger's revision, or where there is none, of any. `None` for
/// revisions that this version does not know.
async fn shape_of(
    connection: &DatabaseConnection,
    standing: &SchemaState,
    found: &Schema,
) -> Result<Option<(Revision, Match)>, DatabaseCause> {
    let Some(revision) = standing.revision() else {
        return Ok(Some(variant::likest(connection, found).await?));
    };
    let Some(revision) = Revision::from_id(revision) else { return Ok(None) };
    let expected = expected::replay_with_early(connection, revision, &early::columns(revision, found)).await?;
    let shape = variant::closest(connection.get_database_backend(), revision, &expected, found);
    Ok(Some((revision, shape)))
}

/// The revision that TARSy's backend was upgrading to when it was interrupted, where that explains every fault.
async fn half_done(
    connection: &DatabaseConnection,
    revision: Revision,
    shape: &Match,
    found: &Schema,
) -> Option<Revision> {
    let backend = connection.get_database_backend();
    let next = Revision::HEAD.since(Some(revision)).next().filter(|_| backend == DbBackend::Sqlite)?;
    let replayed = expected::replay(connection, &BTreeSet::from([next])).await.ok()?;
    let after = variant::closest(backend, next, &replayed[&next], found);
    variant::is_half_done(backend, shape, &after).then_some(next)
}

/// Mends what is safe, and says what was done.
async fn mend(connection: &DatabaseConnection) -> Finding {
    const NAME: &str = "repairs";
    let repairs = async {
        if !lock::begin_to_mend(connection).await? {
            return Err(DatabaseCause::new(ErrorClass::Busy, "another `check --fix` is at work"));
        }
        let (standing, found) = schema::read::schema_and_state(connection).await?;
        // Where tables are missing, what is safe to repair of the others is the same.
        match standing.require_history() {
            Ok(_) | Err(StateError::Pending | StateError::Incomplete { .. }) => {}
            Err(refused) => return Ok(Err(refused)),
        }
        let shape = shape_of(connection, &standing, &found).await?;
        let differences = shape.map(|(_, shape)| shape.differences).unwrap_or_default();
        let repairs = differences.into_iter().filter_map(|difference| difference.repair);
        Ok(Ok(repair::plan(connection, repairs).await?))
    };
    let repairs = match repairs.await {
        Ok(Ok(repairs)) => repairs,
        // The check of the revision says what to do.
        Ok(Err(refused)) => {
            return Finding::new(NAME, Status::Skipped, format!("nothing is repaired here: {refused}"));
        }
        Err(cause) => return Finding::unanswered(NAME, &cause),
    };
    let mut lines = Vec::new();
    let mut code = None;
    for repair in &repairs {
        match repair.apply(connection).await {
            Ok(()) => lines.push(repair.done()),
            Err(error) => {
                lines.push(format!("{error}: {}", error.cause));
                // What the database refuses to have mended stays as it was: drift.
                let class = error.cause.class;
                code = code.or(Some(if class == ErrorClass::Other { ExitCode::Drift } else { class.exit_code() }));
            }
        }
    }
    match code {
        Some(code) => Finding::failed(NAME, code, lines),
        None if lines.is_empty() => Finding::new(NAME, Status::Ok, "there is nothing that can be mended here"),
        None => Finding::new(NAME, Status::Note, lines),
    }
}

async fn foreign_keys(connection: &DatabaseExecutor<'_>, found: &Schema, deep: bool) -> Finding {
    const NAME: &str = "foreign keys";
    if connection.get_database_backend() == DbBackend::Postgres && !deep {
        return vouched_for(NAME, found);
    }
    let counts = match orphans::count(connection, found).await {
        Ok(counts) => counts,
        Err(error) => return Finding::unanswered(NAME, &error.cause),
    };
    if let Err(cause) = index_check::require_matching_indexes(connection, &orphans::tables(&counts)).await {
        return Finding::unanswered(NAME, &cause);
    }
    let others = match other_orphans(connection, found).await.map_err(DatabaseCause::from) {
        Ok(others) => others,
        Err(cause) => return Finding::unanswered(NAME, &cause),
    };
    let of_tarsy = counts.iter().map(|count| lost(count.rows, count.reference.child, count.reference.parent));
    let mut lines = diff::first_of(of_tarsy.chain(others).collect());
    match (lines.is_empty(), counts.is_empty()) {
        (true, _) => Finding::new(NAME, Status::Ok, "every row has its parent"),
        (false, true) => Finding::failed(NAME, ExitCode::Drift, lines),
        (false, false) => {
            let next = "`tarsy-db prune --orphans --dry-run` shows what would be removed";
            lines.push(next.to_owned());
            Finding::failed(NAME, ExitCode::Drift, lines)
        }
    }
}

/// What PostgreSQL's own constraints make sure of.
fn vouched_for(name: &'static str, found: &Schema) -> Finding {
    let unproven = keys(found).filter(|(_, key)| !key.validated);
    let unproven: Vec<_> =
        unproven.map(|(table, key)| format!("{table}({}) is NOT VALID", key.columns.join(", "))).collect();
    if !unproven.is_empty() {
        return Finding::failed(name, ExitCode::Drift, diff::first_of(unproven));
    }
    let unguarded = REFERENCES.iter().filter(|reference| reference.is_in(found) && !is_enforced(reference, found));
    let unguarded: Vec<_> = unguarded
        .map(|reference| format!("{}({}) has none: --deep looks", reference.child, reference.column))
        .collect();
    match unguarded.is_empty() {
        true => Finding::new(name, Status::Ok, "the server vouches for every row (--deep looks itself)"),
        false => Finding::new(name, Status::Note, diff::first_of(unguarded)),
    }
}

/// All foreign keys, each with its table.
fn keys(found: &Schema) -> impl Iterator<Item = (&String, &ForeignKey)> {
    found.tables.iter().flat_map(|(table, found)| found.foreign_keys.iter().map(move |key| (table, key)))
}

fn is_enforced(reference: &Reference, found: &Schema) -> bool {
    keys(found).any(|(table, key)| reference.is_enforced_by(table, key))
}

fn lost(rows: u64, child: &str, parent: &str) -> String {
    format!("{rows} rows of {child} point to no row of {parent}")
}

/// The rows without a parent by foreign keys that are not TARSy's.
async fn other_orphans(connection: &DatabaseExecutor<'_>, found: &Schema) -> Result<Vec<String>, DbErr> {
    let others =
        keys(found).filter(|(table, key)| !REFERENCES.iter().any(|reference| reference.is_enforced_by(table, key)));
    let counts: Vec<_> = match connection.get_database_backend() {
        DbBackend::Postgres => others.map(|(table, key)| postgresql_orphans(table, key)).collect(),
        _ => others.map(|(table, key)| sqlite_orphans(table, key)).collect(),
    };
    let mut texts = Vec::new();
    for sql in counts {
        let counted = row(connection, &sql).await?;
        let [child, parent] = ["child", "parent"].map(|column| counted.try_get::<String>("", column));
        match counted.try_get::<i64>("", "orphans")?.unsigned_abs() {
            0 => {}
            rows => texts.push(lost(rows, &child?, &parent?)),
        }
    }
    Ok(texts)
}

/// Counts the rows that refer to nothing by this key.
fn postgresql_orphans(table: &str, key: &ForeignKey) -> String {
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let given: Vec<_> = key.columns.iter().map(|column| format!("c.{} IS NOT NULL", quoted(column))).collect();
    let matching: Vec<_> = pairs.map(|(from, to)| format!("p.{} = c.{}", quoted(to), quoted(from))).collect();
    format!(
        "SELECT {child} AS child, {parent} AS parent, count(*) AS orphans FROM {child_table} c
         WHERE {given} AND NOT EXISTS (SELECT FROM {parent_table} p WHERE {matching})",
        child = literal(table),
        parent = literal(&key.referenced_table),
        child_table = quoted(table),
        given = given.join(" AND "),
        // The catalog gives it with its schema and quotes, where it needs them.
        parent_table = key.referenced_table,
        matching = matching.join(" AND "),
    )
}

/// As [`postgresql_orphans`]; SQLite knows what a key without columns points to. It gives a row once for each of
/// several keys that say the same.
fn sqlite_orphans(table: &str, key: &ForeignKey) -> String {
    format!(
        "SELECT {child} AS child, {parent} AS parent, count(DISTINCT coalesce(c.rowid, 0)) AS orphans
         FROM pragma_foreign_key_check({child}) c
         JOIN pragma_foreign_key_list({child}) k ON k.id = c.fkid AND k.seq = 0
         WHERE k.\"table\" = {parent} AND k.\"from\" = {column}",
        child = literal(table),
        parent = literal(&key.referenced_table),
        column = literal(&key.columns[0]),
    )
}

async fn integrity(connection: &DatabaseExecutor<'_>, deep: bool) -> Finding {
    const NAME: &str = "integrity";
    if connection.get_database_backend() == DbBackend::Postgres {
        return Finding::new(NAME, Status::Ok, "left to the server");
    }
    let pragma = if deep { "integrity_check" } else { "quick_check" };
    let lines = rows(connection, &format!("SELECT {pragma} AS line FROM pragma_{pragma}")).await;
    let lines =
        lines.and_then(|rows| rows.iter().map(|row| row.try_get("", "line")).collect::<Result<Vec<String>, _>>());
    match lines.map_err(DatabaseCause::from) {
        Err(cause) => Finding::unanswered(NAME, &cause),
        Ok(lines) if lines == ["ok"] => Finding::new(NAME, Status::Ok, format!("{pragma} finds nothing")),
        Ok(lines) => Finding::failed(NAME, ExitCode::Drift, diff::first_of(lines)),
    }
}

async fn sequences(connection: &DatabaseExecutor<'_>) -> Finding {
    const NAME: &str = "sequences";
    if connection.get_database_backend() != DbBackend::Postgres {
        return Finding::new(NAME, Status::Ok, "SQLite counts by itself");
    }
    let sequences = match sequence::read(connection).await.map_err(DatabaseCause::from) {
        Err(cause) => return Finding::unanswered(NAME, &cause),
        Ok(sequences) => sequences,
    };
    let behind: Vec<_> = sequences.iter().filter_map(Sequence::fault).collect();
    let unread: Vec<_> = sequences.iter().filter(|sequence| sequence.next.is_none()).map(|s| s.name.as_str()).collect();
    match (behind.is_empty(), unread.is_empty()) {
        (false, _) => Finding::failed(NAME, ExitCode::Drift, diff::first_of(behind)),
        (true, false) => Finding::new(NAME, Status::Skipped, format!("the role may not read {}", unread.join(", "))),
        (true, true) if sequences.is_empty() => Finding::new(NAME, Status::Ok, "there are none"),
        (true, true) => Finding::new(NAME, Status::Ok, format!("{} ahead of the data", sequences.len())),
    }
}

async fn old_sessions(
    connection: &DatabaseExecutor<'_>,
    mut retention: Retention,
    found: &Schema,
    now: DateTime<Utc>,
    fail_if_overdue: bool,
) -> Finding {
    const NAME: &str = "retention";
    let days = retention.days();
    if !found.tables.contains_key(SESSIONS) {
        return Finding::new(NAME, Status::Skipped, "there are no tables yet");
    }
    match archive::is_archive(connection).await {
        Ok(true) => return Finding::new(NAME, Status::Skipped, "an archive keeps what it has"),
        Ok(false) => {}
        Err(error) => return Finding::unanswered(NAME, &error.into()),
    }
    let policy = match retention.policy(ActiveSessions::Keep, now) {
        Ok(policy) => policy,
        Err(error) => return Finding::failed(NAME, ExitCode::Configuration, error.to_string()),
    };
    let old = match overdue::count(connection, found, &policy).await {
        Ok(old) => old,
        Err(error) => return Finding::unanswered(NAME, &error.cause),
    };
    if let Err(error) = retention.count(connection, found, now).await {
        return Finding::failed(NAME, error.exit_code(), error.to_string());
    }
    let mut lines = retention.lines();
    if old.overdue > 0 {
        let (sessions, oldest) = (old.overdue, output::time(old.oldest_us));
        lines.push(format!(
            "sessions past the retention of {days} days by more than a day: {sessions}, the oldest from {oldest}; \
             `tarsy-db prune` has not run, or could not remove them"
        ));
    } else if old.removable > 0 && retention.is_chosen() {
        let sessions = old.removable;
        lines.push(format!("sessions older than {days} days: {sessions}; the next `tarsy-db prune` removes them"));
    }
    if old.kept > 0 {
        let sessions = old.kept;
        lines.push(format!(
            "sessions older than {days} days that `prune` keeps, most of them because they are not over or in use: {sessions}; \
             `tarsy-db prune --dry-run` lists them"
        ));
    }
    match (old.overdue > 0, fail_if_overdue) {
        (true, true) => Finding::failed(NAME, ExitCode::Remaining, lines),
        (true, false) => Finding::new(NAME, Status::Warning, lines),
        (false, _) if lines.is_empty() => {
            Finding::new(NAME, Status::Ok, format!("no session is older than {days} days"))
        }
        (false, _) => Finding::new(NAME, Status::Note, lines),
    }
}
