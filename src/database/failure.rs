//! What a database, or the way to it, answered: classed, and in words that never hold a password.

use std::fmt;
use std::io::ErrorKind;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgDatabaseError;

/// What kind of thing went wrong: it decides the exit code and whether `wait` goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
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

impl Failure {
    /// Whether the server was not there, or not ready to look at a login.
    #[must_use]
    pub fn is_before_login(self) -> bool {
        use Failure::{
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
        use Failure::{Busy, Conflict, ReadOnly, SchemaPending, Standby, TooManyConnections};
        self.is_before_login()
            || matches!(self, Standby | ReadOnly | TooManyConnections | Busy | Conflict | SchemaPending)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused => "connection refused",
            Failure::NameResolution => "host name not found",
            Failure::Unreachable => "network unreachable",
            Failure::TimedOut => "no answer in time",
            Failure::ConnectionLost => "connection lost",
            Failure::StartingUp => "server is starting up",
            Failure::ShuttingDown => "server is shutting down",
            Failure::InRecovery => "server is in recovery",
            Failure::Standby => "server is a standby",
            Failure::ReadOnly => "database is read-only",
            Failure::TooManyConnections => "too many connections",
            Failure::Busy => "locked by somebody else",
            Failure::Conflict => "in conflict with another transaction",
            Failure::Authentication => "authentication failed",
            Failure::Privilege => "permission denied",
            Failure::RowPolicy => "rows may be hidden",
            Failure::NoSuchDatabase => "no such database",
            Failure::Tls => "no TLS connection",
            Failure::Certificate => "certificate not accepted",
            Failure::Configuration => "wrong connection settings",
            Failure::CannotOpen => "cannot open the file",
            Failure::DiskFull => "disk full",
            Failure::Corrupt => "damaged, or not a database",
            Failure::InputOutput => "input/output error",
            Failure::Data => "value refused",
            Failure::Constraint => "constraint violated",
            Failure::Needed => "needed by something else",
            Failure::AlreadyExists => "name already taken",
            Failure::Pooler => "sessions are shared by a pooler",
            Failure::SchemaPending => "schema is not there yet",
            Failure::Other => "error",
        })
    }
}

/// SQLITE_READONLY_ROLLBACK.
const HOT_JOURNAL: &str = "776";

/// What a database, or the way to it, answered. The message never holds a password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Cause {
    /// The kind of failure.
    pub failure: Failure,
    /// The answer in the database's own words.
    pub message: String,
}

impl Cause {
    /// A cause that tarsy-db found itself.
    pub fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into() }
    }

    /// The kind of failure and, unless it says the same, the database's answer.
    #[must_use]
    pub fn described(&self) -> String {
        let failure = self.failure.to_string();
        if self.message == failure { failure } else { format!("{failure}: {}", self.message) }
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for Cause {
    fn from(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => Self::new(postgresql_failure(answer), postgresql_message(answer)),
                None if answer.code().as_deref() == Some(HOT_JOURNAL) => Self::new(
                    Failure::CannotOpen,
                    "a writer that crashed left a `-journal`: open the file once for writing, or take a copy of both",
                ),
                // `error in view mine after drop column: no such column: alert_id`: only the text tells.
                None if answer.message().starts_with("error in ") => Self::new(Failure::Needed, answer.message()),
                None => {
                    let code = answer.code().and_then(|code| code.parse().ok());
                    Self::new(sqlite_failure(code), answer.message())
                }
            },
            sqlx::Error::Io(error) => match io_failure(error) {
                Failure::Certificate => Self::new(Failure::Certificate, certificate_message(&error.to_string())),
                failure => Self::new(failure, io_message(error)),
            },
            sqlx::Error::Tls(error) => Self::new(Failure::Tls, error.to_string()),
            // The source of a configuration error may quote what it could not use.
            sqlx::Error::Configuration(_) => Self::new(
                Failure::Configuration,
                "the driver cannot use a setting: a password with characters that SASLprep forbids, or a certificate",
            ),
            // A database gives its own definitions as text: what is none was not written by it.
            sqlx::Error::ColumnDecode { index, source } if source.is::<std::str::Utf8Error>() => {
                Self::new(Failure::Corrupt, format!("what should be text is not: {index}, {source}"))
            }
            sqlx::Error::PoolTimedOut => Self::new(Failure::TimedOut, "no connection became free in time"),
            sqlx::Error::Protocol(message) => Self::new(Failure::ConnectionLost, protocol_message(message)),
            sqlx::Error::BeginFailed => Self::new(
                Failure::ConnectionLost,
                format!("the server said that it began a transaction, and is in none; {OTHER_PROGRAM}"),
            ),
            other => Self::new(Failure::Other, other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let failure = sqlite_failure(Some(code.extended_code));
                Self::new(failure, message.clone().unwrap_or_else(|| code.to_string()))
            }
            _ => Self::new(Failure::Other, error.to_string()),
        }
    }
}

