//! Plans an upgrade. Reads only, and takes no lock.

use std::collections::{BTreeMap, BTreeSet};

use migration::{Revision, ledger};
use sea_orm::DbBackend;

use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, ResultExt, Verb};
use crate::database::read_transaction::{self, Rows};
use crate::schema::drift::Drift;
use crate::schema::encoding::require_utf8;
use crate::schema::error::SchemaError;
use crate::schema::model::Schema;
use crate::schema::state::{Decision, SchemaState};
use crate::schema::state_error::StateError;
use crate::schema::variant::{self, Match};
use crate::schema::{expected, read, row_policy};

/// The state of a database before an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// No history.
    Empty,
    /// TARSy's tables without a ledger; the revision was derived from the table definitions.
    Tables(Revision),
    /// The revision that the ledger names.
    Ledger(String),
}

/// The plan of an upgrade, and the schemas that it expects.
#[derive(Debug, Clone)]
pub struct UpgradePlan {
    pub start: Start,
    /// The revisions to apply, in order.
    pub pending: Vec<Revision>,
    /// The state that the plan is based on.
    pub(crate) state: SchemaState,
    /// The schemas of the first and the last revision, and of the one after the first; empty if there are no tables.
    expected: BTreeMap<Revision, Schema>,
}

impl UpgradePlan {
    /// The plan for a database that does not exist yet.
    pub(crate) fn of_new_database(target: Revision) -> Self {
        let state = SchemaState::empty();
        Self { start: Start::Empty, pending: target.since(None).collect(), state, expected: BTreeMap::new() }
    }

    /// The revision after the upgrade.
    #[must_use]
    pub fn revision(&self) -> &str {
        match (self.pending.last(), &self.start) {
            (Some(last), _) => last.id(),
            (None, Start::Ledger(revision)) => revision,
            (None, Start::Tables(revision)) => revision.id(),
            (None, Start::Empty) => unreachable!("an empty database has all revisions pending"),
        }
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && matches!(self.start, Start::Ledger(_))
    }

    /// The revision that the database is at now, if this version knows it.
    #[must_use]
    pub fn known_start(&self) -> Option<Revision> {
        match &self.start {
            Start::Empty => None,
            Start::Tables(revision) => Some(*revision),
            Start::Ledger(revision) => Revision::from_id(revision),
        }
    }

    /// Whether TARSy's tables exist, which other sessions may be using.
    pub(crate) fn has_tables(&self) -> bool {
        self.known_start().is_some()
    }

    /// The tables that the pending revisions create.
    pub(crate) fn created_tables(&self) -> Vec<&'static str> {
        let tables = self.pending.last().map(|last| last.tables()).unwrap_or_default();
        tables.into_iter().filter(|table| !self.state.tables.contains_key(*table)).collect()
    }

    /// The same with the ledger, if it is missing.
    pub(crate) fn created(&self) -> Vec<&'static str> {
        let ledger = Some(ledger::TABLE).filter(|_| *self.ledger() == ledger::Ledger::Missing);
        self.created_tables().into_iter().chain(ledger).collect()
    }

    /// The ledger before the upgrade.
    #[must_use]
    pub fn ledger(&self) -> &ledger::Ledger {
        &self.state.ledger
    }

    /// The faults of the tables before the upgrade.
    pub(crate) fn drift_at_start(&self, backend: DbBackend, found: &Schema) -> Option<Drift> {
        let start = self.known_start()?;
        let before = self.compared(backend, start, found)?;
        let next = self.pending.first().and_then(|next| self.compared(backend, *next, found));
        match next.is_some_and(|after| variant::is_half_done(backend, &before, &after)) {
            true => None,
            false => Drift::of(start, before.alterations()),
        }
    }

    /// The faults of the tables after the last pending revision.
    pub(crate) fn drift_at_end(&self, backend: DbBackend, found: &Schema) -> Option<Drift> {
        let end = *self.pending.last()?;
        Drift::of(end, self.compared(backend, end, found)?.alterations())
    }

    fn compared(&self, backend: DbBackend, revision: Revision, found: &Schema) -> Option<Match> {
        self.expected.get(&revision).map(|expected| variant::closest(backend, revision, expected, found))
    }
}

/// Plans how to bring the database to `target`.
///
/// # Errors
/// [`SchemaError`] if there is no safe way.
pub(crate) async fn assess(connection: &Connection, target: Revision) -> Result<UpgradePlan, SchemaError> {
    loop {
        let state = read_ledger(connection).await.context((Verb::Read, "the ledger"))?;
        let result = plan_from(connection, target, state.clone()).await;
        // An upgrade by another session between the two reads looks like drift.
        let is_final =
            !matches!(result, Err(SchemaError::Drift(_) | SchemaError::State(StateError::Incomplete { .. })));
        if is_final || read_ledger(connection).await.context((Verb::Read, "the ledger"))? == state {
            return result;
        }
    }
}

