//! SeaORM connections to both backends, why one failed, and whether trying again can help.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, QueryResult, RuntimeErr, SqlxPostgresConnector, SqlxSqliteConnector,
    Statement,
};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::database_url::{DatabaseUrl, PostgresqlAddress, Secret, SqliteLocation};
use crate::settings::PoolSettings;

/// How long one attempt to connect may take unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for another writer of a SQLite file unless the URL says otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// A lock is held by somebody else, or a deadlock was broken.
    Busy,
    /// User or password are refused.
    Authentication,
    /// The role, or the system user, may not do this.
    Privilege,
    /// There is no such database.
    NoSuchDatabase,
    /// No encrypted connection could be agreed on.
    Tls,
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
    /// There is no schema yet.
    SchemaPending,
    /// Anything else.
    Other,
}

impl Failure {
    /// Whether the same attempt may succeed later without anybody's help.
    #[must_use]
    pub fn may_heal(self) -> bool {
        use Failure::{
            Busy, ConnectionLost, InRecovery, NameResolution, ReadOnly, Refused, SchemaPending, ShuttingDown, Standby,
            StartingUp, TimedOut, TooManyConnections, Unreachable,
        };
        matches!(
            self,
            Refused
                | NameResolution
                | Unreachable
                | TimedOut
                | ConnectionLost
                | StartingUp
                | ShuttingDown
                | InRecovery
                | Standby
                | ReadOnly
                | TooManyConnections
                | Busy
                | SchemaPending
        )
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
            Failure::Authentication => "authentication failed",
            Failure::Privilege => "permission denied",
            Failure::NoSuchDatabase => "no such database",
            Failure::Tls => "no TLS connection",
            Failure::Configuration => "wrong connection settings",
            Failure::CannotOpen => "cannot open the file",
            Failure::DiskFull => "disk full",
            Failure::Corrupt => "damaged, or not a database",
            Failure::InputOutput => "input/output error",
            Failure::Data => "value refused",
            Failure::SchemaPending => "schema is not there yet",
            Failure::Other => "error",
        })
    }
}

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
                None => Self::new(sqlite_failure(answer.code().as_deref()), answer.message()),
            },
            sqlx::Error::Io(error) => Self::new(io_failure(error), io_message(error)),
            sqlx::Error::Tls(error) => Self::new(Failure::Tls, error.to_string()),
            // The source of a configuration error may quote what it could not read.
            sqlx::Error::Configuration(_) => Self::new(Failure::Configuration, "the connection settings make no sense"),
            sqlx::Error::PoolTimedOut => Self::new(Failure::TimedOut, "no connection became free in time"),
            sqlx::Error::Protocol(message) => Self::new(Failure::ConnectionLost, message.clone()),
            other => Self::new(Failure::Other, other.to_string()),
        }
    }
}

impl From<DbErr> for Cause {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(source))
            | DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => Self::from(source.as_ref()),
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
        "55P03" | "40001" | "40P01" => Failure::Busy,
        "57014" => Failure::TimedOut,
        "25006" => Failure::ReadOnly,
        "42501" => Failure::Privilege,
        "3D000" => Failure::NoSuchDatabase,
        "53100" => Failure::DiskFull,
        "58030" => Failure::InputOutput,
        "54000" | "54001" => Failure::Data,
        code => match &code[..2] {
            "08" => Failure::ConnectionLost,
            "28" => Failure::Authentication,
            "22" | "23" => Failure::Data,
            "XX" => Failure::Corrupt,
            _ => Failure::Other,
        },
    }
}

/// Classes a result code: <https://www.sqlite.org/rescode.html>. The lowest byte is the primary code.
fn sqlite_failure(code: Option<&str>) -> Failure {
    match code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(5 | 6) => Failure::Busy,
        Some(3 | 8 | 23) => Failure::Privilege,
        Some(10) => Failure::InputOutput,
        Some(11 | 26) => Failure::Corrupt,
        Some(13) => Failure::DiskFull,
        Some(14) => Failure::CannotOpen,
        Some(19 | 20) => Failure::Data,
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
        // std gives a failed look-up no kind of its own.
        _ if error.to_string().contains("lookup address") => Failure::NameResolution,
        _ => Failure::InputOutput,
    }
}

