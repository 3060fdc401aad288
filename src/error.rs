//! The one error of the program: what it exits with, and what the reader can do.

use std::panic::{Location, PanicHookInfo};
use std::path::PathBuf;
use std::time::Duration;

use migration::Revision;
use serde::Serialize;

use crate::database::connection::ConnectError;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, OTHER_PROGRAM, UNKNOWN_CA};
use crate::history::archive::error::ArchiveError;
use crate::history::retention::policy::RetentionError;
use crate::interrupt::Signal;
use crate::metrics::MetricsError;
use crate::schema::error::SchemaError;
use crate::schema::state::Leftover;
use crate::settings::SettingsError;
use crate::transfer::error::{Mismatch, TransferError};
use crate::transfer::source::snapshot::SnapshotError;
use crate::transfer::target::obstacle::{Obstacle, ObstacleKind};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
        crate::format::percentage(*limit)
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
    #[error("the database was not usable within {}", humantime::format_duration(*.limit))]
    DeadlineExceeded {
        /// The limit that was set.
        limit: Duration,
        /// The last failure, if there was an attempt.
        #[source]
        last: Option<ConnectError>,
    },
    /// `wait` gave up.
    #[error("gave up waiting at attempt {attempts}, after {}", humantime::format_duration(*.waited))]
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
        action: &'static str,
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

impl Error {
    /// A panic, told as an error: of the driver where it takes apart what a server sent, or else of ours.
    #[must_use]
    pub fn of_panic(panic: &PanicHookInfo<'_>, kept: Vec<PathBuf>) -> Self {
        let what = panic.payload_as_str().unwrap_or("a panic without a message").to_owned();
        let place = panic.location().map_or_else(|| "unknown place".to_owned(), place);
        let is_of_driver = ["sqlx-postgres-", "sqlx-core-", "bytes-"].iter().any(|name| place.starts_with(name));
        if is_of_driver { Self::Protocol { what, place, kept } } else { Self::Panic { what, place, kept } }
    }

    /// The same as the error of a command that changes nothing.
    #[must_use]
    pub fn of_reading(self) -> Self {
        match self {
            Error::Database(error) | Error::Schema(SchemaError::Database(error)) => Error::Read(error),
            other => other,
        }
    }

