//! What the errors of PgBouncer mean.

use crate::support::cases::each;
use crate::support::connection::Connection;
use crate::support::history::{NOW, OLD_US, insert_many, insert_whole_sessions};
use crate::support::pgbouncer::PgBouncer;
use crate::support::process::{Running, wait_until};
use crate::support::prune::start_to_prune_at;
use crate::support::server::closed_port;
use crate::support::{Database, Schema, apply, pgbouncer, run_at};

/// Each of these waits for the database.
const PATIENT: [&[&str]; 3] = [
    &["wait"],
    &["init", "--to", "head", "--wait=1m"],
    &["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%", "--yes", "--retry-for", "1m"],
];
const COMMANDS: [&[&str]; 4] = [
    &["wait", "--max-attempts", "1"],
    &["info"],
    &["check"],
    &["prune", "--older-than", "90d", "--yes", "--retry-for", "0s"],
];

/// Runs each of the commands, which fail with this code and say all these parts.
#[track_caller]
fn fail(url: &str, code: i32, parts: &[&str]) {
    each(COMMANDS, |arguments| run_at(url, arguments).expect(code).tells(parts));
}

/// Runs each of the commands that wait, while the database is `hidden`, until it is `shown`.
fn wait_for(settings: &[&str], hidden: &str, said: &str, shown: &str) {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 2, OLD_US);
    let pgbouncer = PgBouncer::before(&database, settings);
    each(PATIENT, |arguments| {
        pgbouncer.execute(hidden);
        let mut running = Running::start_at(&pgbouncer.url("transaction"), database.directory(), arguments);
        running.says(said);
        pgbouncer.execute(shown);
        running.finish().expect(0);
    });
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(pgbouncer)]
fn a_start_up_parameter_that_it_does_not_know_is_a_setting_to_correct() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let pgbouncer = PgBouncer::before(&database, &[]);
    each(["session", "transaction"], |mode| {
        let url = format!("{}?options=-csearch_path%3Dother", pgbouncer.url(mode));
        fail(&url, 78, &["unsupported startup parameter", "hint: remove `options` from the URL", "PGOPTIONS"]);
    });
}

#[apply(pgbouncer)]
fn too_many_clients_are_worth_a_retry() {
    let database = Database::postgresql().with_schema(Schema::Head);
    // The driver of this other client sends a parameter that PgBouncer does not know.
    let settings = ["max_client_conn = 1", "ignore_startup_parameters = extra_float_digits"];
    let pgbouncer = PgBouncer::before(&database, &settings);
    let other = Connection::open(&pgbouncer.url("transaction"));
    fail(&pgbouncer.url("transaction"), 75, &["no more connections allowed (max_client_conn)", "limit of the pooler"]);
    other.close();
}

#[apply(pgbouncer)]
fn a_pool_without_a_session_in_time_is_unavailable() {
    let (_reservation, port) = closed_port();
    let pgbouncer = PgBouncer::to(port, "any", &["query_wait_timeout = 1"]);
    fail(&pgbouncer.url("transaction"), 69, &["query_wait_timeout", "hint: look up in the pooler's log"]);
}

#[apply(pgbouncer)]
fn a_disabled_database_is_unavailable() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let pgbouncer = PgBouncer::before(&database, &[]);
    pgbouncer.execute("DISABLE session");
    fail(&pgbouncer.url("session"), 69, &["\"session\" is disabled", "hint: run `ENABLE ...`"]);
    pgbouncer.execute("ENABLE session");
}

#[apply(pgbouncer)]
fn a_disabled_database_is_waited_for() {
    wait_for(&[], "DISABLE transaction", "database is disabled", "ENABLE transaction");
}

#[apply(pgbouncer)]
fn a_paused_database_is_waited_for() {
    wait_for(&["query_wait_timeout = 1"], "PAUSE transaction", "query_wait_timeout", "RESUME transaction");
}

/// Each session takes a moment, so that the run is in its middle for long enough.
#[apply(pgbouncer)]
fn a_prune_goes_on_after_a_pause_and_counts_each_session_once() {
    let sessions = 300;
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_many(&database, sessions, 64, OLD_US);
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog
             AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.01); RETURN OLD; END';
         CREATE TRIGGER slow BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let pgbouncer = PgBouncer::before(&database, &["query_wait_timeout = 1"]);
    let mut run = start_to_prune_at(&pgbouncer.url("transaction"), &database, &[]);
    wait_until("some sessions are gone", || database.count("alert_sessions") < i64::from(sessions));
    pgbouncer.execute("PAUSE transaction");
    run.says("query_wait_timeout; retrying for up to 1m");
    pgbouncer.execute("RESUME transaction");
    run.says("reconnected");
    assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], sessions);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(pgbouncer)]
fn a_wrong_name_and_a_wrong_password_are_what_they_are_without_a_pooler() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let pgbouncer = PgBouncer::before(&database, &[]);
    fail(&pgbouncer.url("other"), 78, &["no such database: other", "hint: add the name to `[databases]` of PgBouncer"]);
    let url = pgbouncer.url("transaction").replacen(":test-password@", ":wrong@", 1);
    fail(&url, 77, &["authentication failed", "hint: check user and password"]);
}
