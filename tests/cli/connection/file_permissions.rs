//! SQLite files that the user of the command may not write, or whose directory is closed.

use std::path::PathBuf;

use crate::support::cases::each;
use crate::support::check::is_found;
use crate::support::history::{OLD_US, insert_session};
use crate::support::other_user::{as_other_user, set_mode};
use crate::support::process::Held;
use crate::support::sqlite_file::names;
use crate::support::{Database, Schema, apply, test};

/// A history at the baseline in this journal mode, with these permissions of the directory and the file.
fn history(journal_mode: &str, directory: u32, file: u32) -> Database {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    database.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
    set_mode(&database.file(), file);
    set_mode(database.directory(), directory);
    database
}

#[apply(test)]
fn init_with_nothing_to_do_leaves_no_file_of_another_user() {
    each(["wal", "delete"], |mode| {
        let database = history(mode, 0o777, 0o444);
        for arguments in [&["init"][..], &["init", "--strict"]] {
            let done = as_other_user(&database, arguments).expect(0);
            assert!(done.stdout.contains("nothing to do"), "{}", done.stdout);
            assert_eq!(names(database.directory()), ["history.db"]);
        }
    });
}

#[apply(test)]
fn init_that_may_not_write_changes_nothing_and_says_why() {
    each(["wal", "delete"], |mode| {
        let database = history(mode, 0o777, 0o444);
        let refused = as_other_user(&database, &["init", "--to", "head"]).expect(77);
        refused.tells(&["cannot open ", "history.db", "because: permission denied"]);
        assert_eq!(names(database.directory()), ["history.db"]);
    });
}

#[apply(test)]
fn a_closed_directory_is_named_with_its_reason() {
    // Without permission to search it nothing is known of the file.
    let database = history("wal", 0o744, 0o666);
    for arguments in [&["init"][..], &["init", "--dry-run"], &["check"]] {
        as_other_user(&database, arguments).expect(77).tells(&["history.db", "permission denied"]);
    }
    let empty = Database::sqlite();
    set_mode(empty.directory(), 0o755);
    as_other_user(&empty, &["init"]).expect(73).tells(&["no file can be created in ", "permission denied"]);
}

#[apply(test)]
fn a_file_in_a_directory_that_is_not_writable_cannot_be_written() {
    let writing: [&[&str]; 4] = [
        &["wait", "--max-attempts", "1"],
        &["prune", "--older-than", "30d", "--yes"],
        &["init", "--to", "head"],
        &["check", "--fix"],
    ];
    each([("wal", "-wal"), ("delete", "-journal")], |(mode, beside)| {
        let database = history(mode, 0o755, 0o666);
        let reason = format!("permission denied, and SQLite needs a `{beside}` there to write");
        let checked = as_other_user(&database, &["check", "--output", "json"]).expect(77);
        is_found(&checked, "writable", "failed", &reason);
        for arguments in writing {
            as_other_user(&database, arguments).expect(77).tells(&[&reason]);
        }
        as_other_user(&database, &["init"]).expect(0);
        as_other_user(&database, &["info"]).expect(0);
        insert_session(&database, "old", "completed", Some(OLD_US));
        let planned = as_other_user(&database, &["prune", "--older-than", "30d", "--dry-run"]).expect(0);
        let obstacle = "a run would fail (exit code 77): the file is not writable: no file can be created in ";
        assert!(planned.stdout.contains(obstacle) && planned.stdout.contains(&reason), "{}", planned.stdout);
        assert_eq!(names(database.directory()), ["history.db"]);
    });
}

#[apply(test)]
fn what_cannot_be_read_beside_a_file_is_named() {
    each(["-wal", "-journal"], |suffix| {
        let database = history(if suffix == "-wal" { "wal" } else { "delete" }, 0o777, 0o666);
        let beside = database.directory().join(format!("history.db{suffix}"));
        std::fs::write(&beside, vec![1; 600]).expect("it can be written");
        set_mode(&beside, 0o000);
        let reason = format!("cannot read {}: permission denied", beside.display());
        let source = database.file().display().to_string();
        for arguments in [&["check"][..], &["info"], &["migrate-sqlite-to-postgres", "--check-only", "--from", &source]]
        {
            let refused = as_other_user(&database, arguments).expect(77);
            refused.tells(&[&reason]);
            assert!(!refused.stderr.contains("TMPDIR"), "{}", refused.stderr);
        }
        let reason = format!("cannot write to {}: permission denied", beside.display());
        as_other_user(&database, &["init"]).expect(77).tells(&[&reason]);
    });
}

#[apply(test)]
fn the_files_beside_it_have_to_be_writable_as_well() {
    let database = history("wal", 0o777, 0o666);
    let mut backend = Held::connect(&database);
    backend.execute("UPDATE alert_sessions SET status = status");
    let beside = ["-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", database.file().display())));
    for file in &beside {
        set_mode(file, 0o444);
        let checked = as_other_user(&database, &["check", "--output", "json"]);
        is_found(&checked.expect(77), "writable", "failed", &format!("cannot write to {}", file.display()));
        as_other_user(&database, &["wait", "--max-attempts", "1"]).expect(77);
        set_mode(file, 0o666);
    }
    // Both exist: nothing has to be created.
    set_mode(database.directory(), 0o755);
    is_found(&as_other_user(&database, &["check", "--output", "json"]).expect(0), "writable", "ok", "");
    as_other_user(&database, &["wait", "--max-attempts", "1"]).expect(0);
    backend.close();
}
