//! Why a database is not a history that this version knows.

use migration::Revision;

use super::application::Application;
use crate::database::quote::quoted;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// The prefix that Alembic, TARSy's migration tool, gives to the copy of a table that it rebuilds on SQLite.
pub(crate) const LEFTOVER: &str = "_alembic_tmp_";

/// The copy of a table that an interrupted upgrade by TARSy's backend was writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub copy: String,
    /// Whether the original still exists; otherwise the copy is complete, and the only one.
    pub original_is_there: bool,
}

impl Leftover {
    /// The name of the original table.
    #[must_use]
    pub fn original(&self) -> &str {
        self.copy.strip_prefix(LEFTOVER).unwrap_or_default()
    }
}

/// Why a database is not a history that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the database has no TARSy schema yet")]
    Pending,
    #[error("TARSy's tables are in the schema `{}`, which is not in this role's search path", .0.join("`, `"))]
    Elsewhere(Vec<String>),
    #[error("{0}")]
    Foreign(Application),
    #[error("the database is at revision `{0}`, which this version of tarsy-db does not know")]
    Unknown(String),
    #[error("the database is incomplete: {} missing{}{}", .missing.join(", "), ledger_says(.revision.as_deref()), in_place_of(.in_place))]
    Incomplete {
        revision: Option<String>,
        missing: Vec<&'static str>,
        /// What has their names, and what it is.
        in_place: Vec<(&'static str, &'static str)>,
    },
    #[error(
        "the revision `{0}` in `alembic_version.version_num` ends with blanks, as in a column of type `char(n)`: the backend does not know it"
    )]
    Padded(String),
    #[error("`alembic_version` has {} rows, and must have one: {}", .0.len(), .0.iter().map(|revision| described(revision)).collect::<Vec<_>>().join(", "))]
    Ambiguous(Vec<String>),
    #[error("an interrupted upgrade by TARSy's backend left `{}` behind", .0.iter().map(|left| left.copy.as_str()).collect::<Vec<_>>().join("`, `"))]
    Leftover(Vec<Leftover>),
}

fn ledger_says(revision: Option<&str>) -> String {
    revision.map(|revision| format!(", although the ledger names revision `{revision}`")).unwrap_or_default()
}

/// As in `; `chats` is a view`.
#[must_use]
pub(crate) fn in_place_of(found: &[(&str, &str)]) -> String {
    found.iter().map(|(name, what)| format!("; `{name}` is {what}")).collect::<Vec<_>>().concat()
}

impl Diagnostic for StateError {
    fn exit_code(&self) -> ExitCode {
        match self {
            StateError::Pending | StateError::Elsewhere(_) => ExitCode::Pending,
            StateError::Unknown(_) => ExitCode::Newer,
            StateError::Foreign(_)
            | StateError::Incomplete { .. }
            | StateError::Padded(_)
            | StateError::Ambiguous(_)
            | StateError::Leftover(_) => ExitCode::Drift,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            StateError::Pending => "check the database URL; if it is right, run `tarsy-db init`".into(),
            StateError::Elsewhere(schemas) => format!(
                "if these are the tables of this history, the role needs USAGE on their schema, and the schema in its \
                 search path, as in `GRANT USAGE ON SCHEMA {schema} TO ...` and `ALTER ROLE ... SET search_path = \
                 {schema}, public`; `tarsy-db init` would create an empty history beside them",
                schema = quoted(&schemas[0])
            ),
            StateError::Foreign(application) => application.hint().into(),
            StateError::Unknown(_) => "use the tarsy-db of that TARSy release".into(),
            StateError::Incomplete { in_place, .. } if !in_place.is_empty() => {
                "rename what has the name of a table and is none, and restore the table; nothing was changed".into()
            }
            StateError::Incomplete { .. } => {
                "restore the missing tables from a backup, or start with an empty database; nothing was changed".into()
            }
            StateError::Padded(_) => "run `ALTER TABLE alembic_version ALTER version_num TYPE varchar(32) USING \
                                      rtrim(version_num)`; nothing was changed"
                .into(),
            StateError::Ambiguous(_) => {
                "`tarsy-db check` shows the revision of the tables: delete the rows of the others; nothing was changed"
                    .into()
            }
            StateError::Leftover(tables) => format!("{}; nothing was changed", leftover_hint(tables)),
        })
    }
}

/// The hint for tables that an interrupted upgrade left behind.
#[must_use]
pub(crate) fn leftover_hint(tables: &[Leftover]) -> String {
    let what = tables.iter().map(|left| {
        let (copy, original) = (&left.copy, left.original());
        match left.original_is_there {
            true => format!("`{original}` exists: `DROP TABLE {copy}` removes its unfinished copy"),
            false => format!("`{original}` is missing: `ALTER TABLE {copy} RENAME TO {original}` restores it"),
        }
    });
    format!("copy the file first; {}", what.collect::<Vec<_>>().join("; "))
}

/// A revision for messages: the id, and its number if this version knows it.
#[must_use]
pub(crate) fn described(revision: &str) -> String {
    match Revision::from_id(revision) {
        Some(known) => known.to_string(),
        None => format!("{revision} (unknown to this version)"),
    }
}
