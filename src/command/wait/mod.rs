//! `wait`: waits until the database is usable, and reports why it is not.
//!
//! | module | what it is for |
//! |---|---|
//! | [`backoff`] | when to retry, and when to give up |
//! | [`orphans`] | the orphans of a container, which the kernel gives to its process 1 |

mod backoff;
mod orphans;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use migration::{Revision, ledger};
use sea_orm::DbBackend;
use serde::Serialize;

use self::backoff::{Backoff, Next};
use crate::cli::wait::{Wait, WaitFor};
use crate::database::connection::Connection;
use crate::database::connection::{self, Access, ConnectError, ConnectStep, LOCK_TIMEOUT};
use crate::database::failure::{DatabaseCause, ErrorClass, Verb};
use crate::database::readiness;
use crate::database::sqlite_file::require_room;
use crate::database::sqlite_holder;
use crate::database::url::{self, DatabaseUrl};
use crate::database::writable;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::format::{self, counted};
use crate::fs::{free_space, regular_file};
use crate::output::{Block, Report};
use crate::schema::row_policy;
use crate::schema::state::{Decision, SchemaState};
use crate::schema::state_error::StateError;
use crate::settings::Settings;

/// How long a server may take to answer after the login; it waits at most [`LOCK_TIMEOUT`] for a lock.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to check whether the server accepts connections.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// How many symbolic links Linux follows.
const MAX_LINKS: usize = 40;

#[derive(Serialize)]
struct WaitSummary {
    database: String,
    outcome: WaitOutcome,
    condition: WaitFor,
    attempts: u32,
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum WaitOutcome {
    Usable,
    /// The SQLite file does not exist, and the backend or `init` can create it.
    Creatable,
    /// The settings disable the history.
    Disabled,
}

/// What a database that does not exist is to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingDatabase {
    /// A failure, except for a SQLite file that the backend can create.
    Fails,
    /// Something that the caller creates, on SQLite with its directory.
    IsCreated,
}

/// The attempts, and the time until the database was usable.
pub(crate) struct Waited {
    attempts: u32,
    duration: Duration,
    outcome: WaitOutcome,
}

impl Wait {
    /// The arguments of `init --wait`: as many attempts as the time allows.
    pub(crate) fn at_most(timeout: Duration) -> Self {
        Self {
            condition: WaitFor::Writable,
            timeout: Some(timeout),
            max_attempts: None,
            max_interval: Duration::from_secs(30),
            retry_all: false,
            command: Vec::new(),
        }
    }
}

pub(crate) async fn run(arguments: &Wait, settings: &Settings) -> Result<Report, Error> {
    let url = &settings.database.value;
    let waited = match settings.history_enabled.value {
        true => {
            let usable = until_usable(arguments, settings, MissingDatabase::Fails);
            let waited = orphans::reaped_during(usable).await;
            waited.map_err(|source| Error::System { action: (Verb::Listen, "for signals").into(), source })??
        }
        // Without a history the backend needs no database.
        false => Waited { attempts: 0, duration: Duration::ZERO, outcome: WaitOutcome::Disabled },
    };
    if let Some((program, rest)) = arguments.command.split_first() {
        let source = std::process::Command::new(program).args(rest).exec();
        let command = program.to_string_lossy();
        let command = if url::is_url(&command) { "<URL>".into() } else { command.into_owned() };
        return Err(Error::Exec { command, source });
    }
    let line = match waited.outcome {
        WaitOutcome::Disabled => {
            format!("history is disabled ({}): nothing to wait for", settings.history_enabled.source)
        }
        WaitOutcome::Usable | WaitOutcome::Creatable => sentence(url, &waited),
    };
    let summary = WaitSummary {
        database: url.to_string(),
        outcome: waited.outcome,
        condition: arguments.condition,
        attempts: waited.attempts,
        seconds: waited.duration.as_secs_f64(),
    };
    Ok(Report::new(&summary, vec![Block::Line(line)]))
}

fn sentence(url: &DatabaseUrl, Waited { attempts, duration, outcome }: &Waited) -> String {
    let what = match outcome {
        WaitOutcome::Creatable => "does not exist yet, and the backend or `tarsy-db init` can create it",
        WaitOutcome::Usable | WaitOutcome::Disabled => "is usable",
    };
    format!("{url} {what} ({}, {})", counted((*attempts).into(), "attempt"), format::duration(*duration))
}

