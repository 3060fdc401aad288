//! A FIFO, a device or a socket in the place of a file: opening it could wait for ever, so that it is refused.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions};
use crate::support::{Database, Outcome, apply, bare_tarsy_db, test, test_directory};

/// Far more than any of these commands takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

#[apply(test)]
fn every_command_refuses_what_is_no_file_as_its_database() {
    let directory = test_directory();
    let _socket = UnixListener::bind(directory.path().join("socket")).expect("a socket");
    make_fifo(&directory.path().join("fifo"));
    let databases = [
        ("sqlite:///fifo", "a FIFO, not a regular file"),
        ("sqlite:///socket", "a socket, not a regular file"),
        ("sqlite:////dev/null", "a device, not a regular file"),
        ("sqlite:////dev/zero", "a device, not a regular file"),
    ];
    let commands: [&[&str]; 7] = [
        &["info"],
        &["check"],
        &["init"],
        &["init", "--dry-run"],
        &["prune", "--older-than", "30d", "--yes"],
        &["prune", "--older-than", "30d", "--dry-run"],
        // No later attempt finds a file there.
        &["wait", "--max-attempts", "100"],
    ];
    let cases = databases.into_iter().flat_map(|database| commands.map(|command| (database, command)));
    each(cases, |((url, what), arguments)| {
        let mut command = bare_tarsy_db(directory.path());
        command.env("DATABASE_URL", url).args(arguments).timeout(PATIENCE);
        let refused = Outcome::of(&mut command).expect(74);
        refused.tells(&[what, "hint: name the file of the database"]);
        assert!(!refused.stderr.contains("cannot connect"), "{}", refused.stderr);
    });
}

#[apply(test)]
fn a_fifo_beside_the_file_is_not_waited_for() {
    let database = Database::sqlite();
    insert_old_sessions(&database, 3);
    let file = database.file().display().to_string();
    let commands: [&[&str]; 5] = [
        &["info"],
        &["check"],
        &["init"],
        &["prune", "--older-than", "30d", "--dry-run"],
        &["migrate-sqlite-to-postgres", "--check-only", "--from", &file],
    ];
    for suffix in ["-journal", "-wal", "-shm"] {
        let fifo = database.directory().join(format!("{file}{suffix}"));
        make_fifo(&fifo);
        each(commands, |arguments| {
            let mut command = bare_tarsy_db(database.directory());
            command.env("DATABASE_URL", database.url()).args(arguments).timeout(PATIENCE);
            Outcome::of(&mut command).expect(74).tells(&[&format!("{suffix} is a FIFO, not a regular file")]);
        });
        std::fs::remove_file(fifo).expect("it exists");
    }
}

#[apply(test)]
fn init_takes_the_name_of_a_directory_for_no_file() {
    let directory = test_directory();
    let mut init = bare_tarsy_db(directory.path());
    init.args(["init", "--database-url", "sqlite:///history.db/"]);
    Outcome::of(&mut init).expect(73).tells(&["history.db/ is the name of a directory, not of a file"]);
    assert!(!directory.path().join("history.db").exists());
}

#[apply(test)]
fn every_other_file_that_is_none_is_refused_before_anything_is_done() {
    let database = Database::sqlite();
    insert_old_sessions(&database, 3);
    let fifo = database.directory().join("fifo");
    make_fifo(&fifo);
    make_fifo(&database.directory().join("packed.zst"));
    let prune = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%"];
    let yes = [&prune[..], &["--yes"]].concat();
    let check_only = ["migrate-sqlite-to-postgres", "--check-only"];
    let cases = [
        [&yes[..], &["--archive", "fifo"]],
        [&yes[..], &["--archive", "/dev/null"]],
        [&yes[..], &["--archive", "packed"]],
        [&yes[..], &["--metrics-file", "fifo"]],
        [&prune[..], &["--dry-run", "--kept-file", "fifo"]],
        [&check_only[..], &["--report", "fifo"]],
        [&check_only[..], &["--report", "/dev/null"]],
        [&check_only[..], &["--from", "fifo"]],
    ];
    each(cases, |arguments| {
        let mut command = bare_tarsy_db(database.directory());
        command.env("DATABASE_URL", database.url()).args(arguments.concat()).timeout(PATIENCE);
        Outcome::of(&mut command).expect(74).tells(&["not a regular file"]);
        assert_eq!(database.count("alert_sessions"), 3);
    });
}
