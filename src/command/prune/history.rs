//! The open database: its connections, the prune lock, and what is planned.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::{DbBackend, DbErr};

use super::outcome::{RemovalOutcome, confirm_rows, confirm_sessions};
use super::request::Request;
use crate::cli::prune::Prune;
use crate::command::retention::Retention;
use crate::database::connection::Connection;
use crate::database::connection::{self, Access, LOCK_TIMEOUT, PoolLimits, Statements};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::read_transaction::{self, Rows};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::database::writable::require_writable;
use crate::error::Error;
use crate::history::archive::Archive;
use crate::history::archive::compression::Compression;
use crate::history::archive::transaction::SharedTransaction;
use crate::history::events::{self, EVENTS, EventPolicy};
use crate::history::orphans::count::{self as orphans, Counted, OrphanCount};
use crate::history::removal::batch::DeleteTriggers;
use crate::history::removal::batch_error::BatchError;
use crate::history::removal::contention::{Activity, Contention};
use crate::history::removal::definitions::Definitions;
use crate::history::removal::pragmas;
use crate::history::removal::prune_lock::PruneLock;
use crate::history::removal::triggers;
use crate::history::retention::plan::{self, RetentionPlan, RowSets};
use crate::history::retention::selection::{self, Selection};
use crate::history::tables::session_tables;
use crate::schema::model::Schema;
use crate::schema::read::schema_and_state;
use crate::schema::row_policy;
use crate::schema::state::SchemaState;

/// How long to wait for another writer of SQLite's file. Meanwhile other sessions wait for the locks held here.
const SQLITE_LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to wait until a connection is closed whose work was cancelled.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait until the connections are closed after one failed.
const LOST_TIMEOUT: Duration = Duration::from_millis(200);

pub(crate) const BEGIN_TO_PLAN: (Verb, &str) = (Verb::Plan, "the removal");

/// A database with TARSy's tables, whose rows have not been read yet.
pub(crate) struct OpenedDatabase {
    pub(crate) connection: Connection,
    /// Works in parallel with the first.
    pub(crate) second: Option<Connection>,
    pub(crate) state: SchemaState,
    pub(crate) schema: Schema,
    /// Those of the tables from which rows may be removed.
    pub(crate) definitions: Definitions,
    /// `None` without a ledger.
    pub(crate) revision: Option<Revision>,
    /// Why a run could not write to the SQLite file, if a dry run found that.
    pub(crate) unwritable: Option<DatabaseCause>,
    /// `None` for a dry run. Released last: see [`PruneLock`].
    pub(crate) prune_lock: Option<PruneLock>,
}

impl OpenedDatabase {
    /// Opens the database and takes the prune lock. `None` if another `prune` holds it.
    pub(crate) async fn connect(request: &Request<'_>, watch: &Watch<'_>) -> Result<Option<Self>, Error> {
        let (url, arguments) = (&request.settings.database.value, request.arguments);
        let pool = request.settings.pool.limits().for_up_to(wanted(arguments));
        let file = url.sqlite_path().filter(|_| arguments.dry_run);
        let unwritable = file.and_then(|file| connection::require_file(file, Access::Write).err());
        let (connection, second, prune_lock) = if arguments.dry_run {
            (open(url, Access::Read, pool, watch).await?, None, None)
        } else {
            let Some((connection, prune_lock)) = open_alone(url, pool, watch).await? else { return Ok(None) };
            let second = connection.may_have(BOTH_AND_LOCK).then(|| connection.clone());
            (connection, second, Some(prune_lock))
        };
        let removable: Vec<_> = session_tables().chain(request.event_policy.map(|_| EVENTS)).collect();
        let read = async |reading: &Transaction| {
            let definitions = Definitions::read(reading, removable).await?;
            schema_and_state(reading).await.map(|(state, schema)| (definitions, state, schema))
        };
        let (definitions, state, schema) = connection.reading(read).await.context((Verb::Read, "the schema"))?;
        state.require_tarsys()?;
        let events_read = request.event_policy.as_ref().map(|_| EVENTS);
        let read: Vec<_> = [ledger::TABLE].into_iter().chain(session_tables()).chain(events_read).collect();
        connection
            .reading(async |reading| row_policy::refuse(reading, &read).await)
            .await
            .context((Verb::Read, "every row"))?;
        let revision = state.require_history()?;
        if !arguments.dry_run {
            pragmas::set(&connection, &schema).await.context((Verb::Set, "the parameters of the connection"))?;
        }
        Ok(Some(Self { connection, second, state, schema, definitions, revision, unwritable, prune_lock }))
    }
}

