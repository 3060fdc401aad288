//! Why rows are not kept in an archive, or an archive is refused.

use std::path::Path;

use migration::Revision;

use crate::database::connection::ConnectError;
use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::schema::error::SchemaError;

/// Why there is no archive to write to. Nothing was removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The file cannot be opened.
    #[error("cannot open the archive")]
    Connect(#[from] ConnectError),
    /// The file cannot be created.
    #[error("cannot create the archive {path}")]
    Create { path: String, source: std::io::Error },
    /// The file cannot be read, compressed or unpacked.
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: String, source: std::io::Error },
    /// Another run archives to it.
    #[error("another run has the archive {path}")]
    InUse { path: String },
    /// The file is there, and a compressed one that holds something else.
    #[error("{path} and {compressed} are both there, and not the same")]
    Ambiguous { path: String, compressed: String },
    /// The schema of a new archive cannot be created.
    #[error("cannot create the schema of the archive")]
    Schema(#[from] SchemaError),
    /// The archive cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file is there and holds something else.
    #[error("{path} is no archive of this history: {why}")]
    Foreign { path: String, why: String },
    /// The archive was begun before the database was upgraded, or belongs to another one.
    #[error("the archive {path} is at revision {found}, and the database at {wanted}")]
    OtherRevision {
        path: String,
        /// What its ledger says.
        found: String,
        /// Where the database stands.
        wanted: Revision,
    },
    /// The database has what an archive has no place for.
    #[error("the archive has no place for {}", .names.join(", "))]
    Lacking {
        /// `table.column`.
        names: Vec<String>,
    },
    /// It has no ledger.
    #[error("the database has no ledger, so that an archive cannot be made at the same revision")]
    NoLedger,
}

impl ArchiveError {
    pub(super) fn foreign(path: &Path, why: &str) -> Self {
        Self::Foreign { path: path.display().to_string(), why: why.to_owned() }
    }

    pub(super) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.display().to_string(), source }
    }

    /// Whether another program has the file open that was to be compressed.
    fn is_open_elsewhere(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy)
    }
}

impl Diagnostic for ArchiveError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Connect(error) => error.exit_code(),
            Self::Create { .. } => ExitCode::CannotCreate,
            Self::InUse { .. } => ExitCode::Busy,
            Self::File { .. } if self.is_open_elsewhere() => ExitCode::Busy,
            Self::File { .. } => ExitCode::InputOutput,
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
            Self::Foreign { .. } => "give `--archive` another file; nothing was removed",
            Self::InUse { .. } => "wait until it is over, or give `--archive` another file; nothing was removed",
            Self::Ambiguous { .. } => "move one of them to another place; nothing was removed",
            Self::File { .. } if self.is_open_elsewhere() => {
                "all is there: let the others close it, and give the same `--archive` and `--compress` again"
            }
            Self::OtherRevision { .. } => {
                "give `--archive` another file, or upgrade this one with `tarsy-db init --to`; nothing was removed"
            }
            Self::Lacking { .. } => {
                "a column of your own would be lost: move it aside, or prune without an archive; nothing was removed"
            }
            Self::NoLedger => "run `tarsy-db init`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
