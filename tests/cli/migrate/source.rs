//! `migrate-sqlite-to-postgres`: everything is read from one state of the source, whoever uses it, and nothing of it
//! is changed.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tarsy_db::progress::{Amount, Meter, Progress, Silence, Stage};
use tarsy_db::transfer::Snapshot;
use tarsy_db::transfer::snapshot::{Origin, Terms, Why};

use crate::support::activity::wait_for_lock;
use crate::support::database::block_on;
use crate::support::history::{NOW_US, insert_many, session_ids};
use crate::support::migration::{
    arguments, assert_no_tables, migrate, migrate_read_only, migrate_while, one_session_and_target, source_and_target,
};
use crate::support::process::Held;
use crate::support::small_disk::SmallDisk;
use crate::support::sqlite_file::{self, Files, with_left_over_wal};
use crate::support::writer::Writer;
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, require_root, test};

const STAYS_BEHIND: &str = "written to after its snapshot";

/// The statement that adds a session.
fn session(id: &str) -> String {
    format!(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('{id}', '{id}', 'kubernetes', 'completed', 'chain')"
    )
}

/// Every file of a directory: name, content, time of the last change. Another process looks into them: to close a file
/// would give up the locks of this process's connections.
fn files(directory: &Path) -> Files {
    let copy = tempfile::tempdir().expect("a temporary directory");
    let copied = Command::new("cp").arg("-pR").arg(directory.join(".")).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    sqlite_file::files(copy.path())
}

/// A backend's connection that gives up at once where somebody else holds a lock.
fn backend_without_patience(source: &Database) -> Held {
    let mut backend = Held::connect(source);
    backend.execute("PRAGMA busy_timeout = 0");
    backend
}

/// Makes sure that a move leaves every file with its content and its time, and no other file.
#[track_caller]
fn leaves_the_source_as_it_is(source: &Database, run: impl FnOnce() -> Outcome) -> Outcome {
    let before = files(source.directory());
    let outcome = run();
    let after = files(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?} became {:?}", before.keys(), after.keys());
    for (name, content) in &before {
        assert!(*content == after[name], "{name} changed");
    }
    outcome
}

#[apply(test)]
fn beside_a_backend_one_state_is_read_while_the_backend_goes_on_writing() {
    let (source, target) = one_session_and_target();
    let mut backend = backend_without_patience(&source);
    backend.execute(&session("before"));
    let before = files(source.directory());
    assert!(before.contains_key("history.db-wal"), "{:?}", before.keys());
    let moved = migrate_while(&source, &target, |run| {
        assert!(run.stderr().contains("it is in use"), "{}", run.stderr());
        backend.execute(&session("after"));
    });
    let moved = moved.expect(0);
    assert!(moved.stderr.contains(STAYS_BEHIND), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["before", "one"]);
    let after = files(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?}", after.keys());
    assert!(before["history.db"] == after["history.db"], "the file was written to");
    let (log, longer) = (&before["history.db-wal"].0, &after["history.db-wal"].0);
    assert!(longer.len() > log.len() && longer.starts_with(log), "the -wal is not what the backend made of it");
    backend.execute(&session("later"));
    backend.close();
    assert_eq!(source.count("alert_sessions"), 4);
    assert_eq!(files(source.directory()).keys().collect::<Vec<_>>(), ["history.db"]);
}

#[apply(test)]
fn a_backend_that_empties_its_wal_does_not_pull_the_snapshot_away() {
    let (source, target) = source_and_target();
    let target = target.with_schema(Schema::Baseline);
    insert_many(&source, 200, 4000, NOW_US);
    let mut backend = backend_without_patience(&source);
    backend.execute("UPDATE alert_sessions SET status = 'failed'");
    let log = fs::metadata(source.directory().join("history.db-wal")).expect("the file is there").len();
    let moved = migrate_while(&source, &target, |_| {
        backend.execute("UPDATE llm_interactions SET conversation = '[]'; UPDATE alert_sessions SET status = 'later'");
        backend.execute("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM llm_interactions; VACUUM");
        backend.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        let longer = fs::metadata(source.directory().join("history.db-wal")).expect("the file is there").len();
        assert!(log < longer, "the reader's lock is gone");
    });
    moved.expect(0);
    let unchanged = "SELECT count(*) FROM alert_sessions JOIN llm_interactions USING (session_id)
                     WHERE status = 'failed' AND conversation::text LIKE '%xxx%'";
    assert_eq!(target.number(unchanged), 200);
}

