//! `prune --metrics-file`: what a run did, for the node exporter.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cases::each;
use crate::support::history::{NOW, NOW_US, OLD_US, insert_session};
use crate::support::process::Held;
use crate::support::prune::{prune, refuse_to_delete, start_to_prune};
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

const FILE: &str = "tarsy-db.prom";

fn path(database: &Database) -> PathBuf {
    database.directory().join(FILE)
}

fn text(database: &Database) -> String {
    fs::read_to_string(path(database)).expect("there are metrics")
}

/// The value of a metric.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(&format!("tarsy_db_prune_{name}{{")))?;
    Some(line.rsplit_once(' ').expect("a value").1.parse().expect("a number"))
}

fn run(database: &Database, more: &[&str], code: i32) {
    prune(database, &[&["--yes", "--metrics-file", FILE], more].concat()).expect(code);
}

fn with_sessions(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "one", "completed", Some(OLD_US));
    insert_session(database, "two", "completed", Some(OLD_US + 1));
    insert_session(database, "active", "pending", Some(OLD_US + 2));
    insert_session(database, "new", "completed", Some(NOW_US));
}

#[apply(test)]
fn a_run_tells_what_it_removed_and_what_is_left(database: &Database) {
    with_sessions(database);
    run(database, &[], 0);
    let told = text(database);
    let expected = [("sessions_deleted", 2.0), ("sessions_remaining", 1.0), ("retention_set", 1.0), ("exit_code", 0.0)];
    for (name, expected) in expected {
        assert_eq!(value(&told, name), Some(expected), "{name} in\n{told}");
    }
    for table in ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"] {
        assert!(told.contains(&format!("table=\"{table}\"}} 2\n")), "{table} in\n{told}");
    }
    // The active one is the oldest.
    let oldest = format!(" {}.{:06}\n", (OLD_US + 2) / 1_000_000, (OLD_US + 2) % 1_000_000);
    assert!(
        told.lines().any(|line| line.contains("oldest_session") && format!("{line}\n").ends_with(&oldest)),
        "{told}"
    );
    assert_eq!(value(&told, "last_success_timestamp_seconds"), value(&told, "last_run_timestamp_seconds"));
    assert!(value(&told, "duration_seconds").is_some_and(|seconds| seconds > 0.0));
    assert!(!told.contains("test-password"), "{told}");

    // Also where there is nothing to do.
    run(database, &[], 0);
    assert_eq!(value(&text(database), "sessions_deleted"), Some(0.0));
}

#[apply(test)]
fn after_a_failure_the_last_success_is_kept(database: &Database) {
    with_sessions(database);
    prune(database, &["--yes", "--metrics-file", FILE, "--older-than", "1000d"]).expect(0);
    let success = value(&text(database), "last_success_timestamp_seconds");
    assert!(success.is_some());
    refuse_to_delete(database, "alert_sessions", "OLD.session_id = 'two'");
    let code = prune(database, &["--yes", "--metrics-file", FILE]).code.expect("a code");
    assert_ne!(code, 0);
    let told = text(database);
    assert_eq!(value(&told, "exit_code"), Some(code.into()));
    assert_eq!((value(&told, "sessions_deleted"), value(&told, "sessions_remaining")), (Some(1.0), Some(2.0)));
    assert_eq!(value(&told, "last_success_timestamp_seconds"), success);
    assert!(value(&told, "last_run_timestamp_seconds") > success);
    run(database, &["--status", "completed", "--max-duration", "0s", "--fail-if-remaining"], 6);
    assert_eq!(value(&text(database), "exit_code"), Some(6.0));
    assert_eq!(value(&text(database), "last_success_timestamp_seconds"), success);
}

#[apply(test)]
fn a_run_that_is_refused_tells_so(database: &Database) {
    with_sessions(database);
    let mut command = tarsy_db(database);
    Outcome::of(command.args(["prune", "--now", NOW, "--yes", "--max-share", "10%", "--metrics-file", FILE])).expect(7);
    let told = text(database);
    assert_eq!((value(&told, "exit_code"), value(&told, "sessions_deleted")), (Some(7.0), Some(0.0)));
    assert_eq!(value(&told, "last_success_timestamp_seconds"), None);
}

#[apply(test)]
fn a_place_that_holds_something_else_is_refused_before_anything_is_removed(database: &Database) {
    with_sessions(database);
    let other = Database::sqlite();
    other.create_schema(Schema::Baseline);
    let theirs = other.file();
    let before = fs::read(&theirs).expect("the file");
    let missing = other.directory().join("missing/tarsy.prom");
    // Not even root creates a file there.
    let unwritable = Path::new("/proc/sys/tarsy.prom");
    each([theirs.as_path(), other.directory(), &missing, unwritable], |place| {
        let place = place.display().to_string();
        let refused = prune(database, &["--yes", "--metrics-file", &place]);
        assert_eq!((refused.code, database.count("alert_sessions")), (Some(73), 4), "{place}: {}", refused.stderr);
        assert_eq!(refused.stderr.contains("hint: create the directory"), place.contains("missing"), "{place}");
    });
    assert!(fs::read(&theirs).expect("the file") == before);
}

#[apply(test)]
fn the_second_of_two_runs_leaves_the_metrics_to_the_first() {
    let database = Database::postgresql();
    with_sessions(&database);
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let first = start_to_prune(&database, &["--metrics-file", FILE]);
    Held::wait_for_halted_commit(&database);
    run(&database, &[], 0);
    assert!(!path(&database).exists());
    halt.close();
    first.finish().expect(0);
    assert_eq!(value(&text(&database), "sessions_deleted"), Some(2.0));
}

#[apply(test)]
fn the_database_is_no_place_for_metrics() {
    let database = Database::sqlite();
    with_sessions(&database);
    prune(&database, &["--yes", "--metrics-file", "history.db"]).expect(73);
    assert_eq!(database.count("alert_sessions"), 4);
}