/// What a run works on, and what it plans to remove.
pub(crate) struct OpenHistory {
    pub(crate) url: DatabaseUrl,
    pub(crate) watch: Arc<Watch<'static>>,
    pub(crate) connection: Connection,
    /// Whether the connection worked when it was last used.
    pub(crate) is_connected: bool,
    /// Works in parallel with the first while PostgreSQL is otherwise idle.
    pub(crate) second: Option<Connection>,
    pub(crate) ledger: Ledger,
    /// `None` without a ledger.
    pub(crate) revision: Option<Revision>,
    pub(crate) schema: Schema,
    pub(crate) definitions: Definitions,
    pub(crate) retention: Retention,
    /// Why a run could not write to the SQLite file, if a dry run found that.
    pub(crate) unwritable: Option<DatabaseCause>,
    pub(crate) selection: Selection,
    /// `None` without `--events`, or without a table of events.
    pub(crate) events: Option<EventPolicy>,
    pub(crate) plan: RetentionPlan,
    pub(crate) archive: Option<Archive>,
    pub(crate) contention: Contention,
    pub(crate) triggers: DeleteTriggers,
    /// `None` for a dry run. Released last: see [`PruneLock`].
    pub(crate) prune_lock: Option<PruneLock>,
}

impl OpenHistory {
    /// Determines whether triggers fire when rows are deleted.
    pub(crate) async fn look_for_triggers(&mut self) -> Result<(), DbErr> {
        let tables: Vec<_> = session_tables().chain(self.events.map(|_| EVENTS)).collect();
        let look = async |reading: &Transaction| triggers::on_delete(reading, &tables).await;
        self.triggers = self.connection.reading(look).await?;
        Ok(())
    }

    /// Whether a batch that began during this activity may go on: one that began alone is long, and gives way to a program
    /// that opens the file.
    pub(crate) fn may_continue(&self, activity: Activity) -> bool {
        activity != Activity::Idle || self.contention.is_alone()
    }

    /// Opens the archive, once it is certain that about so many `rows` are written to it. `temporary` is the directory of
    /// SQLite's temporary files.
    pub(crate) async fn open_archive(&mut self, path: &Path, rows: u64, temporary: Option<&Path>) -> Result<(), Error> {
        self.archive = Some(Archive::open(path, &self.url, self.revision, &self.schema, rows, temporary).await?);
        Ok(())
    }

    /// Begins a transaction of the archive, if there is one.
    pub(crate) async fn begin_archive(&self) -> Result<Option<SharedTransaction>, BatchError> {
        match &self.archive {
            Some(archive) => archive.begin().await.map(Some).map_err(BatchError::in_archive),
            None => Ok(None),
        }
    }

    /// Reconnects after the server was lost. False if another run now prunes the database.
    pub(crate) async fn reconnect(&mut self) -> Result<bool, Error> {
        let watch = Arc::clone(&self.watch);
        watch.over(self.renew_connection()).await
    }

    /// Drops the connections and opens new ones. SQLite's prune lock is kept, PostgreSQL's is taken again. False if
    /// another run now prunes the database.
    pub(crate) async fn renew_connection(&mut self) -> Result<bool, Error> {
        self.is_connected = false;
        self.second = None;
        let (url, pool) = (&self.url, self.connection.limits());
        if url.sqlite_path().is_some() {
            // In this order: see [`Contention`]. If a rollback takes long, the files stay open.
            let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await;
            closed
                .map_err(|_| DatabaseCause::new(ErrorClass::TimedOut, "its rollback takes too long"))
                .context((Verb::Close, "the connection"))?
                .ok();
            self.contention.close_files();
            self.connection = open(url, Access::Write, pool, &self.watch).await?;
        } else {
            self.prune_lock = None;
            // A lost server answers nothing.
            tokio::time::timeout(LOST_TIMEOUT, self.connection.close()).await.ok();
            let Some((connection, lock)) = open_alone(url, pool, &self.watch).await? else { return Ok(false) };
            (self.connection, self.prune_lock) = (connection, Some(lock));
            // A primary that was demoted accepts the login and refuses each batch.
            require_writable(&self.connection).await.context((Verb::Remove, "old sessions"))?;
        }
        pragmas::set(&self.connection, &self.schema).await.context((Verb::Set, "the parameters of the connection"))?;
        let contention = Contention::of(&self.connection, self.url.sqlite_path()).await;
        self.contention = contention.context((Verb::Determine, "the activity of other sessions"))?;
        self.is_connected = true;
        Ok(true)
    }

    /// Counts the rows that were really removed after a commit whose outcome is unknown, on a new connection: at most
    /// what was committed or may have been, and at most what is missing of the plan. False if that leaves open what was
    /// removed, or the database cannot be reached.
    pub(crate) async fn confirm(&mut self, outcome: &mut RemovalOutcome) -> bool {
        if !outcome.is_doubtful {
            return true;
        }
        // A commit that was cut off may still be running on the server.
        if outcome.is_cut_off {
            return false;
        }
        if !self.is_connected && !matches!(self.reconnect().await, Ok(true)) {
            return false;
        }
        let Ok(left) = self.watch.over(self.count_left()).await else { return false };
        let RemovalOutcome { rows, uncommitted, .. } = outcome;
        match self.plan.is_exact() {
            true => confirm_rows(&self.plan.row_sets(), &left, rows, uncommitted),
            false => confirm_sessions(self.plan.sessions, &left, rows, uncommitted),
        }
    }

