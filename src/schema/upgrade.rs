//! Brings a database to a revision: survey, lock, look again, migrate, write the ledger, commit.

use std::time::{Duration, Instant};

use migration::{Revision, ledger};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend};
use sea_orm_migration::SchemaManager;

use super::standing::Standing;
use super::survey::{Start, Survey, survey};
use super::{SchemaError, lock, read};
use crate::failure::{Cause, Doing, Failure};

/// How long to stay away from tables that somebody holds, before they are asked for again; at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// Brings the database to `target` in one transaction. A database that is there, or beyond, is left alone
/// without taking a lock. Tables that somebody holds are asked for again and again, briefly each time, until
/// `lock_timeout` is over. `before_commit` is called when there is no way back.
///
/// # Errors
/// [`SchemaError`]; the database is as it was.
pub async fn upgrade(
    connection: &DatabaseConnection,
    target: Revision,
    lock_timeout: Duration,
    before_commit: &dyn Fn(),
) -> Result<Survey, SchemaError> {
    let started = Instant::now();
    let [mut pause, longest] = PAUSES;
    loop {
        match attempt(connection, target, lock_timeout, before_commit).await {
            Ok(Some(done)) => return Ok(done),
            // Somebody else was quicker: look again.
            Ok(None) => {}
            Err(error) if error.is_busy() && started.elapsed() < lock_timeout => {
                tokio::time::sleep(pause.min(lock_timeout.saturating_sub(started.elapsed()))).await;
                pause = (pause * 2).min(longest);
            }
            Err(error) if error.is_busy() => return Err(SchemaError::locked(connection, lock_timeout).await),
            Err(error) => return Err(error),
        }
    }
}

/// Does what a survey says, or nothing if it is out of date when the lock is there: ten replicas may start at once.
async fn attempt(
    connection: &DatabaseConnection,
    target: Revision,
    lock_timeout: Duration,
    before_commit: &dyn Fn(),
) -> Result<Option<Survey>, SchemaError> {
    let survey = survey(connection, target).await?;
    if survey.is_done() {
        return Ok(Some(survey));
    }
    if survey.start == Start::Empty && connection.get_database_backend() == DbBackend::Sqlite {
        // Before the tables are there: whoever is killed in between leaves an empty file to the next one.
        set_wal(connection, lock_timeout).await.doing("set the journal mode to WAL")?;
    }
    let transaction = lock::begin(connection).await.doing("lock the database")?;
    if survey.has_tables() && !survey.pending.is_empty() {
        // TARSy's backend does not know our lock: only the tables' own keep it away.
        lock::take_tables(&transaction, &survey.standing).await.doing("lock the tables")?;
    }
    if Standing::read(&transaction).await.doing("read the ledger")? != survey.standing {
        return Ok(None);
    }
    apply(&transaction, &survey).await?;
    before_commit();
    transaction.commit().await.doing("learn whether the commit took place (`tarsy-db info` tells)")?;
    Ok(Some(survey))
}

async fn apply(transaction: &DatabaseTransaction, survey: &Survey) -> Result<(), SchemaError> {
    let backend = transaction.get_database_backend();
    if survey.has_tables() {
        let found = read(transaction).await.doing("read the schema")?;
        survey.drift_at_start(backend, &found).map_or(Ok(()), Err)?;
    }
    for revision in &survey.pending {
        if survey.start != Start::Empty {
            tracing::info!("applying {revision}: {}", revision.change());
        }
        let done = revision.migration().up(&SchemaManager::new(transaction)).await;
        done.map_err(|error| SchemaError::not_applied(*revision, error.into()))?;
    }
    if !survey.pending.is_empty() {
        let found = read(transaction).await.doing("read the schema")?;
        survey.drift_at_end(backend, &found).map_or(Ok(()), Err)?;
    }
    Ok(ledger::write(transaction, survey.ledger(), survey.revision()).await.doing("write the ledger")?)
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
