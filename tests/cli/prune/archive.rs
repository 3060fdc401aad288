//! `prune --archive`: removed rows are kept in a SQLite database of TARSy's, and can be restored from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::archive::{archive_path, prune_into, start_archiving};
use crate::support::cases::each;
use crate::support::history::{
    DAY_US, NOW, NOW_US, OLD_US, Rows, contents, full_history, insert_many, insert_session, insert_whole_sessions,
    rows, session_ids,
};
use crate::support::migration::{compare, migrate, table_digests};
use crate::support::other_user::{as_other_user, set_mode};
use crate::support::process::Held;
use crate::support::prune::prune;
use crate::support::small_disk::SmallDisk;
use crate::support::sqlite_file::names;
use crate::support::{Database, Outcome, Running, Schema, apply, tarsy_db, test, test_directory};

#[apply(test)]
fn an_archive_in_a_directory_that_this_user_may_not_enter_cannot_be_created() {
    let (database, closed) = (Database::sqlite().with_schema(Schema::Baseline), test_directory());
    set_mode(database.directory(), 0o777);
    set_mode(&database.file(), 0o666);
    set_mode(closed.path(), 0o000);
    let archive = closed.path().join("archive.db").display().to_string();
    let refused = as_other_user(&database, &["prune", "--yes", "--archive", &archive]).expect(73);
    set_mode(closed.path(), 0o700);
    refused.tells(&["cannot create the archive", "permission denied", "nothing was removed"]);
}

/// Makes sure that a run is refused before it has done anything: no row is removed, and no file is changed.
#[track_caller]
fn assert_refused(database: &Database, path: &Path, code: i32, words: &str) {
    let before = (fs::read(path).ok(), contents(database));
    let refused = prune(database, &["--yes", "--archive", &path.display().to_string()]).expect(code);
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    assert_eq!(refused.json()["error"]["exit_code"], code);
    assert!(before == (fs::read(path).ok(), contents(database)));
}

/// Marks a database as an archive of `prune`.
fn mark(database: &Database) {
    database.execute(&format!("PRAGMA application_id = {}", i32::from_be_bytes(*b"TRSA")));
}

#[apply(test)]
fn a_row_that_the_archive_has_with_other_values_keeps_its_session(database: &Database) {
    database.create_schema(Schema::Baseline);
    let archive = Database::sqlite();
    for session in ["one", "two"] {
        insert_session(database, session, "completed", Some(OLD_US));
    }
    prune_into(database, &archive, &[]).expect(0);
    insert_session(database, "one", "completed", Some(OLD_US));
    insert_session(database, "two", "completed", Some(OLD_US));
    database.execute("UPDATE llm_interactions SET model_name = 'another' WHERE session_id = 'one'");
    let (before, archived) = (rows(database), rows(&archive));
    let pruned = prune_into(database, &archive, &[]).expect(65);
    assert!(pruned.stderr.contains("llm-one: the archive has another `model_name` in this row"), "{}", pruned.stderr);
    assert_eq!(session_ids(database), ["one"]);
    assert!(rows(database).iter().all(|(key, values)| before.get(key) == Some(values)));
    assert_eq!(rows(&archive), archived);
}

#[apply(test)]
fn among_many_large_rows_those_that_the_archive_has_with_other_values_stay(database: &Database) {
    database.create_schema(Schema::Baseline);
    let archive = Database::sqlite();
    // On a quiet server both connections write to the archive while it finds the first of these rows.
    for run in ["first", "second"] {
        insert_many(database, 600, 19_200, OLD_US);
        if run == "first" {
            prune_into(database, &archive, &[]).expect(0);
        }
    }
    database.execute("UPDATE llm_interactions SET model_name = 'another' WHERE session_id LIKE '%50'");
    let pruned = prune_into(database, &archive, &[]).expect(65).json();
    assert_eq!(session_ids(database), ["s-150", "s-250", "s-350", "s-450", "s-50", "s-550"]);
    assert_eq!(pruned["stuck"].as_array().map(Vec::len), Some(6), "{pruned}");
}

