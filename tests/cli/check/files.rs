//! SQLite files under `check` and `info`: damage is found, and nothing is left behind.

use std::fs;

use crate::support::cases::each;
use crate::support::check::{check, finding, is_found};
use crate::support::history::{NOW, NOW_US, OLD_US, insert_many, insert_session};
use crate::support::process::Held;
use crate::support::small_disk::SmallDisk;
use crate::support::sqlite_file::{files, names};
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

#[apply(test)]
fn a_missing_file_is_not_created() {
    let database = Database::sqlite();
    each(["check", "info"], |command| {
        let outcome = Outcome::of(tarsy_db(&database).arg(command)).expect(78);
        let message = format!("there is no file {}", database.file().display());
        assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
        assert!(files(database.directory()).is_empty());
    });
}

#[apply(test)]
fn a_file_that_was_compressed_is_named() {
    let database = Database::sqlite();
    fs::write(database.directory().join("history.db.zst"), "").expect("it can be written");
    let commands: [&[&str]; 3] =
        [&["check"], &["info"], &["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only"]];
    each(commands, |command| {
        let outcome = Outcome::of(tarsy_db(&database).args(command)).expect(78);
        let hint =
            format!("`zstd -d {}` unpacks the compressed one", database.directory().join("history.db.zst").display());
        assert!(outcome.stderr.contains(&hint), "{}", outcome.stderr);
    });
}

/// A SQLite file of some hundred pages, at rest.
fn file_with_history() -> Database {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 300, 4096, NOW_US);
    assert_eq!(files(database.directory()).keys().collect::<Vec<_>>(), ["history.db"]);
    database
}

#[apply(test)]
fn a_damaged_file_is_a_failure() {
    let database = file_with_history();
    let path = database.file();
    let mut bytes = fs::read(&path).expect("the file is there");
    let middle = bytes.len() / 8192 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0xab);
    fs::write(&path, bytes).expect("the file can be written");
    let (status, detail) = finding(&check(&database, &[]).expect(4), "integrity");
    assert_eq!(status, "failed", "{detail}");
}

