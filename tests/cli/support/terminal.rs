//! The binary on a terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Database, Outcome};

/// Runs a command on a terminal of its own, answers its question, and gives the exit code and what was shown.
pub(crate) fn answered_to(arguments: &str, database: &Database, answer: &str) -> (Option<i32>, String) {
    let mut script = on_a_terminal(database, arguments);
    script.env("TERM", "dumb").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = script.spawn().expect("`script` of util-linux runs");
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

/// The binary on a terminal of its own, which `script` lends.
pub(crate) fn on_a_terminal(database: &Database, arguments: &str) -> Command {
    let command = format!("exec '{}' {arguments}", env!("CARGO_BIN_EXE_tarsy-db"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"]);
    script.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    script.current_dir(database.directory());
    script
}

/// What it shows there, with a variable of the environment.
#[track_caller]
pub(crate) fn shown_on_a_terminal(database: &Database, variable: (&str, &str), arguments: &str) -> String {
    outcome_on_a_terminal(database, variable, arguments).expect(0).stdout
}

/// The same with the exit code.
pub(crate) fn outcome_on_a_terminal(database: &Database, (name, value): (&str, &str), arguments: &str) -> Outcome {
    let mut script = on_a_terminal(database, arguments);
    let output = script.env(name, value).stdin(Stdio::null()).output().expect("`script` of util-linux runs");
    Outcome::from(output)
}