/// The text of an I/O error without the operating system's number behind it.
fn io_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}")]
pub struct ConnectError {
    /// The database as its URL shows itself, without the password.
    pub target: String,
    /// Why.
    #[source]
    pub cause: Cause,
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

/// Names what was tried when a query fails.
pub trait Doing<T> {
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

/// Runs a query that has no parameters.
///
/// # Errors
/// Whatever the database answers.
pub async fn rows(connection: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await
}

/// Runs a query that gives one row, as an aggregate does.
///
/// # Errors
/// Whatever the database answers.
pub async fn row(connection: &impl ConnectionTrait, sql: &str) -> Result<QueryResult, DbErr> {
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the query gave no row".to_owned()))
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only; a SQLite file is not changed, and nothing is left beside it.
    Read,
    /// Reading and writing what is there.
    Write,
    /// As `Write`, and a missing SQLite file is created, with its directory.
    Create,
}

/// Opens one connection, for work that takes no more.
///
/// # Errors
/// [`ConnectError`] with the real reason; the pool alone would only say that time ran out.
pub async fn open(url: &DatabaseUrl, access: Access) -> Result<DatabaseConnection, ConnectError> {
    match url {
        DatabaseUrl::Sqlite(location) => open_sqlite(location, access).await,
        DatabaseUrl::Postgresql(address) => {
            open_postgresql(address, PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT)).await
        }
    }
    .map_err(|cause| ConnectError { target: url.to_string(), cause })
}

/// Opens a pool with TARSy's five settings. A SQLite file has one writer at a time, hence one connection.
///
/// # Errors
/// [`ConnectError`] with the real reason.
pub async fn open_pool(
    url: &DatabaseUrl,
    access: Access,
    settings: &PoolSettings,
) -> Result<DatabaseConnection, ConnectError> {
    match url {
        DatabaseUrl::Sqlite(location) => open_sqlite(location, access).await,
        DatabaseUrl::Postgresql(address) => {
            let options = PgPoolOptions::new()
                .max_connections(settings.max_connections())
                .acquire_timeout(settings.timeout())
                .max_lifetime(settings.recycle())
                .test_before_acquire(settings.pre_ping.value);
            open_postgresql(address, options).await
        }
    }
    .map_err(|cause| ConnectError { target: url.to_string(), cause })
}

async fn open_postgresql(address: &PostgresqlAddress, pool: PgPoolOptions) -> Result<DatabaseConnection, Cause> {
    let options = postgresql_options(address);
    // The pool retries a refused connection until its time is up and then says only that; a single one says why.
    let connection = within(address.connect_timeout, options.connect()).await?;
    connection.close().await?;
    let pool = within(address.connect_timeout, pool.connect_with(options)).await?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

async fn within<T>(limit: Option<Duration>, attempt: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Cause> {
    let limit = limit.unwrap_or(CONNECT_TIMEOUT);
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result.map_err(Cause::from),
        Err(_) => Err(Cause::new(Failure::TimedOut, format!("no answer within {}", humantime::format_duration(limit)))),
    }
}

/// Builds the driver's options field by field: its own URL parser reads SQLAlchemy's URLs differently.
fn postgresql_options(address: &PostgresqlAddress) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .ssl_mode(address.ssl_mode)
        .application_name(address.application_name.as_deref().unwrap_or("tarsy"))
        // Poolers refuse start-up parameters that they do not know, and servers since 12 need none.
        .extra_float_digits(None)
        .disable_statement_logging();
    if let Some(user) = &address.user {
        options = options.username(user);
    }
    if let Some(password) = &address.password {
        options = options.password(Secret::expose(password));
    }
    if let Some(database) = address.database.as_deref().or(address.user.as_deref()) {
        options = options.database(database);
    }
    if let Some(path) = &address.ssl_root_certificate {
        options = options.ssl_root_cert(path);
    }
    if let Some(path) = &address.ssl_certificate {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = &address.ssl_key {
        options = options.ssl_client_key(path);
    }
    options
}

async fn open_sqlite(location: &SqliteLocation, access: Access) -> Result<DatabaseConnection, Cause> {
    let mut options = SqliteConnectOptions::new()
        .busy_timeout(location.busy_timeout.unwrap_or(BUSY_TIMEOUT))
        .foreign_keys(true)
        .disable_statement_logging();
    options = match &location.path {
        None => options.in_memory(true),
        Some(path) => {
            match access {
                Access::Create => create_parent(path)?,
                Access::Read | Access::Write if !path.exists() => {
                    let message = format!("there is no file {}", path.display());
                    return Err(Cause::new(Failure::NoSuchDatabase, message));
                }
                Access::Read | Access::Write => {}
            }
            options
                .filename(path)
                .create_if_missing(access == Access::Create)
                .read_only(access == Access::Read)
                .immutable(access == Access::Read && is_at_rest(path))
        }
    };
    // Memory lives in its one connection: it must never be closed for age.
    let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.connect_with(options).await?))
}

fn create_parent(path: &Path) -> Result<(), Cause> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        None => Ok(()),
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| {
            let message = format!("cannot create the directory {}: {}", parent.display(), io_message(&error));
            Cause::new(Failure::CannotOpen, message)
        }),
    }
}

/// Whether a SQLite file is in WAL mode and nobody has it open.
///
/// A reader of a WAL file leaves `-wal` and `-shm` behind, and cannot open it at all where it may not
/// create them. A file at rest can be opened as immutable instead; with a `-wal` beside it that
/// would miss what is in there.
#[must_use]
pub fn is_at_rest(path: &Path) -> bool {
    is_in_wal_mode(path) && !wal_of(path).exists()
}

/// The file with what was written last, beside a SQLite file in WAL mode.
#[must_use]
pub fn wal_of(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

/// Reads the file format's write version, byte 18 of the header: 2 is WAL.
/// <https://www.sqlite.org/fileformat.html#the_database_header>
fn is_in_wal_mode(path: &Path) -> bool {
    use std::io::Read;
    let mut header = [0_u8; 20];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok_and(|()| header[18] == 2)
}
