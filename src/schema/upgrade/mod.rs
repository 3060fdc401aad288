//! Brings a database to a revision: plan, lock, plan again, migrate, write the ledger, commit.
//!
//! | module | what it is for |
//! |---|---|
//! | [`filling`] | the rows that are read and filled while the tables are locked |
//! | [`script`] | the same as an SQL script |
//! | [`grants`] | gives new tables the owner and the grants of the existing ones |
//! | [`table_locks`] | locks the ledger and the tables |
//! | [`mod@assess`] | plans an upgrade; reads only |

pub(crate) mod assess;
pub(crate) mod filling;
pub(crate) mod grants;
pub(crate) mod script;
mod table_locks;

use std::time::{Duration, Instant};

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DbBackend};

use self::assess::{Start, UpgradePlan, assess};
use self::filling::Filling;
use super::error::SchemaError;
use super::lock::{self, Locked};
use super::state::SchemaState;
use super::{app_role, diff, privilege, read, row_policy};
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::writable::require_writable;

/// The pause before another attempt to lock tables that other sessions hold; the first and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// Brings the database to `target` in one transaction. A database at `target` or a later revision is not changed, and
/// no lock is taken. Tables that other sessions hold are locked with short attempts until `lock_timeout` is over.
/// `on_commit` is called right before the COMMIT.
///
/// # Errors
/// [`SchemaError`]; the database is unchanged, unless the connection broke during the COMMIT.
pub async fn upgrade(
    connection: &Connection,
    target: Revision,
    lock_timeout: Duration,
    on_commit: &dyn Fn(),
) -> Result<UpgradePlan, SchemaError> {
    let done = upgrade_for(connection, target, None, lock_timeout, on_commit).await?;
    Ok(done.plan)
}

/// What [`upgrade_for`] did.
pub(crate) struct Upgraded {
    pub plan: UpgradePlan,
    /// The statements that gave the backend's role what it lacked.
    pub granted: Vec<String>,
}

/// As [`upgrade`], and gives `app_role` what TARSy's backend needs, in the same transaction.
///
/// # Errors
/// As [`upgrade`].
pub(crate) async fn upgrade_for(
    connection: &Connection,
    target: Revision,
    app_role: Option<&str>,
    lock_timeout: Duration,
    on_commit: &dyn Fn(),
) -> Result<Upgraded, SchemaError> {
    let started = Instant::now();
    let [mut pause, longest] = PAUSES;
    loop {
        match attempt(connection, target, app_role, lock_timeout, on_commit).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            Err(error) if error.is_busy() && started.elapsed() < lock_timeout => {
                tokio::time::sleep(pause.min(lock_timeout.saturating_sub(started.elapsed()))).await;
                pause = (pause * 2).min(longest);
            }
            Err(error) if error.is_busy() => return Err(Locked::on(connection, lock_timeout).await.into()),
            Err(error) => return Err(error),
        }
    }
}

/// Applies a plan. `None` if another session was quicker: ten replicas may start at once, and TARSy's backend does not
/// use our lock.
async fn attempt(
    connection: &Connection,
    target: Revision,
    app_role: Option<&str>,
    lock_timeout: Duration,
    on_commit: &dyn Fn(),
) -> Result<Option<Upgraded>, SchemaError> {
    connection.renew_namespace().await.context((Verb::Read, "the schema"))?;
    let assessed = assess(connection, target).await;
    // Before an upgrade that may take long.
    let lacking = match &assessed {
        Ok(plan) => grants_for(connection, app_role, plan).await?,
        Err(_) => Vec::new(),
    };
    if let Ok(plan) = &assessed
        && plan.is_done()
        && lacking.is_empty()
    {
        return assessed.map(|plan| Some(Upgraded { plan, granted: Vec::new() }));
    }
    // Before what is wrong with its tables: those of a standby cannot be repaired, and the primary may have others.
    require_writable(connection).await.context((Verb::Change, "the schema"))?;
    let plan = assessed?;
    if plan.start == Start::Empty && connection.backend() == DbBackend::Sqlite {
        // Before the tables exist: a process that is killed in between leaves an empty file, which the next one uses.
        set_wal(connection, lock_timeout).await.context((Verb::Set, "the journal mode to WAL"))?;
    }
    let filling = Filling::of(connection, &plan).await.context((Verb::Plan, "the upgrade"))?;
    if filling.is_long() {
        tracing::info!("{filling}");
    }
    match transact(connection, &plan, app_role, on_commit).await {
        Ok(granted) => Ok(granted.map(|granted| Upgraded { plan, granted })),
        Err(error) => match connection.reading(async |reading| SchemaState::read(reading).await).await {
            Ok(state) if state != plan.state => Ok(None),
            _ => Err(with_policies_named(connection, error).await),
        },
    }
}

