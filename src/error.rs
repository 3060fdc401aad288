//! The error of a command, which gathers the errors of the modules: message, exit code, hint.

use std::panic::{Location, PanicHookInfo};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::connection::ConnectError;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, OTHER_PROGRAM, ServerAnswer};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::{cause, counted, duration, number, percentage};
use crate::fs::{open_files, write_error};
use crate::history::archive::error::ArchiveError;
use crate::history::places::RowIdError;
use crate::history::removal::triggers::TriggerError;
use crate::history::retention::policy::RetentionError;
use crate::interrupt::Signal;
use crate::metrics::MetricsError;
use crate::schema::error::SchemaError;
use crate::schema::state_error::StateError;
use crate::settings::SettingsError;
use crate::transfer::endpoints::EndpointError;
use crate::transfer::error::TransferError;
use crate::transfer::plan::PlanError;
use crate::transfer::report::ReportError;
use crate::transfer::source::error::SourceError;
use crate::transfer::source::unmapped::UnmappedError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement of a command that writes failed: its transaction was rolled back.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A statement of a command that only reads failed.
    #[error(transparent)]
    Read(DatabaseError),
    /// The schema does not match a revision, or cannot be upgraded.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The migration to PostgreSQL failed.
    #[error(transparent)]
    Transfer(TransferError),
    /// The retention cannot be applied.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// A confirmation is needed, and there is no terminal to ask on.
    #[error("{what}, and there is no terminal to confirm this; nothing was changed")]
    NotConfirmed {
        /// What would have been done.
        what: String,
    },
    /// The share of sessions that would be removed exceeds `--max-share`.
    #[error(
        "this would remove {} of {} ({}); `--max-share` allows {}; nothing was changed",
        number(*sessions), counted(*of_sessions, "session"), percentage(share(*sessions, *of_sessions)), percentage(*limit)
    )]
    TooLargeAShare {
        /// The sessions that would be removed.
        sessions: u64,
        /// All sessions.
        of_sessions: u64,
        /// The allowed share; 1 is all.
        limit: f64,
    },
    /// Triggers of the operator would fire without a search path.
    #[error(transparent)]
    Triggers(#[from] TriggerError),
    /// Rows of a table cannot be found again.
    #[error(transparent)]
    RowIds(#[from] RowIdError),
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The metrics file cannot be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The operator answered no.
    #[error("not confirmed; nothing was changed")]
    Declined,
    /// A flag about roles, with a SQLite database.
    #[error("`{flag}` needs PostgreSQL, and the database is {target}")]
    NoRoles { flag: &'static str, target: String },
    /// A change would be made in another database than the backend's.
    #[error("the direct URL leads to {direct}, which is not the database of the database URL, {database}")]
    OtherDatabase { direct: String, database: String },
    /// `wait` ran out of time.
    #[error("the database did not become usable within {}", duration(*.limit))]
    DeadlineExceeded {
        /// `--timeout`.
        limit: Duration,
        /// The failure of the last attempt, if there was one.
        #[source]
        last: Option<ConnectError>,
    },
    /// `wait` gave up: the attempts are used up, or the failure needs an operator.
    #[error("gave up waiting after {} and {}", counted((*.attempts).into(), "attempt"), duration(*.waited))]
    GaveUp {
        /// The number of attempts.
        attempts: u32,
        /// The time since the first attempt.
        waited: Duration,
        /// The failure of the last attempt.
        #[source]
        last: ConnectError,
    },
    /// The command of `wait -- COMMAND` cannot be run.
    #[error("cannot run `{command}`")]
    Exec { command: String, source: std::io::Error },
    /// A signal stopped the process, which had no open transaction.
    #[error("stopped by {0}")]
    Interrupted(Signal),
    /// A signal stopped the process during a transaction.
    #[error("stopped by {0}; uncommitted changes were rolled back")]
    RolledBack(Signal),
    /// A signal stopped the process during a transaction, and the server may not have noticed yet.
    #[error("stopped by {0}; uncommitted changes are rolled back as soon as the server notices the closed connection")]
    RollingBack(Signal),
    /// The result could not be written to standard output.
    #[error("cannot write to standard output{}", but_committed(.committed.as_deref()))]
    Output {
        /// What the command has committed.
        committed: Option<String>,
        source: std::io::Error,
    },
    /// A panic of tarsy-db, which is a defect.
    #[error("internal error, a defect in tarsy-db: {what} ({place})")]
    Panic {
        /// The panic's message.
        what: String,
        /// Crate, file and line.
        place: String,
        /// Complete reports that were left on disk.
        kept: Vec<PathBuf>,
    },
    /// A panic of the driver while it read a message of the server.
    #[error("the server sent a message that violates the PostgreSQL protocol: {what} ({place}); {OTHER_PROGRAM}")]
    Protocol {
        /// The message of the driver's panic.
        what: String,
        /// Crate, file and line.
        place: String,
        /// Complete reports that were left on disk.
        kept: Vec<PathBuf>,
    },
    /// The file of `--kept-file` cannot be written, or exists.
    #[error("cannot write the list of kept sessions to {path}")]
    KeptFile { path: String, source: std::io::Error },
    /// The process could not be set up.
    #[error("cannot {action}")]
    System { action: Action, source: std::io::Error },
}

/// `; the changes are committed: moved history.db to db:5432/tarsy`.
fn but_committed(what: Option<&str>) -> String {
    what.map(|what| format!("; the changes are committed: {what}")).unwrap_or_default()
}

/// The share of all sessions; 1 is all.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn share(sessions: u64, of_sessions: u64) -> f64 {
    sessions as f64 / of_sessions.max(1) as f64
}

/// `bytes-1.12.2/src/bytes.rs:614`, without the directories of the machine that built the program.
fn place(location: &Location<'_>) -> String {
    let (file, line) = (location.file(), location.line());
    match file.rsplit_once("/src/") {
        Some((directory, file)) => {
            let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
            format!("{name}/src/{file}:{line}")
        }
        None => format!("{file}:{line}"),
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Error::Schema(error.into())
    }
}

impl From<Signal> for Error {
    fn from(signal: Signal) -> Self {
        Error::Interrupted(signal)
    }
}

/// Database and schema errors keep their own messages and hints.
impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Database(error) => Error::Database(error),
            TransferError::Schema(error) => Error::Schema(error),
            error => Error::Transfer(error),
        }
    }
}