#[apply(test)]
fn beside_a_backend_that_does_nothing_there_is_no_warning() {
    let (source, target) = one_session_and_target();
    let mut backend = Held::connect(&source);
    backend.execute(&session("two"));
    let moved = leaves_the_source_as_it_is_but_for_readers(&source, || Outcome::of(&mut migrate(&source, &target)));
    let moved = moved.expect(0);
    assert!(moved.stderr.contains("it is in use") && !moved.stderr.contains("WARN"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["one", "two"]);
    backend.close();
}

/// As [`leaves_the_source_as_it_is`], but for the index of the write-ahead log, in which readers announce themselves.
#[track_caller]
fn leaves_the_source_as_it_is_but_for_readers(source: &Database, run: impl FnOnce() -> Outcome) -> Outcome {
    let before = files(source.directory());
    let outcome = run();
    let after = files(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?} became {:?}", before.keys(), after.keys());
    for name in ["history.db", "history.db-wal"] {
        assert!(before[name] == after[name], "{name} changed");
    }
    outcome
}

#[apply(test)]
fn a_backend_that_ends_meanwhile_loses_nothing_although_the_reader_is_the_last() {
    let (source, target) = one_session_and_target();
    let mut backend = Held::connect(&source);
    backend.execute(&session("before"));
    let moved = migrate_while(&source, &target, |_| {
        backend.execute(&session("after"));
        backend.close();
    });
    let moved = moved.expect(0);
    assert!(moved.stderr.contains(STAYS_BEHIND), "{}", moved.stderr);
    assert!(moved.stderr.contains("left the `-wal`"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["before", "one"]);
    // What the backend had no chance to take along is still there for the next one.
    assert!(files(source.directory())["history.db-wal"].0.len() > 32);
    assert_eq!(source.count("alert_sessions"), 3);
    assert_eq!(files(source.directory()).keys().collect::<Vec<_>>(), ["history.db"]);
}

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
    for without_index in [false, true] {
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
    }
}

#[apply(test)]
fn a_left_over_wal_in_a_directory_that_cannot_be_written_is_read_from_a_copy() {
    for without_index in [false, true] {
        let target = Database::postgresql();
        let source = with_left_over_wal();
        if without_index {
            fs::remove_file(source.directory().join("history.db-shm")).expect("the file is there");
        }
        migrate_read_only(&source, &target).expect(0);
        assert_eq!(session_ids(&target), ["in-the-file", "in-the-wal"]);
    }
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
    backend.execute(&session("live"));
    let moved = leaves_the_source_as_it_is_but_for_readers(&source, || {
        Outcome::of(&mut migrate_from(mount.0.path(), &another))
    });
    assert!(moved.expect(0).stderr.contains("it is in use"));
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
    let parts = [&disk.path().display().to_string(), "it takes ", "2.00 MiB are free", "TMPDIR", "rollback journal"];
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
fn a_backend_with_a_rollback_journal_can_commit_meanwhile() {
    let (source, target) = one_session_and_target();
    source.execute("PRAGMA journal_mode = DELETE");
    let mut backend = backend_without_patience(&source);
    backend.execute(&session("before"));
    let moved = migrate_while(&source, &target, |run| {
        assert!(run.stderr().contains("it is copied first"), "{}", run.stderr());
        backend.execute(&session("after"));
    });
    assert!(moved.expect(0).stderr.contains(STAYS_BEHIND));
    backend.close();
    assert_eq!(session_ids(&target), ["before", "one"]);
    assert_eq!(source.count("alert_sessions"), 3);
}

#[apply(test)]
fn a_transaction_in_a_rollback_journal_is_waited_for() {
    let (source, target) = one_session_and_target();
    source.execute("PRAGMA journal_mode = DELETE");
    let mut backend = Held::begin(&source, &session("late"));
    let refused = Outcome::of(migrate(&source, &target).args(["--lock-timeout", "200ms"])).expect(75);
    refused.fails_with(&["history.db", &format!("process {}", std::process::id()), "--lock-timeout"]);
    let run = Running::start(&source, &arguments(&target));
    backend.execute("COMMIT");
    run.finish().expect(0);
    assert_eq!(session_ids(&target), ["late", "one"]);
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
    source.execute(&format!("PRAGMA journal_mode = PERSIST; {}", session("two")));
    assert!(files(source.directory())["history.db-journal"].0.len() > 100);
    let moved = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(0);
    assert!(moved.stderr.contains("rollback journal"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["one", "two"]);
}

/// Takes a snapshot and looks at the first and at the last table.
async fn numbers(source: &Database) -> (Origin, (i64, i64)) {
    let terms = Terms { lock_timeout: Duration::from_secs(30), directory: &std::env::temp_dir() };
    let path = source.file();
    let snapshot = Snapshot::take(&path, &terms, &Silence).await.unwrap_or_else(|error| panic!("{error:?}"));
    let pool = snapshot.reader().get_sqlite_connection_pool();
    let numbers = sqlx::query_as("SELECT first.n, last.n FROM first, last").fetch_one(pool).await.expect("two numbers");
    let origin = snapshot.origin();
    snapshot.finish().await.expect("the snapshot ends");
    (origin, numbers)
}

#[apply(test)]
fn beside_a_busy_writer_one_state_is_read() {
    let source = Database::sqlite();
    let writer = Writer::start(&source, "WAL", 1);
    let mut seen = Vec::new();
    for _ in 0..50 {
        let (origin, (first, last)) = block_on(numbers(&source));
        assert_eq!((origin, first), (Origin::InUse, last));
        seen.push(first);
    }
    writer.finish();
    assert!(seen.is_sorted() && seen[0] < seen[49], "it did not write meanwhile: {seen:?}");
}

#[apply(test)]
fn a_copy_beside_a_busy_writer_holds_one_state_and_does_not_lock_it_out() {
    let source = Database::sqlite();
    let writer = Writer::start(&source, "DELETE", 30);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let (origin, (first, last)) = block_on(numbers(&source));
        assert_eq!((origin, first), (Origin::Copied(Why::RollbackJournal), last));
        seen.push(first);
    }
    writer.finish();
    assert!(seen.is_sorted() && seen[0] < seen[4], "it did not write meanwhile: {seen:?}");
}

#[apply(test)]
fn what_a_killed_writer_left_is_one_state_and_stays_as_it_is() {
    for (journal_mode, megabytes) in [("WAL", 1), ("DELETE", 1)].repeat(5) {
        let source = Database::sqlite();
        Writer::start(&source, journal_mode, megabytes).kill();
        let before = files(source.directory());
        let (origin, (first, last)) = block_on(numbers(&source));
        assert!(before == files(source.directory()), "{:?}", files(source.directory()).keys());
        match journal_mode {
            "WAL" => assert_eq!(origin, Origin::Copied(Why::LeftOverWal)),
            _ => assert!([Why::RollbackJournal, Why::LeftOverJournal].map(Origin::Copied).contains(&origin)),
        }
        assert_eq!(first, last);
    }
}

/// Remembers that something was copied.
#[derive(Default)]
struct Begun(AtomicBool);

impl Progress for Begun {
    fn begin(&self, _stage: Stage, _total: Amount) -> Box<dyn Meter + '_> {
        Box::new(BegunMeter(self))
    }
}

struct BegunMeter<'b>(&'b Begun);

