//! The lock for changes of the schema, and its holder.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::visible;
use crate::database::connection::{Connection, row};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::mark;
use crate::database::namespace::tables_of_tarsy;
use crate::database::read_transaction::EVERY_ROW;
use crate::database::sqlite_holder::{self, process_holding};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format;

/// The key of the transaction-scoped advisory lock on PostgreSQL: `tarsy-db` in ASCII.
pub(crate) const KEY: i64 = 0x7461_7273_792d_6462;

/// The lock that lets one session at a time repair a PostgreSQL database, held until it is dropped.
///
/// It belongs to a transaction that does nothing else: behind a pooler a lock of the session would remain.
#[derive(Default)]
pub(crate) struct RepairLock {
    _transaction: Option<Transaction>,
}

impl RepairLock {
    /// Takes the lock with one connection of the pool; `None` if another session has it. It does not wait, because a
    /// waiting session holds a snapshot, for which the building of an index would wait. With a pool of one connection, and
    /// on SQLite, there is no such lock: a second repair then finds the objects of the first.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn take(connection: &Connection) -> Result<Option<Self>, DatabaseCause> {
        if !connection.may_have(2) || connection.backend() != DbBackend::Postgres {
            return Ok(Some(Self::default()));
        }
        let transaction = connection.begin(SearchPath::Empty, "").await?;
        let sql = format!("SELECT pg_try_advisory_xact_lock({}) AS is_alone", KEY + 1);
        let is_alone: bool = row(&transaction, &sql).await?.try_get("", "is_alone")?;
        Ok(is_alone.then_some(Self { _transaction: Some(transaction) }))
    }
}

/// Begins the one transaction that may change the schema. The lock ends with it, also behind a pooler.
pub(crate) async fn begin(connection: &Connection) -> Result<Transaction, DbErr> {
    let set_up = [&mark::transaction(), EVERY_ROW, &statement()].join("; ");
    connection.begin_renewed(SearchPath::Empty, &set_up).await
}

/// The statement that takes the lock on PostgreSQL.
pub(crate) fn statement() -> String {
    format!("SELECT pg_advisory_xact_lock({KEY})")
}

/// Another session held the lock for too long.
#[derive(Debug, thiserror::Error)]
#[error("the database is locked by {holder}; gave up after {waited}", waited = format::duration(*.waited))]
pub struct Locked {
    /// The session or process that holds the lock, as far as the database shows it.
    pub holder: String,
    pub waited: Duration,
}

impl Locked {
    /// Finds the holder after [`Busy`](crate::database::failure::ErrorClass::Busy).
    pub(crate) async fn on(connection: &Connection, waited: Duration) -> Self {
        Self { holder: holder(connection).await, waited }
    }

    /// As [`Locked::on`], for a file that could not be opened.
    #[must_use]
    pub(crate) fn on_file(url: &DatabaseUrl, waited: Duration) -> Self {
        Self { holder: holder_of_file(url), waited }
    }
}

impl Diagnostic for Locked {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Busy
    }

    fn hint(&self) -> Option<String> {
        Some("wait until it has finished, or raise `--lock-timeout`".into())
    }
}

/// The holder of the lock, as far as the database shows it.
async fn holder(connection: &Connection) -> String {
    let holder = match connection.backend() {
        DbBackend::Postgres => postgresql_holder(connection, &[]).await,
        _ => sqlite_holder(connection).await,
    };
    holder.ok().flatten().unwrap_or_else(|| "another process".to_owned())
}

/// As [`holder`], for a file that could not be opened.
fn holder_of_file(url: &DatabaseUrl) -> String {
    url.sqlite_path().and_then(process_holding).unwrap_or_else(|| "another process".to_owned())
}

/// What another session's lock of a PostgreSQL table prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    Reads,
    Deletes,
}

impl Blocked {
    /// The modes of locks that do not prevent it.
    fn harmless_modes(self) -> &'static [&'static str] {
        const MODES: [&str; 7] = [
            "AccessShareLock",
            "RowShareLock",
            "RowExclusiveLock",
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
        ];
        match self {
            Self::Reads => &MODES,
            Self::Deletes => &MODES[..4],
        }
    }
}

/// The session whose lock of one of the tables on PostgreSQL blocks other sessions, if there is one.
///
/// # Errors
/// The server's error.
pub(crate) async fn holder_against(connection: &Connection, blocked: Blocked) -> Result<Option<String>, DbErr> {
    postgresql_holder(connection, blocked.harmless_modes()).await
}

/// TARSy's tables on which another session has such a lock. SQLite has no locks of tables.
///
/// # Errors
/// The server's error.
pub(crate) async fn locked_tables(reading: &Transaction, blocked: Blocked) -> Result<Vec<String>, DbErr> {
    if reading.backend() != DbBackend::Postgres {
        return Ok(Vec::new());
    }
    let values = [&tables_of_tarsy().collect::<Vec<_>>()[..], blocked.harmless_modes()].map(visible::texts);
    let rows = visible::rows(reading, include_str!("locked_tables.sql"), values).await?;
    rows.iter().map(|row| row.try_get("", "table_name")).collect()
}

/// The cause of a run of `prune` that found something locked, with the session or process that holds the lock, as far as
/// the database shows it. Other causes are returned as they are.
pub(crate) async fn with_holder(
    connection: &Connection,
    url: &DatabaseUrl,
    blocked: Blocked,
    mut cause: DatabaseCause,
) -> DatabaseCause {
    if cause.class != ErrorClass::Busy {
        return cause;
    }
    if let Some(path) = url.sqlite_path() {
        return sqlite_holder::locked(path);
    }
    match holder_against(connection, blocked).await {
        Ok(Some(holder)) => {
            cause.message = format!("{holder} has locked one of TARSy's tables");
            cause.with_remedy("end that session, or set a longer `--retry-for`")
        }
        Ok(None) | Err(_) => cause.with_remedy(RETRY_LONGER),
    }
}

/// The hint if the session that holds a lock is not known.
pub(crate) const RETRY_LONGER: &str = "run the same command again later, or set a longer `--retry-for`";

/// Finds the session with the advisory lock, or else the oldest one with a lock on one of the tables, in another mode than
/// these.
async fn postgresql_holder(connection: &Connection, except: &[&str]) -> Result<Option<String>, DbErr> {
    let [high, low] = [KEY >> 32, KEY & 0xffff_ffff].map(Value::from);
    let [tables, except] = [&tables_of_tarsy().collect::<Vec<_>>()[..], except].map(visible::texts);
    let values = [high, low, tables, except];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, include_str!("lock_holder.sql"), values);
    let holder = connection.reading(async |reading| reading.query_one_raw(statement).await).await?;
    holder.map(|row| row.try_get("", "holder")).transpose()
}

/// SQLite does not know who holds its locks, but Linux lists them by the file's inode.
async fn sqlite_holder(connection: &Connection) -> Result<Option<String>, DbErr> {
    let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file: String = connection.reading(async |reading| row(reading, sql).await).await?.try_get("", "file")?;
    Ok(process_holding(Path::new(&file)))
}
