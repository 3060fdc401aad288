//! `migrate-sqlite-to-postgres`: moves a history, completely or not at all, and proves it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use migration::Revision;
use sea_orm::{DatabaseConnection, DbBackend};
use serde::Serialize;

use crate::cli::{MigrateSqliteToPostgres, Verify};
use crate::connection::{self, Access};
use crate::database_url::{Backend, DatabaseUrl};
use crate::error::Error;
use crate::failure::{Doing, Failure};
use crate::output::{self, Block, Field, Report};
use crate::progress::{Amount, Progress};
use crate::schema::difference::Weight;
use crate::schema::shape::{self, Shape};
use crate::schema::standing::{self, Plan, Standing};
use crate::schema::{self, Drift, Schema, SchemaError, expected, upgrade};
use crate::settings::{Settings, SettingsError};
use crate::transfer::copy::{self, TableLoad, Verification};
use crate::transfer::snapshot::Terms;
use crate::transfer::{Snapshot, Source, TransferError, plan};

#[derive(Serialize)]
struct Summary {
    source: String,
    target: String,
    /// What both ends are at.
    revision: &'static str,
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

    let terms = Terms {
        readers: NonZeroUsize::MIN,
        lock_timeout: location.busy_timeout.unwrap_or(arguments.lock_timeout),
        directory: &std::env::temp_dir(),
    };
    let snapshot = Snapshot::take(&path, &terms, progress).await.map_err(TransferError::from)?;
    tracing::info!("the source {from}: {}", snapshot.origin());
    let (revision, shape, source_schema) = survey_source(&snapshot.readers()[0]).await?;
    let target = connection::open_pool(&to, Access::Write, &settings.pool, arguments.lock_timeout).await?;
    let work = async {
        let (target_schema, relaxations) = schema_of_target(&target, revision, shape).await?;
        let tables = plan::plan(&revision.tables(), &source_schema, &target_schema, &arguments.ignore)?;
        let plan = plan::Plan { revision, tables, relaxations };
        let mut source = Source::begin(snapshot).await?;
        let survey = source.survey(&plan.tables, progress).await?;
        if !survey.hazards.is_empty() {
            return Err(TransferError::Hazards(survey.hazards));
        }
        upgrade::upgrade(&target, revision, arguments.lock_timeout, &|| ()).await?;
        let pool = target.get_postgres_connection_pool();
        let loads =
            copy::load(pool, &plan, &survey, source, verification(arguments.verify), progress, before_commit).await?;
        Ok((plan, loads, survey.total()))
    };
    let (plan, loads, total) = match work.await {
        Err(TransferError::Database(error)) if error.cause.failure == Failure::Busy => {
            return Err(SchemaError::locked(&target, arguments.lock_timeout).await.into());
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

/// The revision of the source, its shape, and its schema.
async fn survey_source(source: &DatabaseConnection) -> Result<(Revision, Shape, Schema), Error> {
    let standing = Standing::read(source).await.doing("read the source's ledger")?;
    let found = schema::read(source).await.doing("read the source's schema")?;
    // What an interrupted upgrade left behind has no place on the target, and is named as such.
    let standing = Standing { leftovers: Vec::new(), ..standing };
    let revision = match standing.plan(Revision::BASELINE) {
        Plan::Nothing { revision } | Plan::Incomplete { revision: Some(revision), .. } => {
            Revision::from_id(&revision).ok_or(TransferError::SourceRevision { revision })?
        }
        Plan::Adopt => shape::likest(source, &found).await.doing("replay the revisions")?.0,
        Plan::Incomplete { revision: None, .. } => Revision::BASELINE,
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Create { .. } => return Err(TransferError::SourceSchema("it has none of TARSy's tables".into()).into()),
        Plan::Upgrade { .. } | Plan::Leftover { .. } => unreachable!("every revision is beyond the baseline"),
    };
    let expected = expected::replay(source, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    for (table, expected) in &expected[&revision].tables {
        let missing = match found.tables.get(table) {
            None => Some(format!("table {table}")),
            Some(found) => {
                let mut columns = expected.columns.keys();
                let missing = columns.find(|column| !found.columns.contains_key(*column));
                missing.map(|column| format!("column {table}.{column}"))
            }
        };
        if let Some(missing) = missing {
            let message = format!("it is at revision {revision}, but has no {missing}");
            return Err(TransferError::SourceSchema(message).into());
        }
    }
    let shape = shape::closest(DbBackend::Sqlite, revision, &expected[&revision], &found).shape;
    Ok((revision, shape, found))
}

/// The schema that the target will have, at the source's revision and in a shape that takes the source's rows, and
/// the statements that give it this shape. Nothing is created before the source was found sound.
async fn schema_of_target(
    target: &DatabaseConnection,
    revision: Revision,
    shape: Shape,
) -> Result<(Schema, Vec<String>), TransferError> {
    let encoding = connection::row(target, "SELECT current_setting('server_encoding') AS encoding").await;
    let encoding = encoding.and_then(|row| row.try_get::<String>("", "encoding")).doing("ask for the encoding")?;
    if encoding != "UTF8" {
        return Err(TransferError::Encoding { encoding });
    }
    let beyond = |found: String| TransferError::TargetRevision { revision: found, source_revision: revision };
    let standing = Standing::read(target).await.doing("read the target's ledger")?;
    let found = schema::read(target).await.doing("read the target's schema")?;
    let start = match standing.plan(revision) {
        Plan::Create { to } if to > revision => return Err(beyond(to.to_string())),
        Plan::Create { .. } => None,
        Plan::Adopt => Some(shape::likest(target, &found).await.doing("replay the revisions")?.0),
        Plan::Upgrade { from, .. } => Some(from),
        Plan::Nothing { revision: at } => match Revision::from_id(&at) {
            Some(at) => Some(at),
            None => return Err(beyond(standing::described(&at))),
        },
        Plan::Incomplete { revision, missing } => return Err(SchemaError::Incomplete { revision, missing }.into()),
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Leftover { tables } => return Err(SchemaError::Leftover(tables).into()),
    };
    if let Some(start) = start {
        if start > revision {
            return Err(beyond(start.to_string()));
        }
        let pool = target.get_postgres_connection_pool();
        let mut connection = pool.acquire().await.doing("open the target")?;
        copy::require_empty(&mut connection, start.tables().into_iter()).await?;
    }
    let replayed = expected::replay(target, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    let before = if start == Some(revision) {
        // What refuses a row ends the move; what is missing would let a wrong one in.
        let differences = shape::closest(DbBackend::Postgres, revision, &replayed[&revision], &found).differences;
        let faults: Vec<_> = differences.into_iter().filter(|fault| fault.weight == Weight::Drift).collect();
        if !faults.is_empty() {
            return Err(SchemaError::from(Drift::new(revision, faults)).into());
        }
        found
    } else {
        replayed[&revision].clone()
    };
    let mut after = before.clone();
    shape::relax(&mut after, shape);
    let relaxations = shape::relaxations(&before, &after);
    Ok((after, relaxations))
}

fn report(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    verification: Verification,
    plan: &plan::Plan,
    loads: &[TableLoad],
    total: Amount,
    duration: Duration,
) -> Report {
    let verified = match verification {
        Verification::Values => "values",
        Verification::Counts => "counts",
    };
    let revision = plan.revision;
    let tables: Vec<TableSummary> = plan
        .tables
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
        Block::Line(format!("moved {from} to {to}, both at revision {revision}")),
        Block::Table { title: "tables", header: vec!["table", "rows", "bytes", "seconds", "digest", "verified"], rows },
    ];
    let summary = Summary {
        source: from.to_string(),
        target: to.to_string(),
        revision: revision.id(),
        rows: total.rows,
        bytes: total.bytes,
        seconds: duration.as_secs_f64(),
        verified,
        tables,
    };
    Report::new(&summary, blocks)
}
