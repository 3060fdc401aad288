//! Why rows were not written.

use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::transfer::report::ReportError;

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A statement failed on the source or the target.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What a policy changed cannot be written to the report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// At least one hazard; the caller scans the source for all of them.
    #[error("the source holds values that cannot be converted exactly; rolled back")]
    FoundHazard,
    /// The server rejected a value in which no hazard was found.
    #[error("the target refused to {action}; rolled back")]
    Rejected {
        /// The rejected statement.
        action: Action,
        /// The server's error.
        #[source]
        cause: DatabaseCause,
    },
}

impl WriteError {
    /// Data and constraint errors are rejections; all others are errors of the database.
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
    fn rejected_values_are_not_a_failure_of_the_database() {
        let error = |class| WriteError::of((Verb::Copy, "rows"), DatabaseCause::new(class, "no"));
        for class in [ErrorClass::Data, ErrorClass::Constraint] {
            assert!(matches!(error(class), WriteError::Rejected { .. }), "{class}");
        }
        assert!(matches!(error(ErrorClass::DiskFull), WriteError::Database(_)));
    }
}
