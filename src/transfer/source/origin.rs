//! How the source is read: where it is, beside its user, or from a copy.

use std::fmt;

use serde::Serialize;

use super::source_file::FileState;

/// Where the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "origin", content = "why")]
pub enum Origin {
    /// The file, which nobody is using.
    AtRest,
    /// The file, which somebody else is using.
    InUse,
    /// A copy, made in a moment when nobody wrote.
    Copied(CopyReason),
}

/// Why a copy is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyReason {
    /// Reading for long would lock a writer out, and nobody can tell whether there is one.
    RollbackJournal,
    /// A crash left a `-wal`; reading it in place would leave traces.
    LeftOverWal,
    /// A crash left a `-journal`; reading in place would mean to write.
    LeftOverJournal,
}

impl Origin {
    /// How a file has to be read that looks like this. `is_in_use` is whether another process has it open in WAL mode.
    pub(crate) fn of(file: &FileState, is_in_use: bool) -> Self {
        if is_in_use {
            Self::InUse
        } else if file.journal_length() > 0 {
            Self::Copied(CopyReason::LeftOverJournal)
        } else if file.wal_length() > 0 {
            Self::Copied(CopyReason::LeftOverWal)
        } else if file.is_in_wal_mode() {
            Self::AtRest
        } else {
            Self::Copied(CopyReason::RollbackJournal)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::AtRest => f.write_str("nobody is using it; it is read as it is"),
            Origin::InUse => f.write_str("it is in use and stays so; what is written from now on stays behind"),
            Origin::Copied(why) => write!(f, "it is copied first: {why}"),
        }
    }
}

impl fmt::Display for CopyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CopyReason::RollbackJournal => {
                "it keeps a rollback journal, so that reading it for long would lock its writer out"
            }
            CopyReason::LeftOverWal => "a crash left a `-wal` beside it, which has to be recovered",
            CopyReason::LeftOverJournal => "a crash left a `-journal` beside it, which has to be rolled back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::source::source_file::SqliteFile;

    const WAL: u8 = 2;
    const ROLLBACK_JOURNAL: u8 = 1;

    /// How a file is read with this write version, and with these files beside it.
    fn origin(write_version: u8, wal: &[u8], journal: &[u8], is_in_use: bool) -> Origin {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.db");
        let mut header = [0; 100];
        header[18] = write_version;
        for (name, content) in [("history.db", &header[..]), ("history.db-wal", wal), ("history.db-journal", journal)] {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        let file = SqliteFile::open(&path).expect("the file is there");
        Origin::of(&file.look().expect("the file can be read"), is_in_use)
    }

    #[test]
    fn only_a_file_in_wal_mode_is_read_where_it_is() {
        assert_eq!(origin(WAL, b"", b"", false), Origin::AtRest);
        assert_eq!(origin(WAL, b"frames", b"", true), Origin::InUse);
        assert_eq!(origin(ROLLBACK_JOURNAL, b"", b"", false), Origin::Copied(CopyReason::RollbackJournal));
    }

    #[test]
    fn what_a_crash_left_is_recovered_in_a_copy() {
        assert_eq!(origin(WAL, b"frames", b"", false), Origin::Copied(CopyReason::LeftOverWal));
        assert_eq!(origin(ROLLBACK_JOURNAL, b"", b"\xd9", false), Origin::Copied(CopyReason::LeftOverJournal));
        // A journal that is kept for the next transaction.
        assert_eq!(origin(ROLLBACK_JOURNAL, b"", b"\0", false), Origin::Copied(CopyReason::RollbackJournal));
    }
}