/// Retries until the database is usable.
///
/// # Errors
/// [`Error::DeadlineExceeded`] or [`Error::GaveUp`], with the last failure.
pub(crate) async fn until_usable(
    arguments: &Wait,
    settings: &Settings,
    missing: MissingDatabase,
) -> Result<Waited, Error> {
    let url = &settings.database.value;
    let started = Instant::now();
    let mut backoff = Backoff::new(arguments);
    let mut last: Option<ConnectError> = None;
    let mut woken_early = false;
    loop {
        let attempt = attempt(settings, arguments.condition, missing);
        let result = match backoff.remaining(started.elapsed()) {
            Some(remaining) => tokio::time::timeout(remaining, attempt).await,
            None => Ok(attempt.await),
        };
        let error = match result {
            Ok(Ok(outcome)) => {
                return Ok(Waited { attempts: backoff.failures + 1, duration: started.elapsed(), outcome });
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(deadline_exceeded(arguments, last.unwrap_or_else(|| cut_off(url)))),
        };
        let sqlstate = error.cause.server().map_or(String::new(), |server| format!(" (SQLSTATE {})", server.sqlstate));
        tracing::debug!("attempt {}: {}{sqlstate}", backoff.failures + 1, error.cause.described());
        let class = error.cause.class;
        // No retry gives TARSy another application's tables, or makes a file of a device.
        let is_special = url.sqlite_path().is_some_and(|path| regular_file::refuse_special(path).is_err());
        if (class == ErrorClass::Schema || is_special) && !arguments.retry_all {
            let (attempts, waited) = (backoff.failures + 1, started.elapsed());
            return Err(Error::GaveUp { attempts, waited, last: error });
        }
        let is_new = last.as_ref().is_none_or(|last| last.cause.class != class);
        if is_new {
            tracing::info!("waiting for {url}: {}", error.cause.described());
        }
        let pause = match backoff.after_failure(started.elapsed(), class.is_transient(), jittered) {
            Next::TryAgain { pause } => pause,
            Next::DeadlineExceeded => return Err(deadline_exceeded(arguments, error)),
            Next::GiveUp => {
                let (attempts, waited) = (backoff.failures, started.elapsed());
                return Err(Error::GaveUp { attempts, waited, last: error });
            }
        };
        last = Some(error);
        woken_early = pause_or_readiness(url, class, pause, !woken_early || is_new).await;
    }
}

/// The error of an attempt that the deadline cut off.
fn cut_off(url: &DatabaseUrl) -> ConnectError {
    let cause = DatabaseCause::new(ErrorClass::TimedOut, "the deadline passed during the attempt");
    ConnectError::new(url, ConnectStep::Login, cause)
}

fn deadline_exceeded(arguments: &Wait, last: ConnectError) -> Error {
    Error::DeadlineExceeded { limit: arguments.timeout.unwrap_or_default(), last: Some(last) }
}

/// Varies an interval by up to a tenth, so that replicas that started together do not retry together.
fn jittered(interval: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    interval * u32::try_from(900 + random / 5).unwrap_or(1000) / 1000
}

/// Sleeps, but not longer than until a server that was down accepts connections; returns whether it does. `was_closed`
/// is false if the server accepted connections before the failed attempt: then it has to close first.
async fn pause_or_readiness(url: &DatabaseUrl, class: ErrorClass, pause: Duration, mut was_closed: bool) -> bool {
    let (DatabaseUrl::Postgresql(address), true) = (url, class.is_before_login()) else {
        tokio::time::sleep(pause).await;
        return false;
    };
    let watch = async {
        loop {
            match (readiness::accepts_connections(address).await, was_closed) {
                (true, true) => return,
                (true, false) => {}
                (false, _) => was_closed = true,
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    };
    tokio::time::timeout(pause, watch).await.is_ok()
}

/// One attempt: connects, logs in and checks the condition.
async fn attempt(
    settings: &Settings,
    condition: WaitFor,
    missing: MissingDatabase,
) -> Result<WaitOutcome, ConnectError> {
    let (url, pool) = (&settings.database.value, settings.pool.limits().for_up_to(1));
    let unusable = |cause| ConnectError::new(url, ConnectStep::Login, cause);
    let unreadable = |cause| ConnectError::new(url, ConnectStep::FirstQueries, cause);
    if let Some(path) = url.sqlite_path().filter(|path| !path.exists()) {
        if missing == MissingDatabase::Fails {
            require_directory(&destination(path)).map_err(unusable)?;
        }
        return match condition {
            WaitFor::Schema => Err(unusable(schema_pending(&SchemaState::empty(), settings.schema_target.value))),
            WaitFor::Connect | WaitFor::Writable => Ok(WaitOutcome::Creatable),
        };
    }
    let access = if condition == WaitFor::Connect { Access::Read } else { Access::Write };
    // Opening a file for writing takes some of the room.
    if let (Access::Write, Some(path)) = (access, url.sqlite_path()) {
        require_room(path).map_err(unusable)?;
    }
    let connection = match connection::open(url, access, pool, LOCK_TIMEOUT).await {
        Err(error) if missing == MissingDatabase::IsCreated && error.cause.class == ErrorClass::NoSuchDatabase => {
            return Ok(WaitOutcome::Creatable);
        }
        connection => connection?,
    };
    let looked = tokio::time::timeout(ANSWER_TIMEOUT, look(&connection, condition, settings.schema_target.value)).await;
    let unanswered = |_| DatabaseCause::new(ErrorClass::TimedOut, "the server let us in, and answers nothing");
    let looked = looked.map_err(unanswered).flatten();
    looked.map_err(|cause| with_holder(url, cause)).map_err(unreadable)?;
    connection.close().await.map_err(|error| unusable(error.into()))?;
    Ok(WaitOutcome::Usable)
}

/// Where SQLite would create the file: at the end of symbolic links.
fn destination(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().map_or(target.clone(), |parent| parent.join(target));
    }
    path
}

/// Makes sure that SQLite can create a file there: it creates no directory.
fn require_directory(path: &Path) -> Result<(), DatabaseCause> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(DatabaseCause::new(ErrorClass::CannotOpen, format!("{shown} is not a directory"))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let message = format!("there is no directory {shown}, and the backend creates none");
            let remedy = match free_space::obstacle_to_directory(directory) {
                Some(obstacle) => format!("check the path: {obstacle}"),
                None => "check the path; `tarsy-db init` creates the directory with a new database".to_owned(),
            };
            return Err(DatabaseCause::new(ErrorClass::NoSuchFile, message).with_remedy(remedy));
        }
        Err(error) => return Err(DatabaseCause::of_io(&error)),
    }
    match free_space::obstacle_to_file(directory) {
        Some(obstacle) => Err(DatabaseCause::new(ErrorClass::FilePermission, obstacle)),
        None => require_room(directory),
    }
}

