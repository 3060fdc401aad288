//! `wait`: real attempts until the database is usable, an early return, and every failure by its name.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;

use crate::support::cases::each;
use crate::support::connection::Connection;
use crate::support::database::block_on;
use crate::support::fake_server::server_that_sends;
use crate::support::process::{Held, PATIENCE};
use crate::support::server::{self, PASSWORD, Server};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, bare_tarsy_db, tarsy_db, test};

fn wait(database: &Database, arguments: &[&str]) -> Outcome {
    Outcome::of(tarsy_db(database).arg("wait").args(arguments))
}

/// Waits for a database that has no [`Database`] of its own, from an empty directory.
fn wait_for(url: &str, arguments: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    start(url, directory.path(), arguments).finish()
}

fn start(url: &str, directory: &Path, arguments: &[&str]) -> Running {
    Running::start_at(url, directory, &[&["wait"], arguments].concat())
}

/// The states that `wait` logged, in order.
fn states(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("INFO waiting for "));
    lines.map(|line| line.split(": ").nth(1).expect("a state").to_owned()).collect()
}

#[apply(test)]
fn a_database_that_is_there_is_usable_at_once(database: &Database) {
    tarsy_db(database).arg("init").assert().success();
    each(["connect", "writable", "schema"], |condition| {
        let report = wait(database, &["--for", condition, "--output", "json"]).expect(0).json();
        assert_eq!(report["condition"], condition);
        assert_eq!(report["attempts"], 1);
    });
}

#[apply(test)]
fn the_schema_is_waited_for_until_init_ran(database: &Database) {
    database.execute("SELECT 1");
    let mut waiting = Running::start(database, &["wait", "--for", "schema", "--max-interval", "1s"]);
    waiting.says("schema pending: no schema yet");
    tarsy_db(database).arg("init").assert().success();
    assert_eq!(states(&waiting.finish().expect(0)), ["schema pending"]);
}

#[apply(test)]
fn what_the_schema_lacks_is_named_with_the_command_that_brings_it(database: &Database) {
    database.create_schema(Schema::Baseline);
    let waits_for = |target: &str, what: &str, remedy: &str| {
        let mut command = tarsy_db(database);
        command.env("TARSY_DB_SCHEMA", target).args(["wait", "--for", "schema", "--max-attempts", "1"]);
        let because = format!("because: {what}\n  hint: {remedy}\n");
        Outcome::of(&mut command).expect(3).tells(&[&format!("schema pending: {what}"), &because]);
    };
    let asks = |for_what| format!("the schema is at ae85467a75d2 (1 of 23), and `schema.target` asks for {for_what}");
    waits_for("head", &asks("b67c135119d7 (23 of 23)"), "run `tarsy-db init --to head`");
    database.execute("DROP TABLE alembic_version");
    waits_for("baseline", "the tables have no `alembic_version`", "run `tarsy-db init` to adopt them");
}

/// TARSy's backend creates missing tables when it starts.
#[apply(test)]
fn a_history_without_one_of_its_tables_is_waited_for_and_is_4_as_for_init(database: &Database) {
    database.create_schema(Schema::Head);
    database.execute("ALTER TABLE chat_user_messages RENAME TO mine");
    let missing = "the database is incomplete: chat_user_messages missing, although the ledger names";
    let gave_up = wait(database, &["--for", "schema", "--max-attempts", "1", "--output", "json"]).expect(4);
    assert_eq!(gave_up.json()["error"]["class"], "incomplete");
    gave_up.tells(&[&format!("schema incomplete: {missing}"), "hint: restore the missing tables from a backup"]);
    Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(4).tells(&[missing]);
    let mut waiting = Running::start(database, &["wait", "--for", "schema", "--max-interval", "1s"]);
    waiting.says("schema incomplete");
    database.execute("ALTER TABLE mine RENAME TO chat_user_messages");
    assert_eq!(states(&waiting.finish().expect(0)), ["schema incomplete"]);
}

