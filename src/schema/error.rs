//! Why a schema is refused.

use std::time::Duration;

use migration::Revision;
use sea_orm::DatabaseConnection;

use super::diff::{self, Difference};
use super::lock;
use super::state::Leftover;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass};
use crate::database::url::DatabaseUrl;

/// Why the schema could not be brought to a revision. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables are there but are not those of the revision.
    #[error(transparent)]
    Drift(#[from] Drift),
    /// There are no tables.
    #[error("the database has no TARSy schema yet")]
    Pending,
    /// The ledger names a revision that this version does not know.
    #[error("the database is at revision `{0}`, which this version of tarsy-db does not know")]
    Unknown(String),
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
    #[error("an interrupted upgrade of TARSy's backend left {} behind", .0.iter().map(|left| left.copy.as_str()).collect::<Vec<_>>().join(", "))]
    Leftover(Vec<Leftover>),
    /// A revision cannot be applied, because of something that the database has and TARSy does not know.
    #[error("cannot apply revision {revision}")]
    InTheWay {
        /// The revision.
        revision: Revision,
        /// What the database answered.
        #[source]
        cause: DatabaseCause,
    },
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
#[error("the tables are not those of revision {revision}{}: {}", likeness(*.looks_like), diff::texts(.faults.iter()).join("; "))]
pub struct Drift {
    /// The revision.
    pub revision: Revision,
    /// What is different.
    pub faults: Vec<Difference>,
    /// The revision that they are of, if there is one.
    pub looks_like: Option<Revision>,
}

impl Drift {
    /// Of tables with faults, if they have any.
    #[must_use]
    pub fn of<'f>(revision: Revision, faults: impl Iterator<Item = &'f Difference>) -> Option<Self> {
        let faults: Vec<_> = faults.cloned().collect();
        (!faults.is_empty()).then(|| Self::new(revision, faults))
    }

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
    /// The error that names who holds the lock: call it when [`ErrorClass::Busy`] came back.
    pub async fn locked(connection: &DatabaseConnection, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder(connection).await, waited }
    }

    /// As [`SchemaError::locked`], where the file could not even be opened.
    #[must_use]
    pub fn locked_file(url: &DatabaseUrl, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder_of_file(url), waited }
    }

    /// Tells what is in the way from what would have failed as well without it.
    pub(crate) fn not_applied(revision: Revision, cause: DatabaseCause) -> Self {
        match cause.class {
            ErrorClass::Other
            | ErrorClass::Data
            | ErrorClass::Constraint
            | ErrorClass::Needed
            | ErrorClass::AlreadyExists => SchemaError::InTheWay { revision, cause },
            _ => DatabaseError { action: format!("apply revision {revision}"), cause }.into(),
        }
    }

    /// Whether the same may go well in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, SchemaError::Database(error) if matches!(error.cause.class, ErrorClass::Busy | ErrorClass::Conflict))
    }
}