/// The statements that would give the backend's role what it lacks once the plan is applied.
///
/// # Errors
/// [`SchemaError`] if the role does not exist, or if the role that is logged in may not grant something.
pub(crate) async fn grants_for(
    connection: &Connection,
    app_role: Option<&str>,
    plan: &UpgradePlan,
) -> Result<Vec<String>, SchemaError> {
    let Some(role) = app_role else { return Ok(Vec::new()) };
    let reading = connection.begin_reading(SearchPath::Empty, "").await.context((Verb::Read, "the privileges"))?;
    let planned = app_role::plan(&reading, role, &plan.created()).await;
    reading.rollback().await.ok();
    Ok(planned?)
}

/// The server names only the table of a row policy.
async fn with_policies_named(connection: &Connection, error: SchemaError) -> SchemaError {
    match error {
        SchemaError::Database(DatabaseError { action, cause }) if cause.class == ErrorClass::RowPolicy => {
            let named =
                connection.reading(async |reading| row_policy::refuse(reading, &Revision::HEAD.tables()).await).await;
            DatabaseError { action, cause: named.err().unwrap_or(cause) }.into()
        }
        error => error,
    }
}

/// Applies a plan and grants in one transaction, and returns the statements of the grants. Changes nothing and returns
/// `None` if the plan is outdated once the locks are held.
async fn transact(
    connection: &Connection,
    plan: &UpgradePlan,
    app_role: Option<&str>,
    on_commit: &dyn Fn(),
) -> Result<Option<Vec<String>>, SchemaError> {
    let transaction = lock::begin(connection).await.context((Verb::Lock, "the database"))?;
    if !plan.is_done() {
        if plan.has_tables() {
            table_locks::take(&transaction, plan).await.context((Verb::Lock, "the tables"))?;
        }
        if SchemaState::read(&transaction).await.context((Verb::Read, "the ledger"))? != plan.state {
            return Ok(None);
        }
        apply(&transaction, plan).await?;
    }
    let granted = match app_role {
        Some(role) => app_role::grant(&transaction, role).await?,
        None => Vec::new(),
    };
    on_commit();
    transaction.commit().await.map_err(|error| DatabaseError::of_commit("the schema", error))?;
    Ok(Some(granted))
}

async fn apply(transaction: &Transaction, plan: &UpgradePlan) -> Result<(), SchemaError> {
    let backend = transaction.backend();
    if plan.has_tables() {
        let found = read::schema(transaction).await.context((Verb::Read, "the schema"))?;
        plan.drift_at_start(backend, &found).map_or(Ok(()), Err)?;
    }
    let action = match plan.start {
        Start::Empty => (Verb::Create, "the schema"),
        _ => (Verb::Write, "the ledger"),
    };
    if *plan.ledger() == Ledger::Missing {
        privilege::require_create(transaction).await.context(action)?;
    }
    transaction.search(SearchPath::Tarsy).await.context((Verb::Set, "the search path"))?;
    // The ledger comes first, as in TARSy's backend: two upgrades that begin at different ends would deadlock.
    ledger::write(transaction, plan.ledger(), plan.revision()).await.context(action)?;
    for revision in &plan.pending {
        // The report lists all of them; what takes long is said while it does.
        if plan.has_tables() && revision.filled_table().is_some() {
            tracing::info!("applying {revision}: {}", revision.change());
        } else {
            tracing::debug!("applying {revision}: {}", revision.change());
        }
        let done = revision.apply(transaction).await;
        done.map_err(|error| SchemaError::not_applied(*revision, error.into()))?;
    }
    transaction.search(SearchPath::Empty).await.context((Verb::Set, "the search path"))?;
    if let Some(last) = plan.pending.last() {
        for statement in grants::statements(transaction, plan).await.context((Verb::Read, "the grants"))? {
            transaction
                .execute_unprepared(&statement)
                .await
                .context((Verb::Set, "owner and grants of the new tables"))?;
        }
        let found = read::schema(transaction).await.context((Verb::Read, "the schema"))?;
        if let Some(drift) = plan.drift_at_end(backend, &found) {
            let cause = DatabaseCause::new(ErrorClass::Needed, diff::texts(drift.faults.iter()).join("; "));
            return Err(SchemaError::Blocked { revision: *last, cause });
        }
    }
    Ok(())
}

/// Switches a newly created file to WAL. The switch needs exclusive access to the file and does not wait for it, so it
/// is retried while other replicas open and close the file.
async fn set_wal(connection: &Connection, limit: Duration) -> Result<(), DatabaseCause> {
    let started = Instant::now();
    loop {
        match connection.execute_alone("PRAGMA journal_mode = WAL").await.map_err(DatabaseCause::from) {
            Err(cause) if cause.class == ErrorClass::Busy && started.elapsed() < limit => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}