#[apply(test)]
fn a_file_that_does_not_exist_is_not_called_usable() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let wait_for = |path: &Path, condition: &str| {
        let url = format!("sqlite:///{}", path.display());
        wait_for(&url, &["--for", condition, "--max-attempts", "1", "--output", "json"])
    };
    for condition in ["connect", "writable"] {
        assert_eq!(wait_for(&path("new.db"), condition).expect(0).json()["outcome"], "creatable");
        wait_for(&path("missing/new.db"), condition).expect(78).fails_with(&["there is no directory ", "creates none"]);
        let missing = wait_for(&path("missing/new.db"), condition).json()["error"]["hint"].clone();
        assert_eq!(missing, "check the path; `tarsy-db init` creates the directory with a new database");
        std::fs::write(path("file"), "").expect("a file");
        let cases = [
            (PathBuf::from("/proc/missing/new.db"), "no directory can be created in /proc"),
            (path("file/below/new.db"), "/file is not a directory"),
        ];
        for (place, obstacle) in cases {
            let failed = wait_for(&place, condition).expect(78);
            failed.fails_with(&["there is no directory "]);
            let hint = failed.json()["error"]["hint"].to_string();
            assert!(hint.contains(obstacle) && !hint.contains("tarsy-db init"), "{hint}");
        }
        let _ = std::os::unix::fs::symlink(path("missing/new.db"), path("dangling.db"));
        let _ = std::os::unix::fs::symlink("new.db", path("link.db"));
        wait_for(&path("dangling.db"), condition).expect(78).fails_with(&["there is no directory ", "/missing"]);
        assert_eq!(wait_for(&path("link.db"), condition).expect(0).json()["outcome"], "creatable");
        wait_for(&path("file/new.db"), condition).expect(73).fails_with(&["file is not a directory"]);
    }
    assert!(!path("new.db").exists());
    let text = Running::start_at(&format!("sqlite:///{}", path("new.db").display()), directory.path(), &["wait"]);
    let text = text.finish().expect(0).stdout;
    assert!(!text.contains("usable") && text.contains("does not exist yet"), "{text}");
    wait_for(&path("new.db"), "schema").expect(3).fails_with(&["no schema yet"]);
}

#[apply(test)]
fn init_creates_the_directory_for_which_wait_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("missing/new.db");
    Running::start_at(&format!("sqlite:///{}", path.display()), directory.path(), &["init", "--wait=5s"])
        .finish()
        .expect(0);
    assert!(path.exists());
}

#[apply(test)]
fn a_file_without_tables_has_no_schema_and_can_be_opened() {
    let database = Database::sqlite();
    database.execute("CREATE TABLE mine (id integer)");
    let failed = wait(&database, &["--for", "schema", "--max-attempts", "1"]).expect(3);
    failed.tells(&["is not usable", "no schema yet", "run `tarsy-db init`"]);
}

#[apply(test)]
fn a_database_that_an_interrupted_drop_left_is_78() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let limit = |limit: i32| {
        let mut other = Connection::open(server::shared());
        let name = database.name();
        other.execute(&format!("UPDATE pg_database SET datconnlimit = {limit} WHERE datname = '{name}'"));
        other.close();
    };
    limit(-2);
    for command in [&["info"][..], &["wait"]] {
        let refused = Outcome::of(tarsy_db(&database).args(command)).expect(78);
        refused.tells(&["cannot connect to invalid database", "hint: drop that database, because a DROP DATABASE"]);
    }
    limit(-1);
}

#[apply(test)]
fn a_database_that_accepts_no_connections_is_waited_for() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let allow = |allowed: bool| {
        let mut other = Connection::open(server::shared());
        other.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", database.name()));
        other.close();
    };
    allow(false);
    let refused = Outcome::of(tarsy_db(&database).arg("info")).expect(69);
    refused.tells(&["not currently accepting connections", "hint: let the owner of the database run `ALTER DATABASE"]);
    let mut waiting = Running::start(&database, &["wait"]);
    waiting.says("database is disabled");
    allow(true);
    assert_eq!(states(&waiting.finish().expect(0)), ["database is disabled"]);
}

#[apply(test)]
fn attempts_run_out(database: &Database) {
    database.execute("SELECT 1");
    let gave_up = wait(database, &["--for", "schema", "--max-attempts", "2"]).expect(3);
    assert!(gave_up.stderr.contains("gave up waiting after 2 attempts"), "{}", gave_up.stderr);
    assert!(gave_up.stderr.contains("`tarsy-db init`"), "{}", gave_up.stderr);
}