    /// The exit code, as in the table of the README.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Settings(_) | Error::Retention(_) => 78,
            Error::Connect(error) | Error::GaveUp { last: error, .. } => failure_code(error.cause.class),
            Error::Database(error) | Error::Read(error) => failure_code(error.cause.class),
            Error::Schema(error) => schema_code(error),
            Error::Transfer(error) => match error {
                TransferError::Schema(error) => schema_code(error),
                TransferError::Database(error) => failure_code(error.cause.class),
                TransferError::Snapshot(SnapshotError::Source { cause, .. } | SnapshotError::Copy { cause, .. }) => {
                    failure_code(cause.class)
                }
                TransferError::Hazards(_) | TransferError::Unfit | TransferError::Rejected { .. } => 65,
                TransferError::Mismatch(_) | TransferError::Different(_) => 8,
                TransferError::Policies(_) => 2,
                TransferError::Damaged { .. } => 74,
                TransferError::Report { .. } => 73,
                TransferError::SourceChanged { .. } => 75,
                TransferError::Backend { .. } => 78,
                TransferError::Obstacles(obstacles) => obstacles_code(obstacles),
                TransferError::SourceSchema(_) => 4,
                TransferError::Lacking(_)
                | TransferError::NotLacking { .. }
                | TransferError::ReportExists { .. }
                | TransferError::NoReport { .. }
                | TransferError::TargetNotEmpty { .. }
                | TransferError::TargetBehind { .. }
                | TransferError::Conflicts { .. }
                | TransferError::SourceRevision { .. }
                | TransferError::TargetRevision { .. } => 7,
            },
            Error::NotConfirmed { .. } | Error::Declined | Error::TooLargeAShare { .. } => 7,
            Error::Metrics(_) => 73,
            Error::Archive(error) => match error {
                ArchiveError::Connect(error) => failure_code(error.cause.class),
                ArchiveError::Create { .. } => 73,
                ArchiveError::InUse { .. } => 75,
                ArchiveError::Compress { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => 75,
                ArchiveError::Compress { .. } => 74,
                ArchiveError::Schema(error) => schema_code(error),
                ArchiveError::Database(error) => failure_code(error.cause.class),
                ArchiveError::Ambiguous { .. }
                | ArchiveError::Foreign { .. }
                | ArchiveError::OtherRevision { .. }
                | ArchiveError::Lacking { .. } => 7,
                ArchiveError::NoLedger => 3,
            },
            Error::DeadlineExceeded { .. } => 124,
            // As the shell does it: found but not runnable, or not found.
            Error::Exec { source, .. } if source.kind() == std::io::ErrorKind::NotFound => 127,
            Error::Exec { .. } => 126,
            Error::Interrupted(signal) | Error::RolledBack(signal) | Error::RollingBack(signal) => signal.exit_code(),
            Error::Output(_) => 74,
            Error::Panic { .. } | Error::Protocol { .. } | Error::System { .. } => 1,
        }
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings(error) => error.hint(),
            Error::Connect(ConnectError { cause, .. }) | Error::Read(DatabaseError { cause, .. }) => {
                reading_hint(cause).map(str::to_owned)
            }
            Error::GaveUp { last: error, .. } | Error::DeadlineExceeded { last: Some(error), .. } => {
                waiting_hint(&error.cause).map(str::to_owned)
            }
            Error::Database(error)
            | Error::Schema(SchemaError::Database(error))
            | Error::Transfer(TransferError::Database(error)) => failure_hint(&error.cause).map(str::to_owned),
            Error::Schema(SchemaError::Locked { .. }) => {
                Some("wait for it to finish, or raise `--lock-timeout`".into())
            }
            Error::Schema(SchemaError::Drift(drift)) => Some(match drift.looks_like {
                Some(revision) => format!("{}; nothing was changed", ledger_hint(revision)),
                None if drift.faults.iter().all(|fault| fault.repair.is_some()) => {
                    "`tarsy-db check --fix` mends this; nothing was changed".into()
                }
                None => "`tarsy-db check` shows the differences; nothing was changed".into(),
            }),
            Error::Schema(SchemaError::Leftover(tables)) => {
                Some(format!("{}; nothing was changed", leftover_hint(tables)))
            }
            Error::Schema(SchemaError::InTheWay { .. }) => Some(
                "something of your own is in the way: a view, a trigger, an index, a table or a column. Move it aside, \
                 upgrade, and bring it back; nothing was changed"
                    .into(),
            ),
            Error::Schema(SchemaError::Incomplete { .. }) => Some(
                "restore the missing tables from a backup, or start with an empty database; nothing was changed".into(),
            ),
            Error::Schema(SchemaError::Pending) => Some("run `tarsy-db init`".into()),
            Error::Schema(SchemaError::Unknown(_)) => Some("use the tarsy-db of that TARSy release".into()),
            Error::Schema(SchemaError::Ambiguous(_)) => {
                Some("find out which row is right (`tarsy-db check`) and delete the others; nothing was changed".into())
            }
            Error::Transfer(TransferError::Snapshot(SnapshotError::Source { cause, hint, .. })) => {
                hint.or_else(|| failure_hint(cause)).map(str::to_owned)
            }
            Error::Transfer(TransferError::Snapshot(SnapshotError::Copy { why, .. })) => {
                Some(format!("TMPDIR names another directory for the copy, which is needed because {why}"))
            }
            Error::Transfer(error) => error.hint(),
            Error::Retention(error) => Some(error.hint().to_owned()),
            Error::TooLargeAShare { .. } => Some(
                "is the cutoff right? `--dry-run` shows the plan; `--max-share 100%` removes that much all the same".into(),
            ),
            Error::Archive(error) => error.hint().map(str::to_owned),
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

