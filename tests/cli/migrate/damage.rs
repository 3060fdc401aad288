//! `migrate-sqlite-to-postgres`: damage that SQLite's integrity check finds is reported before the first row is copied.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use serde_json::Value;
use tarsy_db::internals::{Silence, Snapshot, SnapshotOptions, Source, SourceError};

use crate::support::cases::each;
use crate::support::database::{block_on, runtime};
use crate::support::history::{NOW_US, insert_many, insert_session};
use crate::support::migration::{arguments, migrate, one_session_and_target};
use crate::support::process::wait_until;
use crate::support::random::Random;
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, campaign, test};

/// Gives an index another definition than the one that its entries were made by.
fn break_index(source: &Database, index: &str, definition: &str) {
    source.execute(&format!(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '{definition}' WHERE name = '{index}'"
    ));
}

const STATUS_INDEX: &str = "ix_alert_sessions_status";

/// A source whose index does not match its table, and an empty target.
fn source_with_a_broken_index() -> (Database, Database) {
    let (source, target) = one_session_and_target();
    break_index(&source, STATUS_INDEX, "CREATE INDEX ix_alert_sessions_status ON alert_sessions (chain_id)");
    (source, target)
}

/// Writes values that a table does not allow.
fn insert_against_constraints(source: &Database, table: &str, from: &str, to: &str, insert: &str) {
    source.execute(&format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}'"
    ));
    source.execute(insert);
    source.execute(&format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '{to}', '{from}') WHERE name = '{table}'"
    ));
}

fn check_only(source: &Database) -> assert_cmd::Command {
    let mut command = bare_tarsy_db(source.directory());
    command.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--output", "json", "--check-only"]);
    command
}

#[apply(test)]
fn an_index_that_does_not_match_its_table_is_damage_and_named() {
    let (source, target) = source_with_a_broken_index();
    each(
        [
            &mut migrate(&source, &target),
            migrate(&source, &target).arg("--dry-run"),
            migrate(&source, &target).arg("--append"),
            &mut check_only(&source),
        ],
        |run| {
            let refused = Outcome::of(run).expect(74);
            refused.tells(&["history.db is damaged", STATUS_INDEX, "restore a backup", "--accept-damage"]);
            let details = refused.json()["error"]["details"].clone();
            assert!(details["findings"].to_string().contains(STATUS_INDEX), "{details:#}");
        },
    );
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn damage_of_a_table_that_is_not_moved_is_damage() {
    let (source, target) = one_session_and_target();
    source.execute("CREATE TABLE ours (a, b); CREATE INDEX of_ours ON ours (a); INSERT INTO ours VALUES (1, 2)");
    break_index(&source, "of_ours", "CREATE INDEX of_ours ON ours (b)");
    Outcome::of(migrate(&source, &target).args(["--ignore", "ours"])).expect(74).tells(&["of_ours"]);
}

#[apply(test)]
fn a_page_that_belongs_to_nothing_is_damage() {
    let (source, target) = one_session_and_target();
    let mut content = fs::read(source.file()).expect("the file is there");
    let pages = u32::from_be_bytes(content[28..32].try_into().expect("4 bytes"));
    content[28..32].copy_from_slice(&(pages + 1).to_be_bytes());
    content.resize(content.len() + 4096, 0);
    fs::write(source.file(), content).expect("a file");
    Outcome::of(&mut migrate(&source, &target)).expect(74).tells(&["never used"]);
}

#[apply(test)]
fn a_definition_that_is_no_text_is_damage() {
    let (source, target) = one_session_and_target();
    let mut content = fs::read(source.file()).expect("the file is there");
    let type_of_column = b"\"agent_type\" VARCHAR";
    let ends = content.windows(type_of_column.len()).enumerate().filter(|(_, bytes)| *bytes == type_of_column);
    let ends: Vec<_> = ends.map(|(place, bytes)| place + bytes.len() - 1).collect();
    // An earlier version of the definition may still be there as well.
    for end in ends {
        content[end] |= 0x80;
    }
    fs::write(source.file(), content).expect("a file");
    Outcome::of(&mut migrate(&source, &target)).expect(74).tells(&["bytes that are not UTF-8", "restore a backup"]);
}

#[apply(test)]
fn accepted_damage_is_moved_and_recorded() {
    let (source, target) = source_with_a_broken_index();
    assert_eq!(Outcome::of(migrate(&source, &target).arg("--accept-damage")).code, Some(2));
    let accepting = ["--accept-damage", "--report", "move.json"];
    let checked = Outcome::of(check_only(&source).args(accepting)).expect(0);
    assert_eq!(checked.json()["accepted_damage"].as_u64().map(|findings| findings > 0), Some(true));
    let planned = Outcome::of(migrate(&source, &target).args(accepting).arg("--dry-run")).expect(0);
    planned.tells(&["the source is damaged"]);
    let moved = Outcome::of(migrate(&source, &target).args(accepting)).expect(0);
    moved.tells(&["the source is damaged", STATUS_INDEX]);
    let report = fs::read(source.directory().join("move.json")).expect("the report is there");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["outcome"], "moved");
    let damage = &report["integrity_check"]["damage"];
    assert!(damage["findings"].to_string().contains(STATUS_INDEX), "{report:#}");
    assert_eq!(report["accepted_damage"], damage["total"]);
    assert_eq!(target.count("alert_sessions"), 1);
}