/// Reads in a transaction with a limit, because another session may hold the ledger for long.
async fn read_ledger(connection: &Connection) -> Result<SchemaState, DatabaseCause> {
    let reading = read_transaction::begin(connection, None, Rows::Visible).await?;
    let state = SchemaState::read(&reading).await?;
    reading.rollback().await?;
    Ok(state)
}

async fn plan_from(connection: &Connection, target: Revision, state: SchemaState) -> Result<UpgradePlan, SchemaError> {
    let decision = state.plan(target);
    if !matches!(decision, Decision::Nothing { .. }) {
        // A ledger whose row is hidden is not an empty one.
        connection
            .reading(async |reading| row_policy::refuse(reading, &[ledger::TABLE]).await)
            .await
            .context((Verb::Read, "the ledger"))?;
    }
    let (start, pending) = match decision {
        Decision::Nothing { revision } => {
            require_columns(connection, &state, &revision).await?;
            (Start::Ledger(revision), Vec::new())
        }
        Decision::Create { to } => {
            // What such a database holds already stays usable; only a new history is refused.
            connection
                .reading(async |reading| require_utf8(reading).await)
                .await
                .context((Verb::Create, "the schema"))?;
            (Start::Empty, to.since(None).collect())
        }
        Decision::Adopt => {
            let revision = adopted(connection).await?;
            (Start::Tables(revision), target.since(Some(revision)).collect())
        }
        Decision::Upgrade { from, to } => (Start::Ledger(from.id().to_owned()), to.since(Some(from)).collect()),
        Decision::Refused(StateError::Incomplete { revision, missing, in_place }) => {
            return Err(incomplete(connection, revision, missing, in_place).await?);
        }
        Decision::Refused(error) => return Err(error.into()),
    };
    let mut plan = UpgradePlan { start, pending, state, expected: BTreeMap::new() };
    let (first, last) = (plan.pending.first(), plan.pending.last());
    let wanted: BTreeSet<_> = plan.known_start().iter().chain(first).chain(last).copied().collect();
    if !plan.is_done() && !plan.state.tables.is_empty() {
        plan.expected =
            expected::replay(connection, &wanted).await.context((Verb::Determine, "the expected schema"))?;
        let found = connection
            .reading(async |reading| read::schema(reading).await)
            .await
            .context((Verb::Read, "the schema"))?;
        if let Some(drift) = plan.drift_at_start(connection.backend(), &found) {
            return Err(identified(connection, drift, &found).await?.into());
        }
    }
    Ok(plan)
}

/// Makes sure that the columns that distinguish the ledger's revision from earlier ones exist. Costs nothing if they
/// do.
async fn require_columns(connection: &Connection, state: &SchemaState, revision: &str) -> Result<(), SchemaError> {
    let Some(known) = Revision::from_id(revision) else { return Ok(()) };
    if known.added_columns().all(|(table, column)| state.has_column(table, column)) {
        return Ok(());
    }
    drift(connection, known).await?.map_or(Ok(()), |drift| Err(drift.into()))
}

/// Derives the revision of tables without a ledger.
async fn adopted(connection: &Connection) -> Result<Revision, SchemaError> {
    let found =
        connection.reading(async |reading| read::schema(reading).await).await.context((Verb::Read, "the schema"))?;
    let (revision, variant) =
        variant::best_match(connection, &found).await.context((Verb::Determine, "the expected schema"))?;
    Drift::of(revision, variant.faults()).map_or(Ok(revision), |drift| Err(drift.into()))
}

/// Distinguishes a ledger that is ahead of the tables from lost tables.
async fn incomplete(
    connection: &Connection,
    revision: Option<String>,
    missing: Vec<&'static str>,
    in_place: Vec<(&'static str, &'static str)>,
) -> Result<SchemaError, SchemaError> {
    let known = revision.as_deref().and_then(Revision::from_id);
    let drift = match known {
        Some(known) => drift(connection, known).await?,
        None => None,
    };
    Ok(match drift.filter(|drift| drift.looks_like.is_some()) {
        Some(drift) => drift.into(),
        None => StateError::Incomplete { revision, missing, in_place }.into(),
    })
}

/// The drift from a revision, if there is any.
async fn drift(connection: &Connection, revision: Revision) -> Result<Option<Drift>, SchemaError> {
    let replayed = expected::replay(connection, &BTreeSet::from([revision]))
        .await
        .context((Verb::Determine, "the expected schema"))?;
    let found =
        connection.reading(async |reading| read::schema(reading).await).await.context((Verb::Read, "the schema"))?;
    let variant = variant::closest(connection.backend(), revision, &replayed[&revision], &found);
    match Drift::of(revision, variant.faults()) {
        None => Ok(None),
        Some(drift) => identified(connection, drift, &found).await.map(Some),
    }
}

/// Adds to a drift the revision that the tables do match, if there is one.
async fn identified(connection: &Connection, drift: Drift, found: &Schema) -> Result<Drift, SchemaError> {
    let looks_like = variant::look_alike(connection, drift.revision, found)
        .await
        .context((Verb::Determine, "the expected schema"))?;
    Ok(Drift { looks_like, ..drift })
}
