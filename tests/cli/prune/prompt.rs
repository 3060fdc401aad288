//! `prune` on a terminal: the question before anything is removed. `script` lends the terminal.

use crate::support::cases::each;
use crate::support::event::{init_with_events, insert_events};
use crate::support::history::insert_session;
use crate::support::terminal::answered_to;
use crate::support::{Database, Schema, apply, test};

/// Runs `prune` on a terminal of its own, answers its question, and gives the exit code and what was shown.
fn answered(database: &Database, answer: &str) -> (Option<i32>, String) {
    answered_to("prune --max-share 100%", database, answer)
}

fn database_with_an_old_session() -> Database {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(0));
    database
}

#[apply(test)]
fn yes_removes() {
    let database = database_with_an_old_session();
    let (code, shown) = answered(&database, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("this would remove 1 session from /") && shown.contains(": 4 rows with "), "{shown}");
    assert!(shown.contains("; retention: 90 days (default)). Continue?"), "{shown}");
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn anything_else_removes_nothing() {
    each(["n\n", "\n", "yess\n", "\u{4}"], |answer| {
        let database = database_with_an_old_session();
        let (code, shown) = answered(&database, answer);
        assert_eq!(code, Some(7), "{answer:?}: {shown}");
        assert_eq!(database.count("alert_sessions"), 1, "{answer:?}");
    });
}

#[apply(test)]
fn the_question_names_events_where_they_go() {
    let database = Database::sqlite();
    init_with_events(&database);
    insert_session(&database, "old", "completed", Some(0));
    insert_events(&database, &["'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.000000'"]);
    let (code, shown) = answered_to("prune --max-share 100% --events", &database, "n\n");
    assert_eq!(code, Some(7), "{shown}");
    assert!(shown.contains("1 session and 2 events from /") && shown.contains(": 6 rows with "), "{shown}");
    assert!(shown.contains("events from before "), "{shown}");
    assert_eq!(database.count("events"), 2);
    let (code, shown) = answered_to("prune --max-share 100% --events", &database, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!((database.count("events"), database.count("alert_sessions")), (0, 0));
}

#[apply(test)]
fn control_c_ends_the_question() {
    let database = database_with_an_old_session();
    let (code, shown) = answered(&database, "\u{3}");
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(database.count("alert_sessions"), 1);
}
