//! SeaORM connections to both backends. [`crate::database::failure`] classifies their errors.
//!
//! | module | what it is for |
//! |---|---|
//! | [`own`] | a connection of its own, for statements that cannot run in a transaction |
//! | [`postgresql`] | connections to PostgreSQL |
//! | [`sqlite`] | connections to SQLite |
//! | [`bridge`] | the way of the driver to a server |
//! | [`relay`] | copies what driver and server say to each other |
//! | [`server`] | connects to a server and logs in, as libpq does |
//! | [`startup`] | the start-up message, with the settings of a session |
//! | [`own_sessions`] | the sessions of a server in which this program works |
//! | [`query`] | queries without parameters |
//! | [`error`] | a connection that could not be opened |
//! | [`limits`] | the limits of a pool, and lock timeouts |

mod bridge;
mod error;
mod limits;
mod own;
mod own_sessions;
mod postgresql;
mod query;
mod relay;
mod server;
mod sqlite;
mod startup;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::FuturesUnordered;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqlxSqliteConnector};
use sqlx::{PgConnection, Row, SqlitePool};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::error::{ConnectError, ConnectStep};
pub use self::limits::PoolLimits;
pub(crate) use self::limits::{LOCK_TIMEOUT, busy_timeout, milliseconds};
pub(crate) use self::postgresql::open_single;
pub(crate) use self::query::{row, rows};
pub use self::sqlite::Access;
pub(crate) use self::sqlite::{remove_empty_wal, require_file};

use self::bridge::Bridge;
use self::own::OwnConnection;
use self::own_sessions::OwnSessions;
use self::postgresql::{CLIENT, open_postgresql};
use self::sqlite::open_sqlite;
use super::failure::{DatabaseCause, ErrorClass};
use super::mark;
use super::namespace::Namespace;
use super::session::{self, Session, StatementNames, connection_error, exec_error, query_error};
use super::time_limits;
use super::transaction::{SearchPath, SqliteTransaction, Transaction};
use super::url::{DatabaseUrl, PostgresqlAddress};
use crate::format;
use crate::mutex::lock;

/// Whether a command runs the same statements many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statements {
    Once,
    Repeated,
}

/// How long to wait for more than one connection: a pooler may not grant one.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(1);

/// A database, through SeaORM's pool of connections.
#[derive(Debug, Clone)]
pub struct Connection {
    pool: DatabaseConnection,
    limits: PoolLimits,
    /// The limit for another session's lock.
    lock_timeout: Duration,
    /// Found once after login.
    namespace: Arc<Mutex<Option<Arc<Namespace>>>>,
    /// Counts the answers of the database.
    answers: Arc<AtomicU64>,
    sessions: Arc<OwnSessions>,
    /// The value of [`CLIENT`] in sessions that no other client gets. There statements may have names on the server, which
    /// then parses and plans them once.
    of_client: Option<Arc<str>>,
    may_find_primary: bool,
    /// The way of the pool's connections to the server.
    _bridge: Option<Arc<Bridge>>,
}

impl Connection {
    /// `lock_timeout` is the limit for another session's lock on PostgreSQL.
    fn new(pool: DatabaseConnection, limits: PoolLimits, lock_timeout: Duration) -> Self {
        Self {
            pool,
            limits,
            lock_timeout,
            namespace: Arc::default(),
            answers: Arc::default(),
            sessions: Arc::new(OwnSessions::of(limits.most)),
            of_client: None,
            may_find_primary: false,
            _bridge: None,
        }
    }

