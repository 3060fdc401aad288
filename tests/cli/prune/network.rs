//! `prune` on a server that is lost: it reconnects and continues, or reports what it removed.

use std::time::{Duration, Instant};

use crate::support::archive::archive_path;
use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, insert_many, insert_session};
use crate::support::process::wait_until;
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::prune::{start_to_prune, start_to_prune_at};
use crate::support::server::{PASSWORD, Server};
use crate::support::{Database, Outcome, Running, Schema, apply, test};

const MANY: u32 = 1500;
/// A field of the server's error of a statement that took too long.
const STATEMENT_CANCELLED: &str = "C57014\0";

fn removed(outcome: &Outcome) -> u64 {
    outcome.json()["removed"]["sessions"].as_u64().expect("a number")
}

/// A server of the test's own with a history that takes a while.
fn server_with_history() -> (Server, Database) {
    let server = Server::start(&[]);
    let database = Database::on(&server.url("postgres"));
    database.create_schema(Schema::Baseline);
    insert_many(&database, MANY, 640, OLD_US);
    (server, database)
}

/// Starts a run and waits until it is in its middle.
fn start_and_wait(database: &Database, more: &[&str]) -> Running {
    let run = start_to_prune(database, more);
    wait_until("some sessions are gone", || database.count("alert_sessions") < i64::from(MANY));
    run
}

#[apply(test)]
fn a_server_that_restarts_is_waited_for_and_all_is_counted() {
    let (server, database) = server_with_history();
    let mut run = start_and_wait(&database, &[]);
    server.stop("fast");
    run.says("retrying for ");
    server.run();
    run.says("reconnected");
    let outcome = run.finish().expect(0);
    assert_eq!((removed(&outcome), database.count("alert_sessions")), (MANY.into(), 0));
    assert_eq!(database.count("llm_interactions"), 0);
    assert_eq!(outcome.json()["remaining_sessions"], 0);
}

#[apply(test)]
fn a_primary_that_was_demoted_is_waited_for_until_it_is_promoted() {
    let (server, database) = server_with_history();
    let mut run = start_and_wait(&database, &[]);
    server.stop("fast");
    server.become_standby();
    server.set("log_connections = on");
    server.run();
    wait_until("it reconnects", || server.log().contains("application_name=tarsy"));
    run.says("retrying for ");
    server.promote();
    run.says("reconnected");
    let outcome = run.finish().expect(0);
    assert_eq!(outcome.stderr.matches("reconnected").count(), 1, "{}", outcome.stderr);
    assert_eq!((removed(&outcome), database.count("alert_sessions")), (MANY.into(), 0));
}

#[apply(test)]
fn a_primary_that_stays_demoted_ends_the_run() {
    let (server, database) = server_with_history();
    let run = start_and_wait(&database, &["--retry-for", "3s"]);
    server.stop("fast");
    server.become_standby();
    server.run();
    let outcome = run.finish().expect(69);
    assert!(!outcome.stderr.contains("reconnected"), "{}", outcome.stderr);
    outcome.fails_with(&["the server is a standby", "connect to the primary"]);
    let left = u64::try_from(database.count("alert_sessions")).expect("a number");
    assert_eq!(removed(&outcome), u64::from(MANY) - left);
    server.promote();
}

#[apply(test)]
fn another_host_of_the_url_takes_over() {
    let (server, database) = server_with_history();
    let [first, second] = [(); 2].map(|()| Proxy::to(server.port));
    let hosts = format!("host=127.0.0.1:{}&host=127.0.0.1:{}", first.port, second.port);
    let url = format!("postgresql://postgres:{PASSWORD}@/{}?{hosts}", database.name());
    let mut run = start_to_prune_at(&url, &database, &[]);
    wait_until("some sessions are gone", || database.count("alert_sessions") < i64::from(MANY));
    drop(first);
    // The host that was reached is shown.
    let reached = format!("postgres@127.0.0.1:{}/{}", second.port, database.name());
    run.says(&format!("reconnected to {reached}"));
    let outcome = run.finish().expect(0);
    assert_eq!((removed(&outcome), database.count("alert_sessions")), (MANY.into(), 0));
    assert_eq!(outcome.json()["database"], reached);
}

#[apply(test)]
fn a_server_that_is_down_at_the_start_is_waited_for() {
    let (server, database) = server_with_history();
    server.stop("fast");
    let mut run = start_to_prune(&database, &[]);
    run.says("connection refused; retrying for up to 1m");
    server.run();
    assert_eq!(removed(&run.finish().expect(0)), u64::from(MANY));
    server.stop("fast");
    start_to_prune(&database, &["--retry-for", "1s"]).finish().expect(69).tells(&["retrying for up to 1s"]);
    let refused = start_to_prune(&database, &["--dry-run"]).finish().expect(69);
    assert!(!refused.stderr.contains("retrying"), "{}", refused.stderr);
    // A signal ends the waiting.
    let mut run = start_to_prune(&database, &[]);
    run.says("retrying for ");
    run.signal("TERM");
    run.finish().expect(143);
    server.run();
}

#[apply(test)]
fn a_server_that_crashes_may_bring_sessions_back_which_go_again() {
    let (server, database) = server_with_history();
    let mut run = start_and_wait(&database, &[]);
    server.stop("immediate");
    run.says("retrying for ");
    server.run();
    let outcome = run.finish().expect(0);
    assert_eq!(outcome.json()["removed"]["rows"]["llm_interactions"], MANY);
    assert_eq!(removed(&outcome), u64::from(MANY));
    assert_eq!((database.count("alert_sessions"), database.count("llm_interactions")), (0, 0));
}

