//! The lock under which the schema is changed, and who holds it.

use std::path::{Path, PathBuf};

use migration::{Revision, ledger};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use crate::connection::{row, rows};
use crate::database_url::DatabaseUrl;

/// The key of the transaction-scoped advisory lock on PostgreSQL: `tarsy-db` in ASCII.
pub const KEY: i64 = 0x7461_7273_792d_6462;

/// How long the tables' own locks are waited for at a time. Whoever comes meanwhile queues up behind, so that
/// it is short; the caller tries again later.
const TABLE_LOCK_TIMEOUT: &str = "200ms";

/// Opens the one transaction that may change the schema. Its lock ends with it, also behind a pooler.
pub(super) async fn begin(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        // A snapshot that is older than the lock would not see what was committed while it was waited for.
        let transaction = connection.begin_with_config(Some(IsolationLevel::ReadCommitted), None).await?;
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({KEY})")).await?;
        return Ok(transaction);
    }
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
    connection.begin_with_options(options).await
}

/// Takes the tables for this transaction alone, all or none, and makes unqualified names lead to where they are:
/// a role with a schema of its own would create new tables there. SQLite has locked them already.
pub(super) async fn take_tables<'t>(
    transaction: &DatabaseTransaction,
    tables: impl Iterator<Item = &'t str>,
) -> Result<(), DbErr> {
    if transaction.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // Limits that a role may have for everyday queries would end a long upgrade.
    transaction
        .execute_unprepared(&format!(
            "SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0;
             SET LOCAL idle_in_transaction_session_timeout = 0;
             LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;
             SELECT set_config('search_path', relnamespace::regnamespace::text, true)
             FROM pg_class WHERE oid = 'alert_sessions'::regclass",
            tables.collect::<Vec<_>>().join(", ")
        ))
        .await
        .map(|_| ())
}

/// Who holds the lock, as far as the database tells.
pub(super) async fn holder(connection: &DatabaseConnection) -> String {
    let holder = match connection.get_database_backend() {
        DbBackend::Postgres => postgresql_holder(connection).await,
        _ => sqlite_holder(connection).await,
    };
    holder.ok().flatten().unwrap_or_else(|| "another process".to_owned())
}

/// As [`holder`], where the file could not even be opened.
pub(super) fn holder_of_file(url: &DatabaseUrl) -> String {
    let path = match url {
        DatabaseUrl::Sqlite(location) => location.path.as_deref(),
        DatabaseUrl::Postgresql(_) => None,
    };
    path.and_then(process_holding).unwrap_or_else(|| "another process".to_owned())
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
        high = KEY >> 32,
        low = KEY & 0xffff_ffff,
        ledger = ledger::TABLE,
        tables = Revision::HEAD.tables().join("', '"),
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
