//! Logins as libpq makes them: with and without encryption, by password and by certificate.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::cases::each;
use crate::support::certificate::{Authority, encrypted};
use crate::support::fake_server::{login, message, server_of, server_that_sends};
use crate::support::server::{PASSWORD, Server};
use crate::support::{Database, Outcome, Role, apply, run_at, test, test_directory, write_file};

const ONCE: [&str; 5] = ["wait", "--max-attempts", "1", "--for", "connect"];

/// Makes one attempt with these parameters.
fn connect(server: &Server, parameters: &str) -> Outcome {
    run_at(&format!("{}?{parameters}", server.url("postgres")), &ONCE)
}

#[apply(test)]
fn another_encryption_is_tried_where_the_mode_allows_it() {
    const ANY: &str = "all all 127.0.0.1/32 scram-sha-256";
    let authority = Authority::new("known");
    let encrypted = authority.server_that_allows(&format!("hostssl {ANY}"));
    let plain = authority.server_that_allows(&format!("hostnossl {ANY}"));
    let cases = [("disable", 77, 0), ("allow", 0, 0), ("prefer", 0, 0), ("require", 0, 77)];
    each(cases, |(mode, with_tls, without)| {
        connect(&encrypted, &format!("sslmode={mode}")).expect(with_tls);
        connect(&plain, &format!("sslmode={mode}")).expect(without);
    });
}

#[apply(test)]
fn the_reason_of_both_attempts_is_shown_once() {
    let server = Authority::new("known").server_that_allows("hostssl all all 127.0.0.1/32 scram-sha-256");
    let wrong = server.url("postgres").replace(PASSWORD, "wrong");
    let refused = |mode: &str| run_at(&format!("{wrong}?sslmode={mode}"), &ONCE).expect(77).stderr;
    for mode in ["allow", "prefer"] {
        assert!(
            refused(mode).contains("password authentication failed for user \"postgres\"; in plain text: no pg_hba")
        );
    }
    assert!(!refused("require").contains("in plain text"));
    let server = Authority::new("known").server_that_allows("host all all 127.0.0.1/32 scram-sha-256");
    let wrong = server.url("postgres").replace(PASSWORD, "wrong");
    let shown = run_at(&wrong, &ONCE).expect(77).stderr;
    assert!(!shown.contains("in plain text"), "{shown}");
}

#[apply(test)]
fn passwords_that_saslprep_refuses_are_used_as_they_are() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let cases = [
        ("\u{1f600}", "%F0%9F%98%80"),
        ("with\ttab", "with%09tab"),
        ("newline\n", "newline%0A"),
        // A soft hyphen is left out, and a letter in full width is the letter.
        ("so\u{ad}ft", "soft"),
        ("\u{ff41}b", "ab"),
    ];
    each(cases, |(password, encoded)| {
        database.execute(&format!("ALTER ROLE {} PASSWORD '{password}'", role.name));
        run_at(&role.url().replace(PASSWORD, encoded), &ONCE).expect(0);
        run_at(&role.url().replace(PASSWORD, &format!("{encoded}x")), &ONCE).expect(77);
    });
}

/// The server prepares the password that it stores, tarsy-db the one that it sends.
#[apply(test)]
fn a_password_is_prepared_as_the_server_prepares_it() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let in_one_block = format!("{}\u{e9}", "x".repeat(62));
    let in_two_blocks = format!("{}\u{1f233}", "x".repeat(62));
    let cases = [
        // Unicode 3.2, which SASLprep is made for, does not have these. What they are normalized to it has.
        "pass\u{1f233}word",
        "\u{1f250}",
        "\u{1f130}",
        "\u{32ff}",
        "\u{1ee00}",
        "a\u{2c7c}",
        "\u{1d2c}",
        // SASLprep leaves nothing of these.
        "\u{ad}",
        "\u{fe0f}",
        "\u{200c}\u{200d}",
        // What is prohibited, or written from right to left, before the normalization and not after it.
        "a\u{340}",
        "a\u{341}",
        "\u{2135}a",
        // Neither ends in a letter of the other direction.
        "\u{5d0}\u{1d6c1}\u{5d0}",
        "\u{5d0}\u{2801}\u{5d0}",
        // SASLprep changes these.
        "I \u{2764}\u{fe0f} pg",
        "no\u{a0}break",
        "\u{212b}\u{fb01}\u{2168}",
        &"long\u{ff41}".repeat(100),
        &in_one_block,
        &in_two_blocks,
    ];
    each(cases, |password| {
        database.execute(&format!("ALTER ROLE {} PASSWORD '{password}'", role.name));
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        run_at(&role.url().replace(PASSWORD, &encoded), &ONCE).expect(0);
        run_at(&role.url().replace(PASSWORD, &format!("{encoded}x")), &ONCE).expect(77);
    });
}

#[apply(test)]
fn every_kind_of_password_is_sent_as_the_server_asks_for_it() {
    let server = Server::create(&["password_encryption = md5"]);
    server.allow(
        "host all postgres 127.0.0.1/32 password\nhost all hashed 127.0.0.1/32 md5\nhost all free 127.0.0.1/32 trust",
    );
    server.run();
    let mut connection = server.connection();
    connection.execute("CREATE ROLE hashed LOGIN PASSWORD 'test-password'; CREATE ROLE free LOGIN");
    connection.close();
    let url = |login: &str| format!("postgresql://{login}@127.0.0.1:{}/postgres", server.port);
    for login in ["postgres:test-password", "hashed:test-password", "free", "free:any"] {
        run_at(&url(login), &ONCE).expect(0);
    }
    for login in ["postgres:wrong", "hashed:wrong"] {
        run_at(&url(login), &ONCE).expect(77);
    }
    let missing = run_at(&url("hashed"), &ONCE).expect(77).stderr;
    assert!(missing.contains("the server asks for a password, and none is given"), "{missing}");
    assert!(missing.contains("hint: give the password in the URL"), "{missing}");
}

