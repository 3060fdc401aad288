//! Messages and hints for each answer of a server, and for none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::cases::each;
use crate::support::fake_server::{greet, login, message, server_of, server_that_sends};
use crate::support::server::closed_port;
use crate::support::{Database, Role, apply, run_at, test, test_directory};

#[apply(test)]
fn the_hint_for_a_lost_connection_fits_the_command() {
    let url = server_of(drop);
    each([&["wait", "--timeout", "1s"][..], &["init", "--wait=1s"]], |arguments| {
        let shown = run_at(&url, arguments).expect(124).stderr;
        assert!(shown.contains("the other end closed") || shown.contains("reset"), "{shown}");
        assert!(!shown.contains("hint: "), "{arguments:?}: {shown}");
    });
    let shown = run_at(&url, &["wait", "--max-attempts", "1"]).expect(69).stderr;
    assert!(!shown.contains("hint: "), "{shown}");
    let shown = run_at(&url, &["info"]).expect(69).stderr;
    assert!(shown.ends_with("hint: run `tarsy-db wait`, then the same command again\n"), "{shown}");
}

#[apply(test)]
fn a_refused_wait_does_not_recommend_wait() {
    let (_socket, port) = closed_port();
    let url = format!("postgresql://tarsy@127.0.0.1:{port}/tarsy");
    let shown = run_at(&url, &["wait", "--timeout", "1s"]).expect(124).stderr;
    assert!(shown.ends_with("hint: check that the server is running and that host and port are right\n"), "{shown}");
    let shown = run_at(&url, &["info"]).expect(69).stderr;
    assert!(shown.ends_with("host and port are right, or run `tarsy-db wait` first\n"), "{shown}");
}

#[apply(test)]
fn a_missing_file_and_a_missing_database_have_hints_of_their_own() {
    let directory = test_directory();
    let file = directory.path().join("missing.db");
    let missing = run_at(&format!("sqlite:///{}", file.display()), &["info"]).expect(78).stderr;
    assert!(missing.contains(&format!("there is no file {}", file.display())), "{missing}");
    assert!(missing.ends_with("hint: check the path; `tarsy-db init` creates a new database there\n"), "{missing}");
    std::fs::write(directory.path().join("missing.db.zst"), "").expect("the file can be written");
    let compressed = run_at(&format!("sqlite:///{}", file.display()), &["info"]).expect(78).stderr;
    assert!(compressed.contains("`zstd -d ") && !compressed.contains("hint: "), "{compressed}");

    let server = Database::postgresql();
    let url = server.url().replace(server.name(), "no_such_database");
    let missing = run_at(&url, &["info"]).expect(78).stderr;
    let hint = "hint: check the database name in the URL; `tarsy-db init --create-database` creates";
    assert!(missing.contains(hint), "{missing}");
}

const OTHER_PROGRAM: &str = "is another program than PostgreSQL listening on this host and port?";

const CHECK_HOST_AND_PORT: &str =
    "hint: check host and port in the URL: the program there does not speak PostgreSQL's protocol\n";

#[apply(test)]
fn protocol_errors_are_reported_without_the_places_in_the_driver() {
    let http = server_of(|mut client| {
        let _ = client.read_exact(&mut [0; 8]);
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    each([http, server_that_sends(&message(b'?', b""))], |url| {
        let shown = run_at(&url, &["info"]).expect(69).stderr;
        assert!(shown.contains(OTHER_PROGRAM), "{shown}");
        assert!(!shown.contains("sqlx"), "{shown}");
        assert!(shown.ends_with(CHECK_HOST_AND_PORT), "{shown}");
        let waited = run_at(&url, &["wait", "--max-attempts", "1"]).expect(69).stderr;
        assert!(waited.ends_with(CHECK_HOST_AND_PORT), "{waited}");
    });
}

/// Confirms each statement, and never begins a transaction.
fn without_transactions(mut client: TcpStream) {
    let mut head = [0; 5];
    while client.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; length as usize - 4];
        if client.read_exact(&mut body).is_err() {
            return;
        }
        let answer = match head[0] {
            b'Q' => [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
            b'S' => message(b'Z', b"I"),
            _ => Vec::new(),
        };
        if client.write_all(&answer).is_err() {
            return;
        }
    }
}

#[apply(test)]
fn a_server_that_begins_no_transaction_is_classed_as_a_lost_connection() {
    let url = server_of(|mut client| {
        if greet(&mut client, &login()).is_ok() {
            without_transactions(client);
        }
    });
    let shown = run_at(&url, &["info"]).expect(69).stderr;
    assert!(shown.contains(OTHER_PROGRAM), "{shown}");
    assert!(shown.ends_with(CHECK_HOST_AND_PORT), "{shown}");
}

#[apply(test)]
fn a_server_that_is_silent_is_the_reason_and_not_the_pool() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let before_login = listener.local_addr().expect("an address").port();
    let before_login = format!("postgresql://tarsy@127.0.0.1:{before_login}/tarsy");
    let after_login = server_that_sends(&login());
    let more_time = format!("{before_login}?connect_timeout=11");
    std::thread::scope(|scope| {
        for (url, limit) in [(&before_login, "10s"), (&after_login, "10s"), (&more_time, "11s")] {
            scope.spawn(move || {
                let shown = run_at(url, &["info"]).expect(69).stderr;
                assert!(shown.contains(&format!("because: no answer within {limit}")), "{url}: {shown}");
            });
        }
    });
}

