//! Runs of `prune --archive`, with the archive as a database for the test.

use std::collections::BTreeSet;

use super::history::{NOW, Rows, rows};
use super::prune::prune;
use super::{Database, Outcome, Running};

/// An archive as a database for the test.
pub(crate) fn archive_path(archive: &Database) -> String {
    archive.file().display().to_string()
}

/// A run that archives.
pub(crate) fn prune_into(database: &Database, archive: &Database, more: &[&str]) -> Outcome {
    prune(database, &[&["--yes", "--archive", &archive_path(archive)], more].concat())
}

/// Starts a run that archives everything, in small batches.
pub(crate) fn start_archiving(database: &Database, archive: &Database) -> Running {
    let path = archive_path(archive);
    let arguments = ["prune", "--older-than", "90d", "--now", NOW, "--max-share", "100%", "--yes", "--archive", &path];
    Running::start(database, &[&arguments[..], &["--batch-time", "1us"]].concat())
}

/// Asserts that each session is complete in at least one of the two, and that neither has other rows.
#[track_caller]
pub(crate) fn assert_whole_in_either(original: &Rows, database: &Rows, archive: &Rows, what: &str) {
    for rows in [database, archive] {
        for (key, values) in rows {
            assert_eq!(original.get(key), Some(values), "{key:?}: {what}");
        }
    }
    let [missing, not_archived] = [database, archive].map(|rows| {
        let lacking = original.keys().filter(|key| !rows.contains_key(key));
        lacking.map(|(_, key)| key.rsplit('@').next().expect("a part")).collect::<BTreeSet<_>>()
    });
    let in_neither: Vec<_> = missing.intersection(&not_archived).collect();
    assert!(in_neither.is_empty(), "{in_neither:?}: {what}");
}

/// The sessions of an archive that may not exist yet.
pub(crate) fn rows_of_archive(archive: &Database) -> Rows {
    if archive.file().exists() { rows(archive) } else { Rows::new() }
}
