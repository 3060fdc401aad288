//! What has to happen to bring a database to a revision. Reads only, and takes no lock.

use std::collections::{BTreeMap, BTreeSet};

use migration::{Revision, ledger};
use sea_orm::{DatabaseConnection, DbBackend};

use crate::database::failure::{DatabaseCause, ResultExt, Verb};
use crate::database::read_transaction::{self, Rows};
use crate::schema::drift::Drift;
use crate::schema::error::SchemaError;
use crate::schema::model::Schema;
use crate::schema::state::{Decision, SchemaState, StateError};
use crate::schema::variant::{self, Match};
use crate::schema::{expected, read, row_policy};

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

/// What has to happen, and what is expected to be found.
#[derive(Debug, Clone)]
pub struct UpgradePlan {
    /// What the database is.
    pub start: Start,
    /// What has to be applied, in this order.
    pub pending: Vec<Revision>,
    /// What it was decided by.
    pub(crate) state: SchemaState,
    /// The shapes of the revisions to start from and to end at, and of the one behind the start; empty where there are
    /// no tables that could have another.
    expected: BTreeMap<Revision, Schema>,
}

impl UpgradePlan {
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

    /// Whether there are tables of TARSy's, which others may be using.
    pub(crate) fn has_tables(&self) -> bool {
        self.known_start().is_some()
    }

    /// The tables that the pending revisions create.
    pub(crate) fn created_tables(&self) -> Vec<&'static str> {
        let tables = self.pending.last().map(|last| last.tables()).unwrap_or_default();
        tables.into_iter().filter(|table| !self.state.tables.contains_key(*table)).collect()
    }

    /// What the ledger says now.
    #[must_use]
    pub fn ledger(&self) -> &ledger::Ledger {
        &self.state.ledger
    }

    /// What is wrong with the tables to start from.
    pub(crate) fn drift_at_start(&self, backend: DbBackend, found: &Schema) -> Option<Drift> {
        let start = self.known_start()?;
        let before = self.compared(backend, start, found)?;
        let next = self.pending.first().and_then(|next| self.compared(backend, *next, found));
        match next.is_some_and(|after| variant::is_half_done(backend, &before, &after)) {
            true => None,
            false => Drift::of(start, before.alterations()),
        }
    }

    /// What is wrong with the tables after the last pending revision.
    pub(crate) fn drift_at_end(&self, backend: DbBackend, found: &Schema) -> Option<Drift> {
        let end = *self.pending.last()?;
        Drift::of(end, self.compared(backend, end, found)?.alterations())
    }

    fn compared(&self, backend: DbBackend, revision: Revision, found: &Schema) -> Option<Match> {
        self.expected.get(&revision).map(|expected| variant::closest(backend, revision, expected, found))
    }
}

/// Finds out what brings the database to `target`.
///
/// # Errors
/// [`SchemaError`] where nothing safe does.
pub(crate) async fn assess(connection: &DatabaseConnection, target: Revision) -> Result<UpgradePlan, SchemaError> {
    loop {
        let state = read_ledger(connection).await.context((Verb::Read, "the ledger"))?;
        let result = plan_from(connection, target, state.clone()).await;
        // Somebody else's upgrade between the ledger and the tables looks like drift.
        let is_final =
            !matches!(result, Err(SchemaError::Drift(_) | SchemaError::State(StateError::Incomplete { .. })));
        if is_final || read_ledger(connection).await.context((Verb::Read, "the ledger"))? == state {
            return result;
        }
    }
}

/// Reads in a transaction, because who holds the ledger may do so for long.
async fn read_ledger(connection: &DatabaseConnection) -> Result<SchemaState, DatabaseCause> {
    let reading = read_transaction::begin(connection, None, Rows::Visible).await?;
    let state = SchemaState::read(&reading).await?;
    read_transaction::end(reading).await?;
    Ok(state)
}

