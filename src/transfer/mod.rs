//! Rows on their way from SQLite to PostgreSQL, completely or not at all.
//!
//! [`plan`] matches both ends by column name; [`source`] reads the whole history once to count it,
//! to digest it and to find every value that PostgreSQL could not hold; [`copy`] loads it in one
//! transaction; [`verify`] reads that back and compares before the commit. Creating the target's
//! schema is left to [`crate::schema::upgrade`].

mod binary;
pub mod copy;
mod digest;
pub mod hazard;
mod json;
mod moment;
pub mod plan;
mod scratch;
pub mod snapshot;
pub mod source;
mod sqlite_file;
mod target;
pub mod value;
pub mod verify;

use migration::Revision;
use serde::Serialize;

use crate::failure::{DatabaseError, Failure};
use crate::schema::SchemaError;

pub use digest::TableDigest;
pub use hazard::Hazard;
pub use plan::{ColumnPlan, TablePlan};
pub use snapshot::{Snapshot, SnapshotError};
pub use source::{Source, Survey};
pub use target::Target;

/// The rows of one table that are not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The table.
    pub table: String,
    /// The rows of the source.
    pub source_rows: u64,
    /// The rows of the target.
    pub target_rows: u64,
    /// The first differences: `primary key: columns`, a missing or an additional row.
    pub differences: Vec<String>,
}

impl Mismatch {
    /// What differs, one difference a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let counts =
            format!("{}: {} rows in the source, {} in the target", self.table, self.source_rows, self.target_rows);
        let rows = self.differences.iter().map(|difference| format!("{} {difference}", self.table));
        std::iter::once(counts).chain(rows).collect()
    }
}

/// Why a history was not moved. The target holds no row of it.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One of the databases refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The source cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The target's schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// One end has the wrong backend.
    #[error("{role} {url} is not a {expected} database")]
    Backend {
        /// `the source` or `the target`.
        role: &'static str,
        /// The database, without its password.
        url: String,
        /// What it has to be.
        expected: crate::database_url::Backend,
    },
    /// The target cannot hold every text.
    #[error("the target's encoding is {encoding}; a history needs UTF8")]
    Encoding {
        /// What `server_encoding` says.
        encoding: String,
    },
    /// The source is not a TARSy history.
    #[error("the source is not a TARSy history: {0}")]
    SourceSchema(String),
    /// The source stands where this version has never been.
    #[error("the source is at revision `{revision}`, which this version does not know")]
    SourceRevision {
        /// What its ledger says.
        revision: String,
    },
    /// The target stands beyond the source.
    #[error("the target is at revision {revision}, beyond the source's {source_revision}")]
    TargetRevision {
        /// Where the target stands.
        revision: String,
        /// Where the source stands.
        source_revision: Revision,
    },
    /// The source has what the target has no place for.
    #[error("the target has no place for {} of the source: {}", if .names.len() == 1 { "one item" } else { "some items" }, .names.join(", "))]
    Lacking {
        /// `table` or `table.column`.
        names: Vec<String>,
    },
    /// `--ignore` names something that is not missing on the target.
    #[error("`--ignore` is for what the target has no place for, which {} is not", .names.join(", "))]
    NotLacking {
        /// The names.
        names: Vec<String>,
    },
    /// The target holds rows.
    #[error("the target already holds rows in {}", .tables.join(", "))]
    TargetNotEmpty {
        /// The tables with rows.
        tables: Vec<String>,
    },
    /// Values that PostgreSQL cannot hold.
    #[error("{} of the source cannot be carried over exactly; nothing was written", values(.0.len()))]
    Hazards(Vec<Hazard>),
    /// The target refused what looked sound.
    #[error("the target refused to {action}; rolled back")]
    Rejected {
        /// What was tried.
        action: String,
        /// Its answer.
        #[source]
        cause: crate::failure::Cause,
    },
    /// What was read back is not what was sent.
    #[error("the target does not hold what the source holds in {}; rolled back", tables(.0))]
    Mismatch(Vec<Mismatch>),
    /// Somebody wrote to the source meanwhile.
    #[error("the source {path} changed while it was read; rolled back")]
    SourceChanged {
        /// The file.
        path: String,
    },
}

fn values(count: usize) -> String {
    if count == 1 { "1 value".to_owned() } else { format!("{count} values") }
}

fn tables(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| mismatch.table.as_str()).collect::<Vec<_>>().join(", ")
}

impl TransferError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            TransferError::Backend { .. } => {
                "give the SQLite database with `--from` and the PostgreSQL one with `--to` or DATABASE_URL".into()
            }
            TransferError::Encoding { .. } => "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0".into(),
            TransferError::SourceRevision { .. } => "use the tarsy-db of that TARSy release".into(),
            TransferError::TargetRevision { .. } => {
                "load into a new database; or bring a copy of the source to the target's revision first, \
                 with `tarsy-db init --to`"
                    .into()
            }
            TransferError::Lacking { names } => {
                let flags = names.iter().map(|name| format!("--ignore {name}")).collect::<Vec<_>>();
                format!("to leave it behind: {}", flags.join(" "))
            }
            TransferError::TargetNotEmpty { .. } => {
                "a history is moved once, into an empty database: use a new one, or remove these rows yourself".into()
            }
            TransferError::Hazards(_) => "mend these values in a copy of the source, and move the copy".into(),
            TransferError::SourceChanged { .. } => {
                "start again, and either stop TARSy's backend before or let it run all the time".into()
            }
            TransferError::Mismatch(_) => "look for triggers and rules on the target's tables that change rows".into(),
            _ => return None,
        })
    }
}

/// A refusal of values gets an error of its own; the rest is the database's trouble.
fn rejected(action: impl Into<String>, cause: crate::failure::Cause) -> TransferError {
    let action = action.into();
    match cause.failure {
        Failure::Data | Failure::Constraint => TransferError::Rejected { action, cause },
        _ => TransferError::Database(DatabaseError { action, cause }),
    }
}