/// The same file with zeros in the place of the root page of a table or index.
fn without_root(original: &Database, name: &str) -> Database {
    let page = original.number(&format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'"));
    let mut bytes = fs::read(original.file()).expect("the file is there");
    let start = usize::try_from(page - 1).expect("a page") * 4096;
    bytes[start..start + 4096].fill(0);
    let damaged = Database::sqlite();
    fs::write(damaged.file(), bytes).expect("the file can be written");
    damaged
}

#[apply(test)]
fn a_damaged_page_is_4_with_what_sqlite_finds_and_what_to_do() {
    let original = file_with_history();
    let pages = ["alert_sessions", "llm_interactions", "ix_alert_sessions_status", "alembic_version"];
    each(pages, |name| {
        let damaged = without_root(&original, name);
        let first = |depth: &[&str]| {
            let checked = check(&damaged, depth).expect(4);
            let (status, detail) = finding(&checked, "integrity");
            let lines: Vec<_> = detail.lines().collect();
            assert_eq!((status.as_str(), detail.contains("***")), ("failed", false), "{detail}");
            assert!(lines.len() > 1 && lines[lines.len() - 1].starts_with("restore a backup, or recover"), "{detail}");
            is_found(&checked, "sequences", "ok", "SQLite has no sequences");
            lines[0].to_owned()
        };
        let [quick, deep] = [first(&[]), first(&["--deep"])];
        assert!(quick.starts_with("Tree ") && quick == deep, "{quick}\n{deep}");
    });
}

#[apply(test)]
fn a_collation_or_a_function_of_another_application_is_no_damage() {
    let cases = [
        ("name COLLATE nocase", "name COLLATE theirs", "no such collation sequence: theirs"),
        ("lower(name)", "their_key(name)", "unknown function: their_key()"),
    ];
    each(cases, |(known, theirs, reason)| {
        let database = file_with_history();
        database.execute(&format!(
            "CREATE TABLE dashboards (name TEXT); CREATE INDEX by_name ON dashboards ({known});
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{known}', '{theirs}') WHERE name = 'by_name'"
        ));
        let checked = check(&database, &["--deep"]).expect(0);
        is_found(&checked, "integrity", "note", &format!("other tables were not checked: {reason}"));
        check(&database, &[]).expect(0);
        // TARSy's own tables are checked.
        let page = database.number("SELECT rootpage FROM sqlite_schema WHERE name = 'llm_interactions'");
        let mut bytes = fs::read(database.file()).expect("the file is there");
        let start = usize::try_from(page - 1).expect("a page") * 4096;
        bytes[start..start + 100].fill(0xff);
        fs::write(database.file(), bytes).expect("the file can be written");
        let (status, detail) = finding(&check(&database, &["--deep"]), "integrity");
        assert_eq!(status, "failed", "{detail}");
    });
}

#[apply(test)]
fn a_truncated_file_is_a_failure() {
    let database = file_with_history();
    let path = database.file();
    let bytes = fs::read(&path).expect("the file is there");
    fs::write(&path, &bytes[..bytes.len() / 8192 * 4096]).expect("the file can be written");
    let outcome = check(&database, &[]);
    assert!([Some(4), Some(74)].contains(&outcome.code), "{:?}\n{}", outcome.code, outcome.stdout);
}

#[apply(test)]
#[cfg(target_os = "linux")]
fn the_process_that_has_locked_the_file_is_named() {
    let database = file_with_history();
    let url = format!("{}?timeout=0.2", database.url());
    let old = ["--older-than", "90d", "--now", NOW, "--retry-for", "500ms"];
    let locked = format!("history.db is locked by process {} (", std::process::id());
    let names_this_process = |arguments: &[&str]| {
        let run = Outcome::of(tarsy_db(&database).env("DATABASE_URL", &url).args(arguments)).expect(75);
        run.tells(&[&locked, "hint: wait until it has finished, or end it\n"]);
    };
    let mut writer = Held::connect(&database);
    writer.execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    let commands = [&["info"][..], &["check"], &["wait", "--max-attempts", "1"], &["prune", "--dry-run"]];
    each(commands, |arguments| {
        let of_prune = if arguments[0] == "prune" { &old[..] } else { &[] };
        names_this_process(&[arguments, of_prune].concat());
    });
    writer.execute("COMMIT; PRAGMA journal_mode = WAL");
    insert_session(&database, "old", "completed", Some(OLD_US));
    writer.execute("BEGIN IMMEDIATE");
    names_this_process(&["wait", "--for", "writable", "--max-attempts", "1"]);
    names_this_process(&[&["prune", "--yes", "--max-share", "100%"], &old[..]].concat());
    writer.close();
}

#[apply(test)]
fn a_file_that_is_no_database_is_74() {
    let database = Database::sqlite();
    let text = "no database, but longer than a header ".repeat(40);
    fs::write(database.file(), text).expect("the file can be written");
    let outcome = check(&database, &[]).expect(74);
    assert!(outcome.stdout.contains("file is not a database"), "{}", outcome.stdout);
}

#[apply(test)]
fn a_newer_format_has_the_same_answer_everywhere() {
    let original = file_with_history();
    let prune = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%"];
    let commands: [&[&str]; 8] = [
        &["check"],
        &["info"],
        &["wait", "--max-attempts", "1"],
        &["init"],
        &["init", "--to", "head"],
        &[&prune[..], &["--dry-run"]].concat(),
        &[&prune[..], &["--yes"]].concat(),
        &["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only"],
    ];
    each([(19, 3, "(version 3, schema format 4)"), (47, 5, ", schema format 5)")], |(place, value, which)| {
        let newer = Database::sqlite();
        let mut bytes = fs::read(original.file()).expect("a file");
        bytes[place] = value;
        fs::write(newer.file(), bytes).expect("it can be written");
        for arguments in commands {
            let refused = Outcome::of(tarsy_db(&newer).args(arguments)).expect(74);
            refused.tells(&[
                "the file has a newer format (version",
                which,
                "hint: convert it with a SQLite that reads",
            ]);
            assert!(!refused.stderr.contains("restore a backup"), "{}", refused.stderr);
        }
    });
}

/// Makes sure that reading commands see `sessions` and leave the directory as it was, but for the index of
/// the write-ahead log, in which readers announce themselves.
#[track_caller]
fn leaves_no_trace(database: &Database, sessions: u64) {
    let octets = || {
        let mut files = files(database.directory());
        files
            .entry("history.db-shm".to_owned())
            .and_modify(|file| *file = (Vec::new(), std::time::SystemTime::UNIX_EPOCH));
        files
    };
    let before = octets();
    for arguments in [&["check"][..], &["check", "--deep"], &["info"], &["info", "--exact"]] {
        Outcome::of(tarsy_db(database).args(arguments)).expect(0);
        let after = octets();
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "after {arguments:?}");
        assert!(after == before, "{arguments:?} changed a file");
    }
    let report = Outcome::of(tarsy_db(database).args(["info", "--output", "json"])).expect(0).json();
    let tables = report["tables"].as_array().expect("a list of tables");
    let rows = &tables.iter().find(|table| table["table"] == "alert_sessions").expect("the table")["rows"];
    assert_eq!(*rows, sessions);
}

