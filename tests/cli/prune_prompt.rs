//! `prune` on a terminal: the question before anything is removed. `script` lends the terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::prune::init;
use crate::support::Database;
use crate::support::history::insert_session;

/// Runs `prune` on a terminal of its own, answers its question, and gives the exit code and what was shown.
fn answered(database: &Database, answer: &str) -> (Option<i32>, String) {
    let mut terminal = on_a_terminal(database);
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

fn on_a_terminal(database: &Database) -> Child {
    let command = format!("exec '{}' prune", env!("CARGO_BIN_EXE_tarsy-db"));
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

#[test]
fn yes_removes() {
    let database = database_with_an_old_session();
    let (code, shown) = answered(&database, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("1 sessions with 4 rows"), "{shown}");
    assert_eq!(database.count("alert_sessions"), 0);
}

#[test]
fn anything_else_removes_nothing() {
    for answer in ["n\n", "\n", "yess\n", "\u{4}"] {
        let database = database_with_an_old_session();
        let (code, shown) = answered(&database, answer);
        assert_eq!(code, Some(7), "{answer:?}: {shown}");
        assert_eq!(database.count("alert_sessions"), 1, "{answer:?}");
    }
}

#[test]
fn control_c_ends_the_question() {
    let database = database_with_an_old_session();
    let (code, shown) = answered(&database, "\u{3}");
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(database.count("alert_sessions"), 1);
}
