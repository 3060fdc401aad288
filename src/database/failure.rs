//! What a database, or the way to it, answered: classed, and in words that never hold a password.

use std::fmt;
use std::io::ErrorKind;

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgDatabaseError;

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

/// SQLITE_READONLY_ROLLBACK.
const HOT_JOURNAL: &str = "776";

/// What a database, or the way to it, answered. The message never holds a password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseCause {
    /// The kind of failure.
    pub class: ErrorClass,
    /// The answer in the database's own words.
    pub message: String,
}

impl DatabaseCause {
    /// A cause that tarsy-db found itself.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// The kind of failure and, unless it says the same, the database's answer.
    #[must_use]
    pub fn described(&self) -> String {
        let class = self.class.to_string();
        if self.message == class { class } else { format!("{class}: {}", self.message) }
    }
}

impl From<sqlx::Error> for DatabaseCause {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for DatabaseCause {
    fn from(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => Self::new(postgresql_failure(answer), postgresql_message(answer)),
                None if answer.code().as_deref() == Some(HOT_JOURNAL) => Self::new(
                    ErrorClass::CannotOpen,
                    "a writer that crashed left a `-journal`: open the file once for writing, or take a copy of both",
                ),
                // `error in view mine after drop column: no such column: alert_id`: only the text tells.
                None if answer.message().starts_with("error in ") => Self::new(ErrorClass::Needed, answer.message()),
                None => {
                    let code = answer.code().and_then(|code| code.parse().ok());
                    Self::new(sqlite_failure(code), answer.message())
                }
            },
            sqlx::Error::Io(error) => match io_failure(error) {
                ErrorClass::Certificate => Self::new(ErrorClass::Certificate, certificate_message(&error.to_string())),
                class => Self::new(class, io_message(error)),
            },
            sqlx::Error::Tls(error) => Self::new(ErrorClass::Tls, error.to_string()),
            // The source of a configuration error may quote what it could not use.
            sqlx::Error::Configuration(_) => Self::new(
                ErrorClass::Configuration,
                "the driver cannot use a setting: a password with characters that SASLprep forbids, or a certificate",
            ),
            // A database gives its own definitions as text: what is none was not written by it.
            sqlx::Error::ColumnDecode { index, source } if source.is::<std::str::Utf8Error>() => {
                Self::new(ErrorClass::Corrupt, format!("what should be text is not: {index}, {source}"))
            }
            sqlx::Error::PoolTimedOut => Self::new(ErrorClass::TimedOut, "no connection became free in time"),
            sqlx::Error::Protocol(message) => Self::new(ErrorClass::ConnectionLost, protocol_message(message)),
            sqlx::Error::BeginFailed => Self::new(
                ErrorClass::ConnectionLost,
                format!("the server said that it began a transaction, and is in none; {OTHER_PROGRAM}"),
            ),
            other => Self::new(ErrorClass::Other, other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for DatabaseCause {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let class = sqlite_failure(Some(code.extended_code));
                Self::new(class, message.clone().unwrap_or_else(|| code.to_string()))
            }
            _ => Self::new(ErrorClass::Other, error.to_string()),
        }
    }
}

impl From<DbErr> for DatabaseCause {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(source))
            | DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => Self::from(source.as_ref()),
            // What a migration finds in its way.
            DbErr::Custom(message) => Self::new(ErrorClass::Needed, message.clone()),
            DbErr::ConnectionAcquire(_) => Self::new(ErrorClass::TimedOut, "no connection became free in time"),
            _ => Self::new(ErrorClass::Other, error.to_string()),
        }
    }
}

fn postgresql_message(answer: &PgDatabaseError) -> String {
    match answer.detail() {
        Some(detail) => format!("{} ({detail})", answer.message()),
        None => answer.message().to_owned(),
    }
}

