//! A server, or a network, that accepts data and never answers: each command ends soon with 69 and leaves nothing on
//! the server. `migrate::network` covers migrations.

use std::time::{Duration, Instant};

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::cases::each;
use crate::support::history::{DAY_US, NOW, OLD_US, insert_whole_sessions, three_old_sessions};
use crate::support::process::wait_until;
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::server::{self, Server};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, test};

const INIT: &[&str] = &["init", "--to", "head"];
const CHECK: &[&str] = &["check", "--output", "json"];
const INFO: &[&str] = &["info", "--output", "json"];
const PRUNE: &[&str] =
    &["prune", "--max-share", "100%", "--now", NOW, "--yes", "--vacuum", "--retry-for", "0s", "--output", "json"];

/// Enough for the shortest timeouts.
const SOON: Duration = Duration::from_secs(30);

/// Runs until the network falls silent.
#[track_caller]
fn start(database: &Database, proxy: &Proxy, arguments: &[&str], moment: Moment<'_>, silence: Silence) -> Running {
    proxy.halt_at(moment, silence);
    let url = format!("{}?connect_timeout=1", database.url_through(proxy.port));
    let mut run = Running::start_at(&url, database.directory(), arguments);
    assert!(proxy.has_halted(&mut run), "{moment:?}: {}", run.stderr());
    run
}

/// Waits for the end of the run, which must come soon.
#[track_caller]
fn finish(run: Running, code: i32) -> Outcome {
    let silent = Instant::now();
    let outcome = run.finish().expect(code);
    assert!(silent.elapsed() < SOON, "{:?}: {}", silent.elapsed(), outcome.stderr);
    outcome
}

/// How many runs wait in parallel. Each takes up to five of the server's connections.
const AT_ONCE: usize = 8;

/// Runs a command into each of the silences, in parallel, because they only wait.
fn is_given_up(arguments: &[&str], moments: &[&str], new: fn() -> Database) {
    let silences = [Silence::Network, Silence::Connection];
    let cases = moments.iter().flat_map(|moment| silences.map(|silence| (new(), *moment, silence)));
    let cases: Vec<_> = cases.collect();
    for some in cases.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for (database, moment, silence) in some {
                scope.spawn(|| is_given_up_at(arguments, moment, *silence, database));
            }
        });
    }
}

fn is_given_up_at(arguments: &[&str], moment: &str, silence: Silence, database: &Database) {
    let proxy = Proxy::to(database.port());
    let run = start(database, &proxy, arguments, Moment::After(moment), silence);
    let outcome = finish(run, 69);
    let expected = match silence {
        Silence::Network => ["no answer from the server for 4s", "no answer within 1s"],
        Silence::Connection => ["the network lost a message", "no answer within 1s"],
    };
    let stderr = &outcome.stderr;
    assert!(expected.iter().any(|words| stderr.contains(words)), "{moment} {silence:?}: {stderr}");
    proxy.cut();
    wait_for_no_session_of_the_tool(database);
}

#[apply(test)]
fn init_gives_up_a_server_that_answers_nothing() {
    // After the login; with a lock that the next run needs; between the migrations.
    is_given_up(INIT, &["current_schemas", "pg_attribute", "set_config", "CREATE TABLE"], Database::postgresql);
}

#[apply(test)]
fn init_reports_a_lost_answer_to_its_commit() {
    each([(Moment::Before(COMMIT), 0), (Moment::After(COMMIT), 1)], |(moment, tables)| {
        let database = Database::postgresql();
        let proxy = Proxy::to(database.port());
        let outcome = finish(start(&database, &proxy, INIT, moment, Silence::Network), 69);
        assert!(outcome.stderr.contains("cannot determine whether the commit took place"), "{}", outcome.stderr);
        proxy.cut();
        wait_for_no_session_of_the_tool(&database);
        let count = database.number("SELECT count(*) FROM pg_tables WHERE tablename = 'alert_sessions'");
        assert_eq!(count, tables, "{moment:?}");
    });
}

