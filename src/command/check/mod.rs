//! `check`: checks whether connection, schema and data are sound. Changes nothing without `--fix`.
//!
//! Each check reads what it needs, and a pure function evaluates it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`fix`] | `--fix`: the safe repairs |
//! | [`server`] | the connection, the server or the file, and the role's privileges |
//! | [`app_role`] | `--as-role`: what the role of TARSy's backend lacks |
//! | [`capacity`] | how many backends the server has connections for |
//! | [`locks`] | tables that another session has locked |
//! | [`replica_identity`] | published tables whose rows cannot be changed |
//! | [`schema`] | revision, tables and indexes |
//! | [`foreign_keys`] | rows without a parent |
//! | [`numbers`] | numbers that run out: sequences, columns of 32 bits |
//! | [`data`] | the file, old sessions |
//! | [`finding`] | the result of a check, and the exit code of all |
//! | [`mode`] | the flags as enums |

mod app_role;
mod capacity;
mod data;
mod finding;
mod fix;
mod foreign_keys;
mod locks;
mod mode;
mod numbers;
mod replica_identity;
mod schema;
mod server;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, DbErr};
use serde::Serialize;

use self::finding::{Finding, Verdict};
use self::mode::{Depth, OnOverdue};
use super::retention::Retention;
use crate::cli::check::Check;
use crate::database::connection::Connection;
use crate::database::connection::{self, Access, ConnectError, ConnectStep, LOCK_TIMEOUT, Statements};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::read_transaction::{BoundedReader, QUERY_LIMIT, Rows};
use crate::database::transaction::Transaction;
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::format;
use crate::output::{Block, Field, Report};
use crate::schema::model::Schema;
use crate::schema::read::{self, schema_and_state};
use crate::schema::state::{Decision, SchemaState};
use crate::schema::state_error::StateError;
use crate::settings::Settings;

