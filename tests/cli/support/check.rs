//! Runs of `check` and their findings.

use super::{Database, Outcome, tarsy_db};

pub(crate) fn check(database: &Database, arguments: &[&str]) -> Outcome {
    // A history of any age is within the retention unless a test says otherwise.
    let mut command = tarsy_db(database);
    command.env("HISTORY_RETENTION_DAYS", "3650");
    Outcome::of(command.args(["check", "--output", "json"]).args(arguments))
}

/// What one check found: its status and detail.
#[track_caller]
pub(crate) fn finding(outcome: &Outcome, name: &str) -> (String, String) {
    let report = outcome.json();
    let checks = report["checks"].as_array().expect("a list of checks");
    let found = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {report}"));
    let text = |field: &str| found[field].as_str().expect("a text").to_owned();
    (text("status"), text("detail"))
}

/// Asserts that `check` exits with `code`, and the status and detail of the check of that name.
#[track_caller]
pub(crate) fn finds(database: &Database, code: i32, name: &str, status: &str, detail: &str) {
    is_found(&check(database, &[]).expect(code), name, status, detail);
}

#[track_caller]
pub(crate) fn is_found(outcome: &Outcome, name: &str, status: &str, detail: &str) {
    let found = finding(outcome, name);
    assert_eq!(found.0, status, "{}", found.1);
    assert!(found.1.contains(detail), "expected `{detail}` in `{}`", found.1);
    assert_eq!(outcome.json()["exit_code"], outcome.code.expect("an exit code"));
}
