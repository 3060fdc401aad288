//! Why what was read of the source is of no use.

use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::transfer::report::ReportError;

/// Why the source was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What a policy changed cannot be noted.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Another process wrote to it meanwhile.
    #[error("the source {path} changed while it was read; rolled back")]
    Changed {
        /// The file.
        path: String,
    },
}

impl Diagnostic for SourceError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(error) => error.exit_code(),
            Self::Report(error) => error.exit_code(),
            Self::Changed { .. } => ExitCode::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Changed { .. } => {
                Some("start again, and either stop TARSy's backend before or let it run all the time".into())
            }
        }
    }
}
