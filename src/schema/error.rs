//! Why a schema is refused.

use std::time::Duration;

use migration::Revision;
use sea_orm::DatabaseConnection;

use super::diff::{self, Difference};
use super::lock;
use super::state::Leftover;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass};
use crate::database::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Why the schema could not be brought to a revision. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The tables are there but are not those of the revision.
    #[error(transparent)]
    Drift(#[from] Drift),
    /// There are no tables.
    #[error("the database has no TARSy schema yet")]
    Pending,
    /// The ledger names a revision that this version does not know.
    #[error("the database is at revision `{0}`, which this version of tarsy-db does not know")]
    Unknown(String),
    /// Some tables are there and some are not.
    #[error("the database is incomplete: {} missing{}", .missing.join(", "), ledger_says(.revision.as_deref()))]
    Incomplete {
        /// What the ledger says.
        revision: Option<String>,
        /// The tables that are missing.
        missing: Vec<&'static str>,
    },
    /// The ledger has several rows.
    #[error("`alembic_version` has {} rows ({}); it must have one", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    /// An interrupted upgrade of the backend's left tables behind.
    #[error("an interrupted upgrade of TARSy's backend left {} behind", .0.iter().map(|left| left.copy.as_str()).collect::<Vec<_>>().join(", "))]
    Leftover(Vec<Leftover>),
    /// A revision cannot be applied, because of something that the database has and TARSy does not know.
    #[error("cannot apply revision {revision}")]
    InTheWay {
        /// The revision.
        revision: Revision,
        /// What the database answered.
        #[source]
        cause: DatabaseCause,
    },
    /// Somebody held the lock for too long.
    #[error("the database is locked by {holder}; gave up after {waited}", waited = humantime::format_duration(*.waited))]
    Locked {
        /// Who holds the lock, as far as the database tells.
        holder: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The database refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Tables that are not those of the revision that they should have.
#[derive(Debug, thiserror::Error)]
#[error("the tables are not those of revision {revision}{}: {}", likeness(*.looks_like), diff::texts(.faults.iter()).join("; "))]
pub struct Drift {
    /// The revision.
    pub revision: Revision,
    /// What is different.
    pub faults: Vec<Difference>,
    /// The revision that they are of, if there is one.
    pub looks_like: Option<Revision>,
}

impl Drift {
    /// Of tables with faults, if they have any.
    #[must_use]
    pub fn of<'f>(revision: Revision, faults: impl Iterator<Item = &'f Difference>) -> Option<Self> {
        let faults: Vec<_> = faults.cloned().collect();
        (!faults.is_empty()).then(|| Self::new(revision, faults))
    }

    /// Of tables that are like no other revision either.
    #[must_use]
    pub fn new(revision: Revision, faults: Vec<Difference>) -> Self {
        Self { revision, faults, looks_like: None }
    }
}

fn likeness(looks_like: Option<Revision>) -> String {
    looks_like.map(|revision| format!(", but of {revision}")).unwrap_or_default()
}

fn ledger_says(revision: Option<&str>) -> String {
    revision.map(|revision| format!(", though the ledger says `{revision}`")).unwrap_or_default()
}

impl SchemaError {
    /// The error that names who holds the lock: call it when [`ErrorClass::Busy`] came back.
    pub async fn locked(connection: &DatabaseConnection, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder(connection).await, waited }
    }

    /// As [`SchemaError::locked`], where the file could not even be opened.
    #[must_use]
    pub fn locked_file(url: &DatabaseUrl, waited: Duration) -> Self {
        SchemaError::Locked { holder: lock::holder_of_file(url), waited }
    }

    /// Tells what is in the way from what would have failed as well without it.
    pub(crate) fn not_applied(revision: Revision, cause: DatabaseCause) -> Self {
        match cause.class {
            ErrorClass::Other
            | ErrorClass::Data
            | ErrorClass::Constraint
            | ErrorClass::Needed
            | ErrorClass::AlreadyExists => SchemaError::InTheWay { revision, cause },
            _ => DatabaseError { action: format!("apply revision {revision}"), cause }.into(),
        }
    }

    /// Whether the same may go well in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, SchemaError::Database(error) if matches!(error.cause.class, ErrorClass::Busy | ErrorClass::Conflict))
    }
}

impl Diagnostic for SchemaError {
    fn exit_code(&self) -> ExitCode {
        match self {
            SchemaError::Database(error) => error.exit_code(),
            SchemaError::Locked { .. } => ExitCode::Busy,
            SchemaError::Pending => ExitCode::Pending,
            SchemaError::Unknown(_) => ExitCode::Newer,
            SchemaError::Drift(_)
            | SchemaError::Incomplete { .. }
            | SchemaError::Ambiguous(_)
            | SchemaError::Leftover(_)
            | SchemaError::InTheWay { .. } => ExitCode::Drift,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SchemaError::Database(error) => error.hint(),
            SchemaError::Locked { .. } => {
                Some("wait for it to finish, or raise `--lock-timeout`".into())
            }
            SchemaError::Drift(drift) => Some(match drift.looks_like {
                Some(revision) => format!("{}; nothing was changed", ledger_hint(revision)),
                None if drift.faults.iter().all(|fault| fault.repair.is_some()) => {
                    "`tarsy-db check --fix` mends this; nothing was changed".into()
                }
                None => "`tarsy-db check` shows the differences; nothing was changed".into(),
            }),
            SchemaError::Leftover(tables) => {
                Some(format!("{}; nothing was changed", leftover_hint(tables)))
            }
            SchemaError::InTheWay { .. } => Some(
                "something of your own is in the way: a view, a trigger, an index, a table or a column. Move it aside, \
                 upgrade, and bring it back; nothing was changed"
                    .into(),
            ),
            SchemaError::Incomplete { .. } => Some(
                "restore the missing tables from a backup, or start with an empty database; nothing was changed".into(),
            ),
            SchemaError::Pending => Some("run `tarsy-db init`".into()),
            SchemaError::Unknown(_) => Some("use the tarsy-db of that TARSy release".into()),
            SchemaError::Ambiguous(_) => {
                Some("find out which row is right (`tarsy-db check`) and delete the others; nothing was changed".into())
            }
        }
    }
}

/// What to do about tables that an interrupted upgrade left behind.
#[must_use]
pub(crate) fn leftover_hint(tables: &[Leftover]) -> String {
    let what = tables.iter().map(|left| {
        let (copy, original) = (&left.copy, left.original());
        match left.original_is_there {
            true => format!("`{original}` is there, and `DROP TABLE {copy}` removes its unfinished copy"),
            false => format!("`{original}` is gone, and `ALTER TABLE {copy} RENAME TO {original}` brings it back"),
        }
    });
    format!("make a copy of the file first; {}", what.collect::<Vec<_>>().join("; "))
}

/// What to do about a ledger that names another revision than the one that the tables are of.
#[must_use]
pub(crate) fn ledger_hint(revision: Revision) -> String {
    format!(
        "if it is the ledger that is wrong, `UPDATE alembic_version SET version_num = '{}'` mends it; otherwise restore a \
         backup",
        revision.id()
    )
}
