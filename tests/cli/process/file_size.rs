//! A limit of the size of files (`ulimit -f`): the system then sends SIGXFSZ, which would end the process without a word.

use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions, session_ids};
use crate::support::process::Running;
use crate::support::sqlite_file::names;
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// Runs the binary while no file may grow beyond so many blocks, of 512 or 1024 bytes. Standard output goes to a file.
fn limited_to(blocks: u32, database: &Database, arguments: &[&str]) -> Outcome {
    let mut shell = Command::new("sh");
    let script = format!(r#"ulimit -f {blocks}; exec "$0" "$@" > output"#);
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_tarsy-db")]).args(arguments);
    shell.env_clear().env("DATABASE_URL", database.url()).current_dir(database.directory());
    Running::of(&mut shell).finish()
}

#[apply(test)]
fn a_file_that_may_not_grow_is_an_error_like_a_full_disk() {
    let database = Database::sqlite();
    insert_old_sessions(&database, 3);
    let commands: [&[&str]; 4] = [
        &["init", "--to", "head"],
        &["init", "--database-url", "sqlite:///new.db"],
        &["prune", "--now", NOW, "--max-share", "100%", "--yes", "--archive", "archive.db"],
        // The document is longer than the file may be.
        &["info", "--output", "json"],
    ];
    each(commands, |arguments| {
        limited_to(2, &database, arguments).expect(74).tells(&["error: cannot "]);
    });
    assert_eq!(session_ids(&database), ["1", "2", "3"]);
    Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(0);
}

/// The `-shm` of the database has room, and the schema of an archive has not.
const BLOCKS: u32 = 80;

#[apply(test)]
fn an_archive_that_may_not_grow_is_named() {
    let database = Database::sqlite();
    insert_old_sessions(&database, 3);
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes", "--archive", "archive.db"];
    let full = limited_to(BLOCKS, &database, &arguments).expect(74);
    full.tells(&[
        "error: the archive ",
        "archive.db cannot grow",
        "a write failed",
        "hint: free space on its disk, raise",
    ]);
    assert!(!full.stderr.contains("determine"), "{}", full.stderr);
    assert_eq!(session_ids(&database), ["1", "2", "3"]);
    assert_eq!(names(database.directory()), ["archive.db", "history.db", "output"]);
    Outcome::of(tarsy_db(&database).args(arguments)).expect(0);
    assert_eq!(session_ids(&database).len(), 0);
}

#[apply(test)]
fn a_schema_for_which_the_file_may_not_grow_was_not_committed() {
    let database = Database::sqlite();
    let full = limited_to(BLOCKS, &database, &["init"]).expect(74);
    full.tells(&["error: cannot ", "a write failed", "hint: check the disk, and whether `ulimit -f`"]);
    assert!(!full.stderr.contains("determine"), "{}", full.stderr);
    Outcome::of(tarsy_db(&database).args(["init"])).expect(0);
}