/// Lets `?` convert the errors of the transfer's modules into the error of a command.
macro_rules! from_transfer {
    ($($module_error:ty),*) => {$(
        impl From<$module_error> for Error {
            fn from(error: $module_error) -> Self {
                TransferError::from(error).into()
            }
        }
    )*};
}

from_transfer!(EndpointError, PlanError, ReportError, SourceError, UnmappedError);

impl Error {
    /// A panic as an error: [`Error::Protocol`] if it is the driver's, otherwise [`Error::Panic`].
    #[must_use]
    pub(crate) fn of_panic(panic: &PanicHookInfo<'_>, kept: Vec<PathBuf>) -> Self {
        let what = panic.payload_as_str().unwrap_or("a panic without a message").to_owned();
        let place = panic.location().map_or_else(|| "unknown place".to_owned(), place);
        let is_of_driver = ["sqlx-postgres-", "sqlx-core-", "bytes-"].iter().any(|name| place.starts_with(name));
        if is_of_driver { Self::Protocol { what, place, kept } } else { Self::Panic { what, place, kept } }
    }

    /// The same error for a command that only reads.
    #[must_use]
    pub(crate) fn of_reading(self) -> Self {
        match self {
            Error::Database(error) | Error::Schema(SchemaError::Database(error)) => Error::Read(error),
            other => other,
        }
    }

    /// What failed, in one word for programs: the class of the database's error, or else the name of the exit code.
    #[must_use]
    pub(crate) fn class(&self) -> Value {
        self.database_cause().map_or_else(|| self.exit_code().name().into(), |cause| json!(cause.class))
    }

    /// What a PostgreSQL server said beside its message, if the error is its answer.
    #[must_use]
    pub(crate) fn server(&self) -> Option<&ServerAnswer> {
        self.database_cause()?.server()
    }

