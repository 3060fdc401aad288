//! Where a connection goes: several hosts, the server that is asked for, password files and services.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::cases::each;
use crate::support::certificate::Authority;
use crate::support::fake_server::{greet, login, message, server_of};
use crate::support::history::{NOW, three_old_sessions};
use crate::support::server::{PASSWORD, Server, closed_port};
use crate::support::{Database, Outcome, Role, apply, bare_tarsy_db, run_at, test, test_directory, write_file};

const ONCE: [&str; 5] = ["wait", "--max-attempts", "1", "--for", "connect"];

#[apply(test)]
fn the_first_host_that_answers_is_used() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let (_socket, refused) = closed_port();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("an address").port();
    let (port, name) = (database.port(), database.name());
    let login = format!("postgresql://postgres:{PASSWORD}@");
    each(
        [
            format!("{login}127.0.0.1:{refused},127.0.0.1:{port}/{name}"),
            format!("{login}127.0.0.1:{silent},127.0.0.1:{port}/{name}?connect_timeout=1"),
            format!("{login}nosuchhost..invalid,127.0.0.1/{name}?port=1,{port}"),
            format!("{login}/{name}?host=127.0.0.1:{refused}&host=127.0.0.1:{port}"),
            format!("{login}127.0.0.1:{port},127.0.0.1:{refused}/{name}?load_balance_hosts=random"),
            format!("{login}nosuchhost..invalid:{port}/{name}?hostaddr=127.0.0.1"),
        ],
        |url| drop(run_at(&url, &ONCE).expect(0)),
    );
    // The environment names hosts as well.
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", format!("postgresql:///{name}")).env("PGUSER", "postgres").env("PGPASSWORD", PASSWORD);
    command.env("PGHOST", "nosuchhost..invalid,127.0.0.1").env("PGPORT", format!("1,{port}"));
    Outcome::of(command.args(ONCE)).expect(0);
    Outcome::of(command.env("PGPORT", "1,2,3")).expect(78).tells(&["more or fewer ports"]);
}

#[apply(test)]
fn hosts_among_the_parts_are_those_of_the_backends_url() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let connect = |host: &str, port: &str| {
        let mut command = bare_tarsy_db(database.directory());
        command.env("DATABASE_HOST", host).env("DATABASE_PORT", port).env("DATABASE_NAME", database.name());
        command.env("DATABASE_USER", "postgres").env("DATABASE_PASSWORD", PASSWORD);
        Outcome::of(command.args(ONCE))
    };
    let port = database.port().to_string();
    let found = connect("nosuchhost..invalid,127.0.0.1", &port).expect(0);
    assert!(!found.stderr.contains("WARN"), "{}", found.stderr);
    for host in ["::1", "/nonexistent"] {
        connect(host, &port).tells(&["WARN the backend cannot use", "it writes `DATABASE_HOST` into a URL"]);
    }
    assert!(!connect("[::1]", &port).stderr.contains("WARN"));
    for host in ["127.0.0.1:5433", "[::1]:5433", "[::1],127.0.0.1", "127.0.0.1,::1", "[]", "127.0.0.1,[]", "a@b", "a/b"]
    {
        let refused = connect(host, &port).expect(78);
        refused.tells(&[&format!("`DATABASE_HOST` is `{host}`; expected a host"), "`DATABASE_PORT`"]);
    }
    connect("127.0.0.1", "0").expect(78).tells(&["`DATABASE_PORT` is `0`; expected a port from 1 to 65535"]);
    for host in ["[]", "[::1]x", "127.0.0.1:1:1"] {
        let url = format!("postgresql://postgres@{host}/{}", database.name());
        run_at(&url, &ONCE).expect(78).tells(&["a host in the database URL is not"]);
    }
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", "postgresql://").env("PGHOST", "127.0.0.1:5433");
    Outcome::of(command.args(ONCE)).expect(78).tells(&["`PGHOST` from the environment is `127.0.0.1:5433`", "a port"]);
}

