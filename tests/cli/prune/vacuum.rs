//! `prune --vacuum`: the space of removed rows is returned to the operating system.

use serde_json::Value;

use crate::support::archive::archive_path;
use crate::support::cases::each;
use crate::support::history::{NOW_US, OLD_US, contents, insert_many, insert_session};
use crate::support::prune::{prune, refuse_to_delete};
use crate::support::small_disk::SmallDisk;
use crate::support::{Database, Schema, apply, test};

/// 300 sessions of which all but the newest go; the oldest are at the beginning of the tables.
fn with_history(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_history(database);
}

fn insert_history(database: &Database) {
    insert_session(database, "new", "completed", Some(NOW_US));
    if !database.is_sqlite() {
        database.execute("ALTER TABLE llm_interactions SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)");
    }
    insert_many(database, 300, 20_480, OLD_US);
}

/// A part of what was given back.
fn part<'v>(pruned: &'v Value, name: &str) -> &'v Value {
    let parts = pruned["space"]["given_back"]["parts"].as_array().expect("a list");
    parts.iter().find(|part| part["name"] == name).expect("the part")
}

#[apply(test)]
fn a_session_that_cannot_be_removed_keeps_neither_vacuum_nor_compression_away(database: &Database) {
    with_history(database);
    refuse_to_delete(database, "alert_sessions", "OLD.session_id = 's-7'");
    let archive = Database::sqlite();
    let pruned = prune(database, &["--yes", "--vacuum", "--archive", &archive_path(&archive), "--compress"]);
    assert!(pruned.code.is_some_and(|code| code != 0), "{}", pruned.stdout);
    let pruned = pruned.json();
    assert_eq!(pruned["removed"]["sessions"], 299);
    assert!(!pruned["space"]["given_back"].is_null(), "{pruned:#}");
    assert_eq!(pruned["archive"], archive_path(&archive) + ".zst");
}

#[apply(test)]
fn what_is_free_is_told_and_with_vacuum_given_back(database: &Database) {
    with_history(database);
    let told = prune(database, &["--yes", "--before", "2025-10-04T02:30:00Z"]).expect(0).json();
    let removed = told["removed"]["sessions"].as_i64().expect("a number");
    assert!((100..200).contains(&removed), "{told:#}");
    let kind = if database.is_sqlite() { "file" } else { "tables" };
    assert!(!told["space"]["free"][kind].is_null(), "{told:#}");

    let vacuumed = prune(database, &["--yes", "--vacuum"]).expect(0).json();
    assert_eq!(vacuumed["removed"]["sessions"], 300 - removed);
    let part = part(&vacuumed, if database.is_sqlite() { "file" } else { "llm_interactions" });
    let bytes = |name: &str| part[name].as_u64().expect("a number");
    assert!(bytes("bytes_after") < bytes("bytes_before"), "{vacuumed:#}");
    assert_eq!(bytes("dead_rows_kept"), 0);
    if database.is_sqlite() {
        assert_eq!(database.file_bytes(), bytes("bytes_after"));
        assert!(bytes("bytes_after") < 500_000 && bytes("bytes_before") > 3_000_000, "{vacuumed:#}");
    } else {
        // Dead rows would keep the pages at the end of the table.
        assert!(database.number("SELECT pg_relation_size('llm_interactions')") <= 8192);
    }
    assert_eq!(contents(database).len(), 4);
}

#[apply(test)]
fn space_is_given_back_also_where_nothing_is_to_be_removed(database: &Database) {
    with_history(database);
    prune(database, &["--yes"]).expect(0);
    let vacuumed = prune(database, &["--yes", "--vacuum"]).expect(0).json();
    assert_eq!(vacuumed["removed"], Value::Null);
    let part = part(&vacuumed, if database.is_sqlite() { "file" } else { "llm_interactions" });
    assert!(part["bytes_after"].as_u64() < part["bytes_before"].as_u64(), "{vacuumed:#}");
}

#[apply(test)]
fn a_vacuum_that_fails_behind_a_removal_does_not_say_that_nothing_was_changed() {
    let disk = SmallDisk::mount(40);
    let database = Database::sqlite_in(disk.path());
    with_history(&database);
    disk.fill(3 * 1024);
    let failed = prune(&database, &["--yes", "--vacuum", "--before", "2025-10-04T02:30:00Z"]).expect(74);
    assert!(failed.json()["removed"]["sessions"].as_u64().is_some_and(|removed| removed >= 100), "{}", failed.stdout);
    failed.tells(&["error: cannot vacuum the file", "it needs about", "hint: free disk space"]);
    assert!(!failed.stderr.contains("nothing was"), "{}", failed.stderr);
}

#[apply(test)]
fn a_run_that_was_cut_short_vacuums_nothing(database: &Database) {
    with_history(database);
    let cut = prune(database, &["--yes", "--vacuum", "--max-duration", "0s"]).expect(0).json();
    assert_eq!(cut["space"]["given_back"], Value::Null);
}

#[apply(test)]
fn a_file_with_incremental_vacuum_shrinks_with_and_without_a_write_ahead_log() {
    each(["DELETE", "WAL"], |journal_mode| {
        let database = Database::sqlite();
        database.execute(&format!("PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA journal_mode = {journal_mode}"));
        with_history(&database);
        let before = database.file_bytes();
        let vacuumed = prune(&database, &["--yes", "--vacuum"]).expect(0).json();
        assert!(database.file_bytes() < before / 5, "{vacuumed:#}");
        assert_eq!(part(&vacuumed, "file")["bytes_after"], database.file_bytes());
        assert_eq!(part(&vacuumed, "file")["reusable_bytes"], 0);
        assert_eq!(database.texts("PRAGMA integrity_check"), [Some("ok".to_owned())]);
    });
}

#[apply(test)]
fn a_function_of_an_index_that_finds_nothing_keeps_only_the_statistics_away() {
    // The rows come last: from PostgreSQL 17 on CREATE INDEX calls functions with an empty path itself.
    let database = Database::postgresql().with_schema(Schema::Baseline);
    database.execute(
        "CREATE FUNCTION inner_one(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
         CREATE FUNCTION outer_one(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN inner_one($1); END $$;
         CREATE INDEX ours ON llm_interactions (outer_one(model_name))",
    );
    insert_history(&database);
    let vacuumed = prune(&database, &["--yes", "--vacuum"]).expect(0).json();
    let not_analyzed = vacuumed["space"]["given_back"]["not_analyzed"][0].as_str().expect("a table");
    assert!(not_analyzed.starts_with("llm_interactions: function inner_one(text) does not exist"), "{not_analyzed}");
    let part = part(&vacuumed, "llm_interactions");
    assert!(part["bytes_after"].as_u64() < part["bytes_before"].as_u64() && part["dead_rows_kept"] == 0, "{part:#}");
}
