//! An action that the database refused or did not finish, and why.

use super::action::{Action, COMMIT_OUTCOME, Verb};
use super::cause::DatabaseCause;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// An action that the database refused or did not finish.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct DatabaseError {
    /// Displayed as `cannot {action}`.
    pub action: Action,
    /// Displayed as the `because` of the message.
    #[source]
    pub cause: DatabaseCause,
}

impl From<DatabaseError> for DatabaseCause {
    fn from(error: DatabaseError) -> Self {
        error.cause
    }
}

impl DatabaseError {
    /// The error of the COMMIT of `what`, which may have taken place if no answer of the database refused it.
    pub(crate) fn of_commit(what: &'static str, cause: impl Into<DatabaseCause>) -> Self {
        let cause = cause.into();
        let action = if cause.leaves_commit_open() { COMMIT_OUTCOME } else { (Verb::Commit, what) };
        Self { action: action.into(), cause }
    }
}

/// Adds the attempted action to a database's error.
pub(crate) trait ResultExt<T> {
    /// Adds `action` to the error, whose class stays.
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
        match self.action == COMMIT_OUTCOME.into() {
            true => {
                Some("run `tarsy-db info` before the same command again: the commit may have taken place".to_owned())
            }
            false => self.cause.hint(),
        }
    }
}
