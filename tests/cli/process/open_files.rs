//! A limit of open files that is too low for a command.

use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions};
use crate::support::{Database, Outcome, apply, test};

/// A run of the binary that may have so many files open.
fn with_files(files: u32, database: &Database, arguments: &str) -> Outcome {
    let line = format!("ulimit -n {files}; exec \"$0\" {arguments}");
    let mut command = Command::new("bash");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_tarsy-db")]);
    command.env("DATABASE_URL", database.url()).current_dir(database.directory());
    Outcome::from(command.output().expect("bash runs"))
}

#[apply(test)]
fn too_few_open_files_are_75_with_the_limit_to_raise(database: &Database) {
    insert_old_sessions(database, 3);
    let prune = format!("prune --now {NOW} --older-than 90d --max-share 100% --yes --archive old.db");
    let commands = ["check", "info", "wait --max-attempts 1", "init", &prune];
    each([6, 8, 9, 10, 12, 14, 16, 20], |files| {
        for arguments in commands {
            let refused = with_files(files, database, arguments).expect(75);
            refused.tells(&["because: too many open files", "hint: raise the limit of open files (`ulimit -n`"]);
        }
    });
    each(commands, |arguments| drop(with_files(40, database, arguments).expect(0)));
}
