//! Files that a command writes beside the database, on a disk without a free byte: an error of output, not of the name.

use std::fs;

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions, insert_session};
use crate::support::small_disk::SmallDisk;
use crate::support::{Database, Outcome, apply, tarsy_db, test};

const OLD: [&str; 5] = ["prune", "--now", NOW, "--max-share", "100%"];

#[apply(test)]
fn a_file_that_does_not_fit_is_an_error_of_output_and_leaves_nothing() {
    let database = Database::sqlite();
    insert_old_sessions(&database, 1);
    insert_session(&database, "open", "in_progress", Some(1));
    let source = database.file();
    let from = ["migrate-sqlite-to-postgres", "--from", source.to_str().expect("UTF-8"), "--check-only"];
    let disk = SmallDisk::mount(1);
    let filler = disk.fill(0);
    let full = disk.path().join("file");
    let full = full.to_str().expect("UTF-8");
    let commands = [
        [&OLD[..], &["--dry-run", "--kept-file", full]].concat(),
        [&OLD[..], &["--yes", "--metrics-file", full]].concat(),
        [&from[..], &["--report", full]].concat(),
    ];
    each(commands, |arguments| {
        let outcome = Outcome::of(tarsy_db(&database).args(&arguments)).expect(74);
        outcome.tells(&["error: cannot write the ", "no space left", "hint: free disk space"]);
        let left: Vec<_> =
            fs::read_dir(disk.path()).expect("a directory").flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, [filler.as_path()]);
    });
}
