//! SeaORM connections to both backends. Classing what goes wrong is left to [`crate::database::failure`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, SqlxPostgresConnector, SqlxSqliteConnector,
    Statement,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection};

use super::failure::{DatabaseCause, ErrorClass, io_message};
use super::keepalive;
use super::url::{DatabaseUrl, PostgresqlAddress, Secret, SqliteLocation};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::free_space;

/// How long one attempt to connect may take unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the pool may be silent before it is looked for the reason.
const SILENCE: Duration = Duration::from_millis(200);
/// How long to wait for somebody else's lock where the command has no limit of its own.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}")]
pub struct ConnectError {
    /// The database as its URL shows itself, without the password.
    pub target: String,
    /// Why.
    #[source]
    pub cause: DatabaseCause,
}

impl Diagnostic for ConnectError {
    fn exit_code(&self) -> ExitCode {
        self.cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint_of_reading().map(str::to_owned)
    }
}

/// Runs a query that has no parameters.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn rows(connection: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await
}

/// Runs a query that gives one row, as an aggregate does.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn row(connection: &impl ConnectionTrait, sql: &str) -> Result<QueryResult, DbErr> {
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the query gave no row".to_owned()))
}

/// Makes sure that a PostgreSQL server is not a standby. SQLite has none.
///
/// # Errors
/// [`ErrorClass::Standby`], or whatever the server answers.
pub(crate) async fn require_primary(connection: &impl ConnectionTrait) -> Result<(), DatabaseCause> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    match row(connection, "SELECT pg_is_in_recovery() AS is_standby").await?.try_get("", "is_standby")? {
        true => Err(DatabaseCause::new(ErrorClass::Standby, "the server is a standby and accepts no writes")),
        false => Ok(()),
    }
}

