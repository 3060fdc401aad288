//! Brings a database to a revision: survey, lock, look again, migrate, write the ledger, commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use migration::{Revision, ledger};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, TransactionTrait};
use sea_orm_migration::SchemaManager;

use super::difference::{self, Difference};
use super::shape::{self, Match};
use super::standing::{Plan, Standing};
use super::{Schema, expected, lock, read};
use crate::database_url::DatabaseUrl;
use crate::failure::{Cause, DatabaseError, Doing, Failure};

/// How long to stay away from tables that somebody holds, before they are asked for again; at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// What a database was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// There was no history.
    Empty,
    /// TARSy's tables were there, without a ledger; their shape tells the revision.
    Tables(Revision),
    /// The ledger said this.
    Ledger(String),
}

/// What [`upgrade`] would do, and what it expects to find.
#[derive(Debug, Clone)]
pub struct Survey {
    /// What the database is.
    pub start: Start,
    /// What has to be applied, in this order.
    pub pending: Vec<Revision>,
    standing: Standing,
    /// The shapes of the revisions to start from and to end at, and of the one behind the start.
    expected: BTreeMap<Revision, Schema>,
}

impl Survey {
    /// Where the database will stand.
    #[must_use]
    pub fn revision(&self) -> &str {
        match (self.pending.last(), &self.start) {
            (Some(last), _) => last.id(),
            (None, Start::Ledger(revision)) => revision,
            (None, Start::Tables(revision)) => revision.id(),
            (None, Start::Empty) => unreachable!("what is empty has everything pending"),
        }
    }

    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && matches!(self.start, Start::Ledger(_))
    }

    /// What the database is at now, as far as this version knows it.
    #[must_use]
    pub fn known_start(&self) -> Option<Revision> {
        match &self.start {
            Start::Empty => None,
            Start::Tables(revision) => Some(*revision),
            Start::Ledger(revision) => Revision::from_id(revision),
        }
    }

    /// What the ledger says now.
    #[must_use]
    pub fn ledger(&self) -> &ledger::Ledger {
        &self.standing.ledger
    }

    /// Makes sure that the tables are those of the revision to start from.
    fn require_start(&self, backend: DbBackend, found: &Schema) -> Result<(), SchemaError> {
        let Some(start) = self.known_start() else { return Ok(()) };
        let faults = self.faults(backend, start, found);
        let next = self.pending.first().map(|next| self.faults(backend, *next, found));
        // The backend's own upgrade on SQLite is not atomic: what belongs to the next revision may be there already.
        let is_half_done =
            backend == DbBackend::Sqlite && next.is_some_and(|next| faults.iter().all(|fault| !next.contains(fault)));
        if faults.is_empty() || is_half_done { Ok(()) } else { Err(SchemaError::Drift(Drift::new(start, faults))) }
    }

    fn faults(&self, backend: DbBackend, revision: Revision, found: &Schema) -> Vec<Difference> {
        let Some(expected) = self.expected.get(&revision) else { return Vec::new() };
        shape::closest(backend, revision, expected, found).faults().cloned().collect()
    }
}

