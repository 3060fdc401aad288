//! `init`: brings the schema to a revision, or makes sure that it is there.

use migration::Revision;
use sea_orm::DatabaseConnection;
use serde::Serialize;

use super::wait;
use crate::cli::init::Init;
use crate::cli::wait::Wait;
use crate::database::connection::{self, Access};
use crate::database::failure::{ErrorClass, ResultExt};
use crate::database::url::{DatabaseUrl, SqliteLocation};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::{Block, Field, Report};
use crate::schema::error::SchemaError;
use crate::schema::lock::Locked;
use crate::schema::state::{self, StateError};
use crate::schema::upgrade::assess::{Start, UpgradePlan, assess};
use crate::schema::upgrade::{self, script};
use crate::settings::Settings;

#[derive(Serialize)]
struct InitSummary {
    database: String,
    /// `disabled`, `present`, `created`, `adopted` or `upgraded`; with `dry_run` what it would be.
    outcome: &'static str,
    dry_run: bool,
    /// Where the database stood, if it had a history.
    from: Option<String>,
    /// Where it stands now.
    revision: Option<String>,
    /// The revisions that were applied, in their order.
    applied: Vec<Step>,
    /// With `dry_run`: those that would be.
    pending: Vec<Step>,
    /// With `--sql`: the statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Step {
    revision: &'static str,
    number: usize,
    change: &'static str,
}

pub(crate) async fn run(arguments: &Init, settings: &Settings, watch: &Watch<'_>) -> Result<Report, Error> {
    let url = &settings.database.value;
    if !settings.history_enabled.value {
        let line = format!("history is disabled ({}): {url} was left alone", settings.history_enabled.source);
        let summary = InitSummary {
            database: url.to_string(),
            outcome: "disabled",
            dry_run: false,
            from: None,
            revision: None,
            applied: Vec::new(),
            pending: Vec::new(),
            sql: None,
        };
        return Ok(Report::new(&summary, vec![Block::Line(line)]));
    }
    if let Some(timeout) = arguments.wait {
        wait::until_usable(&Wait::at_most(timeout), settings).await?;
    }
    let target = arguments.to.unwrap_or(settings.schema_target.value);
    let dry_run = arguments.dry_run || arguments.sql;
    let mut sql = None;
    let work = async {
        if !dry_run {
            return reach(arguments, url, target, watch).await;
        }
        let mut connection = open_to_look(arguments, url).await?;
        watch.attach(&mut connection);
        let assess = assess(&connection, target).await?;
        if arguments.sql {
            sql = Some(script::of(&mut connection, &assess).await.context("write down the upgrade")?);
        }
        connection.close().await.ok();
        Ok(assess)
    };
    let assess = watch.over(work).await?;
    if let (Start::Ledger(revision), true) = (&assess.start, arguments.strict)
        && Revision::from_id(revision).is_none()
    {
        return Err(StateError::Unknown(revision.clone()).into());
    }
    Ok(report(url, &assess, dry_run, sql))
}

async fn open(arguments: &Init, url: &DatabaseUrl, access: Access) -> Result<DatabaseConnection, Error> {
    match connection::open(url, access, arguments.lock_timeout).await {
        Err(error) if error.cause.class == ErrorClass::Busy => {
            Err(SchemaError::from(Locked::on_file(url, arguments.lock_timeout)).into())
        }
        connection => Ok(connection?),
    }
}

/// Opens a database without changing anything; a file that is not there is taken for an empty one.
async fn open_to_look(arguments: &Init, url: &DatabaseUrl) -> Result<DatabaseConnection, Error> {
    match url {
        DatabaseUrl::Sqlite(SqliteLocation { path: Some(path), .. }) if !path.exists() => {
            let memory = DatabaseUrl::Sqlite(SqliteLocation::memory());
            open(arguments, &memory, Access::Read).await
        }
        _ => open(arguments, url, Access::Read).await,
    }
}

/// Brings the database to the target. A file that cannot be written is well if it is there already.
async fn reach(arguments: &Init, url: &DatabaseUrl, target: Revision, watch: &Watch<'_>) -> Result<UpgradePlan, Error> {
    let mut connection = match open(arguments, url, Access::Create).await {
        Err(Error::Connect(error)) if error.cause.class == ErrorClass::Privilege => {
            let looked = async { Ok::<_, Error>(assess(&open_to_look(arguments, url).await?, target).await?) };
            return looked.await.ok().filter(UpgradePlan::is_done).ok_or(Error::Connect(error));
        }
        connection => connection?,
    };
    watch.attach(&mut connection);
    let before_commit = || watch.commit_begins();
    let done = upgrade::upgrade(&connection, target, arguments.lock_timeout, &before_commit).await?;
    connection.close().await.ok();
    Ok(done)
}

fn report(url: &DatabaseUrl, assess: &UpgradePlan, dry_run: bool, sql: Option<Vec<String>>) -> Report {
    let revision = state::described(assess.revision());
    let [created, adopted, upgraded] = match dry_run {
        true => ["would create", "would adopt", "would upgrade"],
        false => ["created", "adopted", "upgraded"],
    };
    let (outcome, line) = match (&assess.start, assess.pending.is_empty()) {
        (Start::Empty, _) => ("created", format!("{created} the schema in {url} at revision {revision}")),
        (Start::Tables(from), _) => {
            let line = format!("{adopted} the tables in {url}, which have no ledger, as those of revision {from}");
            ("adopted", if assess.pending.is_empty() { line } else { format!("{line}, at revision {revision}") })
        }
        (Start::Ledger(from), false) => {
            ("upgraded", format!("{upgraded} {url} from revision {} to {revision}", state::described(from)))
        }
        (Start::Ledger(_), true) => ("present", format!("{url} is at revision {revision}: left alone")),
    };
    let rows = assess.pending.iter().map(|revision| -> Vec<Field> {
        vec![Field::Number(revision.number().to_string()), revision.id().into(), revision.change().into()]
    });
    let mut blocks = vec![Block::Line(line)];
    if assess.start != Start::Empty && !assess.pending.is_empty() {
        let title = if dry_run { "pending (nothing was changed)" } else { "applied" };
        blocks.push(Block::Table { title, header: vec!["", "revision", "change"], rows: rows.collect() });
    }
    if let Some(statements) = &sql {
        // Without these words both shells would go on after an error.
        let comment = match (statements.is_empty(), url) {
            (true, _) => format!("-- {url} is at revision {revision}: nothing to do"),
            (false, DatabaseUrl::Sqlite(_)) => "-- run with: sqlite3 -bail FILE".to_owned(),
            (false, DatabaseUrl::Postgresql(_)) => "-- run with: psql --set ON_ERROR_STOP=1".to_owned(),
        };
        let lines = std::iter::once(comment).chain(statements.iter().map(|sql| format!("{sql};")));
        blocks = vec![Block::Script(lines.collect::<Vec<_>>().join("\n"))];
    }
    let steps = assess.pending.iter().map(|revision| Step {
        revision: revision.id(),
        number: revision.number(),
        change: revision.change(),
    });
    let (applied, pending) = if dry_run { (Vec::new(), steps.collect()) } else { (steps.collect(), Vec::new()) };
    let summary = InitSummary {
        database: url.to_string(),
        outcome,
        dry_run,
        from: match &assess.start {
            Start::Empty => None,
            Start::Tables(revision) => Some(revision.id().to_owned()),
            Start::Ledger(revision) => Some(revision.clone()),
        },
        revision: Some(assess.revision().to_owned()),
        applied,
        pending,
        sql,
    };
    Report::new(&summary, blocks)
}