#[apply(test)]
fn a_secret_that_changes_is_read_again() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let secret = database.directory().join("secret");
    let place = format!("127.0.0.1:{}/{}", database.port(), database.name());
    let url = |user: &str, password: &str| format!("postgresql://{user}:{password}@{place}\n");
    each(
        [
            ("DATABASE_URL_FILE", url("missing", "wrong"), url("postgres", PASSWORD)),
            ("DATABASE_PASSWORD_FILE", "wrong\n".to_owned(), format!("{PASSWORD}\n")),
        ],
        |(variable, before, after)| {
            std::fs::write(&secret, before).expect("the file can be written");
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
            command.env_clear().current_dir(database.directory()).env(variable, &secret);
            command.env("DATABASE_PORT", database.port().to_string()).env("DATABASE_NAME", database.name());
            command.env("DATABASE_HOST", "127.0.0.1").env("DATABASE_USER", "postgres");
            command.args(["wait", "--retry-all", "--max-interval", "200ms"]);
            let mut waiting = Running::of(&mut command);
            waiting.says("password authentication failed");
            std::fs::write(&secret, after).expect("the file can be written");
            waiting.finish().expect(0);
        },
    );
    // The password of another server is not for this one.
    std::fs::write(&secret, url("missing", "wrong")).expect("the file can be written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    command.env_clear().current_dir(database.directory()).env("DATABASE_URL_FILE", &secret);
    let mut waiting = Running::of(command.args(["wait", "--max-interval", "200ms"]));
    waiting.says("password authentication failed");
    std::fs::write(&secret, url("postgres", PASSWORD).replace("127.0.0.1", "localhost")).expect("it can be written");
    waiting.finish().expect(78).tells(&["names another place by now"]);
}

#[apply(test)]
fn the_process_becomes_the_command(database: &Database) {
    let running = Running::start(database, &["wait", "--", "sh", "-c", "echo $$; exit 42"]);
    let pid = running.pid();
    let outcome = running.finish().expect(42);
    assert_eq!(outcome.stdout, format!("{pid}\n"));
}

#[apply(test)]
fn a_command_that_is_missing_is_127_and_one_that_cannot_run_126(database: &Database) {
    let missing = wait(database, &["--", "no-such-command", "--flag"]).expect(127);
    assert!(missing.stderr.contains("cannot run `no-such-command`"), "{}", missing.stderr);
    wait(database, &["--", "/dev/null"]).expect(126);
}

#[apply(test)]
fn the_command_does_not_run_if_the_wait_fails(database: &Database) {
    let failed = wait(database, &["--for", "schema", "--timeout", "100ms", "--", "echo", "started"]).expect(124);
    assert_eq!(failed.stdout, "");
}

#[apply(test)]
fn the_wait_ends_as_soon_as_the_server_accepts_connections() {
    let server = Server::create(&[]);
    let url = server.url("postgres");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut waiting = start(&url, directory.path(), &[]);
    waiting.says("connection refused");
    // The fourth attempt is due 6.3 s to 7.7 s after the first.
    std::thread::sleep(Duration::from_secs(4));
    server.launch();
    let accepted = block_on(first_answer(&url));
    let outcome = waiting.finish().expect(0);
    let late = accepted.elapsed();
    // The fourth attempt would be half a second later still.
    assert!(late < Duration::from_millis(1500), "{late:?} after the server accepted connections");
    let states = states(&outcome);
    assert_eq!(states.iter().filter(|state| *state == "connection refused").count(), 1, "{states:?}");
}

