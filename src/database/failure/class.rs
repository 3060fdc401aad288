//! Classes of failures.

use std::fmt;

use crate::exit_code::ExitCode;

/// The class of a failure. It decides the exit code and whether `wait` retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No server listens on the port.
    #[serde(rename = "connection_refused")]
    Refused,
    /// The host name has no address.
    NameResolution,
    /// There is no route to the host.
    Unreachable,
    /// There was no answer in time.
    TimedOut,
    /// An established connection broke.
    ConnectionLost,
    /// The server is starting up.
    StartingUp,
    /// The server is shutting down.
    ShuttingDown,
    /// The server is recovering from a crash, or is a standby that does not accept connections yet.
    InRecovery,
    /// The server is a standby.
    Standby,
    /// The database does not accept writes.
    ReadOnly,
    /// The server, or a pooler, has no free connection.
    TooManyConnections,
    /// The server lacks memory, has reached a limit of its settings, or has used up the numbers of its transactions; or too
    /// many files are open here.
    OutOfResources,
    /// The server confirms no commit: each waits for a standby that is not connected.
    CommitsWait,
    /// An administrator disabled the database for the time being.
    Disabled,
    /// Another session holds a lock.
    Busy,
    /// A deadlock, or a serialization failure.
    Conflict,
    /// The server rejected the user or the password.
    Authentication,
    /// The role lacks a privilege.
    Privilege,
    /// The system user may not read or write a file of the database.
    FilePermission,
    /// A row policy would hide rows.
    RowPolicy,
    /// The server has no database of that name.
    NoSuchDatabase,
    /// The database has another encoding than UTF8.
    Encoding,
    /// There is no SQLite file at the path.
    NoSuchFile,
    /// No TLS connection could be negotiated.
    Tls,
    /// The server's certificate is expired, for another host, or from a CA that is not trusted.
    Certificate,
    /// The driver rejects a connection setting.
    Configuration,
    /// The file cannot be created or opened.
    CannotOpen,
    /// No space is left on the database's disk, or in its quota.
    DiskFull,
    /// The file is damaged, or is not a database.
    Corrupt,
    /// An operating system's error while reading or writing.
    InputOutput,
    /// A value does not fit its column.
    Data,
    /// A constraint, or a trigger of the operator's, refused the change.
    Constraint,
    /// Another object, such as a view, depends on the object to be dropped.
    Needed,
    /// An object of that name already exists.
    AlreadyExists,
    /// The mode of a pooler does not fit: a session is assigned per statement, or per transaction where more is needed.
    Pooler,
    /// The database has no TARSy schema yet, or one at an earlier revision.
    #[serde(rename = "pending")]
    SchemaPending,
    /// The tables of a TARSy history are not complete. The backend may be creating or upgrading them.
    #[serde(rename = "incomplete")]
    SchemaIncomplete,
    /// The tables are not those of a TARSy history.
    Schema,
    /// A failure that no other class describes.
    Other,
}

impl ErrorClass {
    /// Whether the server could not be reached, or was not ready to check a login.
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

    /// Whether the same attempt may succeed later without a change by the operator.
    #[must_use]
    pub fn is_transient(self) -> bool {
        use ErrorClass::{
            Busy, CommitsWait, Conflict, Disabled, OutOfResources, ReadOnly, SchemaIncomplete, SchemaPending, Standby,
            TooManyConnections,
        };
        self.is_before_login()
            || matches!(
                self,
                Standby
                    | ReadOnly
                    | CommitsWait
                    | TooManyConnections
                    | OutOfResources
                    | Disabled
                    | Busy
                    | Conflict
                    | SchemaPending
                    | SchemaIncomplete
            )
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
            | Self::ReadOnly
            | Self::CommitsWait
            | Self::Disabled => ExitCode::Unavailable,
            Self::TooManyConnections | Self::OutOfResources | Self::Busy | Self::Conflict => ExitCode::Busy,
            Self::Authentication | Self::Privilege | Self::FilePermission | Self::RowPolicy => ExitCode::Privilege,
            Self::NoSuchDatabase
            | Self::Encoding
            | Self::NoSuchFile
            | Self::Tls
            | Self::Certificate
            | Self::Configuration
            | Self::Pooler => ExitCode::Configuration,
            Self::CannotOpen => ExitCode::CannotCreate,
            Self::DiskFull | Self::Corrupt | Self::InputOutput => ExitCode::InputOutput,
            Self::Constraint | Self::Needed | Self::AlreadyExists | Self::Schema | Self::SchemaIncomplete => {
                ExitCode::Drift
            }
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
            ErrorClass::OutOfResources => "out of resources",
            ErrorClass::CommitsWait => "commits wait",
            ErrorClass::Disabled => "database is disabled",
            ErrorClass::Busy => "locked by another session",
            ErrorClass::Conflict => "in conflict with another transaction",
            ErrorClass::Authentication => "authentication failed",
            ErrorClass::Privilege | ErrorClass::FilePermission => "permission denied",
            ErrorClass::RowPolicy => "rows may be hidden",
            ErrorClass::NoSuchDatabase => "no such database",
            ErrorClass::Encoding => "not UTF8",
            ErrorClass::NoSuchFile => "no such file",
            ErrorClass::Tls => "no TLS connection",
            ErrorClass::Certificate => "certificate rejected",
            ErrorClass::Configuration => "invalid connection settings",
            ErrorClass::CannotOpen => "cannot open the file",
            ErrorClass::DiskFull => "disk full",
            ErrorClass::Corrupt => "damaged, or not a database",
            ErrorClass::InputOutput => "input/output error",
            ErrorClass::Data => "value rejected",
            ErrorClass::Constraint => "constraint violated",
            ErrorClass::Needed => "another object depends on it",
            ErrorClass::AlreadyExists => "name already exists",
            ErrorClass::Pooler => "the mode of the pooler does not fit",
            ErrorClass::SchemaPending => "schema pending",
            ErrorClass::SchemaIncomplete => "schema incomplete",
            ErrorClass::Schema => "no TARSy history",
            ErrorClass::Other => "error",
        })
    }
}
