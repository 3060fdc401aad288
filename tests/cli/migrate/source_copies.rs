//! `migrate-sqlite-to-postgres`: a source with files that a crash left, or without write permission, is read from a
//! copy.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_many, session_ids, session_statement};
use crate::support::migration::{arguments, migrate, migrate_read_only, one_session_and_target, source_and_target};
use crate::support::process::Held;
use crate::support::small_disk::SmallDisk;
use crate::support::sqlite_file::{
    files_by_another_process, leaves_the_source_as_it_is, leaves_the_source_as_it_is_but_for_readers,
    with_left_over_wal,
};
use crate::support::{Database, Outcome, apply, bare_tarsy_db, require_root, test};

#[apply(test)]
fn an_empty_wal_that_a_reader_left_is_no_sign_of_use() {
    let (source, target) = one_session_and_target();
    File::create(source.directory().join("history.db-wal")).expect("a file");
    fs::write(source.directory().join("history.db-shm"), vec![0; 32768]).expect("a file");
    let moved = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(0);
    assert_eq!(moved.worries(), [""; 0]);
    assert_eq!(session_ids(&target), ["one"]);
}

#[apply(test)]
fn a_left_over_wal_is_read_from_a_copy() {
    each([false, true], |without_index| {
        let target = Database::postgresql();
        let source = with_left_over_wal();
        if without_index {
            fs::remove_file(source.directory().join("history.db-shm")).expect("the file is there");
        }
        let alone = Database::sqlite();
        fs::copy(source.file(), alone.file()).expect("a copy");
        assert_eq!(alone.count("alert_sessions"), 1, "the second session is in the -wal only");
        let moved = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(0);
        assert!(moved.stderr.contains("a crash left a `-wal`"), "{}", moved.stderr);
        assert_eq!(session_ids(&target), ["in-the-file", "in-the-wal"]);
    });
}

#[apply(test)]
fn a_left_over_wal_in_a_directory_that_cannot_be_written_is_read_from_a_copy() {
    each([false, true], |without_index| {
        let target = Database::postgresql();
        let source = with_left_over_wal();
        if without_index {
            fs::remove_file(source.directory().join("history.db-shm")).expect("the file is there");
        }
        migrate_read_only(&source, &target).expect(0);
        assert_eq!(session_ids(&target), ["in-the-file", "in-the-wal"]);
    });
}

/// The same directory mounted once more, for reading only; root is needed to do it.
struct ReadOnlyMount(tempfile::TempDir);

impl ReadOnlyMount {
    fn of(directory: &Path) -> Self {
        let mount = tempfile::tempdir().expect("a temporary directory");
        let script = r#"mount --bind "$1" "$2" && mount -o remount,ro,bind "$2""#;
        mounted(Command::new("sh").args(["-c", script, "sh"]).arg(directory).arg(mount.path()));
        Self(mount)
    }
}

impl Drop for ReadOnlyMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[track_caller]
fn mounted(command: &mut Command) {
    let output = command.output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr);
    let way_out = "TARSY_DB_TEST_WITHOUT_ROOT=1 make test leaves this test out";
    assert!(output.status.success(), "it cannot be mounted ({told}): {way_out}");
}

fn migrate_from(path: &Path, target: &Database) -> assert_cmd::Command {
    let mut command = bare_tarsy_db(path);
    command.args(arguments(target));
    command
}

#[apply(test)]
fn a_read_only_mount_is_read_with_a_left_over_wal_and_beside_a_backend() {
    require_root();
    let target = Database::postgresql();
    let source = with_left_over_wal();
    let mount = ReadOnlyMount::of(source.directory());
    leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate_from(mount.0.path(), &target))).expect(0);
    assert_eq!(session_ids(&target), ["in-the-file", "in-the-wal"]);

    let another = target.another();
    let mut backend = Held::connect(&source);
    backend.execute(&session_statement("live"));
    let moved = leaves_the_source_as_it_is_but_for_readers(&source, || {
        Outcome::of(&mut migrate_from(mount.0.path(), &another))
    });
    assert!(moved.expect(0).stderr.contains("in use, read in place"));
    assert_eq!(session_ids(&another), ["in-the-file", "in-the-wal", "live"]);
    backend.close();
}

#[apply(test)]
fn without_room_for_a_copy_it_is_told_what_is_needed_and_where() {
    let disk = SmallDisk::mount(2);
    let (source, target) = source_and_target();
    insert_many(&source, 200, 20_000, NOW_US);
    source.execute("PRAGMA journal_mode = DELETE");
    let refused =
        leaves_the_source_as_it_is(&source, || Outcome::of(migrate(&source, &target).env("TMPDIR", disk.path())));
    let parts = [&disk.path().display().to_string(), "it takes ", "2.0 MiB are free", "TMPDIR", "rollback journal"];
    refused.expect(74).fails_with(&parts);
    assert_eq!(fs::read_dir(disk.path()).expect("a directory").count(), 0);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
}

#[apply(test)]
fn without_a_directory_for_a_copy_it_is_told_which() {
    let (source, target) = source_and_target();
    source.execute("PRAGMA journal_mode = DELETE");
    let refused = Outcome::of(migrate(&source, &target).env("TMPDIR", "/no/such/directory")).expect(73);
    refused.fails_with(&["/no/such/directory", "TMPDIR"]);
}

#[apply(test)]
fn a_transaction_that_a_crash_left_unfinished_is_rolled_back_in_a_copy() {
    let (original, target) = source_and_target();
    original.execute("PRAGMA journal_mode = DELETE");
    insert_many(&original, 200, 4000, NOW_US);
    // Written to the file before the commit because the cache is too small to keep it.
    let mut writer = Held::connect(&original);
    writer.execute("PRAGMA cache_size = 5; BEGIN IMMEDIATE; UPDATE llm_interactions SET conversation = '[\"torn\"]'");
    let source = Database::sqlite();
    for file in ["history.db", "history.db-journal"] {
        fs::copy(original.directory().join(file), source.directory().join(file)).expect("a copy");
    }
    drop(writer);
    let torn = fs::read(source.file()).expect("a file");
    assert!(torn.windows(6).any(|bytes| bytes == b"\"torn\""), "the file holds what was never committed");
    let moved = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(0);
    assert!(moved.stderr.contains("a crash left a `-journal`"), "{}", moved.stderr);
    assert_eq!(target.number("SELECT count(*) FROM llm_interactions WHERE conversation <> '[\"torn\"]'"), 200);
}

#[apply(test)]
fn a_journal_that_is_kept_between_transactions_is_no_sign_of_a_crash() {
    let (source, target) = one_session_and_target();
    source.execute(&format!("PRAGMA journal_mode = PERSIST; {}", session_statement("two")));
    assert!(files_by_another_process(source.directory())["history.db-journal"].0.len() > 100);
    let moved = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(0);
    assert!(moved.stderr.contains("rollback journal"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["one", "two"]);
}