/// When the login of another client first succeeds.
async fn first_answer(url: &str) -> Instant {
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(mut connection) = options.connect().await
            && sqlx::query("SELECT 1").execute(&mut connection).await.is_ok()
        {
            return Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the server never answered")
}

#[apply(test)]
fn a_closed_port_is_refused_until_the_attempts_run_out() {
    let (_socket, port) = server::closed_port();
    let url = format!("postgresql://tarsy:secret@127.0.0.1:{port}/tarsy");
    let gave_up = wait_for(&url, &["--max-attempts", "3", "--max-interval", "1s"]).expect(69);
    assert_eq!(states(&gave_up), ["connection refused"]);
    assert!(gave_up.stderr.contains("gave up waiting after 3 attempts"), "{}", gave_up.stderr);
    assert!(gave_up.stderr.contains(&format!("cannot connect to tarsy@127.0.0.1:{port}/tarsy")), "{}", gave_up.stderr);
    assert!(!gave_up.stderr.contains("secret"), "{}", gave_up.stderr);
}

#[apply(test)]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    // The kernel accepts connections for it, but no process reads them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    let started = Instant::now();
    wait_for(&format!("postgresql://tarsy:secret@127.0.0.1:{port}/tarsy"), &["--timeout", "1s"]).expect(124);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[apply(test)]
fn a_host_without_an_address_is_named() {
    // An empty label is refused without a DNS query.
    let url = "postgresql://tarsy:secret@nosuchhost..invalid/tarsy";
    let failed = wait_for(url, &["--timeout", "1s"]).expect(124);
    assert_eq!(states(&failed), ["host name not found"]);
    assert!(failed.stderr.contains("did not become usable within 1s"), "{}", failed.stderr);
    assert!(failed.stderr.contains("check the host name"), "{}", failed.stderr);
}

/// Longer than the grace for failures that need an operator.
const BEYOND_THE_GRACE: [&str; 4] = ["--timeout", "12s", "--max-interval", "1s"];

#[apply(test)]
fn a_wrong_password_is_put_up_with_for_ten_seconds_unless_all_is_retried() {
    let database = Database::postgresql();
    let url = database.url_with_password("Wr0ng-Secret");
    let started = Instant::now();
    let given_up = start(&url, database.directory(), &["--output", "json"]);
    let retried = start(&url, database.directory(), &[&["--retry-all"][..], &BEYOND_THE_GRACE].concat());
    let given_up = given_up.finish().expect(77);
    let waited = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
    assert_eq!(given_up.json()["error"]["exit_code"], 77);
    let retried = retried.finish().expect(124);
    for outcome in [given_up, retried] {
        assert_eq!(states(&outcome), ["authentication failed"]);
        assert!(!(outcome.stdout + &outcome.stderr).contains("Wr0ng-Secret"));
    }
}

#[apply(test)]
fn a_schema_that_never_comes_is_waited_for_to_the_end() {
    let databases = [Database::sqlite(), Database::postgresql()];
    let arguments = [&["wait", "--for", "schema"][..], &BEYOND_THE_GRACE].concat();
    let waiting: Vec<_> = databases.iter().map(|database| Running::start(database, &arguments)).collect();
    for running in waiting {
        running.finish().expect(124);
    }
}

#[apply(test)]
fn a_permanent_failure_has_its_own_name_and_exit_code() {
    let database = Database::postgresql();
    let once = ["--max-attempts", "1"];
    let missing = wait_for(&database.url().replace(database.name(), "no_such_database"), &once).expect(78);
    assert_eq!(states(&missing), ["no such database"]);
    assert!(missing.stderr.contains("\"no_such_database\" does not exist"), "{}", missing.stderr);
    // The run's server may have TLS; this one refuses it.
    let plain = wait_for(&format!("{}?sslmode=require", server_that_sends(b"")), &once).expect(78);
    assert_eq!(states(&plain), ["no TLS connection"]);
}

#[apply(test)]
fn a_role_that_has_no_connection_left_waits_for_one() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT 0", role.name));
    let mut waiting = start(&role.url(), database.directory(), &["--max-interval", "1s"]);
    waiting.says("too many connections");
    database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT -1", role.name));
    waiting.finish().expect(0);
    database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT 0", role.name));
    wait_for(&role.url(), &["--max-attempts", "1"]).expect(75);
}

#[apply(test)]
fn read_only_transactions_are_enough_to_connect_but_not_to_write() {
    let database = Database::postgresql();
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    wait(&database, &["--for", "connect"]).expect(0);
    let read_only = wait(&database, &["--for", "writable", "--max-attempts", "1"]).expect(69);
    assert_eq!(states(&read_only), ["database is read-only"]);
}

