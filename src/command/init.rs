//! `init`: brings the schema to a revision, or makes sure that it is there.

use migration::Revision;
use sea_orm::DatabaseConnection;
use serde::Serialize;

use super::wait;
use crate::cli::{Init, Wait};
use crate::connection::{self, Access};
use crate::database_url::{DatabaseUrl, SqliteLocation};
use crate::error::Error;
use crate::failure::{Doing, Failure};
use crate::output::{Block, Field, Report};
use crate::schema::survey::{Start, Survey, survey};
use crate::schema::{SchemaError, script, standing, upgrade};
use crate::settings::Settings;

#[derive(Serialize)]
struct Summary {
    database: String,
    /// `disabled`, `present`, `created`, `adopted` or `upgraded`; with `dry_run` what it would be.
    outcome: &'static str,
    dry_run: bool,
    /// Where the database stood, if it had a history.
    from: Option<String>,
    /// Where it stands now.
    revision: Option<String>,
    /// The revisions that were applied, in their order.
    applied: Vec<Applied>,
    /// With `--sql`: the statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Applied {
    revision: &'static str,
    number: usize,
    change: &'static str,
}

pub(super) async fn run(arguments: &Init, settings: &Settings, before_commit: &dyn Fn()) -> Result<Report, Error> {
    let url = &settings.database.value;
    if !settings.history_enabled.value {
        let line = format!("history is disabled ({}): {url} was left alone", settings.history_enabled.source);
        let summary = Summary {
            database: url.to_string(),
            outcome: "disabled",
            dry_run: false,
            from: None,
            revision: None,
            applied: Vec::new(),
            sql: None,
        };
        return Ok(Report::new(&summary, vec![Block::Line(line)]));
    }
    if let Some(timeout) = arguments.wait {
        wait::until_usable(&Wait::at_most(timeout), settings).await?;
    }
    let target = arguments.to.unwrap_or(settings.schema_target.value);
    let dry_run = arguments.dry_run || arguments.sql;
    let mut connection = open(arguments, url, dry_run).await?;
    let survey = match dry_run {
        true => survey(&connection, target).await?,
        false => upgrade::upgrade(&connection, target, arguments.lock_timeout, before_commit).await?,
    };
    if let (Start::Ledger(revision), true) = (&survey.start, arguments.strict)
        && Revision::from_id(revision).is_none()
    {
        return Err(Error::Newer(revision.clone()));
    }
    let sql = match arguments.sql {
        true => Some(script::of(&mut connection, &survey).await.doing("write down the upgrade")?),
        false => None,
    };
    connection.close().await.ok();
    Ok(report(url, &survey, dry_run, sql))
}

async fn open(arguments: &Init, url: &DatabaseUrl, dry_run: bool) -> Result<DatabaseConnection, Error> {
    let (url, access) = match (url, dry_run) {
        (_, false) => (url, Access::Create),
        // What is not there yet is looked at without creating it.
        (DatabaseUrl::Sqlite(SqliteLocation { path: Some(path), .. }), true) if !path.exists() => {
            (&DatabaseUrl::Sqlite(SqliteLocation { path: None, busy_timeout: None }), Access::Read)
        }
        (_, true) => (url, Access::Read),
    };
    match connection::open(url, access, arguments.lock_timeout).await {
        Err(error) if error.cause.failure == Failure::Busy => {
            Err(SchemaError::locked_file(url, arguments.lock_timeout).into())
        }
        connection => Ok(connection?),
    }
}

fn report(url: &DatabaseUrl, survey: &Survey, dry_run: bool, sql: Option<Vec<String>>) -> Report {
    let revision = standing::described(survey.revision());
    let [created, adopted, upgraded] = match dry_run {
        true => ["would create", "would adopt", "would upgrade"],
        false => ["created", "adopted", "upgraded"],
    };
    let (outcome, line) = match (&survey.start, survey.pending.is_empty()) {
        (Start::Empty, _) => ("created", format!("{created} the schema in {url} at revision {revision}")),
        (Start::Tables(from), _) => {
            let line = format!("{adopted} the tables in {url}, which have no ledger, as those of revision {from}");
            ("adopted", if survey.pending.is_empty() { line } else { format!("{line}, at revision {revision}") })
        }
        (Start::Ledger(from), false) => {
            ("upgraded", format!("{upgraded} {url} from revision {} to {revision}", standing::described(from)))
        }
        (Start::Ledger(_), true) => ("present", format!("{url} is at revision {revision}: left alone")),
    };
    let rows = survey.pending.iter().map(|revision| -> Vec<Field> {
        vec![Field::Number(revision.number().to_string()), revision.id().into(), revision.change().into()]
    });
    let mut blocks = vec![Block::Line(line)];
    if survey.start != Start::Empty && !survey.pending.is_empty() {
        let title = if dry_run { "pending (nothing was changed)" } else { "applied" };
        blocks.push(Block::Table { title, header: vec!["", "revision", "change"], rows: rows.collect() });
    }
    if let Some(statements) = &sql {
        blocks = vec![Block::Line(statements.iter().map(|sql| format!("{sql};")).collect::<Vec<_>>().join("\n"))];
    }
    let summary = Summary {
        database: url.to_string(),
        outcome,
        dry_run,
        from: match &survey.start {
            Start::Empty => None,
            Start::Tables(revision) => Some(revision.id().to_owned()),
            Start::Ledger(revision) => Some(revision.clone()),
        },
        revision: Some(survey.revision().to_owned()),
        applied: survey
            .pending
            .iter()
            .map(|revision| Applied { revision: revision.id(), number: revision.number(), change: revision.change() })
            .collect(),
        sql,
    };
    Report::new(&summary, blocks)
}
