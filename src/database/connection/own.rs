//! A connection of its own to PostgreSQL, for statements that cannot run in a transaction.
//!
//! Such a statement needs settings of its session: none of the role's time limits, and an empty search path. They are
//! part of the login and never set later, because a pooler gives the session to the backend next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgConnection, PgPool, Row};

use super::limits::milliseconds;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::mark;
use crate::format;

/// How long the server may take to count the connection that this one replaces as closed.
const PATIENCE: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_millis(20);

/// A connection outside the pool. It is closed after its work.
pub(crate) struct OwnConnection {
    session: PgConnection,
    answers: Arc<AtomicU64>,
}

impl OwnConnection {
    /// Replaces a connection of the pool, which may be the only one that the role is granted.
    pub(super) async fn open(
        pool: &PgPool,
        lock_timeout: Option<Duration>,
        answers: Arc<AtomicU64>,
    ) -> Result<Self, DatabaseCause> {
        let replaced = pool.acquire().await?;
        let limits = Limits::of(lock_timeout, replaced.server_version_num());
        replaced.close().await.ok();
        let plain = PgConnectOptions::clone(&pool.connect_options());
        let mut session = connect(&plain.options(limits.options())).await?;
        limits.require(&in_force(&mut session).await?)?;
        Ok(Self { session, answers })
    }

    /// Runs one statement, marked.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), DbErr> {
        let statement = mark::statement(sql);
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.session).await;
        self.answers.fetch_add(1, Ordering::Relaxed);
        done.map(drop).map_err(|error| DbErr::Exec(RuntimeErr::SqlxError(error.into())))
    }

    pub(crate) async fn close(self) {
        self.session.close().await.ok();
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseCause> {
    let started = Instant::now();
    loop {
        match options.connect().await.map_err(DatabaseCause::from) {
            Err(cause) if cause.class == ErrorClass::TooManyConnections && started.elapsed() < PATIENCE => {
                tokio::time::sleep(INTERVAL).await;
            }
            connected => return connected,
        }
    }
}

/// The time limits of a session in milliseconds; 0 is none.
struct Limits(BTreeMap<&'static str, i32>);

impl Limits {
    fn of(lock_timeout: Option<Duration>, version: Option<u32>) -> Self {
        let mut limits =
            BTreeMap::from([("lock_timeout", lock_timeout.map_or(0, milliseconds)), ("statement_timeout", 0)]);
        if version.is_some_and(|version| version >= 170_000) {
            limits.insert("transaction_timeout", 0);
        }
        Self(limits)
    }

    /// The settings of the login.
    fn options(&self) -> Vec<(&'static str, String)> {
        let limits = self.0.iter().map(|(name, limit)| (*name, limit.to_string()));
        limits
            .chain([("search_path", "pg_catalog,pg_temp".to_owned()), ("standard_conforming_strings", "on".to_owned())])
            .collect()
    }

    /// Makes sure that no limit in force is shorter than the one that was asked for.
    fn require(&self, in_force: &BTreeMap<String, i32>) -> Result<(), DatabaseCause> {
        let is_shorter = |asked: i32, found: i32| found != 0 && (asked == 0 || found < asked);
        let shorter = self.0.iter().find_map(|(name, asked)| {
            let found = *in_force.get(*name)?;
            is_shorter(*asked, found).then_some((*name, found))
        });
        let Some((name, found)) = shorter else { return Ok(()) };
        let found = format::duration(Duration::from_millis(found.unsigned_abs().into()));
        let message = format!(
            "this needs a session of the server (`DIRECT_DATABASE_URL`), and the pooler keeps the role's `{name}` of {found}"
        );
        Err(DatabaseCause::new(ErrorClass::Pooler, message))
    }
}

/// The limits of a session. The path may still be the role's, so that every name is qualified.
async fn in_force(session: &mut PgConnection) -> Result<BTreeMap<String, i32>, sqlx::Error> {
    let sql = "SELECT name, setting::pg_catalog.int4 AS milliseconds FROM pg_catalog.pg_settings
               WHERE name OPERATOR(pg_catalog.=) ANY
                     (ARRAY['lock_timeout', 'statement_timeout', 'transaction_timeout']::pg_catalog.text[])";
    let rows = sqlx::raw_sql(sql).fetch_all(session).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("milliseconds")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn require(lock_timeout: Option<Duration>, lock: i32, statement: i32) -> Result<(), String> {
        let in_force = [("lock_timeout", lock), ("statement_timeout", statement)];
        let in_force = in_force.map(|(name, limit)| (name.to_owned(), limit)).into();
        let required = Limits::of(lock_timeout, Some(150_004)).require(&in_force);
        required.map_err(|cause| {
            assert_eq!(cause.class, ErrorClass::Pooler);
            cause.to_string()
        })
    }

    #[test]
    fn a_session_with_shorter_limits_is_refused() {
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(require(half_a_minute, 30_000, 0), Ok(()), "as asked");
        assert_eq!(require(half_a_minute, 0, 0), Ok(()), "the role has no limits");
        assert_eq!(require(half_a_minute, 60_000, 0), Ok(()));
        assert!(require(half_a_minute, 10, 0).is_err_and(|error| error.contains("`lock_timeout` of 10ms")));
        assert!(require(None, 30_000, 0).is_err());
        assert!(require(None, 0, 1).is_err_and(|error| error.contains("`statement_timeout` of 1ms")));
    }

    #[test]
    fn only_settings_that_the_server_knows_are_asked_for() {
        let names = |version| Limits::of(None, Some(version)).options().into_iter().map(|(name, _)| name);
        assert!(!names(160_000).any(|name| name == "transaction_timeout"));
        assert!(names(170_000).any(|name| name == "transaction_timeout"));
    }
}