#[apply(test)]
fn a_path_that_cannot_be_an_archive_is_refused_before_anything_is_planned(database: &Database) {
    database.create_schema(Schema::Baseline);
    let missing = database.directory().join("no/archive.db").display().to_string();
    each(["--dry-run", "--yes"], |flag| {
        prune(database, &[flag, "--archive", &missing]).expect(73);
    });
    prune(database, &["--yes", "--archive", "archive.db.zst"]).expect(2);
}

#[apply(test)]
fn what_goes_is_in_a_private_database_that_the_other_commands_read(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 5, OLD_US);
    database.execute("UPDATE alert_sessions SET started_at_us = NULL WHERE session_id = 's5'");
    let (before, archive) = (rows(database), Database::sqlite());
    let pruned = prune_into(database, &archive, &["--batch-time", "1us"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["archive"]), (&4.into(), &archive_path(&archive).into()));
    assert_eq!(session_ids(database), ["s5"]);
    assert_eq!(session_ids(&archive), ["s1", "s2", "s3", "s4"]);
    let mut union = rows(database);
    union.extend(rows(&archive));
    assert_eq!(union, before);

    let entries = fs::read_dir(archive.directory()).expect("the directory").flatten().collect::<Vec<_>>();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].metadata().expect("a file").permissions().mode() & 0o7777, 0o600);
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
    let info = Outcome::of(tarsy_db(&archive).args(["info", "--exact", "--output", "json"])).expect(0).json();
    assert_eq!(info["revision"], "b67c135119d7");
    assert_eq!(info["sessions"]["by_status"][0]["sessions"], 4, "{info:#}");
}

#[apply(test)]
fn with_many_rows_the_indexes_of_the_archive_are_created_at_the_end(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    database.execute(
        "INSERT INTO llm_interactions (interaction_id, session_id, duration_ms, success, model_name)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 25000)
         SELECT 'l-' || n, 's1', 1, true, 'gemini' FROM numbers",
    );
    let (before, archive) = (rows(database), Database::sqlite());
    prune_into(database, &archive, &[]).expect(0);
    assert!(session_ids(database).is_empty() && rows(&archive) == before);
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
    // Each one has its first page behind those of the rows.
    let created = "SELECT min(rootpage) > 100 AND (SELECT user_version FROM pragma_user_version) = 0
        FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
    assert!(archive.number(created) == 1);
}

