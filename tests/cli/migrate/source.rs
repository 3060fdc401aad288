//! `migrate-sqlite-to-postgres`: everything is read from one snapshot of the source, also while it is in use, and no
//! file of it is changed.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tarsy_db::internals::{Amount, CopyReason, Meter, Origin, Phase, Progress, Silence, Snapshot, SnapshotOptions};

use crate::support::activity::wait_for_lock;
use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::history::{NOW_US, insert_many, session_ids, session_statement};
use crate::support::migration::{arguments, migrate, migrate_while, one_session_and_target, source_and_target};
use crate::support::process::Held;
use crate::support::sqlite_file::{
    files_by_another_process, leaves_the_source_as_it_is_but_for_readers, with_left_over_wal,
};
use crate::support::writer::Writer;
use crate::support::{Database, Outcome, Running, Schema, apply, test};

const STAYS_BEHIND: &str = "written to after its snapshot";

/// A backend's connection that fails at once if another session holds a lock.
fn backend_without_patience(source: &Database) -> Held {
    let mut backend = Held::connect(source);
    backend.execute("PRAGMA busy_timeout = 0");
    backend
}

#[apply(test)]
fn beside_a_backend_one_state_is_read_while_the_backend_goes_on_writing() {
    let (source, target) = one_session_and_target();
    let mut backend = backend_without_patience(&source);
    backend.execute(&session_statement("before"));
    let before = files_by_another_process(source.directory());
    assert!(before.contains_key("history.db-wal"), "{:?}", before.keys());
    let moved = migrate_while(&source, &target, |run| {
        assert!(run.stderr().contains("in use, read in place"), "{}", run.stderr());
        backend.execute(&session_statement("after"));
    });
    let moved = moved.expect(0);
    assert!(moved.stderr.contains(STAYS_BEHIND), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["before", "one"]);
    let after = files_by_another_process(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?}", after.keys());
    assert!(before["history.db"] == after["history.db"], "the file was written to");
    let (log, longer) = (&before["history.db-wal"].0, &after["history.db-wal"].0);
    assert!(longer.len() > log.len() && longer.starts_with(log), "the -wal is not what the backend made of it");
    backend.execute(&session_statement("later"));
    backend.close();
    assert_eq!(source.count("alert_sessions"), 4);
    assert_eq!(files_by_another_process(source.directory()).keys().collect::<Vec<_>>(), ["history.db"]);
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
    backend.execute(&session_statement("two"));
    let moved = leaves_the_source_as_it_is_but_for_readers(&source, || Outcome::of(&mut migrate(&source, &target)));
    let moved = moved.expect(0);
    assert!(moved.stderr.contains("in use, read in place") && !moved.stderr.contains("WARN"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["one", "two"]);
    backend.close();
}

#[apply(test)]
fn a_backend_that_ends_meanwhile_loses_nothing_although_the_reader_is_the_last() {
    let (source, target) = one_session_and_target();
    let mut backend = Held::connect(&source);
    backend.execute(&session_statement("before"));
    let moved = migrate_while(&source, &target, |_| {
        backend.execute(&session_statement("after"));
        backend.close();
    });
    let moved = moved.expect(0);
    assert!(moved.stderr.contains(STAYS_BEHIND), "{}", moved.stderr);
    assert!(moved.stderr.contains("left a `-wal` file"), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["before", "one"]);
    // The `-wal` that the backend could not delete is still there for the next one.
    assert!(files_by_another_process(source.directory())["history.db-wal"].0.len() > 32);
    assert_eq!(source.count("alert_sessions"), 3);
    assert_eq!(files_by_another_process(source.directory()).keys().collect::<Vec<_>>(), ["history.db"]);
}

#[apply(test)]
fn a_reader_that_opens_a_source_at_rest_meanwhile_is_no_change() {
    let (source, target) = one_session_and_target();
    let mut reader = Held::connect(&source);
    let moved = migrate_while(&source, &target, |_| {
        reader.execute("BEGIN; SELECT count(*) FROM alert_sessions");
        assert!(source.directory().join("history.db-wal").exists());
    });
    // Only the session that holds the run up is a worry.
    let moved = moved.expect(0);
    assert!(moved.worries().iter().all(|line| line.contains("locks alert_sessions")), "{}", moved.stderr);
    assert_eq!(session_ids(&target), ["one"]);
    reader.close();
}

#[apply(test)]
fn a_backend_that_starts_beside_a_source_at_rest_may_write_until_it_changes_the_file_itself() {
    let (source, target) = one_session_and_target();
    let mut backend = Held::connect(&source);
    let moved = migrate_while(&source, &target, |_| backend.execute(&session_statement("after")));
    assert!(moved.expect(0).stderr.contains(STAYS_BEHIND));
    assert_eq!(session_ids(&target), ["one"]);
    backend.close();
    // The last connection has written the `-wal` into the file: at rest again.
    target.execute("TRUNCATE alert_sessions CASCADE");
    let mut backend = Held::connect(&source);
    let refused = migrate_while(&source, &target, |_| {
        backend.execute(&session_statement("later"));
        backend.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    });
    refused.expect(75).fails_with(&["history.db changed while it was read"]);
    assert_eq!(target.count("alert_sessions"), 0);
    backend.close();
}

#[apply(test)]
fn a_backend_with_a_rollback_journal_can_commit_meanwhile() {
    let (source, target) = one_session_and_target();
    source.execute("PRAGMA journal_mode = DELETE");
    let mut backend = backend_without_patience(&source);
    backend.execute(&session_statement("before"));
    let moved = migrate_while(&source, &target, |run| {
        assert!(run.stderr().contains("read from a temporary copy"), "{}", run.stderr());
        backend.execute(&session_statement("after"));
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
    let mut backend = Held::begin(&source, &session_statement("late"));
    let refused = Outcome::of(migrate(&source, &target).args(["--lock-timeout", "200ms"])).expect(75);
    refused.fails_with(&["history.db", &format!("process {}", std::process::id()), "--lock-timeout"]);
    let run = Running::start(&source, &arguments(&target));
    backend.execute("COMMIT");
    run.finish().expect(0);
    assert_eq!(session_ids(&target), ["late", "one"]);
}

/// Takes a snapshot and reads the first and the last table.
async fn numbers(source: &Database) -> (Origin, (i64, i64)) {
    let terms = SnapshotOptions { lock_timeout: Duration::from_secs(30), directory: &std::env::temp_dir() };
    let path = source.file();
    let snapshot = Snapshot::take(&path, &terms, &Silence).await.unwrap_or_else(|error| panic!("{error:?}"));
    let pool = snapshot.reader().pool().get_sqlite_connection_pool();
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
        assert_eq!((origin, first), (Origin::Copied(CopyReason::RollbackJournal), last));
        seen.push(first);
    }
    writer.finish();
    assert!(seen.is_sorted() && seen[0] < seen[4], "it did not write meanwhile: {seen:?}");
}

#[apply(test)]
fn what_a_killed_writer_left_is_one_state_and_stays_as_it_is() {
    each([("WAL", 1), ("DELETE", 1)].repeat(5), |(journal_mode, megabytes)| {
        let source = Database::sqlite();
        Writer::start(&source, journal_mode, megabytes).kill();
        let before = files_by_another_process(source.directory());
        let (origin, (first, last)) = block_on(numbers(&source));
        assert!(
            before == files_by_another_process(source.directory()),
            "{:?}",
            files_by_another_process(source.directory()).keys()
        );
        match journal_mode {
            "WAL" => assert_eq!(origin, Origin::Copied(CopyReason::LeftOverWal)),
            _ => assert!(
                [CopyReason::RollbackJournal, CopyReason::LeftOverJournal].map(Origin::Copied).contains(&origin)
            ),
        }
        assert_eq!(first, last);
    });
}

/// Remembers that something was copied.
#[derive(Default)]
struct Begun(AtomicBool);

impl Progress for Begun {
    fn begin(&self, _stage: Phase, _total: Amount) -> Box<dyn Meter + '_> {
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
    let terms = SnapshotOptions { lock_timeout: Duration::from_secs(1), directory: directory.path() };
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
    assert!(run.stderr().contains("read from a temporary copy"), "{}", run.stderr());
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
