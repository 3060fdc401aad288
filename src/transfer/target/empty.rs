//! Requires empty tables.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::transfer::plan::TablePlan;

/// The hint for a target that holds rows.
pub(crate) const NOT_EMPTY: &str = "a move needs empty tables: use a new database, delete these rows, or add the source's rows \
     to them with `--append`";

/// The tables hold rows, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEmptyError {
    /// The target cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The target holds rows.
    #[error("the target already holds rows in `{}`", .tables.join("`, `"))]
    Rows {
        /// Their names.
        tables: Vec<String>,
    },
}

impl Diagnostic for NotEmptyError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(error) => error.exit_code(),
            Self::Rows { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Rows { .. } => Some(NOT_EMPTY.into()),
        }
    }
}

/// Requires that none of these tables holds a row.
///
/// # Errors
/// [`NotEmptyError::Rows`] with all tables that do, or the target cannot be read.
pub(crate) async fn require_empty(
    connection: &mut PgConnection,
    tables: &[Arc<TablePlan>],
) -> Result<(), NotEmptyError> {
    let mut filled = Vec::new();
    for TablePlan { name, qualified_name, .. } in tables.iter().map(Arc::as_ref) {
        let sql = format!("SELECT EXISTS (SELECT FROM {qualified_name})");
        let has_rows = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *connection).await;
        if has_rows.context((Verb::Read, name.clone()))? {
            filled.push(name.clone());
        }
    }
    if filled.is_empty() { Ok(()) } else { Err(NotEmptyError::Rows { tables: filled }) }
}