#[apply(test)]
fn an_archive_whose_run_was_killed_gets_its_indexes_from_the_next_run(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    let (before, archive) = (rows(database), Database::sqlite());
    archive.create_schema(Schema::Head);
    // What a killed run leaves behind.
    let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
    let all = archive.texts(indexes);
    for name in all.iter().flatten().filter(|name| *name != "ix_alert_sessions_status") {
        archive.execute(&format!("DROP INDEX {name}"));
    }
    archive.execute(&format!("PRAGMA application_id = {}", i32::from_be_bytes(*b"TRSA")));
    archive.execute("PRAGMA user_version = 1");
    let cut_short = prune_into(database, &archive, &["--max-duration", "0s"]).expect(0).json();
    assert_eq!(cut_short["archive_lacks_indexes"], true);
    let complete = prune_into(database, &archive, &[]).expect(0).json();
    assert_eq!(complete["archive_lacks_indexes"], false);
    assert!(session_ids(database).is_empty() && rows(&archive) == before && archive.texts(indexes) == all);
    // Also from one that has nothing to remove.
    archive.execute("DROP INDEX ix_alert_sessions_status; PRAGMA user_version = 1");
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(archive.texts(indexes), all);
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn a_later_run_adds_to_the_archive(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 1..=4 {
        insert_session(database, &number.to_string(), "completed", Some(NOW_US - number * 40 * DAY_US));
    }
    let (before, archive) = (rows(database), Database::sqlite());
    for (age, gone) in [("150d", 1), ("100d", 1), ("30d", 2)] {
        let pruned = prune_into(database, &archive, &["--older-than", age]).expect(0).json();
        assert_eq!(pruned["removed"]["sessions"], gone);
    }
    assert_eq!(rows(&archive), before);
    // If no session is removed, the archive is not opened.
    let bytes = fs::read(archive_path(&archive)).expect("the archive");
    assert_eq!(prune_into(database, &archive, &[]).expect(0).json()["archive"], serde_json::Value::Null);
    assert!(fs::read(archive_path(&archive)).expect("the archive") == bytes);
}

#[apply(test)]
fn a_dry_run_creates_no_archive(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let archive = Database::sqlite();
    prune(database, &["--dry-run", "--archive", &archive_path(&archive)]).expect(0);
    assert!(!&archive.file().exists());
}

#[apply(test)]
fn an_archive_that_cannot_be_written_is_found_although_there_is_nothing_to_remove(database: &Database) {
    database.create_schema(Schema::Baseline);
    // Not even root creates a file there.
    each([&["--yes"][..], &["--dry-run"], &["--yes", "--compress"]], |flags| {
        let arguments = [flags, &["--archive", "/proc/sys/archive.db"]].concat();
        let refused = prune(database, &arguments).expect(73);
        assert!(refused.stderr.contains("cannot create the archive /proc/sys/archive.db"), "{}", refused.stderr);
    });
    let archive = Database::sqlite();
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(fs::read_dir(archive.directory()).expect("the directory").count(), 0);
}

#[apply(test)]
fn an_empty_file_becomes_as_private_as_a_new_archive(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let archive = Database::sqlite();
    fs::write(archive.file(), "").expect("the file can be written");
    fs::set_permissions(archive.file(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let mode = || fs::metadata(archive.file()).expect("a file").permissions().mode() & 0o7777;
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(mode(), 0o600);
    // What the operator gives an archive stays.
    fs::set_permissions(archive.file(), fs::Permissions::from_mode(0o640)).expect("it is ours");
    insert_session(database, "other", "completed", Some(OLD_US));
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!((mode(), session_ids(&archive).len()), (0o640, 2));
}

#[apply(test)]
fn a_row_that_a_trigger_of_a_file_keeps_ends_the_run() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    database.execute("CREATE TRIGGER keep BEFORE DELETE ON llm_interactions BEGIN SELECT RAISE(IGNORE); END");
    let (before, archive) = (rows(&database), Database::sqlite());
    let failed = prune_into(&database, &archive, &[]).expect(4);
    assert!(failed.stderr.contains("llm_interactions llm-old: the database kept this row"), "{}", failed.stderr);
    assert_eq!((rows(&database), rows(&archive).len()), (before, 0));
}

#[apply(test)]
fn stages_go_before_their_parents_where_foreign_keys_are_enforced() {
    let database = Database::sqlite();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, 1, OLD_US);
    // The tool turns foreign keys off unless one is the operator's.
    database.execute("CREATE TABLE marks (session_id VARCHAR REFERENCES alert_sessions (session_id))");
    database.execute(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                       parent_stage_execution_id, stage_output)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40)
         SELECT 'many-' || n, 's1', 'analysis', 0, 'Analysis', 'Agent', 'completed', 'stage@s1', hex(zeroblob(20000))
         FROM numbers",
    );
    let (before, archive) = (rows(&database), Database::sqlite());
    prune_into(&database, &archive, &[]).expect(0);
    assert_eq!((rows(&archive), session_ids(&database).len()), (before, 0));
}

#[apply(test)]
fn an_archive_of_another_kind_is_refused_and_left_alone(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let archive = Database::sqlite();
    let path = archive.file();
    archive.create_schema(Schema::Head);
    assert_refused(database, &path, 7, "another program created this database");
    mark(&archive);
    assert_refused(database, &path, 7, "is at revision b67c135119d7, the database at ");
    let other = Database::sqlite();
    other.execute("CREATE TABLE theirs (id INTEGER); INSERT INTO theirs VALUES (1)");
    assert_refused(database, &other.file(), 7, "another program created this database");
    let text = Database::sqlite();
    fs::write(text.file(), "no database at all, and longer than a header would be".repeat(100)).expect("written");
    assert_refused(database, &text.file(), 7, "it is not a SQLite database");
    assert_refused(database, text.directory(), 7, "it is a directory");
    assert_refused(database, &text.directory().join("missing/archive.db"), 73, "cannot create the archive");
    // Not even root creates a file there.
    assert_refused(database, Path::new("/proc/sys/archive.db"), 73, "cannot create the archive");
}