    /// What the error is made of, where that is a list: hazards, or rows that differ or clash.
    #[must_use]
    pub fn details(&self) -> Details {
        match self {
            Error::Transfer(TransferError::Hazards(hazards)) => Details::of(hazards, |hazard| vec![hazard.to_string()]),
            Error::Transfer(TransferError::Conflicts { conflicts, .. }) => {
                Details::of(conflicts, |conflict| vec![conflict.to_string()])
            }
            Error::Transfer(TransferError::Damaged { damage, .. }) => {
                Details { lines: damage.lines(), document: serde_json::to_value(damage).unwrap_or_default() }
            }
            Error::Transfer(TransferError::Lacking(lacking)) => {
                Details::of(lacking, |lacking| vec![lacking.to_string()])
            }
            Error::Transfer(TransferError::Obstacles(obstacles)) => {
                Details::of(obstacles, |obstacle| vec![obstacle.to_string()])
            }
            Error::Transfer(TransferError::Mismatch(mismatches) | TransferError::Different(mismatches)) => {
                Details::of(mismatches, Mismatch::lines)
            }
            _ => Details::default(),
        }
    }

    /// The causes, outermost first, without the error itself.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let first: &dyn std::error::Error = self;
        std::iter::successors(first.source(), |error| error.source()).map(ToString::to_string).collect()
    }
}

/// The items of a list, for both kinds of reader.
#[derive(Debug, Default)]
pub struct Details {
    /// For people, one a line.
    pub lines: Vec<String>,
    /// For JSON; null where there is no list.
    pub document: serde_json::Value,
}

impl Details {
    fn of<T: Serialize>(items: &[T], lines: impl Fn(&T) -> Vec<String>) -> Self {
        let document = serde_json::to_value(items).unwrap_or_default();
        Self { lines: items.iter().flat_map(lines).collect(), document }
    }
}

/// The code that all obstacles share, so that whoever tries again on some codes does not where one of the obstacles
/// needs somebody; otherwise that of a refusal.
fn obstacles_code(obstacles: &[Obstacle]) -> u8 {
    let code = |obstacle: &Obstacle| match obstacle.kind {
        ObstacleKind::Privilege | ObstacleKind::RowSecurity => 77,
        ObstacleKind::Standby | ObstacleKind::ReadOnly => 69,
        ObstacleKind::Prepared => 75,
        ObstacleKind::Encoding => 78,
        ObstacleKind::Disk => 74,
        _ => 7,
    };
    let mut codes = obstacles.iter().map(code);
    let first = codes.next().unwrap_or(7);
    if codes.all(|code| code == first) { first } else { 7 }
}

/// What to do about tables that an interrupted upgrade left behind.
#[must_use]
pub(crate) fn leftover_hint(tables: &[Leftover]) -> String {
    let what = tables.iter().map(|left| {
        let (copy, original) = (&left.copy, left.original());
        match left.original_is_there {
            true => format!("`{original}` is there, and `DROP TABLE {copy}` removes its unfinished copy"),
            false => format!("`{original}` is gone, and `ALTER TABLE {copy} RENAME TO {original}` brings it back"),
        }
    });
    format!("make a copy of the file first; {}", what.collect::<Vec<_>>().join("; "))
}

fn schema_code(error: &SchemaError) -> u8 {
    match error {
        SchemaError::Database(error) => failure_code(error.cause.class),
        SchemaError::Locked { .. } => 75,
        SchemaError::Pending => 3,
        SchemaError::Unknown(_) => 5,
        SchemaError::Drift(_)
        | SchemaError::Incomplete { .. }
        | SchemaError::Ambiguous(_)
        | SchemaError::Leftover(_)
        | SchemaError::InTheWay { .. } => 4,
    }
}

/// What to do about a ledger that names another revision than the one that the tables are of.
#[must_use]
pub(crate) fn ledger_hint(revision: Revision) -> String {
    format!(
        "if it is the ledger that is wrong, `UPDATE alembic_version SET version_num = '{}'` mends it; otherwise restore a \
         backup",
        revision.id()
    )
}

