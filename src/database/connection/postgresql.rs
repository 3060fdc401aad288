//! Connections to PostgreSQL.

use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::certificates::require_certificates;
use super::limits::milliseconds;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::keepalive;
use crate::database::url::{PostgresqlAddress, Secret};
use crate::format;

/// How long one attempt to connect may take unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the pool may be silent before it is looked for the reason.
const SILENCE: Duration = Duration::from_millis(200);

/// Opens one connection, for work that takes no more.
pub(crate) async fn open_postgresql(
    address: &PostgresqlAddress,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, DatabaseCause> {
    require_certificates(address)?;
    let pool = pool_options(lock_timeout).max_connections(1).acquire_timeout(longer_than_to_connect(address));
    // Locks belong to the session: it must never be replaced for age.
    let pool = pool.max_lifetime(None).idle_timeout(None);
    let options = postgresql_options(address);
    let limit = address.connect_timeout;
    let pool = tokio::select! {
        biased;
        pool = within(limit, pool.connect_with(options.clone())) => pool,
        cause = reason_of_silence(&options, limit) => Err(cause),
    }?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
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

async fn within<T>(
    limit: Option<Duration>,
    attempt: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DatabaseCause> {
    let limit = limit.unwrap_or(CONNECT_TIMEOUT);
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result.map_err(DatabaseCause::from),
        Err(_) => {
            Err(DatabaseCause::new(ErrorClass::TimedOut, format!("no answer within {}", format::duration(limit))))
        }
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
