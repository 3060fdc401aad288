//! Errors of the schema.

use migration::Revision;

use super::app_role::AppRoleError;
use super::drift::Drift;
use super::lock::Locked;
use super::state_error::StateError;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;

/// Why a database could not be brought to a revision. Nothing was changed, unless the connection broke at COMMIT.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables do not match the revision.
    #[error(transparent)]
    Drift(#[from] Drift),
    /// The ledger and the tables do not form a history that this version knows.
    #[error(transparent)]
    State(#[from] StateError),
    /// An object that TARSy did not create blocks a revision.
    #[error("cannot apply revision {revision}")]
    Blocked {
        revision: Revision,
        #[source]
        cause: DatabaseCause,
    },
    /// Another session held the lock for too long.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The backend's role did not get what it needs.
    #[error(transparent)]
    AppRole(AppRoleError),
    /// The database refused or did not finish an action.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A database error keeps its own message and hint, and may be worth a retry.
impl From<AppRoleError> for SchemaError {
    fn from(error: AppRoleError) -> Self {
        match error {
            AppRoleError::Database(error) => Self::Database(error),
            error => Self::AppRole(error),
        }
    }
}

impl SchemaError {
    /// Distinguishes an object that blocks the revision from failures with other causes.
    pub(crate) fn not_applied(revision: Revision, cause: DatabaseCause) -> Self {
        match cause.class {
            ErrorClass::Other
            | ErrorClass::Data
            | ErrorClass::Constraint
            | ErrorClass::Needed
            | ErrorClass::AlreadyExists => SchemaError::Blocked { revision, cause },
            _ => DatabaseError { action: (Verb::Apply, format!("revision {revision}")).into(), cause }.into(),
        }
    }

    /// Whether a retry may succeed soon.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, SchemaError::Database(error) if matches!(error.cause.class, ErrorClass::Busy | ErrorClass::Conflict))
    }
}

impl Diagnostic for SchemaError {
    fn exit_code(&self) -> ExitCode {
        match self {
            SchemaError::Drift(drift) => drift.exit_code(),
            SchemaError::State(error) => error.exit_code(),
            SchemaError::Blocked { .. } => ExitCode::Drift,
            SchemaError::Locked(locked) => locked.exit_code(),
            SchemaError::AppRole(error) => error.exit_code(),
            SchemaError::Database(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SchemaError::Drift(drift) => drift.hint(),
            SchemaError::State(error) => error.hint(),
            SchemaError::Blocked { .. } => Some(
                "an object that you added (a view, a trigger, an index, a table or a column) blocks the upgrade: drop \
                 it, upgrade, then recreate it; nothing was changed"
                    .into(),
            ),
            SchemaError::Locked(locked) => locked.hint(),
            SchemaError::AppRole(error) => error.hint(),
            SchemaError::Database(error) => error.hint(),
        }
    }

    fn details(&self) -> Details {
        match self {
            SchemaError::AppRole(error) => error.details(),
            _ => Details::default(),
        }
    }
}