    /// Uses a pool of connections to SQLite.
    #[must_use]
    pub fn of_sqlite(pool: SqlitePool) -> Self {
        Self::new(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool), PoolLimits::ONE, Duration::ZERO)
    }

    /// An empty database of SQLite's in memory, for tests.
    #[cfg(test)]
    pub(crate) async fn in_memory() -> Self {
        let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        Self::of_sqlite(options.connect("sqlite::memory:").await.expect("memory"))
    }

    /// Counts the answers with this counter.
    pub(crate) fn count_answers(&mut self, answers: Arc<AtomicU64>) {
        self.answers = answers;
    }

    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    /// The pool, for what SeaORM does not offer: COPY, and SQLite's handle.
    #[must_use]
    pub fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// The process ids of the server's sessions that this program works in.
    #[must_use]
    pub(crate) fn sessions(&self) -> Vec<i32> {
        self.sessions.pids()
    }

    /// The limits of the pool.
    #[must_use]
    pub(crate) fn limits(&self) -> PoolLimits {
        self.limits
    }

    /// Whether `target_session_attrs` would find the primary among the hosts of the URL, if this one is not it.
    #[must_use]
    pub(crate) fn may_find_primary(&self) -> bool {
        self.may_find_primary
    }

    /// Whether this many connections may be open at the same time.
    #[must_use]
    pub(crate) fn may_have(&self, connections: u32) -> bool {
        self.limits.most.is_none_or(|most| most >= connections)
    }

    /// Opens all connections that the pool may have, and returns how many of them the server grants in time. They stay
    /// open.
    async fn fill(&self) -> u32 {
        if self.backend() != DbBackend::Postgres {
            return 1;
        }
        let pool = self.pool.get_postgres_connection_pool();
        let most = self.limits.most.unwrap_or(1);
        let opened = join_all((0..most).map(|_| timeout(OTHERS_TIMEOUT, pool.acquire()))).await;
        let granted = opened.iter().filter(|opened| matches!(opened, Ok(Ok(_)))).count();
        u32::try_from(granted).unwrap_or(most).max(1)
    }

    /// How many of these transactions the server answers at the same time. A pooler also accepts clients for which it has
    /// no session; they would wait for the transaction that holds a lock.
    async fn answered_at_once(&self, most: u32) -> u32 {
        let begin = || self.begin_reading(SearchPath::Empty, "");
        let mut begun: FuturesUnordered<_> = (0..most).map(|_| begin()).collect();
        let deadline = Instant::now() + OTHERS_TIMEOUT;
        let mut open = Vec::new();
        while let Ok(Some(answer)) = timeout_at(deadline, begun.next()).await {
            open.extend(answer);
        }
        let answered = u32::try_from(open.len()).unwrap_or(most).max(1);
        for transaction in open {
            transaction.rollback().await.ok();
        }
        // The others get their turn one after the other: a cancelled BEGIN would leave a transaction open.
        while let Some(answer) = begun.next().await {
            if let Ok(transaction) = answer {
                transaction.rollback().await.ok();
            }
        }
        answered
    }

    /// Runs a statement in each session of the pool that is free, as far as the server allows it. Does nothing on SQLite.
    pub(crate) async fn execute_in_free_sessions(&self, sql: &'static str) {
        if self.backend() != DbBackend::Postgres {
            return;
        }
        let pool = self.pool.get_postgres_connection_pool();
        let free: Vec<_> = std::iter::from_fn(|| pool.try_acquire()).collect();
        for mut session in free {
            sqlx::raw_sql(sql).execute(&mut *session).await.ok();
        }
    }

    /// Waits until this many connections are free: the rollback of a dropped transaction has then ended.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn wait_for_free(&self, connections: u32) -> Result<(), DbErr> {
        let pool = self.pool.get_postgres_connection_pool();
        let free = try_join_all((0..connections).map(|_| pool.acquire())).await;
        free.map(drop).map_err(connection_error)
    }

    /// Where the role's unqualified names lead. It is looked up once.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn namespace(&self) -> Result<Arc<Namespace>, DbErr> {
        if self.backend() != DbBackend::Postgres {
            return Ok(Arc::default());
        }
        let known = lock(&self.namespace).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut connection = session::acquire(self.pool.get_postgres_connection_pool()).await?;
        self.look_up(&mut connection, None).await
    }

    /// Looks again where the tables are: another session may have created them meanwhile. Does nothing on SQLite.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn renew_namespace(&self) -> Result<Arc<Namespace>, DbErr> {
        let known = self.namespace().await?;
        if self.backend() != DbBackend::Postgres {
            return Ok(known);
        }
        let mut connection = session::acquire(self.pool.get_postgres_connection_pool()).await?;
        self.look_up(&mut connection, Some(known.path())).await
    }

    async fn look_up(&self, connection: &mut PgConnection, known: Option<&[String]>) -> Result<Arc<Namespace>, DbErr> {
        let found = Namespace::look_up(connection, known).await.map(Arc::new).map_err(connection_error)?;
        *lock(&self.namespace) = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Begins a transaction, and looks in it again where the tables are.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn begin_renewed(&self, path: SearchPath, set_up: &str) -> Result<Transaction, DbErr> {
        let mut transaction = self.begin(path, set_up).await?;
        if let Some(found) = transaction.renew_namespace().await? {
            *lock(&self.namespace) = Some(found);
        }
        Ok(transaction)
    }

    /// Begins to read. On SQLite no transaction begins. `set_up` are statements for PostgreSQL.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn begin_reading(&self, path: SearchPath, set_up: &str) -> Result<Transaction, DbErr> {
        match self.backend() {
            DbBackend::Postgres => self.begin_on_postgresql(path, set_up).await,
            _ => Ok(Transaction::of_sqlite_connection(self.pool.clone(), Arc::clone(&self.answers))),
        }
    }

    /// Reads the rows that the role may see, in a transaction of its own; on SQLite without one.
    ///
    /// # Errors
    /// The database's error, or that of `read`.
    pub async fn reading<T, E: From<DbErr>>(
        &self,
        read: impl AsyncFnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let reading = self.begin_reading(SearchPath::Empty, "").await?;
        let result = read(&reading).await;
        reading.rollback().await.ok();
        result
    }

    /// Runs a statement of SQLite's that cannot run in a transaction, such as a PRAGMA. On PostgreSQL it needs a
    /// [connection of its own](Connection::open_own).
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn execute_alone(&self, sql: &str) -> Result<(), DbErr> {
        self.pool.execute_unprepared(sql).await?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Opens a connection of its own to PostgreSQL in the place of one of the pool's, for statements that cannot run in a
    /// transaction. It has no time limits but this one for a lock.
    ///
    /// # Errors
    /// [`ErrorClass::Pooler`] if it has the role's limits nevertheless, or the server's error.
    pub(crate) async fn open_own(&self, lock_timeout: Option<Duration>) -> Result<OwnConnection, DatabaseCause> {
        OwnConnection::open(self.pool.get_postgres_connection_pool(), lock_timeout, Arc::clone(&self.answers)).await
    }

    /// Begins a transaction that may write. On SQLite it takes the lock of the writer: a reader that becomes a writer
    /// may find the database busy. `set_up` are statements for PostgreSQL.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn begin(&self, path: SearchPath, set_up: &str) -> Result<Transaction, DbErr> {
        if self.backend() == DbBackend::Postgres {
            return self.begin_on_postgresql(path, set_up).await;
        }
        Ok(Transaction::of_sqlite(self.begin_on_sqlite().await?, Arc::clone(&self.answers)))
    }

    /// Begins a transaction on SQLite, with the lock of the writer.
    ///
    /// # Errors
    /// SQLite's error.
    pub(crate) async fn begin_on_sqlite(&self) -> Result<SqliteTransaction, DbErr> {
        self.pool.get_sqlite_connection_pool().begin_with("BEGIN IMMEDIATE").await.map_err(exec_error)
    }

    async fn begin_on_postgresql(&self, path: SearchPath, set_up: &str) -> Result<Transaction, DbErr> {
        // One connection for both: while it was given back another one might be opened.
        let mut connection = session::acquire(self.pool.get_postgres_connection_pool()).await?;
        let known = lock(&self.namespace).clone();
        let namespace = match known {
            Some(known) => known,
            None => self.look_up(&mut connection, None).await?,
        };
        // It has to come before any query. The role's transactions may be read-only.
        let mode = if path == SearchPath::Temporary { "SET TRANSACTION READ WRITE; " } else { "" };
        let set_up = format!(
            "{mode}{}; {}; SET LOCAL lock_timeout = {}; {set_up};
             SELECT pg_catalog.pg_backend_pid() AS session, pg_catalog.current_setting('{CLIENT}', true) AS client",
            path.statements(&namespace),
            time_limits::lift(),
            milliseconds(self.lock_timeout)
        );
        let (mut transaction, rows) = Session::begin(connection, &set_up).await.map_err(query_error)?;
        let found = rows.iter().find_map(|row| Some((row.try_get("session").ok()?, row.try_get("client").ok()?)));
        let (session, client): (_, Option<String>) = found.ok_or_else(|| query_error(sqlx::Error::BeginFailed))?;
        self.sessions.add(session);
        if self.of_client.is_some() && client.as_deref() == self.of_client.as_deref() {
            transaction.names = StatementNames::Kept;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        let namespace = match path {
            SearchPath::Temporary => Arc::new(Namespace::temporary()),
            SearchPath::Empty | SearchPath::Tarsy => namespace,
        };
        Ok(Transaction::of_postgresql(transaction, namespace, Arc::clone(&self.answers)))
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// The database's error.
    pub async fn close(&self) -> Result<(), DbErr> {
        self.pool.close_by_ref().await
    }
}

/// Opens a pool, with one connection at first, to the first host that will do. Its transactions wait at most
/// `lock_timeout` for another session's lock.
///
/// # Errors
/// [`ConnectError`] with the real reason: the pool alone would report only a timeout.
pub async fn open(
    url: &DatabaseUrl,
    access: Access,
    pool: PoolLimits,
    lock_timeout: Duration,
) -> Result<Connection, ConnectError> {
    url.forget_reached();
    open_as(url, access, pool, lock_timeout, None).await
}

async fn open_as(
    url: &DatabaseUrl,
    access: Access,
    pool: PoolLimits,
    lock_timeout: Duration,
    of_client: Option<Arc<str>>,
) -> Result<Connection, ConnectError> {
    let pool = if matches!(url, DatabaseUrl::Sqlite(_)) { PoolLimits::ONE } else { pool };
    let refused = |cause| ConnectError::new(url, ConnectStep::Login, cause);
    let address = match url {
        DatabaseUrl::Sqlite(location) => {
            let opened = open_sqlite(location, access, lock_timeout).await.map_err(refused)?;
            return Ok(Connection::new(opened, pool, lock_timeout));
        }
        DatabaseUrl::Postgresql(address) => address,
    };
    // The future is large and part of its caller's: without the box the stack of a debug build overflows.
    let opened = Box::pin(open_postgresql(address, pool, of_client.as_deref())).await;
    let (opened, bridge) = opened.map_err(refused)?;
    let connection = Connection {
        of_client,
        may_find_primary: address.may_find_primary(),
        _bridge: Some(Arc::new(bridge)),
        ..Connection::new(opened, pool, lock_timeout)
    };
    let answered = first_answer(address, &connection).await;
    answered.map_err(|cause| ConnectError::new(url, ConnectStep::FirstQueries, cause))?;
    Ok(connection)
}

/// Waits for the first answer: a server may accept the login and answer nothing.
async fn first_answer(address: &PostgresqlAddress, connection: &Connection) -> Result<(), DatabaseCause> {
    let Some(limit) = address.connect_limit() else { return Ok(connection.namespace().await.map(drop)?) };
    match timeout(limit, connection.namespace()).await {
        Ok(found) => Ok(found.map(drop)?),
        Err(_) => {
            Err(DatabaseCause::new(ErrorClass::TimedOut, format!("no answer within {}", format::duration(limit))))
        }
    }
}

/// Opens as many connections as the pool may have and the server grants and answers at the same time; they stay open.
/// Waits for the others at most two seconds.
///
/// # Errors
/// [`ConnectError`] if the server grants none.
pub(crate) async fn open_granted(
    url: &DatabaseUrl,
    access: Access,
    pool: PoolLimits,
    lock_timeout: Duration,
    statements: Statements,
) -> Result<Connection, ConnectError> {
    url.forget_reached();
    let of_client = (statements == Statements::Repeated).then(mark::client);
    let connection = open_as(url, access, pool, lock_timeout, of_client.clone()).await?;
    let granted = match connection.fill().await {
        1 => 1,
        accepted => connection.answered_at_once(accepted).await,
    };
    if !connection.may_have(granted + 1) {
        return Ok(connection);
    }
    // The pool would go on to ask for more.
    connection.close().await.ok();
    open_as(url, access, pool.for_up_to(granted), lock_timeout, of_client).await
}