    fn database_cause(&self) -> Option<&DatabaseCause> {
        let first: &dyn std::error::Error = self;
        let mut errors = std::iter::successors(Some(first), |error| error.source());
        errors.find_map(|error| error.downcast_ref::<DatabaseCause>())
    }

    /// The causes of this error, outermost first.
    #[must_use]
    pub(crate) fn causes(&self) -> Vec<String> {
        let first: &dyn std::error::Error = self;
        std::iter::successors(first.source(), |error| error.source()).map(cause).collect()
    }
}

impl Error {
    /// The module's own error, which has its own exit code, hint and details.
    fn gathered(&self) -> Option<&dyn Diagnostic> {
        Some(match self {
            Error::Settings(error) => error,
            Error::Connect(error) => error,
            Error::Database(error) => error,
            Error::Schema(error) => error,
            Error::Transfer(error) => error,
            Error::Retention(error) => error,
            Error::Triggers(error) => error,
            Error::RowIds(error) => error,
            Error::Archive(error) => error,
            Error::Metrics(error) => error,
            Error::Read(_)
            | Error::GaveUp { .. }
            | Error::DeadlineExceeded { .. }
            | Error::NotConfirmed { .. }
            | Error::Declined
            | Error::NoRoles { .. }
            | Error::OtherDatabase { .. }
            | Error::TooLargeAShare { .. }
            | Error::Exec { .. }
            | Error::Interrupted(_)
            | Error::RolledBack(_)
            | Error::RollingBack(_)
            | Error::Output { .. }
            | Error::Panic { .. }
            | Error::Protocol { .. }
            | Error::KeptFile { .. }
            | Error::System { .. } => return None,
        })
    }
}

impl Diagnostic for Error {
    fn exit_code(&self) -> ExitCode {
        if let Some(error) = self.gathered() {
            return error.exit_code();
        }
        match self {
            Error::Read(error) => error.exit_code(),
            Error::GaveUp { last: error, .. } => error.exit_code(),
            Error::NotConfirmed { .. } | Error::Declined | Error::TooLargeAShare { .. } => ExitCode::Refused,
            Error::NoRoles { .. } | Error::OtherDatabase { .. } => ExitCode::Configuration,
            Error::DeadlineExceeded { .. } => ExitCode::DeadlineExceeded,
            Error::Exec { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ExitCode::NotFound,
            Error::Exec { .. } => ExitCode::NotExecutable,
            Error::Interrupted(signal) | Error::RolledBack(signal) | Error::RollingBack(signal) => signal.exit_code(),
            Error::Output { .. } => ExitCode::InputOutput,
            Error::KeptFile { source, .. } => write_error::exit_code(source),
            Error::System { source, .. } if open_files::are_too_many(source) => ExitCode::Busy,
            _ => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(error) = self.gathered() {
            return error.hint();
        }
        match self {
            Error::Read(error) => error.cause.hint_of_reading(),
            Error::GaveUp { last: error, .. } | Error::DeadlineExceeded { last: Some(error), .. } => {
                error.cause.hint_after_waiting()
            }
            Error::TooLargeAShare { .. } => {
                Some("check the cutoff with `--dry-run`; if it is right, allow more with `--max-share 100%`".into())
            }
            Error::Panic { kept, .. } | Error::Protocol { kept, .. } if !kept.is_empty() => {
                let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
                Some(format!(
                    "check with `tarsy-db info` whether the commit took place; if it did, this is its report: {}",
                    kept.join(", ")
                ))
            }
            Error::KeptFile { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Some("name a file that does not exist with `--kept-file`".into())
            }
            Error::KeptFile { source, .. } => write_error::hint(source, "--kept-file"),
            Error::System { source, .. } if open_files::are_too_many(source) => Some(open_files::HINT.into()),
            Error::NoRoles { .. } => {
                Some("leave the flag out: SQLite has no roles, and the mode of the file decides".into())
            }
            Error::OtherDatabase { .. } => {
                Some("set `DIRECT_DATABASE_URL` to the same database on its primary, without the pooler".into())
            }
            Error::NotConfirmed { .. } => Some("add `--yes`, or see the plan with `--dry-run`".into()),
            _ => None,
        }
    }

    fn details(&self) -> Details {
        self.gathered().map(Diagnostic::details).unwrap_or_default()
    }
}