/// Makes sure that a PostgreSQL server accepts writes of this role. Call it before work that writes: what a standby
/// answers to the work itself has a different SQLSTATE for each statement. SQLite tells when the file is locked.
///
/// # Errors
/// [`ErrorClass::Standby`], [`ErrorClass::ReadOnly`], or whatever the server answers.
pub(crate) async fn require_writable(connection: &impl ConnectionTrait) -> Result<(), DatabaseCause> {
    require_primary(connection).await?;
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let sql = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only";
    match row(connection, sql).await?.try_get("", "is_read_only")? {
        true => Err(DatabaseCause::new(ErrorClass::ReadOnly, "transactions are read-only by default")),
        false => Ok(()),
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only; a SQLite file is not changed, and nothing is left beside it that was not there
    /// (a `-wal` without its `-shm` gets one).
    Read,
    /// Reading and writing what is there.
    Write,
    /// As `Write`, and a missing SQLite file is created, with its directory.
    Create,
}

/// Opens one connection, for work that takes no more, that waits no longer than `lock_timeout` for
/// somebody else's lock.
///
/// # Errors
/// [`ConnectError`] with the real reason; the pool alone would only say that time ran out.
pub async fn open(
    url: &DatabaseUrl,
    access: Access,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, ConnectError> {
    match url {
        DatabaseUrl::Sqlite(location) => open_sqlite(location, access, lock_timeout).await,
        DatabaseUrl::Postgresql(address) => {
            let options =
                pool_options(lock_timeout).max_connections(1).acquire_timeout(longer_than_to_connect(address));
            // Locks belong to the session: it must never be replaced for age.
            let options = options.max_lifetime(None).idle_timeout(None);
            // Large in memory, and part of whatever awaits it: on the heap, or the stack of a debug build overflows.
            Box::pin(open_postgresql(address, options)).await
        }
    }
    .map_err(|cause| ConnectError { target: url.to_string(), cause })
}

/// How long a pool waits for its own connection: it says only that there is none, a single connection says why.
fn longer_than_to_connect(address: &PostgresqlAddress) -> Duration {
    address.connect_timeout.unwrap_or(CONNECT_TIMEOUT).saturating_add(Duration::from_secs(1))
}

/// Pools whose sessions wait only so long for somebody else's lock.
fn pool_options(lock_timeout: Duration) -> PgPoolOptions {
    let set_lock_timeout = format!("SET lock_timeout = {}", milliseconds(lock_timeout));
    PgPoolOptions::new().after_connect(move |connection, _| {
        let sql = AssertSqlSafe(set_lock_timeout.clone());
        keepalive::set_for_all_sockets();
        Box::pin(async move { connection.execute(sql).await.map(|_| ()) })
    })
}

/// A limit as the databases' settings take it: at least 1, because 0 means none.
#[must_use]
pub(crate) fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// A limit as SQLite's driver takes it, which panics at more: 24 days.
#[must_use]
pub(crate) fn busy_timeout(limit: Duration) -> Duration {
    limit.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}

async fn open_postgresql(
    address: &PostgresqlAddress,
    pool: PgPoolOptions,
) -> Result<DatabaseConnection, DatabaseCause> {
    require_certificates(address)?;
    let options = postgresql_options(address);
    let limit = address.connect_timeout;
    let pool = tokio::select! {
        biased;
        pool = within(limit, pool.connect_with(options.clone())) => pool,
        cause = reason_of_silence(&options, limit) => Err(cause),
    }?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Opens a connection without a pool, which says at once why it does not come about. It has no limits for locks.
///
/// # Errors
/// The reason.
pub(crate) async fn open_single(address: &PostgresqlAddress) -> Result<PgConnection, DatabaseCause> {
    let connection = within(address.connect_timeout, postgresql_options(address).connect()).await?;
    keepalive::set_for_all_sockets();
    Ok(connection)
}

/// Why the pool says nothing: it tries a refused connection again until its time is up, and then says only that. A
/// single connection beside it, a moment later, says why. Does not end where that one comes about.
async fn reason_of_silence(options: &PgConnectOptions, limit: Option<Duration>) -> DatabaseCause {
    tokio::time::sleep(SILENCE).await;
    match within(limit, options.connect()).await {
        Ok(connection) => {
            connection.close().await.ok();
            std::future::pending().await
        }
        Err(cause) => cause,
    }
}

/// The driver says only that something is not there, which sounds like the server.
fn require_certificates(address: &PostgresqlAddress) -> Result<(), DatabaseCause> {
    let mode = address.ssl_mode.unwrap_or_default();
    if matches!(mode, PgSslMode::Disable) {
        return Ok(());
    }
    let unusable = |what: &str, path: &Path, why: &str| {
        Err(DatabaseCause::new(ErrorClass::Configuration, format!("cannot read the {what} {}: {why}", path.display())))
    };
    let files = [
        ("root certificate", &address.ssl_root_certificate),
        ("client certificate", &address.ssl_certificate),
        ("client key", &address.ssl_key),
    ];
    for (what, path) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(path)
        {
            return unusable(what, path, &io_message(&error));
        }
    }
    let is_verified = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    match address.ssl_root_certificate.as_deref().filter(|_| is_verified) {
        // The driver would trust the system's certificates alone.
        Some(path) if !std::fs::read(path).is_ok_and(|pem| holds_certificate(&pem)) => {
            unusable("root certificate", path, "the file holds no certificate in PEM format")
        }
        _ => Ok(()),
    }
}

fn holds_certificate(pem: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}

async fn within<T>(
    limit: Option<Duration>,
    attempt: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DatabaseCause> {
    let limit = limit.unwrap_or(CONNECT_TIMEOUT);
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result.map_err(DatabaseCause::from),
        Err(_) => Err(DatabaseCause::new(
            ErrorClass::TimedOut,
            format!("no answer within {}", humantime::format_duration(limit)),
        )),
    }
}

/// Builds the driver's options field by field: its own URL parser reads SQLAlchemy's URLs differently.
fn postgresql_options(address: &PostgresqlAddress) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .ssl_mode(address.ssl_mode.unwrap_or_default())
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
    options = match &address.ssl_root_certificate {
        Some(path) => options.ssl_root_cert(path),
        // Not the one that the driver takes from the environment.
        None => options.ssl_root_cert_from_pem(Vec::new()),
    };
    if let Some(path) = &address.ssl_certificate {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = &address.ssl_key {
        options = options.ssl_client_key(path);
    }
    options
}

async fn open_sqlite(
    location: &SqliteLocation,
    access: Access,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, DatabaseCause> {
    let mut options = SqliteConnectOptions::new()
        .busy_timeout(busy_timeout(location.busy_timeout.unwrap_or(lock_timeout)))
        .foreign_keys(true)
        .disable_statement_logging();
    options = match &location.path {
        None => options.in_memory(true),
        Some(path) => {
            match access {
                Access::Create if !path.exists() => create_parent(path)?,
                Access::Read | Access::Write | Access::Create => require_file(path, access)?,
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
    let pool = pool.after_release(|connection, _| Box::pin(is_sound(connection)));
    let opened = async {
        let pool = pool.connect_with(options).await?;
        // SQLite opens anything; only reading shows whether it is a database.
        sqlx::query("PRAGMA schema_version").execute(&pool).await?;
        Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    };
    opened.await.map_err(|error: sqlx::Error| {
        let cause = DatabaseCause::from(error);
        let has_wal = location.path.as_deref().is_some_and(|path| wal_of(path).exists());
        match cause.class {
            ErrorClass::CannotOpen if access == Access::Read && has_wal => DatabaseCause::new(
                ErrorClass::CannotOpen,
                "a `-wal` is beside the file, and reading both needs a directory that can be written: copy them to one",
            ),
            _ => cause,
        }
    })
}

/// Whether a connection may be used again after its transaction. SQLite rolls back by itself when, for one, the disk is
/// full at COMMIT; the driver still counts that transaction, and would take the next one for a savepoint inside it:
/// its COMMIT would succeed and commit nothing.
async fn is_sound(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a transaction that was dropped may still be on its way.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Says why a file cannot be opened in better words than SQLite has.
fn require_file(path: &Path, access: Access) -> Result<(), DatabaseCause> {
    let shown = path.display();
    // Where SQLite may not write it opens for reading, and does not say so.
    let opened = std::fs::OpenOptions::new().read(true).append(access == Access::Write).open(path);
    match opened.and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => {
            Err(DatabaseCause::new(ErrorClass::CannotOpen, format!("{shown} is a directory, not a file")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatabaseCause::new(ErrorClass::NoSuchDatabase, free_space::nothing_at(path)))
        }
        Err(error) => {
            let class = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorClass::Privilege,
                _ => ErrorClass::CannotOpen,
            };
            Err(DatabaseCause::new(class, format!("cannot open {shown}: {}", io_message(&error))))
        }
    }
}

fn create_parent(path: &Path) -> Result<(), DatabaseCause> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        None => Ok(()),
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| {
            let message = format!("cannot create the directory {}: {}", parent.display(), io_message(&error));
            DatabaseCause::new(ErrorClass::CannotOpen, message)
        }),
    }
}

/// Whether a SQLite file is in WAL mode and nobody has it open.
///
/// A reader of a WAL file leaves `-wal` and `-shm` behind, and cannot open it at all where it may not
/// create them. A file at rest can be opened as immutable instead; with a `-wal` beside it that
/// would miss what is in there.
#[must_use]
pub(crate) fn is_at_rest(path: &Path) -> bool {
    is_in_wal_mode(path) && !wal_of(path).exists() && !beside(path, "-journal").exists()
}

/// The file with what was written last, beside a SQLite file in WAL mode.
#[must_use]
pub(crate) fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// SQLite keeps its other files beside the file itself, not beside a link to it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(suffix);
    name.into()
}

/// Reads the file format's write version, byte 18 of the header: 2 is WAL.
/// <https://www.sqlite.org/fileformat.html#the_database_header>
fn is_in_wal_mode(path: &Path) -> bool {
    use std::io::Read;
    let mut header = [0_u8; 20];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok_and(|()| header[18] == 2)
}
