//! Runs of `--append`.

use serde_json::{Value, json};

use super::history::insert_session;
use super::migration::{migrate, one_session_and_target, picture};
use super::{Database, Outcome};

/// Appends a source to a target.
pub(crate) fn append(source: &Database, target: &Database) -> Outcome {
    append_with(source, target, &[])
}

/// The same with more options.
pub(crate) fn append_with(source: &Database, target: &Database, more: &[&str]) -> Outcome {
    Outcome::of(migrate(source, target).arg("--append").args(more))
}

/// A source with the session `one`, and a target with the session `theirs`.
pub(crate) fn two_histories() -> (Database, Database) {
    let (source, target) = one_session_and_target();
    insert_session(&target, "theirs", "failed", None);
    (source, target)
}

/// Rows, inserted ones and skipped ones of a summary, and of a table of one.
pub(crate) fn came(summary: &Value) -> [Option<u64>; 3] {
    ["rows", "inserted", "skipped"].map(|name| summary[name].as_u64())
}

/// Asserts that an append is refused because of these rows, and that nothing was changed.
#[track_caller]
pub(crate) fn assert_conflicts(source: &Database, target: &Database, expected: &Value) -> Outcome {
    let before = picture(target);
    let refused = append(source, target).expect(7);
    assert_eq!(refused.json()["error"]["details"], *expected);
    assert!(before == picture(target));
    refused
}

/// A row that exists with other values.
pub(crate) fn difference(table: &str, key: &str, columns: &[&str]) -> Value {
    json!({ "table": table, "primary_key": key, "target_primary_key": key, "columns": columns })
}