#[apply(test)]
fn damage_that_is_refused_is_in_the_report() {
    let (source, target) = source_with_a_broken_index();
    Outcome::of(migrate(&source, &target).args(["--report", "move.json"])).expect(74);
    let report = fs::read_to_string(source.directory().join("move.json")).expect("the report is there");
    assert!(report.contains(STATUS_INDEX) && report.contains("refused"), "{report}");
}

#[apply(test)]
fn a_sound_source_has_nothing_in_its_report() {
    let (source, target) = one_session_and_target();
    let moved = Outcome::of(migrate(&source, &target).args(["--accept-damage", "--report", "move.json"])).expect(0);
    assert_eq!(moved.json()["accepted_damage"], Value::Null);
    assert!(!moved.stderr.contains("damaged"), "{}", moved.stderr);
    let report = fs::read(source.directory().join("move.json")).expect("the report is there");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["integrity_check"]["damage"]["total"], 0);
}

#[apply(test)]
fn more_wrong_values_than_the_check_lists_do_not_hide_damage() {
    let (source, target) = one_session_and_target();
    source.execute("CREATE TABLE aaa (a INTEGER, b); CREATE TABLE zzz (a INTEGER, b)");
    for table in ["aaa", "zzz"] {
        let insert = format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300)
             INSERT INTO {table} SELECT NULL, n FROM numbers"
        );
        source.execute(&insert);
        let declared = format!("CREATE TABLE {table} (a INTEGER NOT NULL, b)");
        break_index(&source, table, &declared);
    }
    let ignoring = ["--ignore", "aaa", "--ignore", "zzz"];
    Outcome::of(migrate(&source, &target).args(ignoring).arg("--dry-run")).expect(0);
    break_index(&source, STATUS_INDEX, "CREATE INDEX ix_alert_sessions_status ON alert_sessions (chain_id)");
    Outcome::of(migrate(&source, &target).args(ignoring)).expect(74).tells(&[STATUS_INDEX]);
}

