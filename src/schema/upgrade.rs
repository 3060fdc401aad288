//! Brings a database to the baseline: lock, read the ledger, migrate, write the ledger, commit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use migration::ledger;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use sea_orm_migration::SchemaManager;

use super::difference::{self, Difference, Weight};
use super::standing::{Plan, Standing};
use super::{expected, read};
use crate::connection::{milliseconds, row, rows};
use crate::database_url::DatabaseUrl;
use crate::failure::{Cause, DatabaseError, Doing, Failure};

/// The key of the transaction-scoped advisory lock on PostgreSQL: `tarsy-db` in ASCII.
pub const LOCK_KEY: i64 = 0x7461_7273_792d_6462;

/// What [`upgrade`] found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The database had a revision already and was left alone.
    Present {
        /// What its ledger says.
        revision: String,
    },
    /// The baseline was created.
    Created,
    /// The tables of an EP-0020 database were there; the ledger was written.
    Adopted,
}

/// Why the schema could not be brought to the baseline. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables are there but are not those of the baseline.
    #[error("the tables are not those of revision `{}`: {}", migration::BASELINE, texts(.0))]
    Drift(Vec<Difference>),
    /// Some tables are there and some are not.
    #[error("the database is incomplete: {} missing{}", .missing.join(", "), ledger_says(.revision.as_deref()))]
    Incomplete {
        /// What the ledger says.
        revision: Option<String>,
        /// The tables that are missing.
        missing: Vec<&'static str>,
    },
    /// The ledger has several rows.
    #[error("`alembic_version` has {} rows ({}); it must have one", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    /// Somebody held the lock for too long.
    #[error("the database is locked by {holder}; gave up after {waited}", waited = humantime::format_duration(*.waited))]
    Locked {
        /// Who holds the lock, as far as the database tells.
        holder: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The database refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn texts(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn ledger_says(revision: Option<&str>) -> String {
    revision.map(|revision| format!(", though the ledger says `{revision}`")).unwrap_or_default()
}

/// Brings the database to the baseline in one transaction. A database at any revision is left
/// alone without taking a lock. `before_commit` is called when there is no way back.
///
/// # Errors
/// [`SchemaError`]; the database is as it was.
pub async fn upgrade(
    connection: &DatabaseConnection,
    lock_timeout: Duration,
    before_commit: &dyn Fn(),
) -> Result<Outcome, SchemaError> {
    match bring_to_baseline(connection, lock_timeout, before_commit).await {
        Err(SchemaError::Database(error)) if error.cause.failure == Failure::Busy => {
            Err(locked(connection, lock_timeout).await)
        }
        result => result,
    }
}

async fn bring_to_baseline(
    connection: &DatabaseConnection,
    lock_timeout: Duration,
    before_commit: &dyn Fn(),
) -> Result<Outcome, SchemaError> {
    limit_lock_waits(connection, lock_timeout).await.doing("set the lock timeout")?;
    let standing = Standing::read(connection).await.doing("read the ledger")?;
    if let Plan::Nothing { revision } = standing.plan() {
        return Ok(Outcome::Present { revision });
    }
    if standing.plan() == Plan::Create && connection.get_database_backend() == DbBackend::Sqlite {
        // Before the tables are there: whoever is killed in between leaves an empty file to the next one.
        set_wal(connection, lock_timeout).await.doing("set the journal mode to WAL")?;
    }
    let transaction = lock(connection).await.doing("lock the database")?;
    let outcome = apply(&transaction).await?;
    before_commit();
    transaction.commit().await.doing("learn whether the commit took place (`tarsy-db info` tells)")?;
    Ok(outcome)
}

/// Reads again under the lock, because ten replicas may start at once, and does what is needed.
async fn apply(transaction: &DatabaseTransaction) -> Result<Outcome, SchemaError> {
    let standing = Standing::read(transaction).await.doing("read the ledger")?;
    let outcome = match standing.plan() {
        Plan::Nothing { revision } => return Ok(Outcome::Present { revision }),
        Plan::Incomplete { revision, missing } => return Err(SchemaError::Incomplete { revision, missing }),
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions)),
        Plan::Create => {
            migration::baseline().up(&SchemaManager::new(transaction)).await.doing("create the tables")?;
            Outcome::Created
        }
        Plan::Adopt => {
            require_baseline(transaction, &[Weight::Addition]).await?;
            Outcome::Adopted
        }
    };
    ledger::write(transaction, &standing.ledger, migration::BASELINE).await.doing("write the ledger")?;
    Ok(outcome)
}

/// Makes sure that the tables are those of the baseline, but for differences of the `tolerated` weights.
///
/// # Errors
/// [`SchemaError::Drift`] with what is different.
pub async fn require_baseline<C>(connection: &C, tolerated: &[Weight]) -> Result<(), SchemaError>
where
    C: ConnectionTrait + TransactionTrait<Transaction = DatabaseTransaction>,
{
    let expected = expected::baseline(connection).await.doing("replay the baseline")?;
    let found = read(connection).await.doing("read the schema")?;
    let mut differences = difference::between(&expected, &found);
    differences.retain(|difference| !tolerated.contains(&difference.weight));
    if differences.is_empty() { Ok(()) } else { Err(SchemaError::Drift(differences)) }
}

