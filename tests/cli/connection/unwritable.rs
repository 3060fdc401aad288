//! SQLite files that SQLite cannot write although this user may: what prevents it is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cases::each;
use crate::support::check::{check, is_found};
use crate::support::history::{NOW, insert_old_sessions};
use crate::support::{Database, Outcome, apply, require_root, tarsy_db, test};

/// An attribute of a file, until it is dropped: with it no file could be removed.
struct Attribute(char, PathBuf);

impl Attribute {
    fn set(letter: char, path: &Path) -> Self {
        chattr(&format!("+{letter}"), path);
        Self(letter, path.to_owned())
    }
}

impl Drop for Attribute {
    fn drop(&mut self) {
        chattr(&format!("-{}", self.0), &self.1);
    }
}

fn chattr(change: &str, path: &Path) {
    require_root();
    assert!(Command::new("chattr").arg(change).arg(path).status().expect("chattr runs").success());
}

fn in_journal_mode(mode: &str) -> Database {
    let database = Database::sqlite();
    insert_old_sessions(&database, 3);
    database.execute(&format!("PRAGMA journal_mode = {mode}"));
    database
}

/// `check` calls the file not writable, and what writes ends with 74, the reason and the hint.
#[track_caller]
fn cannot_be_written(database: &Database, words: &[&str; 2]) {
    let checked = check(database, &[]).expect(74);
    for words in words {
        is_found(&checked, "writable", "failed", words);
    }
    let prune = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%"];
    let commands: [&[&str]; 3] =
        [&["wait", "--max-attempts", "1"], &[&prune[..], &["--yes"]].concat(), &["init", "--to", "head"]];
    each(commands, |arguments| {
        Outcome::of(tarsy_db(database).args(arguments)).expect(74).tells(words);
    });
    let planned = Outcome::of(tarsy_db(database).args(prune).arg("--dry-run")).expect(0);
    let obstacle = format!("a run would fail (exit code 74): the file is not writable: {}", words[0]);
    assert!(planned.stdout.contains(&obstacle), "{}", planned.stdout);
    Outcome::of(tarsy_db(database).arg("info")).expect(0);
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
#[cfg(target_os = "linux")]
fn an_attribute_that_forbids_changes_is_named_with_the_command_that_removes_it() {
    each([("wal", 'a'), ("wal", 'i'), ("delete", 'a'), ("delete", 'i')], |(mode, letter)| {
        let database = in_journal_mode(mode);
        let file = database.file();
        let _attribute = Attribute::set(letter, &file);
        let name = if letter == 'a' { "append-only" } else { "immutable" };
        let reason = format!("{} has the attribute `{letter}` ({name})", file.display());
        cannot_be_written(&database, &[&reason, &format!("as root run `chattr -{letter} {}`", file.display())]);
    });
    // There each commit would fail, because it removes the `-journal`.
    let database = in_journal_mode("delete");
    let directory = database.directory();
    let _attribute = Attribute::set('a', directory);
    let reason = format!("{} has the attribute `a` (append-only)", directory.display());
    cannot_be_written(&database, &[&reason, &format!("as root run `chattr -a {}`", directory.display())]);
}

#[apply(test)]
fn a_later_write_version_is_named() {
    each(["wal", "delete"], |mode| {
        let database = in_journal_mode(mode);
        let mut bytes = fs::read(database.file()).expect("a file");
        bytes[18] = 3;
        fs::write(database.file(), bytes).expect("it can be written");
        cannot_be_written(&database, &["the file has a newer format (write version 3)", "copy it with `VACUUM INTO`"]);
    });
}

#[apply(test)]
fn a_directory_in_the_place_of_a_file_of_sqlite_is_named_by_every_command() {
    let source = in_journal_mode("wal");
    let commands: [&[&str]; 6] = [
        &["info"],
        &["check"],
        &["wait", "--max-attempts", "1"],
        &["init"],
        &["prune", "--older-than", "30d", "--yes"],
        &["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only"],
    ];
    each(["-journal", "-wal", "-shm"], |suffix| {
        let directory = PathBuf::from(format!("{}{suffix}", source.file().display()));
        fs::create_dir(&directory).expect("it can be created");
        let reason = format!("{} is a directory, not a regular file", directory.display());
        for arguments in commands {
            let refused = Outcome::of(tarsy_db(&source).args(arguments)).expect(74);
            refused.tells(&[&reason, "hint: move it elsewhere, because SQLite keeps a file of this name"]);
        }
        let new = Database::sqlite();
        fs::create_dir(new.directory().join(format!("history.db{suffix}"))).expect("it can be created");
        Outcome::of(tarsy_db(&new).arg("init")).expect(74).tells(&["is a directory, not a regular file"]);
        fs::remove_dir(directory).expect("it is empty");
    });
}