#[apply(test)]
fn a_refused_login_has_the_hint_of_its_cause() {
    let server = Server::create(&[]);
    server.allow("host all closed,missing 127.0.0.1/32 trust");
    server.run();
    let mut connection = server.connection();
    connection.execute("CREATE ROLE closed NOLOGIN");
    connection.close();
    let refused = |user: &str| run_at(&format!("postgresql://{user}@127.0.0.1:{}/postgres", server.port), &ONCE);
    refused("closed").expect(77).tells(&["run `ALTER ROLE \"closed\" LOGIN`"]);
    refused("missing").expect(77).tells(&["run `CREATE ROLE \"missing\" LOGIN`"]);
}

#[apply(test)]
fn answers_that_no_server_gives_are_refused() {
    const OK: [u8; 4] = [0; 4];
    let offer = [&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"].concat();
    let refused = |answer: &[u8]| run_at(&format!("{}?sslmode=disable", server_that_sends(answer)), &ONCE);
    refused(&message(b'R', &offer)).expect(78).tells(&["SCRAM-SHA-256-PLUS on a connection without TLS"]);
    let incomplete = "a message about the session is not complete";
    for about_session in [message(b'K', b""), message(b'Z', b""), message(b'S', b"name\0value")] {
        refused(&[message(b'R', &OK), about_session, login()].concat()).expect(69).tells(&[incomplete]);
    }
    let many = message(b'S', format!("{}\0b\0", "a".repeat(20_000)).as_bytes()).repeat(20);
    refused(&[message(b'R', &OK), many].concat()).expect(69).tells(&["too many settings of the session"]);
}

#[apply(test)]
fn what_a_server_said_before_it_closed_the_connection_is_the_reason() {
    let server = server_of(|mut client| {
        // With four bytes that are not read, the socket is reset when it is closed.
        let _ = client.read_exact(&mut [0; 4]);
        let _ = client.write_all(&[b"N", &message(b'E', b"C53300\0Mtoo many clients\0\0")[..]].concat());
    });
    each(0..10, |_| {
        run_at(&server, &ONCE).expect(75).tells(&["too many clients"]);
    });
}

#[apply(test)]
fn a_client_certificate_of_an_unknown_ca_is_refused_for_that_reason() {
    let server = Authority::new("known").server_that_allows("hostssl all all 127.0.0.1/32 cert");
    let directory = test_directory();
    let (certificate, key) = Authority::new("unknown").client("postgres");
    let certificate = write_file(directory.path(), "client.crt", certificate);
    let key = write_file(directory.path(), "client.key", key);
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the file is ours");
    // With TLS 1.3 the server looks at the certificate when the client has begun the login, and closes the connection.
    each(0..20, |_| {
        let refused = connect(&server, &format!("sslmode=require&sslcert={certificate}&sslkey={key}")).expect(78);
        refused.tells(&["unknown ca"]);
    });
}

#[apply(test)]
fn a_client_is_known_by_its_certificate() {
    let authority = Authority::new("known");
    let server = authority.server_that_allows("hostssl all all 127.0.0.1/32 cert");
    let directory = test_directory();
    let (certificate, key) = authority.client("postgres");
    let certificate = write_file(directory.path(), "client.crt", certificate);
    let with_password = encrypted(&key, "secret");
    let key = write_file(directory.path(), "client.key", key);
    let allow = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).expect("the file is ours");
    let parameters = format!("sslmode=require&sslcert={certificate}");

    connect(&server, "sslmode=require").expect(77).tells(&["client certificate"]);
    allow(0o600);
    connect(&server, &format!("{parameters}&sslkey={key}")).expect(0);
    connect(&server, &parameters).expect(78).tells(&["a client certificate without a key"]);
    connect(&server, &format!("{parameters}&sslkey=/nonexistent")).expect(78).tells(&["client key /nonexistent"]);
    allow(0o644);
    connect(&server, &format!("{parameters}&sslkey={key}")).expect(78).tells(&["client key", "0600"]);
    allow(0o600);
    connect(&server, &format!("{parameters}&sslkey={key}&sslcertmode=disable")).expect(77);

    std::fs::write(&key, with_password).expect("the file can be written");
    connect(&server, &format!("{parameters}&sslkey={key}&sslpassword=secret")).expect(0);
    connect(&server, &format!("{parameters}&sslkey={key}"))
        .expect(78)
        .tells(&["client key", "`sslpassword` is not set"]);
    let wrong = connect(&server, &format!("{parameters}&sslkey={key}&sslpassword=wrong")).expect(78);
    wrong.tells(&["`sslpassword` does not decrypt it"]);

    let (_, other) = authority.client("postgres");
    std::fs::write(&key, other).expect("the file can be written");
    connect(&server, &format!("{parameters}&sslkey={key}"))
        .expect(78)
        .tells(&["not the key of the client certificate"]);
    std::fs::write(&key, "no key").expect("the file can be written");
    connect(&server, &format!("{parameters}&sslkey={key}")).expect(78).tells(&["holds no key"]);
}
