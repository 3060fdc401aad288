//! The subcommands. Each resolves its settings, plans, acts and reports.
//!
//! | module | what it is for |
//! |---|---|
//! | [`check`] | checks whether connection, schema and data are sound |
//! | [`info`] | shows the contents of the database and the settings in force |
//! | [`init`] | creates or upgrades the schema |
//! | [`wait`] | waits until the database is usable |
//! | [`prune`] | removes old sessions |
//! | [`migrate`] | migrates a history from SQLite to PostgreSQL |
//! | [`direct`] | whether the direct URL leads to the same database |
//! | [`completions`] | prints the completions for a shell |
//! | [`given_database`] | how the database was given, for commands to paste |
//! | [`retention`] | how long sessions are kept, and the source of that setting |
//! | [`context`] | what a command needs of the process: environment, clock, progress |

mod check;
mod completions;
pub(crate) mod context;
mod direct;
mod given_database;
mod info;
mod init;
mod migrate;
mod prune;
mod retention;
mod wait;

use std::path::{Path, PathBuf};

use crate::cli::global::Global;
use crate::cli::{Cli, Command};
use crate::command::context::Context;
use crate::database::connection::remove_empty_wal;
use crate::database::failure::Verb;
use crate::database::read_transaction::QUERY_LIMIT;
use crate::database::watchdog::Watch;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::fs::open_files;
use crate::interrupt::Interrupt;
use crate::output::Report;
use crate::settings::{Flags, Settings};

/// Runs one command.
///
/// # Errors
/// [`Error`], with its exit code and hint.
pub(crate) fn run(cli: Cli, context: &Context) -> Result<Report, Error> {
    if let Command::Completions(arguments) = &cli.command {
        return Ok(completions::run(arguments));
    }
    let settings = settings(&cli, context)?;
    let settings = if needs_session(&cli.command) { settings.for_a_session() } else { settings };
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if writes(&cli.command) {
        tracing::info!("the database is {} ({})", settings.database.value, settings.database.source);
    }
    open_files::require_spare()
        .map_err(|source| Error::System { action: (Verb::Open, "the files that a command needs").into(), source })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System { action: (Verb::Start, "the runtime").into(), source })?;
    let written = written_files(&cli.command, &settings);
    let result = runtime.block_on(async {
        let result = dispatch(cli.command, &settings, context).await;
        if exit_code(&result) == ExitCode::InputOutput {
            for file in &written {
                remove_empty_wal(file).await;
            }
        }
        result
    });
    // The thread of an unanswered confirmation prompt may still be running.
    runtime.shutdown_background();
    context.progress.clear();
    result
}

async fn dispatch(command: Command, settings: &Settings, context: &Context) -> Result<Report, Error> {
    let interrupt =
        Interrupt::listen().map_err(|source| Error::System { action: (Verb::Listen, "for signals").into(), source })?;
    let url = &settings.database.value;
    let watch = Watch::new(url, (Verb::Compare, "the database of the direct URL"), &|| ());
    interrupt.or(watch.over(direct::require_same(settings))).await??;
    match command {
        Command::Init(arguments) => {
            let on_commit = || interrupt.hold();
            let watch = Watch::new(url, (Verb::Upgrade, "the schema"), &on_commit);
            let result = interrupt.or(Box::pin(init::run(&arguments, settings, &watch))).await;
            match result {
                Ok(result) => result,
                Err(signal) if watch.end_sessions().await => Err(Error::RolledBack(signal)),
                Err(signal) => Err(Error::RollingBack(signal)),
            }
        }
        Command::Wait(arguments) => interrupt.or(Box::pin(wait::run(&arguments, settings))).await?,
        Command::Check(arguments) => {
            let limit = (!arguments.deep && !arguments.fix).then_some(QUERY_LIMIT);
            let watch = Watch::new(url, (Verb::Check, "the database"), &|| ()).with_query_limit(limit);
            let work = watch.over(check::run(&arguments, settings, context.now, &watch));
            unless_stopped(&interrupt, &watch, work).await
        }
        Command::Info(arguments) => {
            let limit = (!arguments.exact).then_some(QUERY_LIMIT);
            let watch = Watch::new(url, (Verb::Read, "the database"), &|| ()).with_query_limit(limit);
            let work = watch.over(info::run(&arguments, settings, context.now, &watch));
            unless_stopped(&interrupt, &watch, work).await.map_err(Error::of_reading)
        }
        Command::Prune(arguments) => Box::pin(prune::run(&arguments, settings, context, &interrupt)).await,
        Command::MigrateSqliteToPostgres(arguments) => {
            let progress = context.progress.as_ref();
            Box::pin(migrate::run(&arguments, settings, context.now, progress, &interrupt)).await
        }
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    }
}

/// Runs work that only reads; a signal stops it and ends its session on the server.
async fn unless_stopped(
    interrupt: &Interrupt,
    watch: &Watch<'_>,
    work: impl Future<Output = Result<Report, Error>>,
) -> Result<Report, Error> {
    match interrupt.or(work).await {
        Ok(result) => result,
        Err(signal) => {
            watch.end_sessions().await;
            Err(signal.into())
        }
    }
}

fn settings(cli: &Cli, context: &Context) -> Result<Settings, Error> {
    let target = match &cli.command {
        Command::MigrateSqliteToPostgres(arguments) => arguments.to.clone(),
        _ => None,
    };
    let Global { database_url, direct_url, config, .. } = &cli.global;
    let flags = Flags {
        target,
        database_url: database_url.clone(),
        direct_url: direct_url.clone(),
        needs_session: needs_session(&cli.command),
        config: config.clone(),
    };
    Ok(Settings::load(&flags, &context.environment)?)
}

/// Whether a command needs a session of the server, which a pooler may not give: it runs statements outside of a transaction,
/// or a transaction that is longer than a pooler may allow.
fn needs_session(command: &Command) -> bool {
    match command {
        Command::Check(arguments) => arguments.fix,
        Command::Prune(arguments) => arguments.vacuum,
        Command::MigrateSqliteToPostgres(_) => true,
        // `init` is one short transaction of the role that is to own the tables, and `wait` tests the way of the backend.
        Command::Init(_) | Command::Wait(_) | Command::Info(_) | Command::Completions(_) => false,
    }
}

/// The SQLite files that a command may write to.
fn written_files(command: &Command, settings: &Settings) -> Vec<PathBuf> {
    if !writes(command) {
        return Vec::new();
    }
    let archive = match command {
        Command::Prune(arguments) => arguments.archive.clone(),
        _ => None,
    };
    let database = settings.database.value.sqlite_path().map(Path::to_owned);
    database.into_iter().chain(archive).collect()
}

fn exit_code(result: &Result<Report, Error>) -> ExitCode {
    match result {
        Ok(report) => report.error.as_ref().map_or(report.exit_code, Diagnostic::exit_code),
        Err(error) => error.exit_code(),
    }
}

/// Whether a command may change the database of the settings.
fn writes(command: &Command) -> bool {
    match command {
        Command::Init(arguments) => !arguments.dry_run && !arguments.sql,
        Command::Check(arguments) => arguments.fix,
        Command::Prune(arguments) => !arguments.dry_run,
        Command::MigrateSqliteToPostgres(arguments) => migrate::writes(arguments),
        Command::Wait(_) | Command::Info(_) | Command::Completions(_) => false,
    }
}