impl From<DbErr> for Cause {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(source))
            | DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => Self::from(source.as_ref()),
            // What a migration finds in its way.
            DbErr::Custom(message) => Self::new(Failure::Needed, message.clone()),
            DbErr::ConnectionAcquire(_) => Self::new(Failure::TimedOut, "no connection became free in time"),
            _ => Self::new(Failure::Other, error.to_string()),
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
fn postgresql_failure(answer: &PgDatabaseError) -> Failure {
    match answer.code() {
        // One code for three states; only the text tells them apart.
        "57P03" if answer.message().contains("shutting down") => Failure::ShuttingDown,
        "57P03" if answer.message().contains("recovery") => Failure::InRecovery,
        "57P03" => Failure::StartingUp,
        "57P01" | "57P02" => Failure::ShuttingDown,
        "53300" => Failure::TooManyConnections,
        "55P03" => Failure::Busy,
        "40001" | "40P01" => Failure::Conflict,
        "57014" => Failure::TimedOut,
        "25006" => Failure::ReadOnly,
        // One code again; in another language than English it is a privilege, which is not wrong.
        "42501" if answer.message().contains("row-level security") => Failure::RowPolicy,
        // Without USAGE on it a role has no schema to create in.
        "42501" | "3F000" => Failure::Privilege,
        "3D000" | "57P04" => Failure::NoSuchDatabase,
        "53100" => Failure::DiskFull,
        "58030" => Failure::InputOutput,
        "54000" | "54001" => Failure::Data,
        // Every query fails there where transactions are serializable by default.
        "0A000" if answer.routine() == Some("GetSerializableTransactionSnapshot") => Failure::Standby,
        "2BP01" | "0A000" => Failure::Needed,
        "42P07" | "42710" | "42809" => Failure::AlreadyExists,
        // What a trigger of the operator's raises.
        "P0001" => Failure::Constraint,
        "42P05" | "26000" => Failure::Pooler,
        "XX001" | "XX002" => Failure::Corrupt,
        // PgBouncer has one code for everything that keeps a client out.
        "08P01" if answer.message().contains("database") => Failure::NoSuchDatabase,
        "08P01" if answer.message().contains("auth") || answer.message().contains("user") => Failure::Authentication,
        "57P05" | "25P03" | "25P04" => Failure::ConnectionLost,
        // Not every server has five characters there.
        code => match code.get(..2) {
            Some("08") => Failure::ConnectionLost,
            Some("28") => Failure::Authentication,
            Some("22") => Failure::Data,
            Some("23") => Failure::Constraint,
            _ => Failure::Other,
        },
    }
}

/// Classes a result code: <https://www.sqlite.org/rescode.html>. The lowest byte is the primary code.
fn sqlite_failure(code: Option<i32>) -> Failure {
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Failure::Busy,
        Some(3 | 8 | 23) => Failure::Privilege,
        Some(9) => Failure::TimedOut,
        Some(10) => Failure::InputOutput,
        Some(11 | 26) => Failure::Corrupt,
        Some(13) => Failure::DiskFull,
        Some(14) => Failure::CannotOpen,
        Some(19) => Failure::Constraint,
        Some(20) => Failure::Data,
        _ => Failure::Other,
    }
}

fn io_failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        // A socket directory without a socket is a server that does not run.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Failure::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Unreachable,
        ErrorKind::TimedOut => Failure::TimedOut,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Failure::ConnectionLost,
        ErrorKind::PermissionDenied => Failure::Privilege,
        ErrorKind::InvalidData if error.to_string().starts_with(INVALID_CERTIFICATE) => Failure::Certificate,
        // The only other data that is looked at while connecting is the server's part of TLS.
        ErrorKind::InvalidData => Failure::Tls,
        // std gives a failed look-up no kind of its own.
        _ if error.to_string().contains("lookup address") => Failure::NameResolution,
        _ => Failure::InputOutput,
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
    pub cause: Cause,
}

impl From<DatabaseError> for Cause {
    fn from(error: DatabaseError) -> Self {
        error.cause
    }
}

/// Names what was tried when a query fails.
pub(crate) trait Doing<T> {
    /// Turns the database's error into one that says what was tried.
    ///
    /// # Errors
    /// The same failure, named.
    fn doing(self, action: impl Into<String>) -> Result<T, DatabaseError>;
}

impl<T, E: Into<Cause>> Doing<T> for Result<T, E> {
    fn doing(self, action: impl Into<String>) -> Result<T, DatabaseError> {
        self.map_err(|error| DatabaseError { action: action.into(), cause: error.into() })
    }
}
