//! The one place where the number of an exit code stands.

use serde::{Serialize, Serializer};

/// What a process ends with, so that what runs it can decide whether another try makes sense. From 64 on the numbers
/// are those of BSD's `sysexits.h`, from 124 on those of `timeout` and of shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The work is done, or there was nothing to do.
    Done = 0,
    /// A defect, or a server that breaks the protocol.
    Internal = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// `init` is needed.
    Pending = 3,
    /// The schema or the data are not what they should be.
    Drift = 4,
    /// The schema is newer than this version.
    Newer = 5,
    /// There is more to remove.
    Remaining = 6,
    /// A guard rail.
    Refused = 7,
    /// What was read back is not what was written.
    Mismatch = 8,
    /// EX_DATAERR: values that the target cannot hold.
    Data = 65,
    /// EX_UNAVAILABLE: no usable server.
    Unavailable = 69,
    /// EX_CANTCREAT: a file cannot be created or opened.
    CannotCreate = 73,
    /// EX_IOERR: input, output, disks, damaged files.
    InputOutput = 74,
    /// EX_TEMPFAIL: others are in the way, for now.
    Busy = 75,
    /// EX_NOPERM: the server does not let the role in, or not do this.
    Privilege = 77,
    /// EX_CONFIG: settings.
    Configuration = 78,
    /// As `timeout` ends.
    DeadlineExceeded = 124,
    /// As shells end where a command is found and cannot be run.
    NotExecutable = 126,
    /// As shells end where a command is not found.
    NotFound = 127,
    /// 128 and SIGINT.
    Interrupted = 130,
    /// 128 and SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// Every code there is, by number.
    pub const ALL: [Self; 21] = [
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
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What the manual says about it, in Markdown.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Internal => {
                "internal error, or a server that breaks the PostgreSQL protocol: told in one line, private copies are \
                 removed"
            }
            Self::Usage => "usage",
            Self::Pending => "schema pending: `init` is needed",
            Self::Drift => "drift, an integrity check failed, or a constraint of the database forbids it",
            Self::Newer => "schema newer than this version",
            Self::Remaining => {
                "sessions past the cutoff remain (`prune --fail-if-remaining`, `check --fail-if-overdue`)"
            }
            Self::Refused => {
                "refused: target not empty, something in its way, other rows with the same keys, wrong revision, no place \
                 for a column, too large a share, no archive of this history, confirmation missing"
            }
            Self::Mismatch => "verification mismatch; rolled back",
            Self::Data => {
                "the source holds values that the target, or the archive, cannot hold, and no policy allows to change them"
            }
            Self::Unavailable => "unavailable: refused, host name not found, starting up, read-only standby",
            Self::CannotCreate => "cannot create or open a file",
            Self::InputOutput => "input/output error, disk full, damaged file (`--accept-damage`)",
            Self::Busy => "busy: lock timeout, deadlock, too many connections; `prune` until `--retry-for` was over",
            Self::Privilege => "authentication or privilege",
            Self::Configuration => {
                "configuration: URL, setting, TLS, no such database, a pooler in transaction mode, no retention of sessions"
            }
            Self::DeadlineExceeded => "deadline exceeded (`wait`; `prune --max-duration` ends with 0)",
            Self::NotExecutable => "the command of `wait -- COMMAND` cannot be run; otherwise `wait` exits as it does",
            Self::NotFound => "the command of `wait -- COMMAND` is not found",
            Self::Interrupted => {
                "interrupted: the transaction in hand was rolled back, the summary was printed; a commit on its way is \
                 heard out, and `prune` finishes its batch unless a second signal comes"
            }
            Self::Terminated => "terminated: as 130",
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
