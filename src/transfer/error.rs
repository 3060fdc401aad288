//! Why a history was not moved: what the modules below say, gathered.

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
use super::value::hazard::HazardError;
use super::value::policy::PolicyError;
use crate::database::failure::DatabaseError;
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::schema::error::SchemaError;

/// Why a history was not moved. The target holds no row of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// One of the databases refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The target's schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The choice of policies makes no sense.
    #[error(transparent)]
    Policies(#[from] PolicyError),
    /// One end is not what it has to be.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// The source's tables do not fit the target's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The source has what the target has no place for.
    #[error(transparent)]
    Unmapped(#[from] UnmappedError),
    /// The source cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The source cannot be trusted any more.
    #[error(transparent)]
    Source(SourceError),
    /// The source's file is damaged.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// Values that PostgreSQL cannot hold.
    #[error(transparent)]
    Hazards(#[from] HazardError),
    /// What the move would fail at.
    #[error(transparent)]
    Obstacles(#[from] ObstacleError),
    /// The target holds rows.
    #[error(transparent)]
    NotEmpty(NotEmptyError),
    /// Rows that cannot come to those of the target.
    #[error(transparent)]
    Conflicts(#[from] ConflictError),
    /// The target did not take the rows.
    #[error(transparent)]
    Write(WriteError),
    /// Both ends do not hold the same.
    #[error(transparent)]
    Mismatch(#[from] MismatchError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

// What a database refused is an error of the database, wherever it came up: it is retried, told and hinted at as such.

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
    use crate::schema::state::StateError;

    fn busy() -> DatabaseError {
        DatabaseError { action: (Verb::Copy, "rows").into(), cause: DatabaseCause::new(ErrorClass::Busy, "locked") }
    }

    #[test]
    fn what_a_database_refused_is_that_wherever_it_came_up() {
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
    fn an_error_is_that_of_its_module() {
        let revision = Revision::HEAD;
        let own = || EndpointError::TargetBehind { revision, source_revision: revision, dropped: Some(1) };
        let error = TransferError::from(own());
        assert_eq!(error.to_string(), own().to_string());
        assert_eq!((error.exit_code(), error.hint()), (own().exit_code(), own().hint()));
    }
}