#[apply(test)]
fn a_refused_login_ends_the_search_and_all_reasons_are_shown_otherwise() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let ((_one, one), (_two, two)) = (closed_port(), closed_port());
    let url = format!("postgresql://postgres:wrong@127.0.0.1:{one},[::1]:{two}/{}", database.name());
    let reasons = run_at(&url, &ONCE).expect(69);
    reasons.tells(&[&format!("127.0.0.1:{one}: connection refused; [::1]:{two}: ")]);
    let url = format!("postgresql://postgres:wrong@127.0.0.1:{},127.0.0.1:{one}/x", database.port());
    let refused = run_at(&url, &ONCE).expect(77).stderr;
    assert!(!refused.contains("connection refused"), "{refused}");
}

/// Whatever the encryptions are that it refuses.
#[apply(test)]
fn a_login_that_is_refused_with_and_without_tls_ends_the_search() {
    let other = Database::postgresql();
    let role = Role::new(&other);
    let server = Authority::new("known").server_that_allows("host all all 127.0.0.1/32 scram-sha-256");
    Database::on(&server.url("postgres")).execute(&format!("CREATE ROLE {} LOGIN PASSWORD 'another'", role.name));
    let url = format!("postgresql://{}:{PASSWORD}@127.0.0.1:{},127.0.0.1:{}", role.name, server.port, other.port());
    each(["", "?sslmode=prefer", "?sslmode=allow", "?sslmode=require"], |mode| {
        let refused = run_at(&format!("{url}/{}{mode}", other.name()), &ONCE).expect(77);
        refused.tells(&["password authentication failed"]);
    });
    // The reasons of the hosts before are shown as well.
    let (_socket, closed) = closed_port();
    let url = url.replacen("127.0.0.1", &format!("127.0.0.1:{closed},127.0.0.1"), 1);
    let place = format!("127.0.0.1:{}: password authentication failed", server.port);
    run_at(&format!("{url}/x"), &ONCE).expect(77).tells(&["connection refused; ", &place]);
}

#[apply(test)]
fn after_the_login_a_server_that_starts_up_ends_the_search() {
    let starting = message(b'E', b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0");
    let answer = [message(b'R', &[0; 4]), starting.clone()].concat();
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let connect = |answer: Vec<u8>| {
        let first = server_of(move |mut client| drop(greet(&mut client, &answer)));
        let (_, place) = first.rsplit_once('@').expect("a place");
        let place = place.trim_end_matches("/tarsy");
        let (port, name) = (database.port(), database.name());
        run_at(&format!("postgresql://postgres:{PASSWORD}@{place},127.0.0.1:{port}/{name}"), &ONCE)
    };
    connect(answer).expect(69).tells(&["starting up"]);
    connect(starting).expect(0);
}

#[apply(test)]
fn the_address_is_shown_that_decides_where_a_name_leads() {
    let (_socket, closed) = closed_port();
    let url = format!("postgresql://u@db.example:{closed}/d?hostaddr=127.0.0.1");
    run_at(&url, &ONCE).expect(69).tells(&[&format!("u@db.example(127.0.0.1):{closed}/d")]);
}

#[apply(test)]
fn a_missing_unix_socket_is_named_with_its_directory() {
    let directory = test_directory();
    let place = directory.path().display().to_string();
    let refused = run_at(&format!("postgresql://u@/d?host={place}"), &["info"]).expect(69);
    refused.tells(&[&format!("u@{place}:5432/d"), "name the host in the URL"]);
}

#[apply(test)]
fn what_is_no_directory_of_a_unix_socket_is_named() {
    let directory = test_directory();
    let file = write_file(directory.path(), "file", "");
    let refused = run_at(&format!("postgresql://u@/d?host={file}"), &["info"]).expect(78);
    refused.tells(&[&format!("{file} is not a directory")]);
}

#[apply(test)]
fn an_attempt_takes_as_long_as_it_may() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let began = Instant::now();
    // Longer than the watchdog waits for a server that was reached.
    let url = format!("postgresql://u@127.0.0.1:{port}/d?connect_timeout=46");
    run_at(&url, &["info"]).expect(69).tells(&["no answer within 46s"]);
    assert!(began.elapsed() >= Duration::from_secs(46), "{:?}", began.elapsed());
}

