//! Errors of archives.

use std::io::ErrorKind;
use std::path::Path;

use migration::Revision;

use crate::database::connection::ConnectError;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, Verb};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::write_error;
use crate::schema::error::SchemaError;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("cannot open the archive")]
    Connect(#[from] ConnectError),
    #[error("cannot create the archive {path}")]
    Create { path: String, source: std::io::Error },
    /// An I/O error of the file or of its compressed form.
    #[error("cannot {action} {path}")]
    File { action: Action, path: String, source: std::io::Error },
    /// Another run of `prune` has locked it.
    #[error("another run is using the archive {path}")]
    InUse { path: String },
    /// Both forms of the archive exist, with different content.
    #[error("{path} and {compressed} both exist and differ")]
    Ambiguous { path: String, compressed: String },
    /// The disk is full, or a limit keeps the file from growing.
    #[error("the archive {path} cannot grow")]
    Full {
        path: String,
        #[source]
        cause: DatabaseCause,
    },
    #[error("cannot create the schema of the archive")]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file exists and is not an archive of this database.
    #[error("{path} is not an archive of this database: {why}")]
    Foreign { path: String, why: String },
    /// The archive is older than an upgrade of the database, or belongs to another database.
    #[error("the archive {path} is at revision {found}, the database at {wanted}")]
    OtherRevision {
        path: String,
        /// The revision that the archive's ledger names.
        found: String,
        wanted: Revision,
    },
    /// The database has tables or columns that the archive has not.
    #[error("the archive has no table or column for `{}`", .names.join("`, `"))]
    Lacking {
        /// Tables, and columns as `table.column`.
        names: Vec<String>,
    },
    /// The database has no ledger.
    #[error("the database has no ledger that names the revision for the archive")]
    NoLedger,
}

impl ArchiveError {
    pub(super) fn foreign(path: &Path, why: &str) -> Self {
        Self::Foreign { path: path.display().to_string(), why: why.to_owned() }
    }

    pub(super) fn file(action: (Verb, &'static str), path: &Path, source: std::io::Error) -> Self {
        Self::File { action: action.into(), path: path.display().to_string(), source }
    }

    /// The same error; where there is no room for the archive, with its path.
    pub(super) fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Connect(ConnectError { cause, .. })
            | Self::Database(DatabaseError { cause, .. })
            | Self::Schema(SchemaError::Database(DatabaseError { cause, .. }))
                if cause.is_lack_of_room() =>
            {
                Self::Full { path: path.display().to_string(), cause }
            }
            other => other,
        }
    }

    /// Whether another program has the file open that is to be compressed.
    fn is_open_elsewhere(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == ErrorKind::ResourceBusy)
    }
}

impl Diagnostic for ArchiveError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Connect(error) => error.exit_code(),
            Self::Create { .. } => ExitCode::CannotCreate,
            Self::InUse { .. } => ExitCode::Busy,
            Self::File { .. } if self.is_open_elsewhere() => ExitCode::Busy,
            Self::File { .. } | Self::Full { .. } => ExitCode::InputOutput,
            Self::Schema(error) => error.exit_code(),
            Self::Database(error) => error.exit_code(),
            Self::Ambiguous { .. } | Self::Foreign { .. } | Self::OtherRevision { .. } | Self::Lacking { .. } => {
                ExitCode::Refused
            }
            Self::NoLedger => ExitCode::Pending,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Create { source, .. } => {
                let check = || "check the path and the permissions of the directory".to_owned();
                let hint = write_error::hint(source, "--archive").unwrap_or_else(check);
                return Some(format!("{hint}; nothing was removed"));
            }
            Self::Foreign { .. } => "give `--archive` another file; nothing was removed",
            Self::InUse { .. } => "wait until it has finished, or give `--archive` another file; nothing was removed",
            Self::Ambiguous { .. } => "move one of them to another directory; nothing was removed",
            Self::File { .. } if self.is_open_elsewhere() => {
                "the archive is complete: close it in the other program, then run the same command again with \
                 `--archive` and `--compress`"
            }
            Self::OtherRevision { .. } => {
                "give `--archive` another file; nothing was removed. To upgrade this one, run `tarsy-db check --fix` and then \
                 `tarsy-db init --to` on a copy of it: an upgrade may drop columns, as revision 4 does with `alert_id`"
            }
            Self::Lacking { .. } => {
                "move columns of your own to a table of your own, or prune without `--archive`; nothing was removed"
            }
            Self::NoLedger => "run `tarsy-db init`",
            Self::Full { .. } => {
                "free space on its disk, raise `ulimit -f`, or give `--archive` a file on another disk, then run the same \
                 command again"
            }
            Self::Connect(error) => return error.hint(),
            Self::Database(error) | Self::Schema(SchemaError::Database(error)) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
