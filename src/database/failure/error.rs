//! Something that the database did not do, and why.

use super::action::Action;
use super::cause::DatabaseCause;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Something that the database did not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct DatabaseError {
    /// What was tried.
    pub action: Action,
    /// Why it failed.
    #[source]
    pub cause: DatabaseCause,
}

impl From<DatabaseError> for DatabaseCause {
    fn from(error: DatabaseError) -> Self {
        error.cause
    }
}

/// Names what was tried when a query fails.
pub(crate) trait ResultExt<T> {
    /// Turns the database's error into one that says what was tried.
    ///
    /// # Errors
    /// The same failure, named.
    fn context(self, action: impl Into<Action>) -> Result<T, DatabaseError>;
}

impl<T, E: Into<DatabaseCause>> ResultExt<T> for Result<T, E> {
    fn context(self, action: impl Into<Action>) -> Result<T, DatabaseError> {
        self.map_err(|error| DatabaseError { action: action.into(), cause: error.into() })
    }
}

impl Diagnostic for DatabaseError {
    fn exit_code(&self) -> ExitCode {
        self.cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint().map(str::to_owned)
    }
}