#[apply(test)]
fn values_that_their_own_table_refuses_stay_hazards() {
    let (source, target) = one_session_and_target();
    let (is, was) = (r#""agent_type" VARCHAR NOT NULL"#, r#""agent_type" VARCHAR"#);
    let insert = "UPDATE alert_sessions SET agent_type = NULL";
    insert_against_constraints(&source, "alert_sessions", is, was, insert);
    each([&mut migrate(&source, &target), &mut check_only(&source)], |run| {
        let refused = Outcome::of(run).expect(65);
        refused.fails_with(&[r#""primary_key":"one""#, "NULL in a column that is NOT NULL"]);
        assert_eq!(refused.json()["error"]["details"].as_array().map(Vec::len), Some(1));
    });
}

#[apply(test)]
fn a_damaged_page_of_the_sessions_is_a_finding_like_any_other() {
    let (source, _) = one_session_and_target();
    let page = source.number("SELECT rootpage FROM sqlite_schema WHERE name = 'alert_sessions'") - 1;
    let size = source.number("PRAGMA page_size");
    source.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let file = std::fs::OpenOptions::new().write(true).open(source.file()).expect("the file is there");
    let zeros = vec![0; usize::try_from(size).expect("a size")];
    file.write_all_at(&zeros, u64::try_from(page * size).expect("an offset")).expect("it can be written");
    let refused = Outcome::of(&mut check_only(&source)).expect(74);
    refused.fails_with(&["is damaged", "finding", "--accept-damage"]);
}

#[apply(test)]
fn rows_that_are_there_twice_stay_hazards() {
    let (source, target) = one_session_and_target();
    let (is, was) = ("CREATE UNIQUE INDEX", "CREATE INDEX");
    let insert = "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
                  VALUES ('two', 'alert-one', 'kubernetes', 'completed', 'chain')";
    insert_against_constraints(&source, "ix_alert_sessions_alert_id", is, was, insert);
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(65);
    refused.tells(&[
        "alert_sessions `one` alert_id: the same unique key",
        "alert_sessions `two` alert_id: the same unique key",
    ]);
    assert_eq!(refused.json()["error"]["details"].as_array().map(Vec::len), Some(2));
}

#[apply(test)]
fn a_value_that_only_the_source_refuses_is_a_hazard_unless_it_is_accepted() {
    let (source, target) = one_session_and_target();
    insert_session(&source, "two", "completed", Some(NOW_US));
    // SQLite would make a number of it, and PostgreSQL's json holds the one as well as the other.
    let (is, was) = (r#""stage_output" JSON"#, r#""stage_output" TEXT"#);
    let update = "UPDATE stage_executions SET stage_output = '12'";
    insert_against_constraints(&source, "stage_executions", is, was, update);
    let shown = "SQLite's own check reports 2 times: TEXT value in stage_executions.stage_output";
    each(
        [
            &mut migrate(&source, &target),
            migrate(&source, &target).arg("--dry-run"),
            migrate(&source, &target).arg("--append"),
            &mut check_only(&source),
        ],
        |run| {
            Outcome::of(run).expect(65).fails_with(&[shown]);
        },
    );
    let accepting = ["--accept-damage", "--report", "move.json"];
    Outcome::of(migrate(&source, &target).args(accepting)).expect(0);
    assert_eq!(target.number("SELECT count(*) FROM stage_executions WHERE stage_output::text = '12'"), 2);
}

#[apply(test)]
fn what_this_sqlite_does_not_know_is_named_and_the_rest_is_checked() {
    let unknown = [
        "CREATE INDEX of_ours ON ours (a COLLATE their_collation)",
        "CREATE INDEX of_ours ON ours (their_function(a))",
    ];
    each(unknown, |definition| {
        let (source, target) = one_session_and_target();
        source.execute("CREATE TABLE ours (a, b); CREATE INDEX of_ours ON ours (a); INSERT INTO ours VALUES (1, 2)");
        break_index(&source, "of_ours", definition);
        let run = || Outcome::of(migrate(&source, &target).args(["--ignore", "ours", "--dry-run"]));
        run().expect(0).tells(&["SQLite cannot check the pages and indexes of `ours`", "their_"]);
        break_index(&source, STATUS_INDEX, "CREATE INDEX ix_alert_sessions_status ON alert_sessions (chain_id)");
        run().expect(74).tells(&[STATUS_INDEX]);
    });
}

/// A source whose check takes a minute: SQLite prints a megabyte for each row of a table that the operator added.
fn source_that_takes_long() -> (Database, Database) {
    let (source, target) = one_session_and_target();
    source.execute(
        "CREATE TABLE ours (a); CREATE INDEX of_ours ON ours (a);
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
         INSERT INTO ours SELECT n FROM numbers",
    );
    break_index(&source, "of_ours", "CREATE INDEX of_ours ON ours (length(hex(zeroblob(500000 + a))))");
    (source, target)
}

#[apply(test)]
fn a_check_is_interrupted() {
    let (source, target) = source_that_takes_long();
    let run = Running::start(&source, &[&arguments(&target)[..], &["--ignore", "ours", "-v"]].concat());
    wait_until("the check has begun", || run.stderr().contains("running SQLite's integrity check on the source"));
    run.signal("TERM");
    run.finish().expect(143);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn an_abandoned_check_returns_its_connection() {
    let (source, _) = source_that_takes_long();
    block_on(async {
        let mut source = begin(&source).await;
        let examined = tokio::time::timeout(Duration::from_millis(500), source.examine(&Silence)).await;
        assert!(examined.is_err(), "it ended before it could be interrupted");
        // It waits for the connection.
        let finished = tokio::time::timeout(Duration::from_secs(10), source.finish()).await;
        assert!(finished.is_ok(), "the check continues");
    });
}

/// Opens a source as a move does.
async fn begin(source: &Database) -> Source {
    let (path, directory) = (source.file(), std::env::temp_dir());
    let terms = SnapshotOptions { lock_timeout: Duration::from_secs(1), directory: &directory };
    let snapshot = Snapshot::take(&path, &terms, &Silence).await.unwrap_or_else(|error| panic!("{error:?}"));
    Source::begin(snapshot).await.expect("a source")
}

#[apply(test)]
fn a_write_during_a_check_is_not_damage() {
    let (source, _) = source_with_a_broken_index();
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut begun = runtime.block_on(begin(&source));
    source.execute("UPDATE alert_sessions SET final_analysis = 'written meanwhile'");
    let examined = runtime.block_on(begun.examine(&Silence));
    assert!(matches!(examined, Err(SourceError::Changed { .. })), "{examined:?}");
}

/// A file with a history, whose bytes are then changed.
fn sound_history() -> Vec<u8> {
    let source = Database::sqlite().with_schema(Schema::Baseline);
    insert_many(&source, 20, 600, NOW_US);
    for session in ["a", "b", "c", "d"] {
        insert_session(&source, session, "completed", Some(NOW_US));
    }
    fs::read(source.file()).expect("the file is there")
}

/// Whether SQLite itself finds nothing wrong with a file.
fn is_sound(content: &[u8]) -> bool {
    let judged = Database::sqlite();
    fs::write(judged.file(), content).expect("a file");
    let found = block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&judged.driver_url()).await?;
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(&mut connection).await?;
        Ok::<_, sqlx::Error>(found)
    });
    found.is_ok_and(|lines| lines == ["ok"])
}

/// A byte that means something: most of the others are free space.
fn place_in_use(content: &[u8], random: &mut Random) -> usize {
    loop {
        let place = random.index(content.len());
        if content[place] != 0 {
            return place;
        }
    }
}

#[apply(campaign)]
fn a_file_with_changed_bytes_that_moves_is_one_that_sqlite_finds_sound() {
    let sound = sound_history();
    assert!(is_sound(&sound));
    let mut random = Random::new(campaign::first_seed());
    let (mut target, mut moved, mut damaged) = (Database::postgresql(), 0, 0);
    for number in 0..campaign::count(24, 330) {
        let mut content = sound.clone();
        let place = place_in_use(&content, &mut random);
        content[place] ^= 1 << random.below(8);
        let source = Database::sqlite();
        fs::write(source.file(), &content).expect("a file");
        let outcome = Outcome::of(&mut migrate(&source, &target));
        if outcome.code == Some(0) {
            assert!(is_sound(&content), "number {number}: byte {place} changed, and moved all the same");
            moved += 1;
            target = Database::postgresql();
        } else {
            let shown = format!("number {number}, byte {place}: {}", outcome.stderr);
            assert!([4, 7, 65, 73, 74].contains(&outcome.code.unwrap_or(-1)), "{shown}");
            damaged += u32::from(outcome.code == Some(74));
            assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0, "{shown}");
        }
    }
    assert!(moved > 0 && damaged > 0, "{moved} moved, {damaged} were damaged: this proves nothing");
}
