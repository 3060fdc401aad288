//! The exit codes, with their numbers and their meaning.

use serde::{Serialize, Serializer};

/// The exit code of the process. The numbers are a contract. From 64 on they are those of BSD's `sysexits.h`, from 124
/// on those of `timeout` and of shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or nothing to do.
    Done = 0,
    /// A defect, or a server that violates the protocol.
    Internal = 1,
    /// Wrong command line.
    Usage = 2,
    /// The schema is behind: `init` is needed.
    Pending = 3,
    /// The schema or the data fail a check.
    Drift = 4,
    /// The schema is newer than this version.
    Newer = 5,
    /// Sessions past the cutoff remain.
    Remaining = 6,
    /// A safety check refused the command.
    Refused = 7,
    /// The rows that were read back differ from those that were written.
    Mismatch = 8,
    /// EX_DATAERR: values that the target cannot hold.
    Data = 65,
    /// EX_UNAVAILABLE: no usable server.
    Unavailable = 69,
    /// EX_CANTCREAT: a file cannot be created or opened.
    CannotCreate = 73,
    /// EX_IOERR: input, output, disks, damaged files.
    InputOutput = 74,
    /// EX_TEMPFAIL: other sessions hold a lock, all connections or the memory of the server; retry later.
    Busy = 75,
    /// EX_NOPERM: the login failed, or the role lacks a privilege.
    Privilege = 77,
    /// EX_CONFIG: a setting is wrong or missing.
    Configuration = 78,
    /// The deadline passed, as with `timeout`.
    DeadlineExceeded = 124,
    /// A command was found but cannot be run, as in shells.
    NotExecutable = 126,
    /// A command was not found, as in shells.
    NotFound = 127,
    /// 128 and SIGHUP.
    HungUp = 129,
    /// 128 and SIGINT.
    Interrupted = 130,
    /// 128 and SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// All codes, by number.
    pub const ALL: [Self; 22] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::Pending,
        Self::Drift,
        Self::Newer,
        Self::Remaining,
        Self::Refused,
        Self::Mismatch,
        Self::Data,
        Self::Unavailable,
        Self::CannotCreate,
        Self::InputOutput,
        Self::Busy,
        Self::Privilege,
        Self::Configuration,
        Self::DeadlineExceeded,
        Self::NotExecutable,
        Self::NotFound,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number of the exit code.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name for programs.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Pending => "pending",
            Self::Drift => "drift",
            Self::Newer => "newer",
            Self::Remaining => "remaining",
            Self::Refused => "refused",
            Self::Mismatch => "mismatch",
            Self::Data => "data",
            Self::Unavailable => "unavailable",
            Self::CannotCreate => "cannot_create",
            Self::InputOutput => "input_output",
            Self::Busy => "busy",
            Self::Privilege => "privilege",
            Self::Configuration => "configuration",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotExecutable => "not_executable",
            Self::NotFound => "not_found",
            Self::HungUp => "hung_up",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// The meaning in one line of Markdown, for the table in the documents.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Internal => "internal error, or a server that violates the PostgreSQL protocol",
            Self::Usage => "wrong command line",
            Self::Pending => "schema pending: `init` is needed",
            Self::Drift => "drift, a failed check, or a violated constraint of the database",
            Self::Newer => "schema newer than this version",
            Self::Remaining => {
                "sessions past the cutoff remain (`prune --fail-if-remaining`, `check --fail-if-overdue`)"
            }
            Self::Refused => {
                "refused: the target is not empty or cannot take the data, conflicting rows, wrong revision, a column that \
                 the target lacks, `--max-share` exceeded, an archive of another history, a trigger without a search path, orphans in a table without a rowid, not confirmed"
            }
            Self::Mismatch => "verification mismatch; rolled back",
            Self::Data => {
                "the source holds values that the target or the archive cannot hold, and no policy says what to do with them"
            }
            Self::Unavailable => {
                "server unavailable: connection refused, host name not found, starting up, read-only standby, disabled or paused database"
            }
            Self::CannotCreate => "cannot create or open a file",
            Self::InputOutput => {
                "input/output error, disk full, damaged file (see `--accept-damage`), a FIFO, device or socket in the place of a \
                 file"
            }
            Self::Busy => {
                "busy: lock timeout, deadlock, too many connections, a server without memory, too many open files; `prune` \
                 retries for `--retry-for` first"
            }
            Self::Privilege => "authentication failed, or a privilege is missing",
            Self::Configuration => {
                "configuration: URL, setting, TLS, no such database or role, a database that is not UTF8, a pooler in a mode that \
                 does not fit, no retention set"
            }
            Self::DeadlineExceeded => {
                "deadline of `wait --timeout` or `init --wait` exceeded (`prune --max-duration` exits with 0)"
            }
            Self::NotExecutable => {
                "the command of `wait -- COMMAND` cannot be run; if it runs, its own exit code counts"
            }
            Self::NotFound => "the command of `wait -- COMMAND` was not found",
            Self::HungUp => {
                "the terminal was closed or its connection lost (SIGHUP): as 130; under `nohup` it is ignored"
            }
            Self::Interrupted => {
                "interrupted (SIGINT): uncommitted changes were rolled back; a commit that was already sent is awaited, and \
                 `prune` first completes its batch unless a second signal comes"
            }
            Self::Terminated => "terminated (SIGTERM): as 130",
        }
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl std::fmt::Display for ExitCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}