/// Why the schema could not be brought to a revision. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables are there but are not those of the revision.
    #[error(transparent)]
    Drift(#[from] Drift),
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
    /// An interrupted upgrade of the backend's left tables behind.
    #[error("an interrupted upgrade of TARSy's backend left {} behind", .0.join(", "))]
    Leftover(Vec<String>),
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

/// Tables that are not those of the revision that they should have.
#[derive(Debug, thiserror::Error)]
#[error("the tables are not those of revision {revision}{}: {}", likeness(*.looks_like), difference::texts(.faults.iter()).join("; "))]
pub struct Drift {
    /// The revision.
    pub revision: Revision,
    /// What is different.
    pub faults: Vec<Difference>,
    /// The revision that they are of, if there is one.
    pub looks_like: Option<Revision>,
}

impl Drift {
    /// Of tables that are like no other revision either.
    #[must_use]
    pub fn new(revision: Revision, faults: Vec<Difference>) -> Self {
        Self { revision, faults, looks_like: None }
    }
}

fn likeness(looks_like: Option<Revision>) -> String {
    looks_like.map(|revision| format!(", but of {revision}")).unwrap_or_default()
}

fn ledger_says(revision: Option<&str>) -> String {
    revision.map(|revision| format!(", though the ledger says `{revision}`")).unwrap_or_default()
}

impl SchemaError {
    /// The error that names who holds the lock: call it when [`Failure::Busy`] came back.
    pub async fn locked(connection: &DatabaseConnection, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder(connection).await, waited }
    }

    /// As [`SchemaError::locked`], where the file could not even be opened.
    #[must_use]
    pub fn locked_file(url: &DatabaseUrl, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder_of_file(url), waited }
    }

    fn is_busy(&self) -> bool {
        matches!(self, SchemaError::Database(error) if error.cause.failure == Failure::Busy)
    }
}

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
            Err(error) if error.is_busy() && started.elapsed() + pause < lock_timeout => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            Err(error) if error.is_busy() => return Err(SchemaError::locked(connection, lock_timeout).await),
            Err(error) => return Err(error),
        }
    }
}

/// Finds out what [`upgrade`] would do. Reads only, and takes no lock.
///
/// # Errors
/// [`SchemaError`].
pub async fn survey(connection: &DatabaseConnection, target: Revision) -> Result<Survey, SchemaError> {
    loop {
        let standing = Standing::read(connection).await.doing("read the ledger")?;
        let result = survey_of(connection, target, standing.clone()).await;
        // Somebody else's upgrade between the ledger and the tables looks like drift.
        let is_final = !matches!(result, Err(SchemaError::Drift(_) | SchemaError::Incomplete { .. }));
        if is_final || Standing::read(connection).await.doing("read the ledger")? == standing {
            return result;
        }
    }
}

async fn survey_of(
    connection: &DatabaseConnection,
    target: Revision,
    standing: Standing,
) -> Result<Survey, SchemaError> {
    let backend = connection.get_database_backend();
    let mut survey = Survey { start: Start::Empty, pending: Vec::new(), standing, expected: BTreeMap::new() };
    match survey.standing.plan(target) {
        Plan::Nothing { revision } => {
            if let Some(known) = Revision::from_id(&revision) {
                require_columns(connection, &survey.standing, known).await?;
            }
            survey.start = Start::Ledger(revision);
        }
        Plan::Create { to } => survey.pending = to.since(None).collect(),
        Plan::Adopt => {
            let found = read(connection).await.doing("read the schema")?;
            let (revision, shape) = shape::likest(connection, &found).await.doing("replay the revisions")?;
            if let Some(faults) = faults_of(&shape) {
                return Err(Drift::new(revision, faults).into());
            }
            survey.start = Start::Tables(revision);
            survey.pending = target.since(Some(revision)).collect();
        }
        Plan::Upgrade { from, to } => {
            survey.start = Start::Ledger(from.id().to_owned());
            survey.pending = to.since(Some(from)).collect();
        }
        Plan::Incomplete { revision, missing } => {
            return Err(incomplete(connection, &survey.standing, revision, missing).await?);
        }
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions)),
        Plan::Leftover { tables } => return Err(SchemaError::Leftover(tables)),
    }
    if let (Some(start), Some(first), Some(last)) =
        (survey.known_start(), survey.pending.first(), survey.pending.last())
    {
        let wanted = BTreeSet::from([start, *first, *last]);
        survey.expected = expected::replay(connection, &wanted).await.doing("replay the revisions")?;
        let found = read(connection).await.doing("read the schema")?;
        match survey.require_start(backend, &found) {
            Err(SchemaError::Drift(drift)) => return Err(identified(connection, drift, &found).await?.into()),
            result => result?,
        }
    }
    Ok(survey)
}