#[apply(test)]
fn a_column_of_the_operators_would_be_lost_and_is_refused(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    database.execute("ALTER TABLE stage_executions ADD COLUMN ours VARCHAR");
    let archive = Database::sqlite();
    let refused = prune_into(database, &archive, &[]).expect(7);
    assert!(refused.stderr.contains("stage_executions.ours"), "{}", refused.stderr);
    assert_eq!(session_ids(database), ["old"]);
    assert_eq!(archive.count("alert_sessions"), 0);
    // Once it is out of the way the same archive is used.
    database.execute("ALTER TABLE stage_executions DROP COLUMN ours");
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(session_ids(&archive), ["old"]);
}

#[apply(test)]
fn a_session_that_the_archive_has_no_place_for_stays_and_is_listed(database: &Database) {
    database.create_schema(Schema::Baseline);
    for number in 1..=5 {
        insert_session(database, &number.to_string(), "completed", Some(OLD_US + number));
    }
    let archive = Database::sqlite();
    archive.create_schema(Schema::Baseline);
    mark(&archive);
    insert_session(&archive, "theirs", "failed", Some(OLD_US));
    archive.execute("UPDATE alert_sessions SET alert_id = 'alert-3'");
    let (before, theirs) = (rows(database), rows(&archive));
    for removed in [4, 0] {
        let pruned = prune_into(database, &archive, &[]).expect(4).json();
        assert_eq!(pruned["removed"]["sessions"], removed);
        assert_eq!(pruned["stuck"].as_array().map(Vec::len), Some(1), "{pruned:#}");
        assert_eq!(pruned["stuck"][0]["session_id"], "3");
        assert_eq!(session_ids(database), ["3"]);
    }
    let mut union = rows(database);
    assert_eq!(union.len(), 4);
    union.extend(rows(&archive));
    assert!(union == before.into_iter().chain(theirs).collect::<Rows>());
}

#[apply(test)]
fn a_compressed_archive_takes_the_place_and_is_continued(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "older", "completed", Some(NOW_US - 200 * DAY_US));
    insert_session(database, "old", "completed", Some(OLD_US));
    let (before, archive) = (rows(database), Database::sqlite());
    let compressed = archive_path(&archive) + ".zst";
    for age in ["150d", "90d"] {
        let pruned = prune_into(database, &archive, &["--compress", "--older-than", age]).expect(0).json();
        assert_eq!((&pruned["removed"]["sessions"], &pruned["archive"]), (&1.into(), &compressed.as_str().into()));
        assert_eq!(fs::read_dir(archive.directory()).expect("the directory").count(), 1);
    }
    assert_eq!(fs::metadata(&compressed).expect("it is there").permissions().mode() & 0o7777, 0o600);
    let bytes = zstd::decode_all(fs::File::open(&compressed).expect("it is there")).expect("sound");
    fs::write(archive_path(&archive), bytes).expect("it can be written");
    assert_eq!(rows(&archive), before);
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn what_a_killed_compression_left_is_completed_although_there_is_nothing_to_remove(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    let (before, archive) = (rows(database), Database::sqlite());
    prune_into(database, &archive, &[]).expect(0);
    let left_over = archive.directory().join(".history.db.zst.17");
    fs::write(&left_over, "the beginning").expect("it can be written");
    let compressed = archive_path(&archive) + ".zst";
    let completed = prune_into(database, &archive, &["--compress"]).expect(0).json();
    assert_eq!((&completed["removed"], &completed["archive"]), (&json!(null), &json!(compressed)));
    assert_eq!(names(archive.directory()), ["history.db.zst"]);

    // A compressed archive stays as it is.
    let bytes = fs::read(&compressed).expect("it is there");
    fs::write(&left_over, "the beginning").expect("it can be written");
    prune_into(database, &archive, &["--compress"]).expect(0);
    assert!(fs::read(&compressed).expect("it is there") == bytes);
    assert_eq!(names(archive.directory()), ["history.db.zst"]);
    fs::write(archive_path(&archive), zstd::decode_all(&bytes[..]).expect("sound")).expect("it can be written");
    assert!(rows(&archive) == before);
}