impl Meter for BegunMeter<'_> {
    fn advance(&self, _done: Amount) {
        self.0.0.store(true, Ordering::Relaxed);
    }
    fn finish(&self) {}
}

#[apply(test)]
fn a_copy_is_private_and_nothing_stays_of_it_when_it_is_given_up() {
    let source = Database::sqlite();
    source.execute("CREATE TABLE t (v BLOB); INSERT INTO t VALUES (zeroblob(30000000))");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = source.file();
    let terms = Terms { lock_timeout: Duration::from_secs(1), directory: directory.path() };
    let begun = Begun::default();
    let mut take = Box::pin(Snapshot::take(&path, &terms, &begun));
    block_on(std::future::poll_fn(|context| {
        assert!(take.as_mut().poll(context).is_pending(), "it ended before it could be interrupted");
        context.waker().wake_by_ref();
        if begun.0.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }));
    let entries = fs::read_dir(directory.path()).expect("a directory").flatten().collect::<Vec<_>>();
    let [private] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(private.metadata().expect("a directory").permissions().mode() & 0o7777, 0o700);
    let copy = private.path().join("history.db").metadata().expect("the copy has begun");
    assert_eq!(copy.permissions().mode() & 0o7777, 0o600);
    assert!(copy.len() < 30_000_000);
    drop(take);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[apply(test)]
fn a_copy_has_no_name_while_it_is_read() {
    let target = Database::postgresql();
    let (source, target) = (with_left_over_wal(), target.with_schema(Schema::Baseline));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let lock = Held::begin(&target, "LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    command.env_clear().env("TMPDIR", directory.path()).current_dir(source.directory()).args(arguments(&target));
    let run = Running::of(&mut command);
    wait_for_lock(&target);
    assert!(run.stderr().contains("it is copied first"), "{}", run.stderr());
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
    lock.close();
    run.finish().expect(0);
    assert_eq!(target.count("alert_sessions"), 2);
}

#[apply(test)]
fn copies_that_killed_runs_left_are_removed_and_those_of_others_are_not() {
    let target = Database::postgresql();
    let source = with_left_over_wal();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [killed, running, foreign] = ["tarsy-db-source-1-0", "tarsy-db-source-2-0", "foreign"].map(|name| {
        let path = directory.path().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).expect("a directory");
        fs::write(path.join("history.db"), "confidential").expect("a file");
        path
    });
    File::create(killed.join("lock")).expect("a file");
    let lock = File::create(running.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    Outcome::of(migrate(&source, &target).env("TMPDIR", directory.path())).expect(0);
    assert_eq!([killed, running, foreign].map(|path| path.exists()), [false, true, true]);
}

/// A SQLite file of some hundred pages in this journal mode, with the schema and a history.
fn bytes_of_a_history(journal_mode: &str) -> Vec<u8> {
    let original = Database::sqlite().with_schema(Schema::Baseline);
    insert_many(&original, 300, 4096, NOW_US);
    original.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
    fs::read(original.file()).expect("the file is there")
}

/// Moves a source with this content, which must end like that, leave no trace, and tell so.
#[track_caller]
fn refuses(content: &[u8], code: i32, told: &[&str]) {
    let target = Database::postgresql();
    let source = Database::sqlite();
    fs::write(source.file(), content).expect("a file");
    let refused = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target)));
    refused.expect(code).fails_with(&[&["history.db"], told].concat());
    assert_no_tables(&target);
}

