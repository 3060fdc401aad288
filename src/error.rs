//! The one error of the program: what it exits with, and what the reader can do.

use std::panic::{Location, PanicHookInfo};
use std::path::PathBuf;
use std::time::Duration;

use crate::database::connection::ConnectError;
use crate::database::failure::{Action, DatabaseError, OTHER_PROGRAM};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::{duration, percentage};
use crate::history::archive::error::ArchiveError;
use crate::history::retention::policy::RetentionError;
use crate::interrupt::Signal;
use crate::metrics::MetricsError;
use crate::schema::error::SchemaError;
use crate::schema::state::StateError;
use crate::settings::SettingsError;
use crate::transfer::endpoints::EndpointError;
use crate::transfer::error::TransferError;
use crate::transfer::plan::PlanError;
use crate::transfer::report::ReportError;
use crate::transfer::source::error::SourceError;
use crate::transfer::source::unmapped::UnmappedError;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database refused something to a command that changes nothing.
    #[error(transparent)]
    Read(DatabaseError),
    /// The schema is not what it should be.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The history could not be moved.
    #[error(transparent)]
    Transfer(TransferError),
    /// The retention makes no sense.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// A command that needs an answer has nobody to ask.
    #[error("{what}, and there is no terminal to confirm it on; nothing was changed")]
    NotConfirmed {
        /// What would have been done.
        what: String,
    },
    /// Too much would go at once: the cutoff may be wrong.
    #[error(
        "{sessions} of {of_sessions} sessions would be removed, which is more than {}; nothing was changed",
        percentage(*limit)
    )]
    TooLargeAShare {
        /// The sessions that would go.
        sessions: u64,
        /// All there are.
        of_sessions: u64,
        /// The share that is allowed; 1 is all.
        limit: f64,
    },
    /// There is no archive to write to.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The metrics cannot be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The answer was no.
    #[error("not confirmed; nothing was changed")]
    Declined,
    /// `wait` ran out of time.
    #[error("the database was not usable within {}", duration(*.limit))]
    DeadlineExceeded {
        /// The limit that was set.
        limit: Duration,
        /// The last failure, if there was an attempt.
        #[source]
        last: Option<ConnectError>,
    },
    /// `wait` gave up.
    #[error("gave up waiting at attempt {attempts}, after {}", duration(*.waited))]
    GaveUp {
        /// The attempts made.
        attempts: u32,
        /// The time they took.
        waited: Duration,
        /// The last failure.
        #[source]
        last: ConnectError,
    },
    /// The command that `wait` should have become cannot be run.
    #[error("cannot run `{command}`")]
    Exec {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The process was told to stop.
    #[error("stopped by {0}")]
    Interrupted(Signal),
    /// The process was told to stop while it may have had a transaction in hand.
    #[error("stopped by {0}; what was not committed was rolled back")]
    RolledBack(Signal),
    /// The process was told to stop, and the server may not have noticed yet.
    #[error("stopped by {0}; what was not committed is rolled back as soon as the server notices")]
    RollingBack(Signal),
    /// The result could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    /// Something that cannot happen did.
    #[error("internal error, a defect of tarsy-db: {what} ({place})")]
    Panic {
        /// What the panic says.
        what: String,
        /// Where it was: crate, file and line.
        place: String,
        /// The files that are complete and stay.
        kept: Vec<PathBuf>,
    },
    /// The driver could not go on with what a server sent.
    #[error(
        "the server sent a message that breaks the PostgreSQL protocol, so that the driver gave up: {what} ({place}); \
         {OTHER_PROGRAM}"
    )]
    Protocol {
        /// What the driver's panic says.
        what: String,
        /// Where it was: crate, file and line.
        place: String,
        /// The files that are complete and stay.
        kept: Vec<PathBuf>,
    },
    /// The process could not be set up.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: Action,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// `bytes-1.12.2/src/bytes.rs:614`, wherever the program was built.
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

