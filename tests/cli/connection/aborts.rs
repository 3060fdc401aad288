//! Nothing from outside aborts the process: no server that violates the protocol, no flag, no file. If the driver
//! panics, the error is one line, and no private copy is left.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::support::cases::each;
use crate::support::fake_server::{login, message, server_that_sends};
use crate::support::history::{NOW_US, insert_session};
use crate::support::sqlite_file::{names, with_left_over_wal};
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, run_at, tarsy_db, test, test_directory};

/// Each of them connects first.
const COMMANDS: [&[&str]; 6] = [
    &["init"],
    &["wait", "--max-attempts", "1"],
    &["check"],
    &["info"],
    &["prune", "--yes"],
    &["prune", "--dry-run", "--events"],
];

fn error_response(code: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0Mnot today\0\0").as_bytes())
}

/// Makes sure that the error is one line, and not that of a panic.
#[track_caller]
fn is_one_line(outcome: &Outcome) {
    let lines = outcome.worries();
    assert_eq!(lines.len(), 1, "{}", outcome.stderr);
    assert!(lines[0].starts_with("error: "), "{}", outcome.stderr);
    for word in ["panicked", "backtrace", "registry", "test-password"] {
        assert!(!outcome.stderr.contains(word), "{}", outcome.stderr);
    }
}

#[apply(test)]
fn an_error_whose_sqlstate_is_short_is_an_error_like_others() {
    each(["", "2", "2\u{e9}", "\u{1f680}", "28", "280000000"], |code| {
        let url = server_that_sends(&error_response(code));
        let expected = if code.starts_with("28") { 77 } else { 78 };
        for arguments in COMMANDS {
            let outcome = run_at(&url, arguments).expect(expected);
            let shown = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(shown.contains("not today") && !shown.contains("panicked"), "{code:?} {arguments:?}: {shown}");
        }
    });
}

#[apply(test)]
fn a_message_that_is_shorter_than_its_own_length_is_an_error_of_one_line() {
    each(0..4_u32, |length| {
        let message = [&b"R"[..], &length.to_be_bytes(), b"\0\0\0\0\0\0\0\0"].concat();
        let during_login = run_at(&server_that_sends(&message), &["info"]).expect(69).stderr;
        assert!(during_login.contains("violates the PostgreSQL protocol"), "{during_login}");
        let url = server_that_sends(&[login(), message].concat());
        for arguments in COMMANDS {
            let outcome = run_at(&url, arguments).expect(1);
            is_one_line(&outcome);
            assert!(outcome.stderr.contains("violates the PostgreSQL protocol"), "{}", outcome.stderr);
            let document = run_at(&url, &[arguments, &["--output", "json"]].concat()).expect(1).json();
            assert_eq!(document["error"]["exit_code"], 1);
            assert!(
                document["error"]["message"].to_string().contains("violates the PostgreSQL protocol"),
                "{document}"
            );
        }
        let logged = run_at(&url, &["info", "--log-format", "json"]).expect(1).stderr;
        let line: Value = serde_json::from_str(logged.trim_end()).expect("one line of JSON");
        assert_eq!(line["level"], "ERROR", "{line}");
    });
}

/// The answers that a server may send instead of a login, truncated or wrong at each position.
fn broken_answers() -> Vec<Vec<u8>> {
    let then = |message: Vec<u8>| [login(), message].concat();
    vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        message(b'R', b""),
        message(b'R', b"\0\0\0\x05\0"),
        message(b'R', b"\0\0\0\x0a"),
        message(b'R', b"\0\0\0\x0aSCRAM"),
        message(b'R', b"\0\0\0\x0b"),
        message(b'R', b"\0\0\0\x0br=,s=,i="),
        message(b'R', b"\0\0\0\x0c"),
        message(b'R', b"\xff\xff\xff\xff"),
        message(b'E', b""),
        message(b'E', b"S"),
        message(b'E', b"C28000"),
        message(b'N', b"\xff\0"),
        message(b'S', b"server_version"),
        [message(b'R', &[0; 4]), message(b'K', b"\0")].concat(),
        [message(b'R', &[0; 4]), message(b'S', b"server_version\x009999999999.99\0")].concat(),
        [message(b'R', &[0; 4]), message(b'Z', b"")].concat(),
        [message(b'R', &[0; 4]), message(b'Z', b"?")].concat(),
        then(message(b'T', b"")),
        then(message(b'T', b"\xff\xff")),
        then(message(b'T', b"\0\x01name\0")),
        then(message(b'C', b"")),
        then(message(b'D', b"\0\x01\x7f\xff\xff\xff")),
        then(message(b'G', b"\0")),
        then(message(b'A', b"")),
        then(message(b't', b"\xff")),
        vec![0; 64],
        vec![0xff; 64],
    ]
}