#[derive(Serialize)]
struct CheckSummary {
    database: String,
    outcome: CheckOutcome,
    sound: bool,
    exit_code: ExitCode,
    checks: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum CheckOutcome {
    Sound,
    Unsound,
}

pub(crate) async fn run(
    arguments: &Check,
    settings: &Settings,
    now: DateTime<Utc>,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let url = &settings.database.value;
    if let (DatabaseUrl::Sqlite(_), Some(_)) = (url, &arguments.as_role) {
        return Err(Error::NoRoles { flag: "--as-role", target: url.to_string() });
    }
    // Before SQLite opens the file, because closing it afterwards would drop SQLite's own locks.
    let writable = match url {
        DatabaseUrl::Sqlite(location) => Some(server::sqlite_writable(location.path.as_deref())),
        DatabaseUrl::Postgresql(_) => None,
    };
    let started = Instant::now();
    let access = if arguments.fix { Access::Write } else { Access::Read };
    // A repair also holds a lock.
    let pool = settings.pool.limits().for_up_to(if arguments.fix { 2 } else { 1 });
    let checked = async {
        let mut connection = connection::open_granted(url, access, pool, LOCK_TIMEOUT, Statements::Once).await?;
        watch.attach(&mut connection);
        let checks = checks(arguments, settings, now, &connection, started.elapsed(), writable).await;
        // The last connection that writes to a SQLite file removes the `-wal` and the `-shm`.
        if connection.backend() == DbBackend::Sqlite {
            connection.close().await.ok();
        }
        checks.map_err(|cause| ConnectError::new(url, ConnectStep::FirstQueries, cause))
    };
    let (checks, error) = match checked.await {
        Ok(checks) => (checks, None),
        Err(error) => {
            let code = error.exit_code();
            let failed = Finding::failed("connection", code, error.cause.described()).unanswered_by(error.cause.class);
            (vec![failed], Some(Error::Connect(error)))
        }
    };
    Ok(Report { error, ..report(url, checks) })
}

fn report(url: &DatabaseUrl, checks: Vec<Finding>) -> Report {
    let exit_code = finding::exit_code(&checks);
    let rows = checks
        .iter()
        .map(|check| vec![check.name.into(), Field::Status(check.status), Field::Lines(check.detail.0.clone())]);
    let verdict = match finding::verdict(&checks) {
        Verdict::Sound => format!("{url} is sound"),
        Verdict::Unsound => format!("{url} is NOT sound (exit code {exit_code})"),
        Verdict::Incomplete => format!("{url} could not be checked completely (exit code {exit_code})"),
        Verdict::Unchecked => format!("{url} could not be checked (exit code {exit_code})"),
    };
    let blocks = vec![
        Block::Table { title: "checks", header: vec!["check", "result", "detail"], rows: rows.collect() },
        Block::Line(verdict),
    ];
    let sound = exit_code == ExitCode::Done;
    let committed = checks.iter().find_map(|check| check.committed.clone());
    let outcome = if sound { CheckOutcome::Sound } else { CheckOutcome::Unsound };
    let summary = CheckSummary { database: url.to_string(), outcome, sound, exit_code, checks };
    Report { exit_code, committed, ..Report::new(&summary, blocks) }
}

/// All checks, of a database that took so long to open.
///
/// # Errors
/// It does not answer: a pooler in statement mode accepts a login, and no transaction.
async fn checks(
    arguments: &Check,
    settings: &Settings,
    now: DateTime<Utc>,
    connection: &Connection,
    opened: Duration,
    writable: Option<Finding>,
) -> Result<Vec<Finding>, DatabaseCause> {
    let limit = (Depth::of(arguments) == Depth::Quick).then_some(QUERY_LIMIT);
    let reader = BoundedReader::new(connection, limit).await?;
    let mut checks = vec![server::connection(&reader, opened).await?];
    checks.extend(server::protection(&settings.database.value));
    if arguments.fix {
        reader.end().await;
        checks.push(fix::repairs(connection).await);
    }
    checks.extend(writable);
    match &settings.database.value {
        DatabaseUrl::Sqlite(location) => checks.extend(server::write_ahead_log(location.path.as_deref())),
        DatabaseUrl::Postgresql(address) => {
            checks.extend(server::postgresql(address, &reader).await);
            let capacity = async |reading: &Transaction| capacity::capacity(reading, settings.pool.most()).await;
            checks.push(look_at_catalogs(&reader, Rows::Visible, "capacity", capacity).await);
        }
    }
    checks.extend(checks_of_schema(arguments, settings, now, &reader).await);
    reader.end().await;
    Ok(checks)
}

/// The checks that need to know the schema.
async fn checks_of_schema(
    arguments: &Check,
    settings: &Settings,
    now: DateTime<Utc>,
    reader: &BoundedReader<'_>,
) -> Vec<Finding> {
    let (connection, depth, mut checks) = (reader.connection(), Depth::of(arguments), Vec::new());
    let began = Instant::now();
    let (state, found, revision) = match read_schema(reader).await {
        Ok((state, found)) => {
            let revision = schema::revision(reader, &state, settings.schema_target.value).await;
            (state, found, revision)
        }
        Err(cause) => {
            let failed = Finding::failed("revision", cause.class.exit_code(), cause.described());
            let failed = failed.unanswered_by(cause.class);
            // Where nothing answers, a second attempt would only take as long again.
            let other_checks = match cause.class.is_before_login() {
                true => None,
                false => read_schema_without_ledger(reader).await.ok(),
            };
            let Some((state, found)) = other_checks else {
                let locks = match cause.class {
                    ErrorClass::Busy => locks::locks(reader, began).await,
                    _ => None,
                };
                return std::iter::once(failed).chain(locks).collect();
            };
            (state, found, failed)
        }
    };
    if let Decision::Refused(StateError::Foreign(_)) = state.plan(settings.schema_target.value) {
        return vec![revision];
    }
    let privileges = async |reading: &Transaction| server::privileges(reading, &state).await;
    checks.push(look_at_catalogs(reader, Rows::Every, "privileges", privileges).await);
    if let Some(role) = &arguments.as_role {
        let app_role = async |reading: &Transaction| app_role::app_role(reading, &state, role).await;
        checks.push(look(reader, "backend role", app_role).await);
    }
    checks.extend(server::row_policies(reader).await);
    checks.extend(replica_identity::replica_identity(reader).await);
    let locked = locks::locked_tables(reader).await;
    let foreign_keys = async |reading: &Transaction| foreign_keys::foreign_keys(reading, &found, depth).await;
    let integrity = async |reading: &Transaction| data::integrity(reading, depth).await;
    let integers = async |reading: &Transaction| numbers::integers(reading, &found, depth, now).await;
    let (retention, on_overdue) = (Retention::of(settings, &state), OnOverdue::of(arguments));
    let old = async |reading: &Transaction| data::retention(reading, retention, &found, now, on_overdue).await;
    let of_rows = [
        match depth {
            Depth::Quick => look_at_catalogs(reader, Rows::Every, "foreign keys", foreign_keys).await,
            Depth::Deep => look(reader, "foreign keys", foreign_keys).await,
        },
        look_at_catalogs(reader, Rows::Every, "integrity", integrity).await,
        look(reader, "sequences", async |reading| numbers::sequences(reading).await).await,
        look(reader, "integers", integers).await,
        look(reader, "retention", old).await,
    ];
    let locks = match locked {
        Ok(tables) if tables.is_empty() => None,
        _ => locks::locks(reader, began).await,
    };
    // The comparison may need the connection.
    reader.end().await;
    let tables = schema::tables(connection, &state, &found).await;
    checks.push(schema::beside_tables(revision, &tables, &state, settings.schema_target.value));
    checks.push(tables);
    checks.push(schema::indexes(connection.backend(), &found));
    checks.extend(locks);
    checks.extend(of_rows);
    checks
}

async fn read_schema(reader: &BoundedReader<'_>) -> Result<(SchemaState, Schema), DatabaseCause> {
    reader.read(Rows::Visible, async |reading| schema_and_state(reading).await).await?
}

/// The tables, if the role may not read the ledger or another session has locked it.
async fn read_schema_without_ledger(reader: &BoundedReader<'_>) -> Result<(SchemaState, Schema), DatabaseCause> {
    let state_and_schema = async |reading: &Transaction| {
        Ok((SchemaState::read_without_ledger(reading).await?, read::schema(reading).await?))
    };
    reader.read(Rows::Visible, state_and_schema).await?
}

/// Runs one check. One that takes too long is skipped.
async fn look(
    reader: &BoundedReader<'_>,
    name: &'static str,
    check: impl AsyncFnOnce(&Transaction) -> Finding,
) -> Finding {
    completed(reader, name, reader.read(Rows::Every, check).await)
}

/// The same for a check that reads catalogs alone, before parts that read these rows.
async fn look_at_catalogs(
    reader: &BoundedReader<'_>,
    rows: Rows,
    name: &'static str,
    check: impl AsyncFnOnce(&Transaction) -> Finding,
) -> Finding {
    completed(reader, name, reader.read_catalogs(rows, check).await)
}

fn completed(reader: &BoundedReader<'_>, name: &'static str, finding: Result<Finding, DbErr>) -> Finding {
    let finding = finding.unwrap_or_else(|error| Finding::unanswered(name, &error.into()));
    match reader.limit() {
        Some(limit) if finding.is_given_up => {
            let limit = format::duration(limit);
            let detail = format!("cancelled after {limit}; `tarsy-db check --deep` has no time limit");
            Finding::skipped(name, detail).because("timed_out")
        }
        _ => finding,
    }
}