async fn limit_lock_waits(connection: &DatabaseConnection, limit: Duration) -> Result<(), DbErr> {
    let milliseconds = milliseconds(limit);
    let sql = match connection.get_database_backend() {
        DbBackend::Postgres => format!("SET lock_timeout = {milliseconds}"),
        _ => format!("PRAGMA busy_timeout = {milliseconds}"),
    };
    connection.execute_unprepared(&sql).await.map(|_| ())
}

/// Opens the one transaction that may change the schema. Its lock ends with it, also behind a pooler.
async fn lock(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        // A snapshot that is older than the lock would not see what was committed while it was waited for.
        let transaction = connection.begin_with_config(Some(IsolationLevel::ReadCommitted), None).await?;
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK_KEY})")).await?;
        return Ok(transaction);
    }
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
    connection.begin_with_options(options).await
}

/// Switches a file that was just created to WAL. The switch needs the file for itself and does not
/// wait by itself, so it is repeated while other replicas come and go.
async fn set_wal(connection: &DatabaseConnection, limit: Duration) -> Result<(), Cause> {
    let started = Instant::now();
    loop {
        match connection.execute_unprepared("PRAGMA journal_mode = WAL").await.map_err(Cause::from) {
            Err(cause) if cause.failure == Failure::Busy && started.elapsed() < limit => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result.map(|_| ()),
        }
    }
}

/// The error that names who holds the lock: call it when [`Failure::Busy`] came back.
pub async fn locked(connection: &DatabaseConnection, waited: Duration) -> SchemaError {
    let holder = match connection.get_database_backend() {
        DbBackend::Postgres => postgresql_holder(connection).await,
        _ => sqlite_holder(connection).await,
    };
    let holder = holder.ok().flatten().unwrap_or_else(|| "another process".to_owned());
    SchemaError::Locked { holder, waited }
}

/// As [`locked`], where the file could not even be opened.
#[must_use]
pub fn locked_file(url: &DatabaseUrl, waited: Duration) -> SchemaError {
    let path = match url {
        DatabaseUrl::Sqlite(location) => location.path.as_deref(),
        DatabaseUrl::Postgresql(_) => None,
    };
    let holder = path.and_then(process_holding).unwrap_or_else(|| "another process".to_owned());
    SchemaError::Locked { holder, waited }
}

/// Asks for the session that has the advisory lock, else for the oldest with a lock on one of the tables.
async fn postgresql_holder(connection: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    let sql = format!(
        "SELECT format('pid %s (role %s, application `%s`, from %s, %s since %s UTC)', a.pid, a.usename,
                       a.application_name, coalesce(host(a.client_addr), 'a local socket'), a.state,
                       to_char(a.state_change AT TIME ZONE 'UTC', 'HH24:MI:SS')) AS holder
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.granted AND l.pid <> pg_backend_pid()
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND ((l.locktype = 'advisory' AND l.classid = {high} AND l.objid = {low} AND l.objsubid = 1)
             OR (l.locktype = 'relation' AND l.relation IN (SELECT oid FROM pg_class WHERE relname IN ('{ledger}', '{tables}'))))
         ORDER BY l.locktype, a.xact_start LIMIT 1",
        high = LOCK_KEY >> 32,
        low = LOCK_KEY & 0xffff_ffff,
        ledger = ledger::TABLE,
        tables = migration::TABLES.join("', '"),
    );
    rows(connection, &sql).await?.first().map(|row| row.try_get("", "holder")).transpose()
}

/// SQLite does not know who holds its locks, but Linux lists them by the file's inode.
async fn sqlite_holder(connection: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file: String = row(connection, sql).await?.try_get("", "file")?;
    Ok(process_holding(Path::new(&file)))
}

#[cfg(target_os = "linux")]
fn process_holding(file: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // In WAL mode the lock on the writer's place is on the shared-memory file.
    let inodes: Vec<u64> = ["", "-shm"]
        .iter()
        .filter_map(|suffix| {
            let mut path = file.as_os_str().to_owned();
            path.push(suffix);
            std::fs::metadata(PathBuf::from(path)).ok().map(|metadata| metadata.ino())
        })
        .collect();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let own = std::process::id();
    // `1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 120`
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (&"WRITE", pid, place) = (fields.get(3)?, fields.get(4)?, fields.get(5)?) else { return None };
        let inode: u64 = place.rsplit(':').next()?.parse().ok()?;
        let pid: u32 = pid.parse().ok().filter(|pid| *pid != own)?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        inodes.contains(&inode).then(|| format!("process {pid} ({})", name.trim()))
    })
}

#[cfg(not(target_os = "linux"))]
fn process_holding(_file: &Path) -> Option<String> {
    None
}