#[apply(test)]
fn a_session_is_asked_about_at_the_host_that_it_is_on() {
    let database = three_old_sessions();
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog
         AS 'BEGIN IF (SELECT count(*) FROM public.alert_sessions) = 3 THEN PERFORM pg_sleep(7); END IF; RETURN OLD; END';
         CREATE TRIGGER slow BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("an address").port();
    let place = format!("127.0.0.1:{}", database.port());
    let url = database.url().replace(&place, &format!("127.0.0.1:{silent},{place}"));
    // With this limit the server is lost after four seconds without an answer.
    let url = format!("{url}?connect_timeout=1");
    let arguments = ["prune", "--max-share", "100%", "--now", NOW, "--yes", "--retry-for", "0s"];
    run_at(&url, &arguments).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn the_server_is_one_that_was_asked_for() {
    let [primary, standby] = [(); 2].map(|()| Server::create(&[]));
    standby.become_standby();
    for server in [&primary, &standby] {
        server.run();
    }
    let url = |ports: [u16; 2], target: &str| {
        let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        format!("postgresql://postgres:{PASSWORD}@{hosts}/postgres?target_session_attrs={target}")
    };
    let (first, second) = (primary.port, standby.port);
    let usable = |url: &str, code: i32| drop(run_at(url, &["wait", "--max-attempts", "1"]).expect(code));
    for target in ["read-write", "primary"] {
        usable(&url([second, first], target), 0);
    }
    // Writes need a primary.
    for target in ["standby", "read-only", "prefer-standby"] {
        usable(&url([first, second], target), 69);
    }
    usable(&url([first, first], "prefer-standby"), 0);
    let refused = run_at(&url([second, second], "read-write"), &ONCE).expect(69);
    refused.tells(&["its sessions are read-only, and `target_session_attrs=read-write`"]);
    run_at(&url([first, first], "standby"), &ONCE).expect(78).tells(&["the server is no standby"]);
}

#[apply(test)]
fn a_server_that_does_not_report_what_it_is_gets_asked() {
    for (state, code) in [("on", 69), ("off", 0)] {
        let url = server_of(move |mut client| {
            let _ = greet(&mut client, &login());
            let mut query = vec![0; 4096];
            let length = client.read(&mut query).unwrap_or_default();
            let value = [&[0, 1, 0, 0, 0][..], &[u8::try_from(state.len()).expect("short")], state.as_bytes()].concat();
            let is_asked = query[..length].windows(22).any(|words| words == b"SHOW transaction_read_");
            assert!(is_asked, "{:?}", String::from_utf8_lossy(&query[..length]));
            let answer = [message(b'D', &value), message(b'C', b"SHOW\0"), message(b'Z', b"I")].concat();
            let _ = client.write_all(&answer);
        });
        let outcome = run_at(&(url + "?target_session_attrs=read-write"), &ONCE);
        // The fake server ends after its answer.
        let is_refused = outcome.stderr.contains("its sessions are read-only");
        assert_eq!(is_refused, code == 69, "{}", outcome.stderr);
    }
}

#[apply(test)]
fn a_password_comes_from_the_password_file_if_others_cannot_read_it() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let directory = test_directory();
    let (port, name) = (database.port(), database.name());
    let line = format!("# a comment\nother:*:*:*:wrong\n127.0.0.1:{port}:{name}:postgres:{PASSWORD}\n");
    let path = write_file(directory.path(), ".pgpass", line);
    let allow = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the file is ours");
    let url = format!("postgresql://postgres@127.0.0.1:{port}/{name}");
    let connect = |parameters: &str, variable: &str, value: &str| {
        let mut command = bare_tarsy_db(directory.path());
        command.env("HOME", "/nonexistent").env("DATABASE_URL", format!("{url}{parameters}")).env(variable, value);
        Outcome::of(command.args(ONCE))
    };
    allow(0o600);
    connect("", "PGPASSFILE", &path).expect(0);
    connect("", "HOME", directory.path().to_str().expect("UTF-8")).expect(0);
    connect(&format!("?passfile={path}"), "PGPASSFILE", "/nonexistent").expect(0);
    connect("", "PGPASSFILE", "/nonexistent").expect(77).tells(&["asks for a password, and none is given"]);
    connect("", "PGPASSWORD", "wrong").expect(77).tells(&["password authentication failed"]);
    allow(0o644);
    let ignored = connect("", "PGPASSFILE", &path).expect(77);
    ignored.tells(&["ignored because others have access", "hint: `chmod 0600 /"]);
    assert!(!ignored.stderr.contains(PASSWORD), "{}", ignored.stderr);
}