async fn plan_from(
    connection: &DatabaseConnection,
    target: Revision,
    state: SchemaState,
) -> Result<UpgradePlan, SchemaError> {
    let decision = state.plan(target);
    if !matches!(decision, Decision::Nothing { .. }) {
        // Whose row is hidden is not without a revision.
        row_policy::refuse(connection, &[ledger::TABLE]).await.context((Verb::Read, "the ledger"))?;
    }
    let (start, pending) = match decision {
        Decision::Nothing { revision } => {
            require_columns(connection, &state, &revision).await?;
            (Start::Ledger(revision), Vec::new())
        }
        Decision::Create { to } => (Start::Empty, to.since(None).collect()),
        Decision::Adopt => {
            let revision = adopted(connection).await?;
            (Start::Tables(revision), target.since(Some(revision)).collect())
        }
        Decision::Upgrade { from, to } => (Start::Ledger(from.id().to_owned()), to.since(Some(from)).collect()),
        Decision::Incomplete { revision, missing } => return Err(incomplete(connection, revision, missing).await?),
        Decision::Ambiguous { revisions } => return Err(StateError::Ambiguous(revisions).into()),
        Decision::Leftover { tables } => return Err(StateError::Leftover(tables).into()),
    };
    let mut plan = UpgradePlan { start, pending, state, expected: BTreeMap::new() };
    let (first, last) = (plan.pending.first(), plan.pending.last());
    let wanted: BTreeSet<_> = plan.known_start().iter().chain(first).chain(last).copied().collect();
    if !plan.is_done() && !plan.state.tables.is_empty() {
        plan.expected =
            expected::replay(connection, &wanted).await.context((Verb::Determine, "the expected schema"))?;
        let found = read::schema(connection).await.context((Verb::Read, "the schema"))?;
        if let Some(drift) = plan.drift_at_start(connection.get_database_backend(), &found) {
            return Err(identified(connection, drift, &found).await?.into());
        }
    }
    Ok(plan)
}

/// Makes sure that the columns that set the ledger's revision apart from earlier ones are there, at no cost where
/// they are.
async fn require_columns(
    connection: &DatabaseConnection,
    state: &SchemaState,
    revision: &str,
) -> Result<(), SchemaError> {
    let Some(known) = Revision::from_id(revision) else { return Ok(()) };
    if known.added_columns().all(|(table, column)| state.has_column(table, column)) {
        return Ok(());
    }
    drift(connection, known).await?.map_or(Ok(()), |drift| Err(drift.into()))
}

/// The revision that tables without a ledger are of.
async fn adopted(connection: &DatabaseConnection) -> Result<Revision, SchemaError> {
    let found = read::schema(connection).await.context((Verb::Read, "the schema"))?;
    let (revision, variant) =
        variant::best_match(connection, &found).await.context((Verb::Determine, "the expected schema"))?;
    Drift::of(revision, variant.faults()).map_or(Ok(revision), |drift| Err(drift.into()))
}

/// Tells a ledger that says too much from tables that are lost.
async fn incomplete(
    connection: &DatabaseConnection,
    revision: Option<String>,
    missing: Vec<&'static str>,
) -> Result<SchemaError, SchemaError> {
    let known = revision.as_deref().and_then(Revision::from_id);
    let drift = match known {
        Some(known) => drift(connection, known).await?,
        None => None,
    };
    Ok(match drift.filter(|drift| drift.looks_like.is_some()) {
        Some(drift) => drift.into(),
        None => StateError::Incomplete { revision, missing }.into(),
    })
}

/// How the tables are not those of a revision, if they are not.
async fn drift(connection: &DatabaseConnection, revision: Revision) -> Result<Option<Drift>, SchemaError> {
    let replayed = expected::replay(connection, &BTreeSet::from([revision]))
        .await
        .context((Verb::Determine, "the expected schema"))?;
    let found = read::schema(connection).await.context((Verb::Read, "the schema"))?;
    let variant = variant::closest(connection.get_database_backend(), revision, &replayed[&revision], &found);
    match Drift::of(revision, variant.faults()) {
        None => Ok(None),
        Some(drift) => identified(connection, drift, &found).await.map(Some),
    }
}

/// Adds to a drift which revision the tables are of, if there is one.
async fn identified(connection: &DatabaseConnection, drift: Drift, found: &Schema) -> Result<Drift, SchemaError> {
    let looks_like = variant::look_alike(connection, drift.revision, found)
        .await
        .context((Verb::Determine, "the expected schema"))?;
    Ok(Drift { looks_like, ..drift })
}
