//! What a server answers, or does not answer, is told in words, and with a hint, that fit.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::cases::each;
use crate::support::fake_server::{greet, login, message, server_of, server_that_sends};
use crate::support::server::closed_port;
use crate::support::{Database, Role, apply, run_at, test};

#[apply(test)]
fn a_lost_connection_is_hinted_at_as_it_suits_the_command() {
    let url = server_of(drop);
    each([&["wait", "--timeout", "1s"][..], &["init", "--wait=1s"]], |arguments| {
        let told = run_at(&url, arguments).expect(124).stderr;
        assert!(told.contains("closed by the other end") || told.contains("reset"), "{told}");
        assert!(!told.contains("hint: "), "{arguments:?}: {told}");
    });
    let told = run_at(&url, &["wait", "--max-attempts", "1"]).expect(69).stderr;
    assert!(!told.contains("hint: "), "{told}");
    let told = run_at(&url, &["info"]).expect(69).stderr;
    assert!(told.ends_with("hint: `tarsy-db wait` waits until the server is back\n"), "{told}");
}

#[apply(test)]
fn a_wait_is_not_told_to_wait_where_the_connection_is_refused() {
    let (_socket, port) = closed_port();
    let url = format!("postgresql://tarsy@127.0.0.1:{port}/tarsy");
    let told = run_at(&url, &["wait", "--timeout", "1s"]).expect(124).stderr;
    assert!(told.ends_with("hint: is the server running, and are host and port right?\n"), "{told}");
    let told = run_at(&url, &["info"]).expect(69).stderr;
    assert!(told.ends_with("host and port right? `tarsy-db wait` waits for it\n"), "{told}");
}

const OTHER_PROGRAM: &str = "does something other than PostgreSQL answer at this host and port?";

#[apply(test)]
fn what_breaks_the_protocol_is_told_without_the_places_in_the_driver() {
    let http = server_of(|mut client| {
        let _ = client.read_exact(&mut [0; 8]);
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    each([http, server_that_sends(&message(b'?', b""))], |url| {
        let told = run_at(&url, &["info"]).expect(69).stderr;
        assert!(told.contains(OTHER_PROGRAM), "{told}");
        assert!(!told.contains("sqlx"), "{told}");
    });
}

/// Does what each statement asks for, as it says, and never is in a transaction.
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
    let told = run_at(&url, &["info"]).expect(69).stderr;
    assert!(told.contains(OTHER_PROGRAM), "{told}");
    assert!(told.ends_with("hint: `tarsy-db wait` waits until the server is back\n"), "{told}");
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
                let told = run_at(url, &["info"]).expect(69).stderr;
                assert!(told.contains(&format!("because: no answer within {limit}")), "{url}: {told}");
            });
        }
    });
}

#[apply(test)]
fn a_role_or_a_database_without_a_connection_left_is_hinted_at_its_own_limit() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    each([("ROLE", role.name.as_str()), ("DATABASE", database.name())], |(kind, name)| {
        database.execute(&format!("ALTER {kind} {name} CONNECTION LIMIT 0"));
        let told = run_at(&role.url(), &["info"]).expect(75).stderr;
        database.execute(&format!("ALTER {kind} {name} CONNECTION LIMIT -1"));
        assert!(told.contains(&format!("`ALTER {kind} ... CONNECTION LIMIT ...`")), "{told}");
        assert!(!told.contains("max_connections"), "{told}");
    });
}
