//! `migrate-sqlite-to-postgres`: moves a history, completely or not at all, and proves it.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::{MigrateSqliteToPostgres, Verify};
use crate::connection::{self, Access};
use crate::database_url::{Backend, DatabaseUrl};
use crate::error::Error;
use crate::failure::{Doing, Failure};
use crate::output::{self, Block, Field, Report};
use crate::progress::{Amount, Progress};
use crate::schema::difference::Weight;
use crate::schema::standing::{self, Plan, Standing};
use crate::schema::upgrade::{self, SchemaError};
use crate::schema::{self, Schema, expected};
use crate::settings::{Settings, SettingsError};
use crate::transfer::copy::{self, TableLoad, Verification};
use crate::transfer::source::FileState;
use crate::transfer::{Source, TablePlan, TransferError, plan};

#[derive(Serialize)]
struct Summary {
    source: String,
    target: String,
    rows: u64,
    bytes: u64,
    seconds: f64,
    /// `values` or `counts`.
    verified: &'static str,
    tables: Vec<TableSummary>,
}

#[derive(Serialize)]
struct TableSummary {
    table: String,
    rows: u64,
    bytes: u64,
    seconds: f64,
    digest: Option<String>,
}

pub(super) async fn run(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    progress: &dyn Progress,
    before_commit: &dyn Fn(),
) -> Result<Report, Error> {
    let started = Instant::now();
    let (from, to) = (source_url(arguments.from.expose())?, target_url(arguments, settings)?);
    let DatabaseUrl::Sqlite(location) = &from else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let Some(path) = location.path.clone() else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    if to.backend() != Backend::Postgresql {
        return Err(wrong("the target", &to, Backend::Postgresql));
    }

    let before = FileState::of(&path);
    let source = connection::open(&from, Access::Read, arguments.lock_timeout).await?;
    let source_schema = schema_of_source(&source).await?;
    let target = connection::open_pool(&to, Access::Write, &settings.pool, arguments.lock_timeout).await?;
    let work = async {
        let target_schema = schema_of_target(&target).await?;
        let plan = plan::plan(&source_schema, &target_schema, &arguments.ignore)?;
        let mut source = Source::begin(&source, path, before).await?;
        let survey = source.survey(&plan, progress).await?;
        if !survey.hazards.is_empty() {
            return Err(TransferError::Hazards(survey.hazards));
        }
        upgrade::upgrade(&target, arguments.lock_timeout, &|| ()).await?;
        let pool = target.get_postgres_connection_pool();
        let loads =
            copy::load(pool, &plan, &survey, source, verification(arguments.verify), progress, before_commit).await?;
        Ok((plan, loads, survey.total()))
    };
    let (plan, loads, total) = match work.await {
        Err(TransferError::Database(error)) if error.cause.failure == Failure::Busy => {
            return Err(upgrade::locked(&target, arguments.lock_timeout).await.into());
        }
        result => result?,
    };
    Ok(report(&from, &to, verification(arguments.verify), &plan, &loads, total, started.elapsed()))
}

fn verification(verify: Verify) -> Verification {
    match verify {
        Verify::Values => Verification::Values,
        Verify::Counts => Verification::Counts,
    }
}

fn wrong(role: &'static str, url: &DatabaseUrl, expected: Backend) -> Error {
    TransferError::Backend { role, url: url.to_string(), expected }.into()
}

/// A URL, or else a path. What looks like a URL without its scheme is not taken, and shown, as a path.
fn source_url(text: &str) -> Result<DatabaseUrl, Error> {
    match text.contains("://") || (text.contains(':') && text.contains('@')) {
        false => Ok(DatabaseUrl::sqlite_file(text)),
        true => parsed(text, "--from"),
    }
}

fn target_url(arguments: &MigrateSqliteToPostgres, settings: &Settings) -> Result<DatabaseUrl, Error> {
    match &arguments.to {
        None => Ok(settings.database.value.clone()),
        Some(url) => parsed(url.expose(), "--to"),
    }
}

fn parsed(text: &str, flag: &str) -> Result<DatabaseUrl, Error> {
    text.parse().map_err(|source| SettingsError::Url { source_name: flag.to_owned(), source }.into())
}

