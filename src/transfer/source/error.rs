//! Why the source was not read completely.

use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::transfer::report::ReportError;

/// Why the source was not read completely.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// SQLite's error.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What a policy changed cannot be written to the report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Another process wrote to the file while it was read.
    #[error("the source {path} changed while it was read; rolled back")]
    Changed {
        /// The path of the source, as messages show it.
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
            Self::Changed { .. } => Some(
                "run the command again; if TARSy's backend uses the file, either stop it first or keep it running"
                    .into(),
            ),
        }
    }
}