/// Classes an answer by its SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgresql_failure(answer: &PgDatabaseError) -> ErrorClass {
    match answer.code() {
        // One code for three states; only the text tells them apart.
        "57P03" if answer.message().contains("shutting down") => ErrorClass::ShuttingDown,
        "57P03" if answer.message().contains("recovery") => ErrorClass::InRecovery,
        "57P03" => ErrorClass::StartingUp,
        "57P01" | "57P02" => ErrorClass::ShuttingDown,
        "53300" => ErrorClass::TooManyConnections,
        "55P03" => ErrorClass::Busy,
        "40001" | "40P01" => ErrorClass::Conflict,
        "57014" => ErrorClass::TimedOut,
        "25006" => ErrorClass::ReadOnly,
        // One code again; in another language than English it is a privilege, which is not wrong.
        "42501" if answer.message().contains("row-level security") => ErrorClass::RowPolicy,
        // Without USAGE on it a role has no schema to create in.
        "42501" | "3F000" => ErrorClass::Privilege,
        "3D000" | "57P04" => ErrorClass::NoSuchDatabase,
        "53100" => ErrorClass::DiskFull,
        "58030" => ErrorClass::InputOutput,
        "54000" | "54001" => ErrorClass::Data,
        // Every query fails there where transactions are serializable by default.
        "0A000" if answer.routine() == Some("GetSerializableTransactionSnapshot") => ErrorClass::Standby,
        "2BP01" | "0A000" => ErrorClass::Needed,
        "42P07" | "42710" | "42809" => ErrorClass::AlreadyExists,
        // What a trigger of the operator's raises.
        "P0001" => ErrorClass::Constraint,
        "42P05" | "26000" => ErrorClass::Pooler,
        "XX001" | "XX002" => ErrorClass::Corrupt,
        // PgBouncer has one code for everything that keeps a client out.
        "08P01" if answer.message().contains("database") => ErrorClass::NoSuchDatabase,
        "08P01" if answer.message().contains("auth") || answer.message().contains("user") => ErrorClass::Authentication,
        "57P05" | "25P03" | "25P04" => ErrorClass::ConnectionLost,
        // Not every server has five characters there.
        code => match code.get(..2) {
            Some("08") => ErrorClass::ConnectionLost,
            Some("28") => ErrorClass::Authentication,
            Some("22") => ErrorClass::Data,
            Some("23") => ErrorClass::Constraint,
            _ => ErrorClass::Other,
        },
    }
}

/// Classes a result code: <https://www.sqlite.org/rescode.html>. The lowest byte is the primary code.
fn sqlite_failure(code: Option<i32>) -> ErrorClass {
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => ErrorClass::Busy,
        Some(3 | 8 | 23) => ErrorClass::Privilege,
        Some(9) => ErrorClass::TimedOut,
        Some(10) => ErrorClass::InputOutput,
        Some(11 | 26) => ErrorClass::Corrupt,
        Some(13) => ErrorClass::DiskFull,
        Some(14) => ErrorClass::CannotOpen,
        Some(19) => ErrorClass::Constraint,
        Some(20) => ErrorClass::Data,
        _ => ErrorClass::Other,
    }
}

fn io_failure(error: &std::io::Error) -> ErrorClass {
    match error.kind() {
        // A socket directory without a socket is a server that does not run.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => ErrorClass::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorClass::Unreachable,
        ErrorKind::TimedOut => ErrorClass::TimedOut,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ErrorClass::ConnectionLost,
        ErrorKind::PermissionDenied => ErrorClass::Privilege,
        ErrorKind::InvalidData if error.to_string().starts_with(INVALID_CERTIFICATE) => ErrorClass::Certificate,
        // The only other data that is looked at while connecting is the server's part of TLS.
        ErrorKind::InvalidData => ErrorClass::Tls,
        // std gives a failed look-up no kind of its own.
        _ if error.to_string().contains("lookup address") => ErrorClass::NameResolution,
        _ => ErrorClass::InputOutput,
    }
}

/// How the TLS library's words about a certificate begin.
const INVALID_CERTIFICATE: &str = "invalid peer certificate: ";
/// The server's certificate is from another CA than those that are trusted.
pub(crate) const UNKNOWN_CA: &str = "the server's certificate is not from a CA that is trusted";

