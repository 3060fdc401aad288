//! `migrate-sqlite-to-postgres`: migrates a history, completely or not at all, and verifies it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`append`] | `--append`: inserts rows into a target that already holds rows |
//! | [`load`] | the migration of all rows into an empty target |
//! | [`dry_run`] | `--dry-run`: checks source and target without writing |
//! | [`verify_only`] | `--verify-only`: compares the source with a target that was filled earlier |
//! | [`check_only`] | `--check-only`: checks the source only |
//! | [`answer`] | the answer of both if the source has values that PostgreSQL cannot hold |
//! | [`next_command`] | the command that this answer ends with |
//! | [`plan_report`] | the report of `--dry-run` |
//! | [`summary`] | what was migrated, as data and as tables |
//! | [`prepare`] | source and target before the first row is written |
//! | [`mod@run`] | one run: the source, the report's file, the changes by policies |
//! | [`mode`] | the flags as an enum |

mod answer;
mod append;
mod check_only;
mod dry_run;
mod load;
mod mode;
mod next_command;
mod plan_report;
mod prepare;
mod run;
mod summary;
mod verify_only;

use chrono::{DateTime, Utc};

use self::mode::{Mode, TargetMode};
use self::run::{Run, source_file, wrong};
use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::database::connection::PoolLimits;
use crate::database::failure::Verb;
use crate::database::url::Backend;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::output::Report;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::transfer::endpoints::EndpointError;

/// Whether the command may change the target.
pub(crate) fn writes(arguments: &MigrateSqliteToPostgres) -> bool {
    Mode::of(arguments).writes()
}

pub(crate) async fn run(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    now: DateTime<Utc>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let mode = match Mode::of(arguments) {
        Mode::CheckOnly => return interrupt.or(check_source(arguments, settings, now, progress)).await?,
        Mode::OnTarget(mode) => mode,
    };
    let to = &settings.database.value;
    if to.backend() != Backend::Postgresql {
        source_file(arguments.from.expose())?;
        return Err(no_target(arguments, settings));
    }
    let on_commit = || interrupt.hold();
    let work = match (arguments.dry_run, arguments.verify_only) {
        (true, _) => "the dry run",
        (_, true) => "the comparison",
        _ => "the move",
    };
    let watch = Watch::new(to, (Verb::Finish, work), &on_commit);
    let progress = watch.over_progress(progress);
    match interrupt.or(move_history(arguments, settings, now, &progress, mode, &watch)).await {
        Ok(result) => result,
        Err(signal) if watch.end_sessions().await => Err(Error::RolledBack(signal)),
        Err(signal) => Err(Error::RollingBack(signal)),
    }
}

/// The target's URL is not a PostgreSQL one: the one of `--to`, or the database URL where `--to` is not given.
fn no_target(arguments: &MigrateSqliteToPostgres, settings: &Settings) -> Error {
    let (url, source) = (&settings.database.value, &settings.database.source);
    match arguments.to {
        Some(_) => wrong("the target", url, Backend::Postgresql),
        None => EndpointError::NoTarget { url: url.to_string(), source_name: source.to_string() }.into(),
    }
}

async fn check_source(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    now: DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let (run, snapshot) = Run::open(arguments, PoolLimits::ONE, None, now, progress).await?;
    let result = run.check(snapshot).await;
    let question = run.question(settings);
    question.answer(run.settle(result, None))
}

/// Runs the mode on source and target.
async fn move_history(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    now: DateTime<Utc>,
    progress: &dyn Progress,
    mode: TargetMode,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let (to, backend_url) = (&settings.database.value, settings.backend_url());
    // The transaction of a move is the session's, which must not be replaced because of its age.
    let pool = PoolLimits { recycle: None, ..settings.pool.limits().for_up_to(1) };
    let empty_target = (mode == TargetMode::Load).then_some(to);
    let (run, snapshot) = Run::open(arguments, pool, empty_target, now, progress).await?;
    let result = match mode {
        TargetMode::Load => run.load(to, backend_url, snapshot, watch).await,
        TargetMode::DryRun => run.rehearse(to, snapshot, watch).await,
        TargetMode::Append(ending) => run.append(to, backend_url, snapshot, watch, ending).await,
        TargetMode::VerifyOnly => run.compare(to, snapshot, watch).await,
    };
    let question = run.question(settings);
    let result = run.settle(result, Some(watch));
    if arguments.dry_run { question.answer(result) } else { result }
}