/// Tells a ledger that says too much from tables that are lost.
async fn incomplete(
    connection: &DatabaseConnection,
    standing: &Standing,
    revision: Option<String>,
    missing: Vec<&'static str>,
) -> Result<SchemaError, SchemaError> {
    let lost = SchemaError::Incomplete { revision: revision.clone(), missing };
    let Some(revision) = revision.as_deref().and_then(Revision::from_id) else { return Ok(lost) };
    let found = read(connection).await.doing("read the schema")?;
    let drift = match require(connection, revision, &found).await {
        Err(SchemaError::Drift(drift)) => identified(connection, drift, &found).await?,
        result => return result.map(|_| lost),
    };
    // What later revisions bring beside the tables shows that they were there.
    let before: BTreeSet<_> = drift.looks_like.into_iter().flat_map(Revision::added_columns).collect();
    let is_later = |place: &(&str, &str)| !before.contains(place) && standing.has_column(place.0, place.1);
    let is_wrong_ledger = drift.looks_like.is_some() && !revision.added_columns().any(|place| is_later(&place));
    Ok(if is_wrong_ledger { drift.into() } else { lost })
}

/// Makes sure that the columns that set the ledger's revision apart from earlier ones are there, at no cost where
/// they are.
async fn require_columns(
    connection: &DatabaseConnection,
    standing: &Standing,
    revision: Revision,
) -> Result<(), SchemaError> {
    if revision.added_columns().all(|(table, column)| standing.has_column(table, column)) {
        return Ok(());
    }
    let found = read(connection).await.doing("read the schema")?;
    match require(connection, revision, &found).await {
        Err(SchemaError::Drift(drift)) => Err(identified(connection, drift, &found).await?.into()),
        result => result.map(|_| ()),
    }
}

/// Makes sure that the tables are those of a revision, in whatever shape, and says in which.
///
/// # Errors
/// [`SchemaError::Drift`] with what is different.
pub async fn require<C>(connection: &C, revision: Revision, found: &Schema) -> Result<Match, SchemaError>
where
    C: ConnectionTrait + TransactionTrait<Transaction = DatabaseTransaction>,
{
    let replayed = expected::replay(connection, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    let shape = shape::closest(connection.get_database_backend(), revision, &replayed[&revision], found);
    match faults_of(&shape) {
        None => Ok(shape),
        Some(faults) => Err(Drift::new(revision, faults).into()),
    }
}

fn faults_of(shape: &Match) -> Option<Vec<Difference>> {
    let faults: Vec<_> = shape.faults().cloned().collect();
    (!faults.is_empty()).then_some(faults)
}

/// Adds to a drift which revision the tables are of, if there is one.
async fn identified(connection: &DatabaseConnection, drift: Drift, found: &Schema) -> Result<Drift, SchemaError> {
    let (revision, shape) = shape::likest(connection, found).await.doing("replay the revisions")?;
    let looks_like = (revision != drift.revision && shape.faults().next().is_none()).then_some(revision);
    Ok(Drift { looks_like, ..drift })
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
    if survey.known_start().is_some() && !survey.pending.is_empty() {
        let tables = survey.standing.tables.keys().map(String::as_str);
        lock::take_tables(transaction, tables).await.doing("lock the tables")?;
        survey.require_start(backend, &read(transaction).await.doing("read the schema")?)?;
    }
    for revision in &survey.pending {
        if survey.start != Start::Empty {
            tracing::info!("applying {revision}: {}", revision.change());
        }
        migrate(transaction, *revision).await.doing(format!("apply revision {revision}"))?;
    }
    if let (Some(last), true) = (survey.pending.last(), survey.known_start().is_some()) {
        let faults = survey.faults(backend, *last, &read(transaction).await.doing("read the schema")?);
        if !faults.is_empty() {
            return Err(Drift::new(*last, faults).into());
        }
    }
    let before = &survey.standing.ledger;
    Ok(ledger::write(transaction, before, survey.revision()).await.doing("write the ledger")?)
}

async fn migrate(transaction: &DatabaseTransaction, revision: Revision) -> Result<(), DbErr> {
    revision.migration().up(&SchemaManager::new(transaction)).await
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