/// The exit code of a failure at the database.
#[must_use]
pub(crate) fn failure_code(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Refused
        | ErrorClass::NameResolution
        | ErrorClass::Unreachable
        | ErrorClass::TimedOut
        | ErrorClass::ConnectionLost
        | ErrorClass::StartingUp
        | ErrorClass::ShuttingDown
        | ErrorClass::InRecovery
        | ErrorClass::Standby
        | ErrorClass::ReadOnly => 69,
        ErrorClass::TooManyConnections | ErrorClass::Busy | ErrorClass::Conflict => 75,
        ErrorClass::Authentication | ErrorClass::Privilege | ErrorClass::RowPolicy => 77,
        ErrorClass::NoSuchDatabase
        | ErrorClass::Tls
        | ErrorClass::Certificate
        | ErrorClass::Configuration
        | ErrorClass::Pooler => 78,
        ErrorClass::CannotOpen => 73,
        ErrorClass::DiskFull | ErrorClass::Corrupt | ErrorClass::InputOutput => 74,
        ErrorClass::Constraint | ErrorClass::Needed | ErrorClass::AlreadyExists => 4,
        ErrorClass::Data => 65,
        ErrorClass::SchemaPending => 3,
        ErrorClass::Other => 1,
    }
}

/// What the reader can do about an answer where nothing was begun that could be rolled back.
fn reading_hint(cause: &DatabaseCause) -> Option<&'static str> {
    match cause.class {
        ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => Some("`tarsy-db wait` waits until the server is back"),
        _ => failure_hint(cause),
    }
}

/// What the reader can do where waiting was of no use.
fn waiting_hint(cause: &DatabaseCause) -> Option<&'static str> {
    match cause.class {
        ErrorClass::Refused => Some("is the server running, and are host and port right?"),
        ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => None,
        _ => failure_hint(cause),
    }
}

/// What the reader can do about an answer.
#[must_use]
pub(crate) fn failure_hint(cause: &DatabaseCause) -> Option<&'static str> {
    Some(match cause.class {
        ErrorClass::Refused => "is the server running, and are host and port right? `tarsy-db wait` waits for it",
        ErrorClass::NameResolution => "is the host name right?",
        ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => {
            "`tarsy-db wait` waits until the server is back; what was not committed is rolled back"
        }
        ErrorClass::Authentication => "are user and password right, and does the server let them in from here?",
        ErrorClass::Privilege => "the role, or for SQLite the system user, needs the right to do this",
        ErrorClass::RowPolicy => {
            "connect as the owner of the tables (unless they FORCE ROW LEVEL SECURITY), or let a superuser run \
             `ALTER ROLE ... BYPASSRLS` for this role"
        }
        ErrorClass::NoSuchDatabase => {
            "is the name right? `tarsy-db init` creates a SQLite file, not a PostgreSQL database"
        }
        ErrorClass::Tls if !cause.message.contains("does not support TLS") => return None,
        ErrorClass::Tls => {
            "set `ssl = on` at the server: `sslmode` of the URL, or `PGSSLMODE`, does not allow plain text"
        }
        ErrorClass::Certificate if cause.message == UNKNOWN_CA => {
            "name the certificate of the CA that signed the server's: `sslrootcert=FILE` in the URL, or `PGSSLROOTCERT`"
        }
        ErrorClass::Certificate => "give the server a current certificate for this host name, signed by a CA",
        ErrorClass::Standby => "connect to the primary",
        ErrorClass::ReadOnly => {
            "is `default_transaction_read_only` set for the role or the database, or is this a standby?"
        }
        ErrorClass::Constraint => "other rows refer to these, or a condition of your own forbids it",
        ErrorClass::Needed => {
            "drop what uses it (a view, a trigger, an index or a policy of your own) and create it again afterwards"
        }
        ErrorClass::AlreadyExists => {
            "a view, an index or a table of that name is in the way: `tarsy-db check` may tell more"
        }
        ErrorClass::Pooler => "connect to the server itself, or to a pool in session mode",
        ErrorClass::SchemaPending => "run `tarsy-db init`",
        ErrorClass::TooManyConnections if cause.message.contains("role \"") => {
            "free a connection of the role, or raise its limit: `ALTER ROLE ... CONNECTION LIMIT ...`"
        }
        ErrorClass::TooManyConnections if cause.message.contains("database \"") => {
            "free a connection to the database, or raise its limit: `ALTER DATABASE ... CONNECTION LIMIT ...`"
        }
        ErrorClass::TooManyConnections => "free a connection, or raise the server's `max_connections`",
        ErrorClass::DiskFull => "free some space, then run the same command again",
        ErrorClass::Corrupt => "restore a backup; for SQLite see https://www.sqlite.org/recovery.html as well",
        _ => return None,
    })
}
