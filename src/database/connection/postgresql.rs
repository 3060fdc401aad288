//! Connections to PostgreSQL.

use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::certificates::require_certificates;
use super::limits::PoolLimits;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::keepalive;
use crate::database::url::{PostgresqlAddress, Secret};
use crate::format;

/// The limit of one attempt to connect, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The setting by which a client recognises a session of its own.
pub(super) const CLIENT: &str = "tarsy_db.client";
/// How long the pool may take before a second connection looks for the reason.
const SILENCE: Duration = Duration::from_millis(200);

/// Opens a pool with one connection. With `of_client` the settings of each login have this value, if there is no pooler
/// that refuses it.
pub(crate) async fn open_postgresql(
    address: &PostgresqlAddress,
    limits: PoolLimits,
    of_client: Option<&str>,
) -> Result<DatabaseConnection, DatabaseCause> {
    require_certificates(address)?;
    let options = postgresql_options(address);
    if let Some(value) = of_client {
        let options = options.clone().options([(CLIENT, value)]);
        match open_pool(address, limits, options).await {
            Err(cause) if is_refused(&cause) => {}
            opened => return opened,
        }
    }
    open_pool(address, limits, options).await
}

/// Whether a pooler refuses settings in the login, as PgBouncer does ("unsupported startup parameter"), and Amazon's
/// ("doesn't support command-line options").
pub(super) fn is_refused(cause: &DatabaseCause) -> bool {
    ["startup parameter", "command-line options"].iter().any(|refused| cause.message.contains(refused))
}

async fn open_pool(
    address: &PostgresqlAddress,
    limits: PoolLimits,
    options: PgConnectOptions,
) -> Result<DatabaseConnection, DatabaseCause> {
    let pool = pool_options(address, limits);
    let limit = address.connect_timeout;
    let pool = tokio::select! {
        biased;
        pool = within(limit, pool.connect_with(options.clone())) => pool,
        cause = reason_of_silence(&options, limit) => Err(cause),
    }?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// The pool's own limit. It is longer than that of an attempt, because the pool reports only a timeout, and the attempt
/// the reason.
fn longer_than_to_connect(address: &PostgresqlAddress) -> Duration {
    address.connect_timeout.unwrap_or(CONNECT_TIMEOUT).saturating_add(Duration::from_secs(1))
}

fn pool_options(address: &PostgresqlAddress, limits: PoolLimits) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(limits.most.unwrap_or(u32::MAX).max(1))
        // The pool goes on to ask a server that refuses: longer than an attempt it is of no use.
        .acquire_timeout(longer_than_to_connect(address).min(limits.timeout.max(Duration::from_secs(1))))
        // The driver looks for old connections in this interval.
        .max_lifetime(limits.recycle.map(|age| age.max(Duration::from_secs(1))))
        .idle_timeout(None)
        .test_before_acquire(limits.pre_ping)
        .after_connect(|_, _| {
            keepalive::set_for_all_sockets();
            Box::pin(async { Ok(()) })
        })
}

/// Opens a connection without a pool: it fails at once and with the real error. It has no lock timeout. Probes of a
/// server use it, which may not wait for a connection of the pool.
pub(crate) async fn open_single(address: &PostgresqlAddress) -> Result<PgConnection, DatabaseCause> {
    let connection = within(address.connect_timeout, postgresql_options(address).connect()).await?;
    keepalive::set_for_all_sockets();
    Ok(connection)
}

/// Finds the real error: the pool retries a refused connection until it times out, and then reports only the timeout.
/// Never returns if this second connection succeeds.
async fn reason_of_silence(options: &PgConnectOptions, limit: Option<Duration>) -> DatabaseCause {
    let mut was_too_many = false;
    loop {
        tokio::time::sleep(SILENCE).await;
        match within(limit, options.connect()).await {
            Ok(connection) => {
                connection.close().await.ok();
                return std::future::pending().await;
            }
            // The pool's own connection may be the last one that is granted, and ready in a moment.
            Err(cause) if cause.class == ErrorClass::TooManyConnections && !was_too_many => was_too_many = true,
            Err(cause) => return cause,
        }
    }
}

pub(super) async fn within<T, E: Into<DatabaseCause>>(
    limit: Option<Duration>,
    attempt: impl Future<Output = Result<T, E>>,
) -> Result<T, DatabaseCause> {
    let limit = limit.unwrap_or(CONNECT_TIMEOUT);
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => {
            Err(DatabaseCause::new(ErrorClass::TimedOut, format!("no answer within {}", format::duration(limit))))
        }
    }
}

/// Sets the driver's options field by field, because the driver's own URL parser reads SQLAlchemy's URLs differently.
fn postgresql_options(address: &PostgresqlAddress) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .ssl_mode(address.ssl_mode.unwrap_or_default())
        .application_name(address.application_name.as_deref().unwrap_or("tarsy"))
        // Poolers refuse start-up parameters that they do not know, and servers since version 12 need none.
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
        // Overrides the one that the driver takes from the environment.
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