#[apply(test)]
fn without_patience_a_server_that_is_gone_ends_the_run_which_tells_how_far_it_came() {
    let (server, database) = server_with_history();
    each(["0s", "300ms"], |patience| {
        let before = database.count("alert_sessions");
        let run = start_to_prune(&database, &["--retry-for", patience]);
        wait_until("some sessions are gone", || database.count("alert_sessions") < before);
        server.stop("fast");
        let outcome = run.finish().expect(69);
        server.run();
        let left = database.count("alert_sessions");
        assert!(left > 0, "it was over before");
        assert_eq!(removed(&outcome), u64::try_from(before - left).expect("fewer"), "{patience}");
        let told = outcome.json();
        assert_eq!((&told["removed"]["stopped"], &told["error"]["exit_code"]), (&"failure".into(), &69.into()));
        assert_eq!(told["remaining_sessions"], serde_json::Value::Null);
        assert_eq!(database.count("llm_interactions"), left);
    });
}

#[apply(test)]
fn a_commit_with_an_unknown_outcome_is_counted_if_it_took_place() {
    each([Moment::Before(COMMIT), Moment::After(COMMIT)], |moment| {
        let database = Database::postgresql();
        database.create_schema(Schema::Baseline);
        for number in 1..=5 {
            insert_session(&database, &number.to_string(), "completed", Some(OLD_US + number));
        }
        let proxy = Proxy::to(database.port());
        proxy.halt_at(moment, Silence::Network);
        let mut run = start_to_prune_at(&database.url_through(proxy.port), &database, &[]);
        assert!(proxy.has_halted(&mut run), "{moment:?}: {}", run.stderr());
        if matches!(moment, Moment::After(_)) {
            database.wait_until("SELECT (count(*) = 4)::int::bigint FROM alert_sessions");
        }
        assert_eq!(database.count("alert_sessions"), if matches!(moment, Moment::After(_)) { 4 } else { 5 });
        proxy.cut();
        let outcome = run.finish().expect(0);
        assert_eq!((removed(&outcome), database.count("alert_sessions")), (5, 0), "{moment:?}");
        assert_eq!(outcome.json()["removed"]["rows"]["llm_interactions"], 5, "{moment:?}");
        assert!(outcome.stderr.contains("reconnected"), "{}", outcome.stderr);
    });
}

#[apply(test)]
fn the_time_may_be_up_while_the_server_is_away() {
    let (server, database) = server_with_history();
    let began = Instant::now();
    let mut run = start_and_wait(&database, &["--max-duration", "5s", "--retry-for", "10m"]);
    server.stop("fast");
    run.says("retrying for ");
    let outcome = run.finish().expect(0);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    server.run();
    let told = outcome.json();
    assert_eq!(
        (&told["removed"]["stopped"], &told["remaining_sessions"]),
        (&"deadline".into(), &serde_json::Value::Null)
    );
    assert_eq!(database.count("alert_sessions"), i64::from(MANY) - i64::try_from(removed(&outcome)).expect("few"));
}

#[apply(test)]
fn the_time_limit_may_come_before_the_lost_connection_is_noticed() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(OLD_US));
    let proxy = Proxy::to(database.port());
    proxy.halt_at(Moment::Before(COMMIT), Silence::Network);
    let time = Duration::from_secs(10);
    let began = Instant::now();
    let mut run = start_to_prune_at(&database.url_through(proxy.port), &database, &["--max-duration", "10s"]);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    std::thread::sleep((time + Duration::from_secs(1)).saturating_sub(began.elapsed()));
    drop(proxy);
    let told = run.finish().expect(0).json();
    assert_eq!(
        (&told["removed"]["stopped"], &told["remaining_sessions"]),
        (&"deadline".into(), &serde_json::Value::Null)
    );
    assert_eq!(database.count("alert_sessions"), 1);
}

/// The server cancels a batch on one of two connections, and the rollback on the other one takes long.
#[apply(test)]
fn a_batch_waits_for_the_rollback_of_the_one_before_whose_sessions_it_would_skip() {
    let (database, archive) = (Database::postgresql(), Database::sqlite());
    database.create_schema(Schema::Baseline);
    // Batches of 1, 2, 4, 8 and 16, and then two of 16 at the same time.
    let (alone, together) = (31, 32);
    insert_many(&database, alone + together, 64, OLD_US);
    database.execute(&format!(
        "CREATE SEQUENCE deletions;
         CREATE FUNCTION dawdle_once() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
         BEGIN IF nextval('deletions') = {alone} + 1 THEN PERFORM pg_sleep(10); END IF; RETURN OLD; END $$;
         CREATE TRIGGER dawdle BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION dawdle_once()"
    ));
    let proxy = Proxy::to(database.port());
    proxy.first_hear(STATEMENT_CANCELLED);
    proxy.halt_at(Moment::Before("ROLLBACK"), Silence::Connection);
    let arguments = ["prune", "--older-than", "90d", "--now", NOW, "--max-share", "100%", "--yes", "--output", "json"];
    let path = archive_path(&archive);
    let arguments = [&arguments[..], &["--archive", &path, "--batch-time", "10s"]].concat();
    let mut run = Running::start_at(&database.url_through(proxy.port), database.directory(), &arguments);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    std::thread::sleep(Duration::from_secs(1));
    assert!(!run.is_over(), "it left {}: {}", database.count("alert_sessions"), run.stderr());
    proxy.resume();
    assert_eq!(removed(&run.finish().expect(0)), u64::from(alone + together));
    assert_eq!(database.count("alert_sessions"), 0);
}