async fn schema_of_source(source: &sea_orm::DatabaseConnection) -> Result<Schema, Error> {
    let standing = Standing::read(source).await.doing("read the source's ledger")?;
    match standing.plan() {
        Plan::Adopt => {}
        Plan::Nothing { revision } if revision == migration::BASELINE => {}
        Plan::Nothing { revision } => {
            let [revision, baseline] = [revision.as_str(), migration::BASELINE].map(standing::described);
            return Err(TransferError::SourceRevision { revision, baseline }.into());
        }
        Plan::Create => return Err(TransferError::SourceSchema("it has none of TARSy's tables".into()).into()),
        Plan::Incomplete { missing, .. } => {
            return Err(TransferError::SourceSchema(format!("it has no table {}", missing.join(", "))).into());
        }
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
    }
    Ok(schema::read(source).await.doing("read the source's schema")?)
}

/// The schema that the target has, or will have; nothing is created before the source was found sound.
async fn schema_of_target(target: &sea_orm::DatabaseConnection) -> Result<Schema, TransferError> {
    let encoding = connection::row(target, "SELECT current_setting('server_encoding') AS encoding").await;
    let encoding = encoding.and_then(|row| row.try_get::<String>("", "encoding")).doing("ask for the encoding")?;
    if encoding != "UTF8" {
        return Err(TransferError::Encoding { encoding });
    }
    let standing = Standing::read(target).await.doing("read the target's ledger")?;
    match standing.plan() {
        Plan::Create => return Ok(expected::baseline(target).await.doing("replay the baseline on the target")?),
        Plan::Adopt => {}
        Plan::Nothing { revision } if revision == migration::BASELINE => {
            // What refuses a row ends the move; what is missing would let a wrong one in.
            upgrade::require_baseline(target, &[Weight::Addition, Weight::Restriction]).await?;
        }
        Plan::Nothing { revision } => {
            let [revision, baseline] = [revision.as_str(), migration::BASELINE].map(standing::described);
            return Err(TransferError::TargetRevision { revision, baseline });
        }
        Plan::Incomplete { revision, missing } => return Err(SchemaError::Incomplete { revision, missing }.into()),
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
    }
    let pool = target.get_postgres_connection_pool();
    let mut connection = pool.acquire().await.doing("open the target")?;
    copy::require_empty(&mut connection, migration::TABLES.into_iter()).await?;
    drop(connection);
    Ok(schema::read(target).await.doing("read the target's schema")?)
}

fn report(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    verification: Verification,
    plan: &[TablePlan],
    loads: &[TableLoad],
    total: Amount,
    duration: Duration,
) -> Report {
    let verified = match verification {
        Verification::Values => "values",
        Verification::Counts => "counts",
    };
    let tables: Vec<TableSummary> = plan
        .iter()
        .zip(loads)
        .map(|(table, load)| TableSummary {
            table: table.name.clone(),
            rows: load.amount.rows,
            bytes: load.amount.bytes,
            seconds: load.duration.as_secs_f64(),
            digest: load.digest.map(|digest| digest.hex()),
        })
        .collect();
    let mut rows: Vec<Vec<Field>> = tables
        .iter()
        .map(|table| {
            let digest = table.digest.as_deref().map_or("-".to_owned(), |digest| digest[..16].to_owned());
            let seconds = Field::Number(format!("{:.2}", table.seconds));
            vec![
                table.table.as_str().into(),
                output::count(table.rows),
                output::bytes(table.bytes),
                seconds,
                digest.into(),
                verified.into(),
            ]
        })
        .collect();
    let seconds = Field::Number(format!("{:.2}", duration.as_secs_f64()));
    rows.push(vec![
        "total".into(),
        output::count(total.rows),
        output::bytes(total.bytes),
        seconds,
        "".into(),
        "".into(),
    ]);
    let blocks = vec![
        Block::Line(format!("moved {from} to {to}")),
        Block::Table { title: "tables", header: vec!["table", "rows", "bytes", "seconds", "digest", "verified"], rows },
    ];
    let summary = Summary {
        source: from.to_string(),
        target: to.to_string(),
        rows: total.rows,
        bytes: total.bytes,
        seconds: duration.as_secs_f64(),
        verified,
        tables,
    };
    Report::new(&summary, blocks)
}
