//! Why the target did not take rows.

use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::transfer::report::ReportError;

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// One of the databases failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What a policy changed cannot be noted.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// There is at least one hazard; the whole source has to be scanned for all of them.
    #[error("the source holds values that cannot be carried over exactly; rolled back")]
    FoundHazard,
    /// The target refused what looked sound.
    #[error("the target refused to {action}; rolled back")]
    Rejected {
        /// What was tried.
        action: Action,
        /// Its answer.
        #[source]
        cause: DatabaseCause,
    },
}

impl WriteError {
    /// A refusal of values is told from what else a database fails at.
    pub(crate) fn of(action: impl Into<Action>, cause: impl Into<DatabaseCause>) -> Self {
        let (action, cause) = (action.into(), cause.into());
        match cause.class {
            ErrorClass::Data | ErrorClass::Constraint => Self::Rejected { action, cause },
            _ => Self::Database(DatabaseError { action, cause }),
        }
    }
}

impl Diagnostic for WriteError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(error) => error.exit_code(),
            Self::Report(error) => error.exit_code(),
            Self::FoundHazard | Self::Rejected { .. } => ExitCode::Data,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::FoundHazard | Self::Rejected { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure::Verb;

    #[test]
    fn a_refusal_of_values_is_no_failure_of_the_database() {
        let error = |class| WriteError::of((Verb::Copy, "rows"), DatabaseCause::new(class, "no"));
        for class in [ErrorClass::Data, ErrorClass::Constraint] {
            assert!(matches!(error(class), WriteError::Rejected { .. }), "{class}");
        }
        assert!(matches!(error(ErrorClass::DiskFull), WriteError::Database(_)));
    }
}
