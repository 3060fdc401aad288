//! `migrate-sqlite-to-postgres`: text that is a timestamp arrives as that timestamp; other text is listed.

use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{migrate, source_and_target};
use crate::support::{Database, Outcome, Schema, apply, test};

/// Both ends with one more column, the source's as SQLite declares it, and a session for each expression.
fn with_timestamps(expressions: &[&str]) -> (Database, Database) {
    let (source, target) = source_and_target();
    let target = target.with_schema(Schema::Baseline);
    source.execute("ALTER TABLE alert_sessions ADD COLUMN noted_at DATETIME");
    target.execute("ALTER TABLE alert_sessions ADD COLUMN noted_at timestamp");
    for (number, expression) in expressions.iter().enumerate() {
        insert_session(&source, &number.to_string(), "completed", Some(NOW_US));
        source.execute(&format!("UPDATE alert_sessions SET noted_at = {expression} WHERE session_id = '{number}'"));
    }
    (source, target)
}

#[apply(test)]
fn timestamps_arrive_to_the_microsecond() {
    let samples = [
        ("'2026-11-23 03:53:20'", Some("2026-11-23 03:53:20")),
        ("'2026-01-31 12:00:00.000000'", Some("2026-01-31 12:00:00")),
        ("'2026-01-31 12:00:00.000001'", Some("2026-01-31 12:00:00.000001")),
        ("'2026-01-31T12:00:00.5'", Some("2026-01-31 12:00:00.5")),
        ("'1999-12-31 23:59:59.999999'", Some("1999-12-31 23:59:59.999999")),
        ("'0001-01-01 00:00:00'", Some("0001-01-01 00:00:00")),
        ("'9999-12-31 23:59:59.999999'", Some("9999-12-31 23:59:59.999999")),
        ("datetime('2024-02-29 06:07:08')", Some("2024-02-29 06:07:08")),
        ("NULL", None),
    ];
    let (source, target) = with_timestamps(&samples.map(|(written, _)| written));
    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0).json();
    assert_eq!(moved["verified"], "full");
    let found = target.texts("SELECT noted_at::text FROM alert_sessions ORDER BY session_id");
    assert_eq!(found, samples.map(|(_, expected)| expected.map(str::to_owned)));
}

#[apply(test)]
fn text_that_is_no_timestamp_is_listed_and_nothing_is_written() {
    let hazards = [
        ("'2026-01-31 12:00:00+02:00'", "not a timestamp like 2026-01-31 12:00:00"),
        ("'2026-02-29 12:00:00'", "not a timestamp like 2026-01-31 12:00:00"),
        ("'2026-01-31 24:00:00'", "not a timestamp like 2026-01-31 12:00:00"),
        ("'yesterday'", "not a timestamp like 2026-01-31 12:00:00"),
        ("1769904000", "stored as INTEGER in a column that is timestamp without time zone"),
        ("2461072.5", "stored as REAL in a column that is timestamp without time zone"),
        ("x'00'", "stored as BLOB in a column that is timestamp without time zone"),
    ];
    let (source, target) = with_timestamps(&hazards.map(|(written, _)| written));
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(65).json();
    let listed = refused["error"]["details"].as_array().expect("a list of hazards");
    assert_eq!(listed.len(), hazards.len());
    each(hazards.iter().enumerate(), |(number, (written, reason))| {
        let key = number.to_string();
        let hazard = listed.iter().find(|hazard| hazard["primary_key"] == key.as_str());
        let hazard = hazard.unwrap_or_else(|| panic!("{written} is not listed"));
        assert_eq!((&hazard["column"], &hazard["reason"]), (&"noted_at".into(), &(*reason).into()), "{written}");
    });
    assert_eq!(target.count("alert_sessions"), 0);
}
