//! What kind of thing went wrong.

use std::fmt;

use crate::exit_code::ExitCode;

/// What kind of thing went wrong: it decides the exit code and whether `wait` goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nobody listens there.
    Refused,
    /// The host name has no address.
    NameResolution,
    /// The network does not lead there.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection was there and broke.
    ConnectionLost,
    /// The server is starting up.
    StartingUp,
    /// The server is shutting down.
    ShuttingDown,
    /// The server is recovering from a crash, or is a standby that does not answer yet.
    InRecovery,
    /// The server is a standby.
    Standby,
    /// The database does not accept writes.
    ReadOnly,
    /// The server has no connection left.
    TooManyConnections,
    /// A lock is held by somebody else.
    Busy,
    /// A deadlock was broken, or two transactions could not be put in an order.
    Conflict,
    /// User or password are refused.
    Authentication,
    /// The role, or the system user, may not do this.
    Privilege,
    /// A row policy would hide rows.
    RowPolicy,
    /// There is no such database.
    NoSuchDatabase,
    /// No encrypted connection could be agreed on.
    Tls,
    /// The server's certificate is not valid, not for this host, or not from a trusted CA.
    Certificate,
    /// The connection settings make no sense.
    Configuration,
    /// The file cannot be created or opened.
    CannotOpen,
    /// The disk is full.
    DiskFull,
    /// The file is damaged, or is no database.
    Corrupt,
    /// Reading or writing failed below the database.
    InputOutput,
    /// A value does not fit where it should go.
    Data,
    /// Rows refer to each other, or a condition forbids it.
    Constraint,
    /// Something else, such as a view, needs what should go.
    Needed,
    /// Something of that name is there already.
    AlreadyExists,
    /// A pooler hands sessions around between transactions.
    Pooler,
    /// There is no schema yet.
    SchemaPending,
    /// Anything else.
    Other,
}

impl ErrorClass {
    /// Whether the server was not there, or not ready to look at a login.
    #[must_use]
    pub fn is_before_login(self) -> bool {
        use ErrorClass::{
            ConnectionLost, InRecovery, NameResolution, Refused, ShuttingDown, StartingUp, TimedOut, Unreachable,
        };
        matches!(
            self,
            Refused | NameResolution | Unreachable | TimedOut | ConnectionLost | StartingUp | ShuttingDown | InRecovery
        )
    }

    /// Whether the same attempt may succeed later without anybody's help.
    #[must_use]
    pub fn may_heal(self) -> bool {
        use ErrorClass::{Busy, Conflict, ReadOnly, SchemaPending, Standby, TooManyConnections};
        self.is_before_login()
            || matches!(self, Standby | ReadOnly | TooManyConnections | Busy | Conflict | SchemaPending)
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Refused
            | Self::NameResolution
            | Self::Unreachable
            | Self::TimedOut
            | Self::ConnectionLost
            | Self::StartingUp
            | Self::ShuttingDown
            | Self::InRecovery
            | Self::Standby
            | Self::ReadOnly => ExitCode::Unavailable,
            Self::TooManyConnections | Self::Busy | Self::Conflict => ExitCode::Busy,
            Self::Authentication | Self::Privilege | Self::RowPolicy => ExitCode::Privilege,
            Self::NoSuchDatabase | Self::Tls | Self::Certificate | Self::Configuration | Self::Pooler => {
                ExitCode::Configuration
            }
            Self::CannotOpen => ExitCode::CannotCreate,
            Self::DiskFull | Self::Corrupt | Self::InputOutput => ExitCode::InputOutput,
            Self::Constraint | Self::Needed | Self::AlreadyExists => ExitCode::Drift,
            Self::Data => ExitCode::Data,
            Self::SchemaPending => ExitCode::Pending,
            Self::Other => ExitCode::Internal,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorClass::Refused => "connection refused",
            ErrorClass::NameResolution => "host name not found",
            ErrorClass::Unreachable => "network unreachable",
            ErrorClass::TimedOut => "no answer in time",
            ErrorClass::ConnectionLost => "connection lost",
            ErrorClass::StartingUp => "server is starting up",
            ErrorClass::ShuttingDown => "server is shutting down",
            ErrorClass::InRecovery => "server is in recovery",
            ErrorClass::Standby => "server is a standby",
            ErrorClass::ReadOnly => "database is read-only",
            ErrorClass::TooManyConnections => "too many connections",
            ErrorClass::Busy => "locked by somebody else",
            ErrorClass::Conflict => "in conflict with another transaction",
            ErrorClass::Authentication => "authentication failed",
            ErrorClass::Privilege => "permission denied",
            ErrorClass::RowPolicy => "rows may be hidden",
            ErrorClass::NoSuchDatabase => "no such database",
            ErrorClass::Tls => "no TLS connection",
            ErrorClass::Certificate => "certificate not accepted",
            ErrorClass::Configuration => "wrong connection settings",
            ErrorClass::CannotOpen => "cannot open the file",
            ErrorClass::DiskFull => "disk full",
            ErrorClass::Corrupt => "damaged, or not a database",
            ErrorClass::InputOutput => "input/output error",
            ErrorClass::Data => "value refused",
            ErrorClass::Constraint => "constraint violated",
            ErrorClass::Needed => "needed by something else",
            ErrorClass::AlreadyExists => "name already taken",
            ErrorClass::Pooler => "sessions are shared by a pooler",
            ErrorClass::SchemaPending => "schema is not there yet",
            ErrorClass::Other => "error",
        })
    }
}