    /// The number of sessions from before the cutoff that still exist.
    pub(crate) async fn count_old(&self) -> Result<u64, DatabaseError> {
        let reading = every_row(&self.connection).await?;
        let sessions = selection::count_old(&reading, &self.selection.policy).await?;
        reading.rollback().await.context((Verb::RollBack, "the read transaction"))?;
        Ok(sessions)
    }

    /// The start of the oldest session, in microseconds since the epoch.
    pub(crate) async fn oldest(&self) -> Result<Option<i64>, DatabaseError> {
        let reading = every_row(&self.connection).await?;
        let oldest = selection::oldest(&reading).await?;
        reading.rollback().await.context((Verb::RollBack, "the read transaction"))?;
        Ok(oldest)
    }

    /// The rows of the plan that still exist.
    pub(crate) async fn count_left(&self) -> Result<RowSets, DatabaseError> {
        let reader = every_row(&self.connection).await?;
        let of_sessions = plan::count_remaining(&reader, &self.schema, &self.selection, &self.plan).await?;
        let mut left: RowSets = of_sessions.into_iter().map(|(table, rows)| ((table, None), rows)).collect();
        if let Some(policy) = &self.events {
            left.insert((EVENTS, None), events::plan(&reader, &self.schema, policy).await?.rows);
        }
        if !self.plan.orphans.is_empty() {
            for OrphanCount { reference, rows } in orphans::count(&reader, &self.schema, Counted::Removable).await? {
                left.insert((reference.child, Some(reference)), rows);
            }
        }
        Ok(left)
    }

    /// Ends the work on the server, and does not use the connection again, which may still wait for it.
    pub(crate) async fn abandon(&mut self) {
        self.is_connected = false;
        self.watch.end_sessions().await;
    }

    /// Closes the databases. Returns the path of the archive, if there is one. The prune lock is held until it is closed.
    pub(crate) async fn close(self, compression: Compression) -> Result<Option<PathBuf>, Error> {
        let Self { connection, contention, prune_lock, archive, .. } = self;
        let archived = async {
            let Some(archive) = archive else { return Ok(None) };
            Ok(Some(archive.close(compression).await?))
        };
        if matches!(self.url, DatabaseUrl::Postgresql(_)) {
            let archived = archived.await;
            // The lock has a connection of the pool.
            drop(prune_lock);
            if self.is_connected {
                tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await.ok();
            }
            return archived;
        }
        // SQLite's last connection removes the `-wal` and `-shm` files; a failure to do so is no error of the run.
        if tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await.is_err() {
            keep_files_open(contention, prune_lock);
            return archived.await;
        }
        let archived = archived.await;
        drop((contention, prune_lock));
        archived
    }
}

/// Keeps SQLite's files open until the process ends: closing them would drop the locks of a running transaction.
fn keep_files_open(contention: Contention, prune_lock: Option<PruneLock>) {
    std::mem::forget((contention, prune_lock));
}

/// Begins the transaction that reads the rows for the plan.
pub(crate) async fn every_row(connection: &Connection) -> Result<Transaction, DatabaseError> {
    let set_up = read_transaction::set_up(None, Rows::Every);
    connection.begin_reading(SearchPath::Empty, &set_up).await.context(BEGIN_TO_PLAN)
}

/// The number of connections with which two batches are removed at the same time. One more holds the prune lock.
pub(crate) const BOTH_AND_LOCK: u32 = 3;

/// How many connections a run has a use for.
fn wanted(arguments: &Prune) -> u32 {
    if arguments.dry_run { 1 } else { BOTH_AND_LOCK }
}

async fn open(url: &DatabaseUrl, access: Access, pool: PoolLimits, watch: &Watch<'_>) -> Result<Connection, Error> {
    let mut connection = connection::open(url, access, pool, lock_timeout(url)).await?;
    watch.attach(&mut connection);
    Ok(connection)
}

fn lock_timeout(url: &DatabaseUrl) -> Duration {
    match url {
        DatabaseUrl::Sqlite(_) => SQLITE_LOCK_TIMEOUT,
        DatabaseUrl::Postgresql(_) => LOCK_TIMEOUT,
    }
}

/// Opens the database and takes the prune lock. `None` if another `prune` holds it.
async fn open_alone(
    url: &DatabaseUrl,
    pool: PoolLimits,
    watch: &Watch<'_>,
) -> Result<Option<(Connection, PruneLock)>, Error> {
    let Some(lock_of_file) = PruneLock::of_file(url.sqlite_path()) else { return Ok(None) };
    // Without the others the removal only takes longer.
    let mut connection =
        connection::open_granted(url, Access::Write, pool, lock_timeout(url), Statements::Repeated).await?;
    watch.attach(&mut connection);
    if connection.backend() == DbBackend::Sqlite {
        return Ok(Some((connection, lock_of_file)));
    }
    let lock = PruneLock::of_server(&connection).await.context((Verb::Lock, "the database for one `prune`"))?;
    Ok(lock.map(|lock| (connection, lock)))
}