#[apply(test)]
fn the_hint_for_a_full_role_or_database_names_its_own_limit() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    each([("ROLE", role.name.as_str()), ("DATABASE", database.name())], |(kind, name)| {
        database.execute(&format!("ALTER {kind} {name} CONNECTION LIMIT 0"));
        let shown = run_at(&role.url(), &["info"]).expect(75).stderr;
        database.execute(&format!("ALTER {kind} {name} CONNECTION LIMIT -1"));
        assert!(shown.contains(&format!("`ALTER {kind} ... CONNECTION LIMIT ...`")), "{shown}");
        assert!(!shown.contains("max_connections"), "{shown}");
    });
}

/// An error as a server sends it.
fn refusal(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
}

#[apply(test)]
fn a_refused_login_is_a_fault_of_the_settings_or_of_the_server() {
    let settings = "check the role, the database, `options` in the URL";
    let lost = "run `tarsy-db wait`, then the same command again";
    let pooler = "add the name to `[databases]` of PgBouncer";
    let cases = [
        ("0A000", "doesn't support command-line options", 78, "remove `options` from the URL, or unset `PGOPTIONS`"),
        ("0A000", "not supported by this proxy", 78, settings),
        ("XX000", "Tenant or user not found", 78, settings),
        ("58000", "No pool configured for database", 78, settings),
        ("58P01", "could not access file \"x\"", 78, settings),
        ("42P01", "relation does not exist", 78, settings),
        ("08P01", "no such database: tarsy", 78, pooler),
        ("3D000", "no such database: tarsy", 78, pooler),
        ("53100", "could not write init file", 69, lost),
        ("XX000", "could not write init file\0Frelcache.c\0Rwrite_item", 69, lost),
        ("53200", "out of memory", 69, lost),
        ("53400", "configuration limit exceeded", 69, lost),
        ("XX001", "page damaged", 69, lost),
    ];
    each(cases, |(code, text, exit_code, hint)| {
        for before in [vec![], message(b'R', &[0; 4])] {
            let url = server_that_sends(&[before, refusal(code, text)].concat());
            let (said, _) = text.split_once('\0').unwrap_or((text, ""));
            run_at(&format!("{url}?options=-ca.b%3Dc"), &["info"]).expect(exit_code).tells(&[said, hint]);
        }
    });
}

#[apply(test)]
fn a_server_with_messages_in_another_language_has_the_same_exit_codes_and_hints() {
    let accepts_none = "Datenbank »tarsy« akzeptiert gegenwärtig keine Verbindungen";
    let cases = [
        ("55000", accepts_none, "CheckMyDatabase", 69, "`ALTER DATABASE ... ALLOW_CONNECTIONS true`"),
        (
            "55000",
            "Verbindung mit ungültiger Datenbank",
            "InitPostgres",
            78,
            "drop that database, because a DROP DATABASE",
        ),
        ("53300", "zu viele Verbindungen", "InitializeSessionUserId", 75, "`ALTER ROLE ... CONNECTION LIMIT ...`"),
        ("53300", "zu viele Verbindungen", "CheckMyDatabase", 75, "`ALTER DATABASE ... CONNECTION LIMIT ...`"),
        (
            "53300",
            "tut mir leid, schon zu viele Verbindungen",
            "InitProcess",
            75,
            "raise the server's `max_connections`",
        ),
    ];
    each(cases, |(code, text, routine, exit_code, hint)| {
        let url = server_that_sends(&refusal(code, &format!("{text}\0R{routine}")));
        run_at(&url, &["info"]).expect(exit_code).tells(&[text, hint]);
    });
}

#[apply(test)]
fn a_server_that_cannot_start_a_process_says_so_in_plain_text() {
    let text = "could not fork new process for connection: Resource temporarily unavailable";
    let url = server_that_sends(format!("E{text}\n\0").as_bytes());
    for mode in ["disable", "prefer"] {
        let refused = run_at(&format!("{url}?sslmode={mode}"), &["info"]).expect(69);
        refused.tells(&[&format!("because: {text}\n"), "run `tarsy-db wait`"]);
    }
}

#[apply(test)]
fn a_time_limit_that_ends_a_session_is_named() {
    let cases = [
        ("57P05", "idle_session_timeout", "terminating connection due to idle-session timeout"),
        ("25P03", "idle_in_transaction_session_timeout", "terminating connection due to idle-in-transaction timeout"),
        ("25P04", "transaction_timeout", "terminating connection due to transaction timeout"),
    ];
    each(cases, |(code, setting, text)| {
        let url = server_that_sends(&[login(), refusal(code, text)].concat());
        for arguments in [&["info"][..], &["check"], &["wait", "--max-attempts", "1"]] {
            let shown = run_at(&url, arguments).expect(69);
            shown.tells(&[&format!("`ALTER ROLE ... RESET {setting}`")]);
            assert!(!shown.stderr.contains("tarsy-db wait"), "{}", shown.stderr);
        }
    });
}
