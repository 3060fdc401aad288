//! Why a history was not moved: one enum of the errors of the modules below.

use super::endpoints::EndpointError;
use super::mismatch::MismatchError;
use super::plan::PlanError;
use super::report::ReportError;
use super::source::damage::DamageError;
use super::source::error::SourceError;
use super::source::snapshot::SnapshotError;
use super::source::unmapped::UnmappedError;
use super::target::conflict::ConflictError;
use super::target::empty::NotEmptyError;
use super::target::error::WriteError;
use super::target::obstacle::ObstacleError;
use super::value::hazard_list::HazardError;
use super::value::policy::PolicyError;
use crate::database::failure::DatabaseError;
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::schema::error::SchemaError;

/// Why a history was not moved. The transaction was rolled back: the target holds none of the source's rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// A statement failed on the source or the target.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The target's schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Contradictory `--on` policies.
    #[error(transparent)]
    Policies(#[from] PolicyError),
    /// The source or the target has the wrong backend or revision.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// The source lacks tables or columns that the target needs.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The source has tables or columns that the target lacks.
    #[error(transparent)]
    Unmapped(#[from] UnmappedError),
    /// The source cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The source changed while it was read.
    #[error(transparent)]
    Source(SourceError),
    /// SQLite's integrity check found damage.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// Values that PostgreSQL cannot hold.
    #[error(transparent)]
    Hazards(#[from] HazardError),
    /// The preflight found problems on the target.
    #[error(transparent)]
    Obstacles(#[from] ObstacleError),
    /// The target holds rows.
    #[error(transparent)]
    NotEmpty(NotEmptyError),
    /// Rows that conflict with rows of the target.
    #[error(transparent)]
    Conflicts(#[from] ConflictError),
    /// The target rejected rows.
    #[error(transparent)]
    Write(WriteError),
    /// Rows differ between the source and the target.
    #[error(transparent)]
    Mismatch(#[from] MismatchError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

// Database and schema errors keep their own exit codes, hints and retries, whichever module reports them.

impl From<EndpointError> for TransferError {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Database(error) => Self::Database(error),
            EndpointError::Schema(error) => Self::Schema(error),
            error => Self::Endpoint(error),
        }
    }
}

impl From<SourceError> for TransferError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Database(error) => Self::Database(error),
            SourceError::Report(error) => Self::Report(error),
            error @ SourceError::Changed { .. } => Self::Source(error),
        }
    }
}

impl From<NotEmptyError> for TransferError {
    fn from(error: NotEmptyError) -> Self {
        match error {
            NotEmptyError::Database(error) => Self::Database(error),
            error @ NotEmptyError::Rows { .. } => Self::NotEmpty(error),
        }
    }
}

impl From<WriteError> for TransferError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Database(error) => Self::Database(error),
            WriteError::Report(error) => Self::Report(error),
            error @ (WriteError::FoundHazard | WriteError::Rejected { .. }) => Self::Write(error),
        }
    }
}

impl TransferError {
    fn inner(&self) -> &dyn Diagnostic {
        match self {
            Self::Database(error) => error,
            Self::Schema(error) => error,
            Self::Policies(error) => error,
            Self::Endpoint(error) => error,
            Self::Plan(error) => error,
            Self::Unmapped(error) => error,
            Self::Snapshot(error) => error,
            Self::Source(error) => error,
            Self::Damaged(error) => error,
            Self::Hazards(error) => error,
            Self::Obstacles(error) => error,
            Self::NotEmpty(error) => error,
            Self::Conflicts(error) => error,
            Self::Write(error) => error,
            Self::Mismatch(error) => error,
            Self::Report(error) => error,
        }
    }
}

impl Diagnostic for TransferError {
    fn exit_code(&self) -> ExitCode {
        self.inner().exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.inner().hint()
    }

    fn details(&self) -> Details {
        self.inner().details()
    }
}

#[cfg(test)]
mod tests {
    use migration::Revision;

    use super::*;
    use crate::database::failure::{DatabaseCause, ErrorClass, Verb};
    use crate::schema::state_error::StateError;

    fn busy() -> DatabaseError {
        DatabaseError { action: (Verb::Copy, "rows").into(), cause: DatabaseCause::new(ErrorClass::Busy, "locked") }
    }

    #[test]
    fn database_errors_stay_database_errors() {
        let errors: [TransferError; 4] = [
            EndpointError::Database(busy()).into(),
            SourceError::Database(busy()).into(),
            NotEmptyError::Database(busy()).into(),
            WriteError::Database(busy()).into(),
        ];
        for error in errors {
            assert!(
                matches!(&error, TransferError::Database(error) if error.cause.class == ErrorClass::Busy),
                "{error:?}"
            );
        }
        let schema = TransferError::from(EndpointError::Schema(SchemaError::from(StateError::Pending)));
        assert!(matches!(schema, TransferError::Schema(SchemaError::State(StateError::Pending))), "{schema:?}");
    }

    #[test]
    fn an_error_keeps_its_message_code_and_hint() {
        let revision = Revision::HEAD;
        let own = || EndpointError::TargetBehind { revision, source_revision: revision, dropped: Some(1) };
        let error = TransferError::from(own());
        assert_eq!(error.to_string(), own().to_string());
        assert_eq!((error.exit_code(), error.hint()), (own().exit_code(), own().hint()));
    }
}