#[apply(test)]
fn no_answer_of_a_server_ends_in_an_abort() {
    each(broken_answers(), |answer| {
        let url = server_that_sends(&answer) + "?connect_timeout=1";
        let outcome = run_at(&url, &["wait", "--max-attempts", "1", "--timeout", "3s"]);
        let is_an_exit = outcome.code.is_some_and(|code| [1, 65, 69, 77, 78, 124].contains(&code));
        assert!(is_an_exit, "{answer:?}: {:?} {}", outcome.code, outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{answer:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("error: "), "{answer:?}: {}", outcome.stderr);
    });
}

#[apply(test)]
fn no_private_copy_and_no_unfinished_report_stays() {
    let url = server_that_sends(&[login(), b"R\0\0\0\0\0\0\0\0".to_vec()].concat());
    let temporary = test_directory();
    let source = with_left_over_wal();
    let directory = source.directory();
    let before = names(directory);
    let mut command = bare_tarsy_db(directory);
    command.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--to", &url, "--report", "move.json", "-v"]);
    let outcome = Outcome::of(command.env("TMPDIR", temporary.path())).expect(1);
    assert!(outcome.stderr.contains("read from a temporary copy"), "no copy was needed: {}", outcome.stderr);
    assert!(outcome.stderr.contains("violates the PostgreSQL protocol"), "{}", outcome.stderr);
    assert_eq!(names(temporary.path()), Vec::<String>::new());
    assert_eq!(names(directory), before);
}

/// Forwards to a server's port, and garbles the answer to a COMMIT. Returns its own port.
fn garbler_of_commits(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
            let (mut from_server, mut to_client) = both(&server, &client);
            let (mut from_client, mut to_server) = both(&client, &server);
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            std::thread::spawn(move || {
                let mut chunk = vec![0; 65536];
                while let Ok(length @ 1..) = from_client.read(&mut chunk) {
                    let garbled = chunk[..length].windows(7).any(|words| words == b"COMMIT\0");
                    let (to, bytes) =
                        if garbled { (&client, &b"R\0\0\0\0"[..]) } else { (&to_server, &chunk[..length]) };
                    if (&*to).write_all(bytes).is_err() {
                        return;
                    }
                }
                let _ = to_server.flush();
            });
        }
    });
    port
}

fn both(from: &TcpStream, to: &TcpStream) -> (TcpStream, TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
    (clone(from), clone(to))
}

/// The report may hold the only copy of changed values, and the outcome of the COMMIT is unknown.
#[apply(test)]
fn a_complete_report_outlives_an_unreadable_answer_to_the_commit() {
    let source = Database::sqlite().with_schema(Schema::Baseline);
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    let target = Database::postgresql();
    let url = target.url_through(garbler_of_commits(target.port()));
    let mut command = bare_tarsy_db(source.directory());
    command.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--to", &url]);
    let outcome = Outcome::of(command.args(["--on", "nul=strip", "--report", "move.json"])).expect(1);
    assert!(outcome.stderr.contains("violates the PostgreSQL protocol"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("if it did, this is its report: move.json"), "{}", outcome.stderr);
    let report = std::fs::read_to_string(source.directory().join("move.json")).expect("it can be read");
    let report: Value = serde_json::from_str(&report).expect("it is complete");
    assert_eq!((&report["changes"][0]["class"], &report["outcome"]), (&json!("nul"), &json!("pending")), "{report}");
}

#[apply(test)]
fn the_longest_waits_are_waits(database: &Database) {
    database.create_schema(Schema::Baseline);
    each(["30d", "100years", "100000years"], |limit| {
        Outcome::of(tarsy_db(database).args(["init", "--lock-timeout", limit])).expect(0);
        Outcome::of(tarsy_db(database).args(["wait", "--timeout", limit, "--max-interval", limit])).expect(0);
        let prune = ["prune", "--yes", "--batch-time", limit, "--max-duration", limit, "--retry-for", limit];
        Outcome::of(tarsy_db(database).args(prune)).expect(0);
    });
}

#[apply(test)]
fn the_longest_waits_for_a_file_are_waits() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(NOW_US));
    each(["2147483", "2147484", "1e15"], |timeout| {
        for arguments in [&["init"][..], &["info"], &["check", "--fix"], &["prune", "--yes", "--max-share", "100%"]] {
            let mut command = tarsy_db(&database);
            command.env("DATABASE_URL", format!("sqlite:///history.db?timeout={timeout}"));
            Outcome::of(command.args(arguments)).expect(0);
        }
        let from = format!("sqlite:///history.db?timeout={timeout}");
        let mut command = bare_tarsy_db(database.directory());
        Outcome::of(command.args(["migrate-sqlite-to-postgres", "--from", &from, "--check-only"])).expect(0);
    });
    let mut command = bare_tarsy_db(database.directory());
    command.args(["migrate-sqlite-to-postgres", "--check-only", "--lock-timeout", "30d"]);
    Outcome::of(&mut command).expect(0);
}

#[apply(test)]
fn no_terminal_is_too_narrow() {
    let database = Database::sqlite();
    database.create_schema(Schema::Head);
    each(["0", "1", "3", "20"], |columns| {
        let mut script = std::process::Command::new("script");
        let binary = env!("CARGO_BIN_EXE_tarsy-db");
        script.args(["--quiet", "--return", "--command"]);
        script.arg(format!("stty columns {columns}; '{binary}' info && '{binary}' check")).arg("/dev/null");
        script.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm");
        script.current_dir(database.directory()).stdin(std::process::Stdio::null());
        Outcome::from(script.output().expect("`script` runs")).expect(0);
    });
}

#[apply(test)]
fn a_path_with_a_nul_is_an_error() {
    let directory = test_directory();
    let settings = "[database]\nurl = \"sqlite:///a\\u0000b.db\"\n";
    std::fs::write(directory.path().join("tarsy-db.toml"), settings).expect("the file can be written");
    each(COMMANDS, |arguments| {
        let outcome = Outcome::of(bare_tarsy_db(directory.path()).args(arguments));
        assert!(outcome.code.is_some_and(|code| [0, 73, 74, 78].contains(&code)), "{arguments:?} {:?}", outcome.code);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    });
}
