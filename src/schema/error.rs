//! Why a schema is refused.

use migration::Revision;

use super::drift::Drift;
use super::lock::Locked;
use super::state::StateError;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Why the schema could not be brought to a revision. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables are there but are not those of the revision.
    #[error(transparent)]
    Drift(#[from] Drift),
    /// The ledger and the tables make no history that this version knows.
    #[error(transparent)]
    State(#[from] StateError),
    /// A revision cannot be applied, because of something that the database has and TARSy does not know.
    #[error("cannot apply revision {revision}")]
    InTheWay {
        /// The revision.
        revision: Revision,
        /// What the database answered.
        #[source]
        cause: DatabaseCause,
    },
    /// Another session held the lock for too long.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The database refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl SchemaError {
    /// Tells what is in the way from what would have failed as well without it.
    pub(crate) fn not_applied(revision: Revision, cause: DatabaseCause) -> Self {
        match cause.class {
            ErrorClass::Other
            | ErrorClass::Data
            | ErrorClass::Constraint
            | ErrorClass::Needed
            | ErrorClass::AlreadyExists => SchemaError::InTheWay { revision, cause },
            _ => DatabaseError { action: (Verb::Apply, format!("revision {revision}")).into(), cause }.into(),
        }
    }

    /// Whether the same may go well in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, SchemaError::Database(error) if matches!(error.cause.class, ErrorClass::Busy | ErrorClass::Conflict))
    }
}

impl Diagnostic for SchemaError {
    fn exit_code(&self) -> ExitCode {
        match self {
            SchemaError::Drift(drift) => drift.exit_code(),
            SchemaError::State(error) => error.exit_code(),
            SchemaError::InTheWay { .. } => ExitCode::Drift,
            SchemaError::Locked(locked) => locked.exit_code(),
            SchemaError::Database(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SchemaError::Drift(drift) => drift.hint(),
            SchemaError::State(error) => error.hint(),
            SchemaError::InTheWay { .. } => Some(
                "something of your own is in the way: a view, a trigger, an index, a table or a column. Move it aside, \
                 upgrade, and bring it back; nothing was changed"
                    .into(),
            ),
            SchemaError::Locked(locked) => locked.hint(),
            SchemaError::Database(error) => error.hint(),
        }
    }
}