#[apply(test)]
fn an_archive_that_another_program_merely_has_open_is_not_said_to_be_completed(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    let archive = Database::sqlite();
    prune_into(database, &archive, &[]).expect(0);
    let mut reader = Held::connect(&archive);
    reader.execute("BEGIN; SELECT count(*) FROM alert_sessions");
    assert!(archive.directory().join("history.db-wal").exists());
    let nothing = prune_into(database, &archive, &[]).expect(0).json();
    assert_eq!((&nothing["removed"], &nothing["archive"]), (&json!(null), &json!(null)));
    let path = archive_path(&archive);
    let run = |more: &[&str]| {
        let arguments = ["prune", "--now", NOW, "--older-than", "90d", "--yes", "--archive", &path];
        Outcome::of(tarsy_db(database).args(arguments).args(more)).expect(0).stdout
    };
    let text = run(&[]);
    assert!(text.contains("nothing to remove") && !text.contains("completed the archive"), "{text}");
    reader.close();

    // An earlier run has left the indexes to a later one.
    archive.execute("DROP INDEX ix_alert_sessions_status; PRAGMA user_version = 1");
    let text = run(&[]);
    assert!(text.contains(&format!("completed the archive {path}")), "{text}");
    let text = run(&["--compress"]);
    assert!(text.contains(&format!("completed the archive {path}.zst")), "{text}");
}

#[apply(test)]
fn a_full_disk_ends_the_run_and_every_session_is_whole_in_one_place(database: &Database) {
    let disk = SmallDisk::mount(24);
    database.create_schema(Schema::Baseline);
    insert_many(database, 100, 400_000, OLD_US);
    let before = rows(database);
    let path = format!("{}/archive.db", disk.path().display());
    let run = || prune(database, &["--yes", "--archive", &path]);
    let full = run().expect(74).json();
    let left = rows(database);
    assert_eq!(full["removed"]["sessions"], 100 - database.count("alert_sessions"));
    assert_eq!(full["archive"], path.as_str());
    assert!(left.len() < before.len() && !left.is_empty(), "{} of {}", left.len(), before.len());
    // The next one may find room for a smaller batch, and ends the same way.
    run().expect(74);
    let archive = Database::sqlite();
    for end in ["", "-wal", "-journal"] {
        let _ = fs::copy(path.clone() + end, archive_path(&archive) + end);
    }
    let mut union = rows(&archive);
    union.extend(rows(database));
    assert!(union == before, "{} of {} rows", union.len(), before.len());
    assert_eq!(database.count("alert_sessions"), database.count("llm_interactions"));
    prune_into(database, &archive, &[]).expect(0);
    assert!(rows(&archive) == before);
}

#[apply(test)]
fn the_database_itself_is_no_archive_by_whatever_name() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let path = database.file();
    let other = test_directory();
    let [hard, symbolic] = ["hard.db", "symbolic.db"].map(|name| other.path().join(name));
    fs::hard_link(&path, &hard).expect("a link");
    std::os::unix::fs::symlink(&path, &symbolic).expect("a link");
    // A relative path is shown as the absolute one.
    let refused = prune(&database, &["--yes", "--archive", "history.db"]).expect(7).stderr;
    assert!(refused.contains(&format!("{} is not an archive of this database", path.display())), "{refused}");
    each([path, hard, symbolic], |path| {
        assert_refused(&database, &path, 7, "it is the database itself");
    });
}

#[apply(test)]
fn a_batch_is_in_the_archive_before_it_is_gone() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    let (before, archive) = (rows(&database), Database::sqlite());
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let run = start_archiving(&database, &archive);
    Held::wait_for_halted_commit(&database);
    assert_eq!(rows(&archive), before);
    assert_eq!(rows(&database), before);
    run.signal("KILL");
    run.finish();
    halt.close();
    prune_into(&database, &archive, &[]).expect(0);
    assert_eq!((rows(&archive), session_ids(&database).len()), (before, 0));
}