#[apply(test)]
fn what_is_not_a_sqlite_file_is_told_by_what_it_is() {
    refuses(b"", 74, &["the file is empty"]);
    refuses(
        b"BEGIN TRANSACTION;\nCREATE TABLE alert_sessions (session_id TEXT);\n",
        74,
        &["not a SQLite database", "a dump"],
    );
    refuses(b"\x1f\x8b\x08\x00 and so on", 74, &["compressed"]);
    refuses(&[0; 8192], 74, &["zeros"]);
    refuses(b"SQLite format 3\0", 74, &["truncated"]);
    // What SQLCipher writes is noise from the first byte on.
    let noise: Vec<u8> = (0..8192_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    refuses(&noise, 74, &["encrypted", "sqlcipher_export"]);
}

#[apply(test)]
fn a_damaged_file_is_told_by_its_damage() {
    for journal_mode in ["WAL", "DELETE"] {
        let sound = bytes_of_a_history(journal_mode);
        refuses(&sound[..sound.len() - 4096], 74, &["truncated", "pages of 4096 bytes", "restore a backup"]);
        let changed = |place: usize, bytes: &[u8]| {
            let mut content = sound.clone();
            content[place..place + bytes.len()].copy_from_slice(bytes);
            content
        };
        refuses(&changed(19, &[3]), 74, &["newer format"]);
        refuses(&changed(47, &[5]), 74, &["newer format"]);
        refuses(&changed(16, &[3, 1]), 74, &["page size of 769"]);
        refuses(&changed(0, &[b'X'; 16]), 74, &["not a SQLite database"]);
        // The root of the schema.
        refuses(&changed(100, &[0xab; 200]), 74, &["malformed"]);
    }
}

#[apply(test)]
fn a_page_damaged_in_the_middle_is_found_while_it_is_read() {
    let (source, target) = source_and_target();
    let mut content = bytes_of_a_history("WAL");
    // Leaves of tables begin with 13; what else there is holds the rest of long values.
    let pages = content.len() / 4096;
    let leaf = (pages / 2..pages).find(|page| content[page * 4096] == 13).expect("a leaf");
    content[leaf * 4096..][..4096].fill(0xab);
    fs::write(source.file(), content).expect("a file");
    let refused = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(74);
    refused.fails_with(&["malformed", "restore a backup"]);
    assert_no_tables(&target);
}

#[apply(test)]
fn what_is_not_a_file_is_not_waited_for() {
    let target = Database::postgresql();
    let source = Database::sqlite();
    let path = source.file();
    Outcome::of(&mut migrate(&source, &target)).expect(78).fails_with(&["there is no file /", "/history.db", "--from"]);
    assert!(!path.exists());
    fs::create_dir(&path).expect("a directory");
    Outcome::of(&mut migrate(&source, &target)).expect(73).fails_with(&["/history.db is a directory"]);
    fs::remove_dir(&path).expect("it is empty");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    Outcome::of(&mut migrate(&source, &target)).expect(73).fails_with(&["a device, a pipe or a socket"]);
    let mut from_device = bare_tarsy_db(source.directory());
    from_device.args(["--output", "json", "migrate-sqlite-to-postgres", "--from", "/dev/zero", "--to", target.url()]);
    Outcome::of(&mut from_device).expect(73).fails_with(&["a device, a pipe or a socket"]);
}

#[apply(test)]
fn a_file_that_this_user_may_not_read_is_a_matter_of_privileges() {
    let (source, target) = one_session_and_target();
    let script = r#"cp "$1" tarsy-db; chmod 0000 history.db; shift
        if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups ./tarsy-db "$@"
        else set -- ./tarsy-db "$@"; fi
        chmod 0755 .; exec "$@""#;
    let mut shell = assert_cmd::Command::new("sh");
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tarsy-db")]).args(arguments(&target));
    shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(source.directory());
    Outcome::of(&mut shell).expect(77).fails_with(&["may not read /", "/history.db", "backend runs as"]);
}