#[apply(test)]
fn a_file_at_rest_stays_as_it_is() {
    let database = file_with_history();
    leaves_no_trace(&database, 300);
    database.execute("PRAGMA journal_mode = DELETE");
    leaves_no_trace(&database, 300);
}

/// One more session, from a backend that keeps its connection, so that it stays in the write-ahead log.
fn backend_with_a_session(database: &Database) -> Held {
    let mut backend = Held::connect(database);
    backend.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('late', 'late', 'kubernetes', 'completed', 'chain')",
    );
    assert!(database.directory().join("history.db-wal").exists());
    backend
}

#[apply(test)]
fn a_file_in_use_stays_as_it_is() {
    let database = file_with_history();
    let backend = backend_with_a_session(&database);
    leaves_no_trace(&database, 301);
    backend.close();
}

#[apply(test)]
fn a_file_that_a_crash_left_stays_as_it_is() {
    let (running, crashed) = (file_with_history(), Database::sqlite());
    let backend = backend_with_a_session(&running);
    for name in ["history.db", "history.db-wal", "history.db-shm"] {
        fs::copy(running.directory().join(name), crashed.directory().join(name)).expect("the file can be copied");
    }
    backend.close();
    leaves_no_trace(&crashed, 301);
}

/// A file in WAL mode that no program has open, on a disk without a free byte.
fn on_a_full_disk() -> (SmallDisk, Database) {
    let original = Database::sqlite().with_schema(Schema::Baseline);
    insert_session(&original, "old", "completed", Some(OLD_US));
    original.execute("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE)");
    let disk = SmallDisk::mount(8);
    let copy = Database::sqlite_in(disk.path());
    fs::copy(original.file(), copy.file()).expect("it fits");
    disk.fill(0);
    (disk, copy)
}

#[apply(test)]
fn a_run_that_finds_the_disk_full_says_so_and_leaves_the_file_as_it_was() {
    let (_disk, database) = on_a_full_disk();
    let commands: [&[&str]; 3] =
        [&["prune", "--now", NOW, "--max-share", "100%", "--yes"], &["init", "--to", "head"], &["check", "--fix"]];
    each(commands, |arguments| {
        let full = Outcome::of(tarsy_db(&database).args(arguments)).expect(74);
        full.tells(&["no space for the `-shm`", "hint: free disk space"]);
        assert_eq!(names(database.directory()), ["history.db"]);
        let checked = check(&database, &[]).expect(74);
        is_found(&checked, "writable", "failed", "disk full: its disk has 0 B free");
        // The others do not need room.
        is_found(&checked, "integrity", "ok", "");
        Outcome::of(tarsy_db(&database).arg("info")).expect(0);
    });
}