#[apply(test)]
fn a_batch_of_a_file_is_in_the_archive_before_it_is_gone() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    // Without a write-ahead log a reader blocks every commit.
    database.execute("PRAGMA journal_mode = DELETE");
    let (before, archive) = (rows(&database), Database::sqlite());
    let mut reader = Held::connect(&database);
    reader.execute("BEGIN; SELECT count(*) FROM alert_sessions");
    let mut run = start_archiving(&database, &archive);
    run.says("retrying for");
    assert_eq!(rows(&archive), before);
    assert_eq!(rows(&database), before);
    run.signal("KILL");
    run.finish();
    reader.close();
    prune_into(&database, &archive, &[]).expect(0);
    assert_eq!((rows(&archive), session_ids(&database).len()), (before, 0));
}

#[apply(test)]
fn what_was_moved_pruned_and_archived_comes_back_with_the_same_digests() {
    let target = Database::postgresql();
    let source = full_history();
    source.execute("UPDATE llm_interactions SET temperature = 0.1");
    let moved = Outcome::of(migrate(&source, &target).args(["--report", "report.json"])).expect(0).json();
    let before = contents(&target);
    // The sessions started around NOW: half of them, then all.
    for cutoff in ["2026-02-01T00:00:00.000050Z", "2026-03-01T00:00:00Z"] {
        let archive = Database::sqlite();
        let arguments =
            ["--yes", "--now", "2026-06-01T00:00:00Z", "--before", cutoff, "--archive", &archive_path(&archive)];
        let mut command = tarsy_db(&target);
        let pruned = Outcome::of(command.args(["prune", "--max-share", "100%", "--output", "json"]).args(arguments));
        let gone = pruned.expect(0).json()["removed"]["sessions"].as_i64().expect("a number");
        assert_eq!(target.count("llm_interactions"), 100 - gone);
        Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
        let appended = Outcome::of(migrate(&archive, &target).args(["--append", "--report", "report.json"])).expect(0);
        let report = fs::read_to_string(archive.directory().join("report.json")).expect("there is a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("the report is JSON");
        assert_eq!(report["inserted"], appended.json()["inserted"]);
        assert_eq!(report["inserted"], 5 * gone);
        if gone == 100 {
            let without_events = |tables: Vec<[serde_json::Value; 3]>| {
                tables.into_iter().filter(|[table, ..]| table != "events").collect::<Vec<_>>()
            };
            assert_eq!(without_events(table_digests(&appended.json())), without_events(table_digests(&moved)));
        }
        assert!(contents(&target) == before);
        assert_eq!(table_digests(&compare(&source, &target).expect(0).json()), table_digests(&moved));
    }
}

#[apply(test)]
fn a_message_that_is_sent_while_its_chat_goes_is_refused_and_not_lost() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, 1, OLD_US);
    database.execute(
        "CREATE TABLE refused (yes boolean);
         CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
         CREATE TRIGGER dawdle BEFORE DELETE ON chats FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
    );
    let archive = Database::sqlite();
    let run = Running::start(
        &database,
        &[
            "prune",
            "--older-than",
            "90d",
            "--now",
            NOW,
            "--yes",
            "--max-share",
            "100%",
            "--batch-time",
            "1us",
            "--archive",
            &archive_path(&archive),
        ],
    );
    database.wait_until(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'DELETE FROM %_chats_ WHERE %' AND wait_event = 'PgSleep'",
    );
    database.execute(
        "DO $$ BEGIN
             INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
             VALUES ('late', 'chat@s1', 'still there?', 'me', 1);
         EXCEPTION WHEN foreign_key_violation THEN INSERT INTO refused VALUES (true); END $$",
    );
    run.finish().expect(0);
    assert_eq!((database.count("refused"), database.count("chat_user_messages")), (1, 0));
    assert_eq!(archive.count("chat_user_messages"), 1);
}
