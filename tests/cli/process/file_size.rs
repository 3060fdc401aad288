//! A limit of the size of files (`ulimit -f`): the system then sends SIGXFSZ, which would end the process without a word.

use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions, session_ids};
use crate::support::process::Running;
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// Runs the binary while no file may grow beyond 1 or 2 KiB. Standard output goes to a file.
fn limited(database: &Database, arguments: &[&str]) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -f 2; exec "$0" "$@" > output"#, env!("CARGO_BIN_EXE_tarsy-db")]).args(arguments);
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
        limited(&database, arguments).expect(74).tells(&["error: cannot "]);
    });
    assert_eq!(session_ids(&database), ["1", "2", "3"]);
    Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(0);
}
