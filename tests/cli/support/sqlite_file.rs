//! SQLite files, what is beside them, and how they look after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use super::history::{NOW_US, insert_session};
use super::process::Held;
use super::{Database, Outcome, Schema};

/// Content and time of the last change, by name.
pub(crate) type Files = BTreeMap<String, (Vec<u8>, SystemTime)>;

/// Every file of a directory: name, content, time of the last change.
pub(crate) fn files(directory: &Path) -> Files {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let entries = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let content = std::fs::read(&path).expect("a file");
        let modified = path.metadata().and_then(|metadata| metadata.modified()).expect("a time");
        (path.file_name().expect("a name").to_string_lossy().into_owned(), (content, modified))
    });
    entries.collect()
}

/// The same where another process looks into the files: to close one would give up the locks of this process's
/// connections.
pub(crate) fn files_by_another_process(directory: &Path) -> Files {
    let copy = tempfile::tempdir().expect("a temporary directory");
    let copied = Command::new("cp").arg("-pR").arg(directory.join(".")).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    files(copy.path())
}

/// The names of the files of a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().display().to_string()).collect();
    names.sort();
    names
}

/// Copies a database as it is after a crash: one session in the file, another only in the `-wal`.
pub(crate) fn with_left_over_wal() -> Database {
    let original = Database::sqlite().with_schema(Schema::Baseline);
    insert_session(&original, "in-the-file", "completed", Some(NOW_US));
    let mut writer = Held::connect(&original);
    writer.execute("PRAGMA wal_autocheckpoint = 0");
    writer.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('in-the-wal', 'wal', 'kubernetes', 'completed', 'chain')",
    );
    let copy = Database::sqlite();
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        std::fs::copy(original.directory().join(file), copy.directory().join(file)).expect("a copy");
    }
    copy
}

/// Leaves every index of a file without an entry: each gets the page of another one that never had any.
pub(crate) fn empty_every_index(source: &Database) {
    let indexes = source.texts("SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name");
    indexes.iter().flatten().for_each(|index| empty_index(source, index));
}

/// Leaves an index without an entry.
pub(crate) fn empty_index(source: &Database, index: &str) {
    let table = source.texts(&format!("SELECT tbl_name FROM sqlite_schema WHERE name = '{index}'"));
    let table = table[0].as_ref().expect("an index has a table");
    source.execute(&format!("CREATE INDEX empty ON {table} (1) WHERE 0"));
    source.execute(&format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'empty')
         WHERE name = '{index}';
         DELETE FROM sqlite_schema WHERE name = 'empty'"
    ));
}

/// Makes sure that a move leaves every file with its content and its time, and no other file.
#[track_caller]
pub(crate) fn leaves_the_source_as_it_is(source: &Database, run: impl FnOnce() -> Outcome) -> Outcome {
    let before = files_by_another_process(source.directory());
    let outcome = run();
    let after = files_by_another_process(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?} became {:?}", before.keys(), after.keys());
    for (name, content) in &before {
        assert!(*content == after[name], "{name} changed");
    }
    outcome
}

/// As [`leaves_the_source_as_it_is`], but for the index of the write-ahead log, in which readers announce themselves.
#[track_caller]
pub(crate) fn leaves_the_source_as_it_is_but_for_readers(source: &Database, run: impl FnOnce() -> Outcome) -> Outcome {
    let before = files_by_another_process(source.directory());
    let outcome = run();
    let after = files_by_another_process(source.directory());
    assert!(before.keys().eq(after.keys()), "{:?} became {:?}", before.keys(), after.keys());
    for name in ["history.db", "history.db-wal"] {
        assert!(before[name] == after[name], "{name} changed");
    }
    outcome
}
