//! How the source is read: in place at rest, in place while it is in use, or from a copy.

use std::fmt;

use serde::Serialize;

use super::source_file::FileState;

/// What the rows are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "origin", content = "why")]
pub enum Origin {
    /// The file, which no other process uses.
    AtRest,
    /// The file, which another process uses.
    InUse,
    /// A copy, made while no process wrote to the file.
    Copied(CopyReason),
}

/// Why a copy is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyReason {
    /// A long read would block a writer, and whether there is one cannot be determined.
    RollbackJournal,
    /// A crash left a `-wal`; reading it in place would change files.
    LeftOverWal,
    /// A crash left a `-journal`; SQLite would have to write to the file to read it.
    LeftOverJournal,
}

impl Origin {
    /// How to read a file in this state. `is_in_use` is whether another process has it open in WAL mode.
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
            Origin::AtRest => f.write_str("not in use, read in place"),
            Origin::InUse => f.write_str("in use, read in place; changes from now on are not moved"),
            Origin::Copied(why) => write!(f, "read from a temporary copy, because {why}"),
        }
    }
}

impl fmt::Display for CopyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CopyReason::RollbackJournal => "it uses a rollback journal, and a long read would block its writer",
            CopyReason::LeftOverWal => "a crash left a `-wal` file, which must be recovered",
            CopyReason::LeftOverJournal => "a crash left a `-journal` file, which must be rolled back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::source::source_file::SqliteFile;

    const WAL: u8 = 2;
    const ROLLBACK_JOURNAL: u8 = 1;

    /// How a file is read with this read version, and with these files beside it.
    fn origin(read_version: u8, wal: &[u8], journal: &[u8], is_in_use: bool) -> Origin {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.db");
        let mut header = [0; 100];
        header[19] = read_version;
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
        // An empty journal header: kept for the next transaction.
        assert_eq!(origin(ROLLBACK_JOURNAL, b"", b"\0", false), Origin::Copied(CopyReason::RollbackJournal));
    }
}
