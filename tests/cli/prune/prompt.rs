//! `prune` on a terminal: the question before anything is removed. `script` lends the terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::prune::events::{init_with_events, insert_events};
use crate::prune::sessions::init;
use crate::support::history::insert_session;
use crate::support::{Database, apply, test};

/// Runs `prune` on a terminal of its own, answers its question, and gives the exit code and what was shown.
fn answered(database: &Database, answer: &str) -> (Option<i32>, String) {
    answered_to("prune --max-share 100%", database, answer)
}

/// Does as [`answered`] with a command line of the test's own.
pub(crate) fn answered_to(arguments: &str, database: &Database, answer: &str) -> (Option<i32>, String) {
    let mut terminal = on_a_terminal(arguments, database);
    let mut keyboard = terminal.stdin.take().expect("a keyboard");
    let mut screen = terminal.stdout.take().expect("a screen");
    let mut shown = String::new();
    let mut chunk = [0; 1024];
    while !shown.contains("[y/N]") {
        let length = screen.read(&mut chunk).expect("the terminal can be read");
        assert!(length > 0, "it ended without a question: {shown}");
        shown += &String::from_utf8_lossy(&chunk[..length]);
    }
    keyboard.write_all(answer.as_bytes()).expect("the terminal takes the answer");
    keyboard.flush().expect("the terminal takes the answer");
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = screen.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    });
    let answered = Instant::now();
    let mut ended = None;
    while ended.is_none() && answered.elapsed() < Duration::from_secs(10) {
        ended = terminal.try_wait().expect("the process can be asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    // What does not end by itself is ended here, and has no exit code.
    let _ = terminal.kill();
    let _ = terminal.wait();
    (ended.and_then(|status| status.code()), shown + &reader.join().expect("the reader does not panic"))
}

fn on_a_terminal(arguments: &str, database: &Database) -> Child {
    let command = format!("exec '{}' {arguments}", env!("CARGO_BIN_EXE_tarsy-db"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"]);
    script.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "dumb");
    script.current_dir(database.directory()).stdin(Stdio::piped()).stdout(Stdio::piped());
    script.spawn().expect("`script` of util-linux runs")
}

fn database_with_an_old_session() -> Database {
    let database = Database::sqlite();
    init(&database);
    insert_session(&database, "old", "completed", Some(0));
    database
}

#[apply(test)]
fn yes_removes() {
    let database = database_with_an_old_session();
    let (code, shown) = answered(&database, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("1 sessions with 4 rows"), "{shown}");
    assert!(shown.contains("; retention: 90 days (default)). Go on?"), "{shown}");
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn anything_else_removes_nothing() {
    for answer in ["n\n", "\n", "yess\n", "\u{4}"] {
        let database = database_with_an_old_session();
        let (code, shown) = answered(&database, answer);
        assert_eq!(code, Some(7), "{answer:?}: {shown}");
        assert_eq!(database.count("alert_sessions"), 1, "{answer:?}");
    }
}

#[apply(test)]
fn the_question_names_events_where_they_go() {
    let database = Database::sqlite();
    init_with_events(&database);
    insert_session(&database, "old", "completed", Some(0));
    insert_events(&database, &["'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.000000'"]);
    let (code, shown) = answered_to("prune --max-share 100% --events", &database, "n\n");
    assert_eq!(code, Some(7), "{shown}");
    assert!(shown.contains("1 sessions and 2 events with 6 rows"), "{shown}");
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