/// What is wrong with a certificate; some of the TLS library's words for it are names of its own.
fn certificate_message(text: &str) -> String {
    match text.strip_prefix(INVALID_CERTIFICATE).unwrap_or(text) {
        "UnknownIssuer" => UNKNOWN_CA.to_owned(),
        what if what.contains("CaUsedAsEndEntity") => {
            "the server presents the certificate of a CA (`CA:TRUE`) as its own, which is not accepted".to_owned()
        }
        what => format!("the server's certificate is not accepted: {what}"),
    }
}

/// What to ask where a server does not keep to the protocol.
pub(crate) const OTHER_PROGRAM: &str = "does something other than PostgreSQL answer at this host and port?";

/// What breaks the protocol, without the place in the driver that found it: `(sqlx_postgres::message:139)`.
fn protocol_message(text: &str) -> String {
    let what = match text.rsplit_once(" (") {
        Some((what, place)) if place.starts_with("sqlx") && place.ends_with(')') => what,
        _ => text,
    };
    match what {
        // The driver reads a byte where there is none.
        "unexpected response from SSLRequest: 0x00" => CLOSED.to_owned(),
        _ => format!("{what}; {OTHER_PROGRAM}"),
    }
}

/// What a connection that has ended is called.
const CLOSED: &str = "the connection was closed by the other end";

/// The text of an I/O error without the operating system's number behind it.
pub(crate) fn io_message(error: &std::io::Error) -> String {
    // The driver's words for it count bytes.
    if error.kind() == ErrorKind::UnexpectedEof {
        return CLOSED.to_owned();
    }
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// Something that the database did not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct DatabaseError {
    /// What was tried.
    pub action: String,
    /// Why it failed.
    #[source]
    pub cause: DatabaseCause,
}

impl From<DatabaseError> for DatabaseCause {
    fn from(error: DatabaseError) -> Self {
        error.cause
    }
}

/// Names what was tried when a query fails.
pub(crate) trait ResultExt<T> {
    /// Turns the database's error into one that says what was tried.
    ///
    /// # Errors
    /// The same failure, named.
    fn context(self, action: impl Into<String>) -> Result<T, DatabaseError>;
}

impl<T, E: Into<DatabaseCause>> ResultExt<T> for Result<T, E> {
    fn context(self, action: impl Into<String>) -> Result<T, DatabaseError> {
        self.map_err(|error| DatabaseError { action: action.into(), cause: error.into() })
    }
}

impl ErrorClass {
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

impl DatabaseCause {
    /// What the reader can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self.class {
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
            ErrorClass::Tls if !self.message.contains("does not support TLS") => return None,
            ErrorClass::Tls => {
                "set `ssl = on` at the server: `sslmode` of the URL, or `PGSSLMODE`, does not allow plain text"
            }
            ErrorClass::Certificate if self.message == UNKNOWN_CA => {
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
            ErrorClass::TooManyConnections if self.message.contains("role \"") => {
                "free a connection of the role, or raise its limit: `ALTER ROLE ... CONNECTION LIMIT ...`"
            }
            ErrorClass::TooManyConnections if self.message.contains("database \"") => {
                "free a connection to the database, or raise its limit: `ALTER DATABASE ... CONNECTION LIMIT ...`"
            }
            ErrorClass::TooManyConnections => "free a connection, or raise the server's `max_connections`",
            ErrorClass::DiskFull => "free some space, then run the same command again",
            ErrorClass::Corrupt => "restore a backup; for SQLite see https://www.sqlite.org/recovery.html as well",
            _ => return None,
        })
    }

    /// What the reader can do where nothing was begun that could be rolled back.
    #[must_use]
    pub(crate) fn hint_of_reading(&self) -> Option<&'static str> {
        match self.class {
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => {
                Some("`tarsy-db wait` waits until the server is back")
            }
            _ => self.hint(),
        }
    }

    /// What the reader can do where waiting was of no use.
    #[must_use]
    pub(crate) fn hint_after_waiting(&self) -> Option<&'static str> {
        match self.class {
            ErrorClass::Refused => Some("is the server running, and are host and port right?"),
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => None,
            _ => self.hint(),
        }
    }
}

impl Diagnostic for DatabaseError {
    fn exit_code(&self) -> ExitCode {
        self.cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint().map(str::to_owned)
    }
}