#[apply(test)]
fn a_service_has_what_the_url_leaves_out() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let directory = test_directory();
    let service = format!(
        "[other]\nhost=nosuchhost..invalid\n[mine]\nhost=127.0.0.1\nport={}\nuser=postgres\npassword={PASSWORD}\n\
         connect_timeout=5\n[wrong]\nsslmode=always\n[unknown]\nsecret=x\n",
        database.port()
    );
    let path = write_file(directory.path(), "services", service);
    let connect = |url: &str, service: &str| {
        let mut command = bare_tarsy_db(directory.path());
        command.env("DATABASE_URL", url).env("PGSERVICE", service).env("PGSERVICEFILE", &path);
        // What is in the service is stronger than the environment.
        command.env("PGHOST", "nosuchhost..invalid");
        Outcome::of(command.args(ONCE))
    };
    let url = format!("postgresql:///{}", database.name());
    connect(&url, "mine").expect(0);
    connect(&format!("{url}?service=mine"), "other").expect(0);
    connect(&format!("{url}?host=nosuchhost..invalid"), "mine").expect(69);
    connect(&url, "missing").expect(78).tells(&["the service `missing` cannot be used"]);
    connect(&url, "wrong").expect(78).tells(&["`sslmode` is not one of", "line 10"]);
    connect(&url, "unknown").expect(78).tells(&["`secret` is not supported"]);
    std::fs::remove_file(&path).expect("it was there");
    connect(&url, "mine").expect(78).tells(&["cannot read"]);
}

#[apply(test)]
fn what_the_settings_require_of_the_login_is_checked() {
    let server = Server::create(&[]);
    server.allow("host all all 127.0.0.1/32 scram-sha-256");
    server.run();
    let url = server.url("postgres");
    let connect = |parameters: &str| run_at(&format!("{url}?{parameters}"), &ONCE);
    for allowed in ["scram-sha-256", "md5,scram-sha-256", "!password,!none"] {
        connect(&format!("require_auth={allowed}")).expect(0);
    }
    for refused in ["password", "!scram-sha-256", "none"] {
        connect(&format!("require_auth={refused}")).expect(78).tells(&["a login with SCRAM, which `require_auth`"]);
    }
    connect("require_auth=password,!md5").expect(78).tells(&["`require_auth`", "is not a list of"]);

    // The Unix socket is trusted.
    let place = format!("host={}&port={}", server.socket_directory().display(), server.port);
    let url = format!("postgresql://postgres@/postgres?{place}");
    run_at(&format!("{url}&require_auth=none"), &ONCE).expect(0);
    run_at(&format!("{url}&require_auth=!none"), &ONCE).expect(78).tells(&["asks for no login"]);
    let wrong = run_at(&format!("{url}&requirepeer=daemon"), &ONCE).expect(78);
    wrong.tells(&["the server is run by `", "`requirepeer` is `daemon`"]);
    let owner = wrong.stderr.split("is run by `").nth(1).and_then(|rest| rest.split('`').next()).expect("a name");
    run_at(&format!("{url}&requirepeer={owner}"), &ONCE).expect(0);
}