/// What is no trouble of the transfer itself is told, and hinted at, as everywhere.
impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Database(error) => Error::Database(error),
            TransferError::Schema(error) => Error::Schema(error),
            error => Error::Transfer(error),
        }
    }
}

/// Lets `?` turn the errors of the transfer's modules into the error of a command.
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
    /// A panic, told as an error: of the driver where it takes apart what a server sent, or else of ours.
    #[must_use]
    pub(crate) fn of_panic(panic: &PanicHookInfo<'_>, kept: Vec<PathBuf>) -> Self {
        let what = panic.payload_as_str().unwrap_or("a panic without a message").to_owned();
        let place = panic.location().map_or_else(|| "unknown place".to_owned(), place);
        let is_of_driver = ["sqlx-postgres-", "sqlx-core-", "bytes-"].iter().any(|name| place.starts_with(name));
        if is_of_driver { Self::Protocol { what, place, kept } } else { Self::Panic { what, place, kept } }
    }

    /// The same as the error of a command that changes nothing.
    #[must_use]
    pub(crate) fn of_reading(self) -> Self {
        match self {
            Error::Database(error) | Error::Schema(SchemaError::Database(error)) => Error::Read(error),
            other => other,
        }
    }

    /// The causes, outermost first, without the error itself.
    #[must_use]
    pub(crate) fn causes(&self) -> Vec<String> {
        let first: &dyn std::error::Error = self;
        std::iter::successors(first.source(), |error| error.source()).map(ToString::to_string).collect()
    }
}

impl Error {
    /// The error that this one only gathers, with its own code, hint and details.
    fn gathered(&self) -> Option<&dyn Diagnostic> {
        Some(match self {
            Error::Settings(error) => error,
            Error::Connect(error) => error,
            Error::Database(error) => error,
            Error::Schema(error) => error,
            Error::Transfer(error) => error,
            Error::Retention(error) => error,
            Error::Archive(error) => error,
            Error::Metrics(error) => error,
            Error::Read(_)
            | Error::GaveUp { .. }
            | Error::DeadlineExceeded { .. }
            | Error::NotConfirmed { .. }
            | Error::Declined
            | Error::TooLargeAShare { .. }
            | Error::Exec { .. }
            | Error::Interrupted(_)
            | Error::RolledBack(_)
            | Error::RollingBack(_)
            | Error::Output(_)
            | Error::Panic { .. }
            | Error::Protocol { .. }
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
            Error::DeadlineExceeded { .. } => ExitCode::DeadlineExceeded,
            Error::Exec { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ExitCode::NotFound,
            Error::Exec { .. } => ExitCode::NotExecutable,
            Error::Interrupted(signal) | Error::RolledBack(signal) | Error::RollingBack(signal) => signal.exit_code(),
            Error::Output(_) => ExitCode::InputOutput,
            _ => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(error) = self.gathered() {
            return error.hint();
        }
        match self {
            Error::Read(error) => error.cause.hint_of_reading().map(str::to_owned),
            Error::GaveUp { last: error, .. } | Error::DeadlineExceeded { last: Some(error), .. } => {
                error.cause.hint_after_waiting().map(str::to_owned)
            }
            Error::TooLargeAShare { .. } => Some(
                "is the cutoff right? `--dry-run` shows the plan; `--max-share 100%` removes that much all the same"
                    .into(),
            ),
            Error::Panic { kept, .. } | Error::Protocol { kept, .. } if !kept.is_empty() => {
                let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
                Some(format!(
                    "`tarsy-db info` tells whether the commit took place; if it did, this is its report: {}",
                    kept.join(", ")
                ))
            }
            Error::NotConfirmed { .. } => Some("give `--yes`, or `--dry-run` to see the plan".into()),
            _ => None,
        }
    }

    fn details(&self) -> Details {
        self.gathered().map(Diagnostic::details).unwrap_or_default()
    }
}
