//! Connections to PostgreSQL.

use std::sync::Once;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Connection as _, PgConnection};

use super::bridge::Bridge;
use super::limits::PoolLimits;
use crate::database::failure::DatabaseCause;
use crate::database::url::{PostgresqlAddress, Protection};

/// The setting by which a client recognises a session of its own.
pub(super) const CLIENT: &str = "tarsy_db.client";
/// More attempts than a host needs, with all its addresses and encryptions.
const ATTEMPTS: u32 = 8;
/// A connection that has been idle for so long may be broken. To ask takes a round trip, as the end of its last use did.
const LONG_IDLE: Duration = Duration::from_secs(1);
/// In the place of no limit, which the driver does not know.
const A_DAY: Duration = Duration::from_hours(24);

/// Opens a pool with one connection, and the bridge that its connections need. With `of_client` the settings of each login
/// have this value, if there is no pooler that refuses it.
pub(crate) async fn open_postgresql(
    address: &PostgresqlAddress,
    limits: PoolLimits,
    of_client: Option<&str>,
) -> Result<(DatabaseConnection, Bridge), DatabaseCause> {
    let bridge = bridge_to(address)?;
    let mut options = bridge.options().application_name(application_name(address));
    if let Some(value) = of_client {
        options = options.options([(CLIENT, value)]);
    }
    let pool = pool_options(address, limits).connect_with(options).await?;
    warn_of_plain_text(address);
    Ok((SqlxPostgresConnector::from_sqlx_postgres_pool(pool), bridge))
}

/// Says once that a connection in plain text leaves this machine.
fn warn_of_plain_text(address: &PostgresqlAddress) {
    static ONCE: Once = Once::new();
    if address.reached().is_some_and(|reached| reached.protection == Protection::PlainText) {
        ONCE.call_once(|| {
            tracing::warn!(
                "the connection to the server is in plain text, which others on the network can read and change; set \
                 `sslmode=verify-full`, or refuse plain text with `TARSY_DB_REQUIRE_TLS=true`"
            );
        });
    }
}

fn bridge_to(address: &PostgresqlAddress) -> Result<Bridge, DatabaseCause> {
    Bridge::to(address).map_err(|error| DatabaseCause::of_io(&error))
}

fn application_name(address: &PostgresqlAddress) -> &str {
    let name = address.application_name.as_ref().or(address.fallback_application_name.as_ref());
    name.map_or("tarsy", String::as_str)
}

fn pool_options(address: &PostgresqlAddress, limits: PoolLimits) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(limits.most.unwrap_or(u32::MAX).max(1))
        .acquire_timeout(acquire_timeout(address, limits))
        // The driver looks for old connections in this interval.
        .max_lifetime(limits.recycle.map(|age| age.max(Duration::from_secs(1))))
        .idle_timeout(None)
        .test_before_acquire(false)
        .before_acquire(move |connection, used| {
            let is_asked = limits.pre_ping && used.idle_for >= LONG_IDLE;
            Box::pin(async move {
                if is_asked {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// The driver has one limit for both: to wait for a free connection, and to open one, which has limits of its own and
/// gives the reason.
fn acquire_timeout(address: &PostgresqlAddress, limits: PoolLimits) -> Duration {
    let hosts = u32::try_from(address.places().len()).unwrap_or(u32::MAX);
    let attempts = hosts.saturating_mul(ATTEMPTS);
    let connecting = address.connect_limit().map_or(A_DAY, |limit| limit.saturating_mul(attempts));
    limits.timeout.max(Duration::from_secs(1)).saturating_add(connecting).min(A_DAY * 2)
}

/// Opens a connection without a pool, to the host that was reached last. It has no lock timeout. Probes of a server use
/// it, which may not wait for a connection of the pool.
pub(crate) async fn open_single(address: &PostgresqlAddress) -> Result<PgConnection, DatabaseCause> {
    let bridge = bridge_to(&address.at_reached_host())?;
    Ok(bridge.options().application_name(application_name(address)).connect().await?)
}