#[apply(test)]
fn a_standby_is_not_writable_until_it_is_promoted() {
    let server = Server::start(&[]);
    server.stop("fast");
    server.become_standby();
    server.run();
    let url = server.url("postgres");
    wait_for(&url, &["--for", "connect"]).expect(0);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut waiting = start(&url, directory.path(), &["--max-interval", "1s"]);
    waiting.says("server is a standby");
    let init = Running::start_at(&url, directory.path(), &["init"]).finish().expect(69);
    assert!(init.stderr.contains("is a standby"), "{}", init.stderr);
    let check = Running::start_at(&url, directory.path(), &["check"]).finish().expect(69);
    assert!(check.stdout.contains("the server is a standby"), "{}", check.stdout);
    server.promote();
    assert_eq!(states(&waiting.finish().expect(0)), ["server is a standby"]);
}

#[apply(test)]
fn a_server_that_restarts_is_waited_for() {
    let server = Server::start(&[]);
    let url = server.url("postgres");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut waiting = start(&url, directory.path(), &["--for", "schema", "--max-interval", "1s"]);
    waiting.says("schema pending: no schema yet");
    server.stop("fast");
    waiting.says("connection refused");
    server.run();
    waiting.says("schema pending: no schema yet");
    Running::start_at(&url, directory.path(), &["init"]).finish().expect(0);
    waiting.finish().expect(0);
}

#[apply(test)]
fn a_server_that_shuts_down_is_named() {
    let server = Server::start(&[]);
    let url = server.url("postgres");
    // A smart shutdown waits for this connection and refuses others.
    let database = Database::on(&url);
    let guest = Held::connect(&database);
    server.begin_to_stop();
    let mut waiting = start(&url, database.directory(), &["--for", "schema", "--max-interval", "1s"]);
    waiting.says("server is shutting down");
    guest.close();
    waiting.says("connection refused");
    server.run();
    Running::start_at(&url, database.directory(), &["init"]).finish().expect(0);
    waiting.finish().expect(0);
}

#[apply(test)]
fn a_missing_file_is_no_obstacle_where_init_will_create_it() {
    let database = Database::sqlite();
    wait(&database, &["--for", "connect"]).expect(0);
    wait(&database, &["--for", "writable"]).expect(0);
    assert_eq!(std::fs::read_dir(database.directory()).expect("a directory").count(), 0);
}

#[apply(test)]
fn a_file_without_a_whole_header_is_74() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let bytes = std::fs::read(database.file()).expect("a file");
    for length in [1, 50, 99] {
        std::fs::write(database.file(), &bytes[..length]).expect("it can be written");
        for command in [&["wait", "--max-attempts", "1"][..], &["info"], &["init"], &["check"]] {
            Outcome::of(tarsy_db(&database).args(command)).expect(74).tells(&[&format!("it has {length} bytes")]);
        }
    }
}

#[apply(test)]
fn a_file_that_is_no_database_is_74() {
    let database = Database::sqlite();
    std::fs::write(database.file(), "no database, but longer than a header ".repeat(40))
        .expect("the file can be written");
    each(["connect", "writable", "schema"], |condition| {
        let damaged = wait(&database, &["--for", condition, "--max-attempts", "1"]).expect(74);
        assert_eq!(states(&damaged), ["damaged, or not a database"]);
    });
}

#[apply(test)]
fn a_file_with_a_writer_is_waited_for() {
    let database = Database::sqlite();
    tarsy_db(&database).arg("init").assert().success();
    let mut writer = Held::connect(&database);
    writer.execute("BEGIN IMMEDIATE");
    let url = format!("{}?timeout=0.2", database.url());
    let mut waiting = start(&url, database.directory(), &["--max-interval", "1s"]);
    waiting.says("locked by another session");
    writer.close();
    waiting.finish().expect(0);
}

#[apply(test)]
fn a_disabled_history_is_not_waited_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = bare_tarsy_db(directory.path());
    command.env("HISTORY_ENABLED", "false").env("DATABASE_URL", "postgresql://tarsy:secret@nosuchhost..invalid/tarsy");
    let outcome = Outcome::of(command.args(["wait", "--", "echo", "started"])).expect(0);
    assert_eq!(outcome.stdout, "started\n");
}
