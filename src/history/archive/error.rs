//! Why rows are not kept in an archive, or an archive is refused.
use crate::database::connection::ConnectError;
use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::schema::error::SchemaError;
use migration::Revision;

/// Why there is no archive to write to. Nothing was removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The file cannot be opened.
    #[error("cannot open the archive")]
    Connect(#[from] ConnectError),
    /// The file cannot be created.
    #[error("cannot create the archive {path}")]
    Create {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It cannot be compressed, or a compressed one cannot be read.
    #[error("cannot {action} {path}")]
    Compress {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Another run archives to it.
    #[error("another run has the archive {path}")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file is there, and a compressed one that holds something else.
    #[error("{path} and {compressed} are both there, and not the same")]
    Ambiguous {
        /// The file.
        path: String,
        /// The compressed one.
        compressed: String,
    },
    /// The schema of a new archive cannot be created.
    #[error("cannot create the schema of the archive")]
    Schema(#[from] SchemaError),
    /// The archive cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file is there and holds something else.
    #[error("{path} is no archive of this history: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// What it is.
        why: String,
    },
    /// The archive was begun before the database was upgraded, or belongs to another one.
    #[error("the archive {path} is at revision {found}, and the database at {wanted}")]
    OtherRevision {
        /// The file.
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

impl Diagnostic for ArchiveError {
    fn exit_code(&self) -> ExitCode {
        match self {
            ArchiveError::Connect(error) => error.exit_code(),
            ArchiveError::Create { .. } => ExitCode::CannotCreate,
            ArchiveError::InUse { .. } => ExitCode::Busy,
            ArchiveError::Compress { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => {
                ExitCode::Busy
            }
            ArchiveError::Compress { .. } => ExitCode::InputOutput,
            ArchiveError::Schema(error) => error.exit_code(),
            ArchiveError::Database(error) => error.exit_code(),
            ArchiveError::Ambiguous { .. }
            | ArchiveError::Foreign { .. }
            | ArchiveError::OtherRevision { .. }
            | ArchiveError::Lacking { .. } => ExitCode::Refused,
            ArchiveError::NoLedger => ExitCode::Pending,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ArchiveError::Foreign { .. } => "give `--archive` another file; nothing was removed",
            ArchiveError::InUse { .. } => {
                "wait until it is over, or give `--archive` another file; nothing was removed"
            }
            ArchiveError::Ambiguous { .. } => "move one of them to another place; nothing was removed",
            ArchiveError::Compress { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => {
                "all is there: let the others close it, and give the same `--archive` and `--compress` again"
            }
            ArchiveError::OtherRevision { .. } => {
                "give `--archive` another file, or upgrade this one with `tarsy-db init --to`; nothing was removed"
            }
            ArchiveError::Lacking { .. } => {
                "a column of your own would be lost: move it aside, or prune without an archive; nothing was removed"
            }
            ArchiveError::NoLedger => "run `tarsy-db init`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