#[apply(test)]
fn check_gives_up_a_server_that_answers_nothing() {
    is_given_up(CHECK, &["current_schemas", "server_encoding", "has_table_privilege", "pg_temp"], three_old_sessions);
    is_given_up(&["check", "--deep"], &[r#"COUNT(*) AS "orphans""#], three_old_sessions);
}

#[apply(test)]
fn info_gives_up_a_server_that_answers_nothing() {
    is_given_up(
        INFO,
        &["current_schemas", "version_num", "pg_indexes_size", r#"GROUP BY "alert_sessions"."status"#],
        three_old_sessions,
    );
}

#[apply(test)]
fn prune_gives_up_a_server_that_answers_nothing_before_it_removes() {
    let moments = [
        "pg_try_advisory_xact_lock",
        "alembic_version",
        "row_security_active",
        r#"MAX("alert_sessions"."started_at_us")"#,
        "pg_is_in_recovery",
        "is_read_only",
        "clock_timestamp()",
    ];
    is_given_up(PRUNE, &moments, three_old_sessions);
}

/// Three old sessions at the newest revision, without a chosen retention.
fn with_whole_sessions() -> Database {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 3, OLD_US - 365 * DAY_US);
    database
}

#[apply(test)]
fn a_plan_gives_up_a_server_that_answers_nothing() {
    let moments = [r#"MAX("alert_sessions"."started_at_us")"#, r#"AS "removable""#, "has_table_privilege"];
    is_given_up(&["prune", "--now", NOW, "--dry-run"], &moments, with_whole_sessions);
}

#[apply(test)]
fn a_removal_ends_in_time_without_an_answer_for_its_summary() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    let began = Instant::now();
    let more = ["--max-duration", "3s", "--metrics-file", "metrics.prom"];
    let arguments = prune_with(&more);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    proxy.halt_at(Moment::After(r#"AS "oldest" FROM"#), Silence::Network);
    // The watchdog would take longer.
    let mut run = Running::start_at(&database.url_through(proxy.port), database.directory(), &arguments);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    let document = run.finish().expect(0).json();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(document["removed"]["sessions"], 3);
}

#[apply(test)]
fn prune_gives_up_a_server_that_answers_nothing_while_it_removes() {
    is_given_up(PRUNE, &["FOR UPDATE SKIP", r#"DELETE FROM "public"."alert_sessions""#], three_old_sessions);
}

#[apply(test)]
fn a_vacuum_gives_up_a_server_that_answers_nothing() {
    is_given_up(PRUNE, &["VACUUM (ANALYZE)"], three_old_sessions);
}

#[apply(test)]
fn wait_and_init_that_waits_end_when_their_time_is_up() {
    let cases = [
        (&["wait", "--timeout", "3s"][..], "pg_is_in_recovery"),
        (&["init", "--wait=3s"], "pg_is_in_recovery"),
        (&["wait", "--for", "schema", "--timeout", "3s"], "pg_attribute"),
    ];
    each(cases, |(arguments, moment)| {
        let database = Database::postgresql();
        let proxy = Proxy::to(database.port());
        let began = Instant::now();
        finish(start(&database, &proxy, arguments, Moment::After(moment), Silence::Network), 124);
        assert!(began.elapsed() < SOON, "{arguments:?}");
    });
}

#[apply(test)]
fn an_attempt_of_wait_fails_if_the_server_never_answers_after_the_login() {
    let database = Database::postgresql();
    let proxy = Proxy::to(database.port());
    let arguments = ["wait", "--max-attempts", "1"];
    let run = start(&database, &proxy, &arguments, Moment::After("pg_is_in_recovery"), Silence::Connection);
    let outcome = finish(run, 69);
    assert!(outcome.stderr.contains("the server let us in, and answers nothing"), "{}", outcome.stderr);
}

fn prune_with(more: &[&str]) -> Vec<String> {
    let arguments = ["prune", "--max-share", "100%", "--now", NOW, "--yes", "--output", "json"];
    [&arguments[..], more].concat().into_iter().map(str::to_owned).collect()
}

/// Starts a removal during whose first batch the network falls silent.
#[track_caller]
fn start_to_prune(database: &Database, proxy: &Proxy, more: &[&str]) -> Running {
    let arguments = prune_with(more);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    start(database, proxy, &arguments, Moment::After("FOR UPDATE SKIP"), Silence::Network)
}

#[apply(test)]
fn the_first_signal_ends_a_removal_without_an_answer() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    let run = start_to_prune(&database, &proxy, &[]);
    run.signal("TERM");
    let document = finish(run, 143).json();
    assert_eq!((&document["removed"]["stopped"], &document["removed"]["sessions"]), (&"signal".into(), &0.into()));
    proxy.cut();
    wait_for_no_session_of_the_tool(&database);
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
fn the_deadline_ends_a_removal_without_an_answer() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    let began = Instant::now();
    let run = start_to_prune(&database, &proxy, &["--max-duration", "5s", "--retry-for", "1h"]);
    let document = finish(run, 0).json();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(document["removed"]["stopped"], "deadline");
    assert_eq!(document["remaining_sessions"], serde_json::Value::Null);
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
fn a_removal_retries_for_the_given_time() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    let mut run = start_to_prune(&database, &proxy, &["--retry-for", "4s"]);
    run.says("retrying for up to 4s");
    let document = finish(run, 69).json();
    assert_eq!((&document["removed"]["stopped"], &document["error"]["exit_code"]), (&"failure".into(), &69.into()));
}

#[apply(test)]
fn a_removal_continues_when_the_network_is_back() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    let mut run = start_to_prune(&database, &proxy, &[]);
    run.says("retrying for up to 1m");
    proxy.cut();
    let document = finish(run, 0).json();
    assert_eq!((&document["removed"]["sessions"], database.count("alert_sessions")), (&3.into(), 0));
}

#[apply(test)]
fn a_role_with_one_connection_gives_up_a_query_that_is_late() {
    let database = three_old_sessions();
    let role = Role::new(&database);
    database.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}; ALTER ROLE {0} CONNECTION LIMIT 1",
        role.name
    ));
    let proxy = Proxy::to(database.port());
    proxy.halt_at(Moment::After(r#"GROUP BY "alert_sessions"."status"#), Silence::Connection);
    let (login, name) = (format!("{}:{}", role.name, server::PASSWORD), database.name());
    let url = format!("postgresql://{login}@127.0.0.1:{}/{name}?connect_timeout=5", proxy.port);
    let mut run = Running::start_at(&url, database.directory(), INFO);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    let silent = Instant::now();
    let outcome = run.finish().expect(69);
    // The server's limit for the query is 30 s.
    assert!(silent.elapsed() < Duration::from_mins(1), "{:?}", silent.elapsed());
    assert!(outcome.stderr.contains("too many connections"), "{}", outcome.stderr);
}

#[apply(test)]
fn the_comparison_of_the_direct_url_gives_up_a_pooler_that_answers_nothing() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    proxy.halt_at(Moment::Before("is_same"), Silence::Network);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    command.env_clear().current_dir(database.directory()).env("DATABASE_URL", database.url_through(proxy.port));
    command.env("DIRECT_DATABASE_URL", format!("{}?connect_timeout=1", database.url())).args(["check", "--fix"]);
    let mut run = Running::of(&mut command);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    finish(run, 69).tells(&["cannot compare the database of the direct URL"]);
}

/// An end of a connection, by its place in the table of connections.
#[derive(Clone, Copy)]
enum End {
    Local = 1,
    Remote = 2,
}

/// The time until the next sign of life of each connection that has this port at one end.
fn keepalives(pid: u32, end: End, port: u16) -> Vec<Duration> {
    const KEEPALIVE: &str = "02";
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let connections = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let place = format!("0100007F:{port:04X}");
    // `sl local_address rem_address st tx_queue:rx_queue tr:tm->when ...`; 01 is an established connection.
    let ours = connections.filter(|fields| fields[end as usize] == place && fields[3] == "01");
    let timers = ours.filter_map(|fields| fields[5].split_once(':').filter(|(kind, _)| *kind == KEEPALIVE));
    timers.filter_map(|(_, when)| Some(Duration::from_millis(10 * u64::from_str_radix(when, 16).ok()?))).collect()
}

#[apply(test)]
fn both_ends_of_a_connection_ask_for_signs_of_life() {
    let server = Server::start(&[]);
    let database = Database::on(&server.url("postgres"));
    database.create_schema(Schema::Baseline);
    let proxy = Proxy::to(database.port());
    let run = start(&database, &proxy, CHECK, Moment::After("has_table_privilege"), Silence::Connection);
    for (end, port) in [(End::Remote, proxy.port), (End::Local, server.port)] {
        wait_until("a connection has a timer for a sign of life", || {
            keepalives(run.pid(), end, port).iter().any(|next| *next <= Duration::from_secs(10))
        });
    }
    finish(run, 69);
}