/// Looks whether the condition holds.
async fn look(connection: &Connection, condition: WaitFor, target: Revision) -> Result<(), DatabaseCause> {
    if condition == WaitFor::Connect {
        return Ok(());
    }
    require_writable(connection).await?;
    if condition == WaitFor::Schema {
        let state = connection.reading(async |reading| SchemaState::read(reading).await).await?;
        let decision = state.plan(target);
        if !matches!(decision, Decision::Nothing { .. }) {
            connection.reading(async |reading| row_policy::refuse(reading, &[ledger::TABLE]).await).await?;
            return Err(match decision {
                Decision::Refused(error) => unusable_schema(&error),
                Decision::Create { .. } if !state.elsewhere.is_empty() => {
                    unusable_schema(&StateError::Elsewhere(state.elsewhere))
                }
                _ => schema_pending(&state, target),
            });
        }
    }
    Ok(())
}

/// What `init` refuses as well. The backend may be creating or upgrading tables that are not complete; another
/// application's tables stay.
fn unusable_schema(error: &StateError) -> DatabaseCause {
    let class = match error {
        StateError::Foreign(_) | StateError::Ambiguous(_) | StateError::Padded(_) => ErrorClass::Schema,
        StateError::Incomplete { .. } | StateError::Leftover(_) => ErrorClass::SchemaIncomplete,
        _ => ErrorClass::SchemaPending,
    };
    DatabaseCause::new(class, error.to_string()).with_remedy(error.hint().unwrap_or_default())
}

fn schema_pending(state: &SchemaState, target: Revision) -> DatabaseCause {
    let (what, remedy) = state.pending(target).unwrap_or_default();
    DatabaseCause::new(ErrorClass::SchemaPending, what).with_remedy(remedy)
}

/// The process that has locked a SQLite file is named.
fn with_holder(url: &DatabaseUrl, cause: DatabaseCause) -> DatabaseCause {
    match url.sqlite_path() {
        Some(path) if cause.class == ErrorClass::Busy => sqlite_holder::locked(path),
        _ => cause,
    }
}

async fn require_writable(connection: &Connection) -> Result<(), DatabaseCause> {
    if connection.backend() != DbBackend::Postgres {
        // Takes the lock of a writer and releases it at once.
        connection.execute_alone("BEGIN IMMEDIATE").await?;
        connection.execute_alone("ROLLBACK").await?;
        return Ok(());
    }
    writable::require_writable(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_counts_the_attempts() {
        let url = DatabaseUrl::sqlite_file("history.db");
        let sentence =
            |attempts, outcome| sentence(&url, &Waited { attempts, duration: Duration::from_millis(1500), outcome });
        assert_eq!(sentence(1, WaitOutcome::Usable), format!("{url} is usable (1 attempt, 1s 500ms)"));
        assert_eq!(sentence(2, WaitOutcome::Usable), format!("{url} is usable (2 attempts, 1s 500ms)"));
        assert!(sentence(1, WaitOutcome::Creatable).starts_with(&format!("{url} does not exist yet, and ")));
    }

    #[test]
    fn a_pause_varies_by_a_tenth() {
        let interval = Duration::from_secs(10);
        for _ in 0..100 {
            let pause = jittered(interval);
            assert!((Duration::from_secs(9)..=Duration::from_secs(11)).contains(&pause), "{pause:?}");
        }
    }
}