#[apply(test)]
fn a_file_without_room_for_a_row_is_not_writable_in_any_journal_mode() {
    each(["wal", "delete"], |mode| {
        let original = Database::sqlite().with_schema(Schema::Baseline);
        original.execute(&format!("PRAGMA journal_mode = {mode}"));
        let disk = SmallDisk::mount(8);
        let database = Database::sqlite_in(disk.path());
        fs::copy(original.file(), database.file()).expect("it fits");
        let filler = disk.fill(40);
        let reason = "disk full: its disk has 40.0 KiB free for this user, and SQLite needs 64.0 KiB to write a row";
        is_found(&check(&database, &[]).expect(74), "writable", "failed", reason);
        let wait = |arguments: &[&str]| Outcome::of(tarsy_db(&database).arg("wait").args(arguments));
        wait(&["--max-attempts", "1"]).expect(74).tells(&[reason, "hint: free disk space"]);
        wait(&["--timeout", "1500ms"]).expect(124).tells(&["INFO waiting for ", reason]);
        wait(&["--for", "connect", "--max-attempts", "1"]).expect(0);
        SmallDisk::make_room(&filler);
        is_found(&check(&database, &[]).expect(0), "writable", "ok", "the file is writable");
        wait(&["--max-attempts", "1"]).expect(0);
        assert_eq!(names(database.directory()), ["history.db"]);
        // A file that does not exist yet needs room as well.
        fs::remove_file(database.file()).expect("it exists");
        disk.fill(0);
        wait(&["--max-attempts", "1"]).expect(74).tells(&["its disk has 0 B free"]);
    });
}

#[apply(test)]
fn a_new_database_on_a_full_disk_leaves_no_file_beside_its_own() {
    each([0, 16, 40, 64], |free_kib| {
        let disk = SmallDisk::mount(1);
        let database = Database::sqlite_in(disk.path());
        let filler = disk.fill(free_kib);
        let full = Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(74);
        assert!(!full.stderr.contains("determine"), "nothing was committed: {}", full.stderr);
        full.tells(&["error: cannot ", "hint: free disk space"]);
        assert_eq!(names(database.directory()), ["history.db"]);
        SmallDisk::make_room(&filler);
        Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(0);
    });
}

#[apply(test)]
fn an_upgrade_that_finds_no_room_for_its_commit_is_rolled_back_and_says_so() {
    each([40, 64], |free_kib| {
        let (disk, database) = on_a_full_disk();
        disk.fill(free_kib);
        let full = Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(74);
        assert!(!full.stderr.contains("determine"), "nothing was committed: {}", full.stderr);
        full.tells(&["disk", "hint: free disk space"]);
        assert_eq!(names(database.directory()), ["history.db"]);
    });
}

#[apply(test)]
fn a_repair_closes_its_file() {
    let database = file_with_history();
    // Whether the driver had closed it before the process ended was a matter of luck.
    for _ in 0..10 {
        database.execute("DROP INDEX ix_alert_sessions_status");
        check(&database, &["--fix"]).expect(0);
        assert_eq!(names(database.directory()), ["history.db"]);
    }
}

#[apply(test)]
fn a_write_ahead_log_that_is_larger_than_the_file_is_mentioned() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    database.execute("PRAGMA journal_mode = WAL");
    let mentioned = |status: &str, bytes: u64| {
        let checked = check(&database, &[]).expect(0);
        is_found(&checked, "write-ahead log", status, "is larger than the file");
        let info = Outcome::of(tarsy_db(&database).args(["info", "--output", "json"])).expect(0).json();
        assert!(info["wal_bytes"].as_u64().is_some_and(|found| found > bytes), "{info:#}");
    };
    let without = check(&database, &[]).expect(0).stdout;
    assert!(!without.contains("write-ahead log"), "{without}");
    // A reader of an older state keeps SQLite from a checkpoint.
    let mut reader = Held::connect(&database);
    reader.execute("BEGIN; SELECT count(*) FROM alert_sessions");
    insert_many(&database, 30, 60_000, NOW_US);
    mentioned("ok", 1 << 20);
    for _ in 0..6 {
        database.execute("UPDATE llm_interactions SET conversation = conversation || ' '");
    }
    mentioned("warning", 8 << 20);
    reader.close();
}
