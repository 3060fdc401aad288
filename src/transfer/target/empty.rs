//! Requires empty tables.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

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
pub(crate) async fn require_empty<'t>(
    connection: &mut PgConnection,
    tables: impl Iterator<Item = &'t str>,
) -> Result<(), NotEmptyError> {
    let mut filled = Vec::new();
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM {})", quoted(table));
        let has_rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await;
        if has_rows.context((Verb::Read, table.to_owned()))? {
            filled.push(table.to_owned());
        }
    }
    if filled.is_empty() { Ok(()) } else { Err(NotEmptyError::Rows { tables: filled }) }
}
