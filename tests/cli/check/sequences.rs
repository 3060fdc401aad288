//! `check`: each sequence is judged for itself, and only those of TARSy's tables decide.

use std::time::{Duration, Instant};

use crate::support::cases::each;
use crate::support::check::{check, finds, is_found};
use crate::support::process::Held;
use crate::support::{Database, Outcome, Role, Running, Schema, apply, test};

const EVENTS: &str = "INSERT INTO events (id, channel) SELECT g, 'sessions' FROM generate_series(1, 100) g";
const INSERT: &str = "INSERT INTO events (channel) VALUES ('sessions')";
const EXHAUST: &str = "SELECT setval('events_id_seq', 2147483647)";
const EXHAUSTED: &str = "`events_id_seq` has no number left after 2147483647";
const OTHER: &str = "CREATE TABLE others (id serial PRIMARY KEY)";

fn head() -> Database {
    Database::postgresql().with_schema(Schema::Head)
}

fn at(role: &Role<'_>, database: &Database, arguments: &[&str]) -> Outcome {
    let arguments = [&["check", "--output", "json"], arguments].concat();
    Running::start_at(&role.url(), database.directory(), &arguments).finish()
}

/// Runs what a detail says between "run `" and the next "`".
fn follow(database: &Database, checked: &Outcome) {
    let report = checked.json();
    let checks = report["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == "sequences").expect("sequences");
    let detail = found["detail"].as_str().expect("a text");
    let command = detail.split("run `").nth(1).and_then(|rest| rest.split('`').next()).expect("a command");
    database.execute(command);
}

#[apply(test)]
fn a_sequence_that_begins_again_or_counts_down_fails_where_the_next_insert_does() {
    let next_is_used = "the next value of `events_id_seq` is 1, which `events.id` already has";
    let cases = [
        (&[EVENTS, "ALTER SEQUENCE events_id_seq CYCLE"][..], next_is_used),
        (&[EVENTS, "ALTER SEQUENCE events_id_seq CYCLE", EXHAUST], next_is_used),
        (
            &["ALTER SEQUENCE events_id_seq INCREMENT -1; SELECT setval('events_id_seq', 1)"],
            "`events_id_seq` has no number left after 1, so",
        ),
        (
            &[EVENTS, "ALTER SEQUENCE events_id_seq INCREMENT -1 MINVALUE -100; SELECT setval('events_id_seq', 51)"],
            "the next value of `events_id_seq` is 50, but `events.id` goes down to 1",
        ),
    ];
    each(cases, |(statements, words)| {
        let database = head();
        for statement in statements {
            database.execute(statement);
        }
        finds(&database, 4, "sequences", "failed", words);
        database.execute(&format!(
            "DO $$ BEGIN {INSERT}; RAISE 'it was inserted';
             EXCEPTION WHEN unique_violation OR sequence_generator_limit_exceeded THEN NULL; END $$"
        ));
        let fixed = check(&database, &["--fix"]).expect(4);
        is_found(&fixed, "repairs", "ok", "nothing to repair");
        follow(&database, &fixed);
        database.execute(INSERT);
        let after = check(&database, &[]).expect(0);
        assert!(!after.stdout.contains("sequence_behind"), "{}", after.stdout);
    });
}

#[apply(test)]
fn a_sequence_that_begins_again_at_a_free_number_is_sound() {
    let database = head();
    database.execute("INSERT INTO events (id, channel) VALUES (2147483647, 'sessions')");
    database.execute("ALTER SEQUENCE events_id_seq CYCLE");
    database.execute(EXHAUST);
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
    database.execute(INSERT);
}

#[apply(test)]
fn what_is_wrong_with_a_sequence_of_another_application_hides_nothing_of_tarsys() {
    let database = head();
    let role = Role::new(&database);
    database.execute(&format!(
        "{OTHER}; ALTER TABLE others ENABLE ROW LEVEL SECURITY;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {0}",
        role.name
    ));
    is_found(
        &at(&role, &database, &[]).expect(0),
        "sequences",
        "note",
        "`others_id_seq` of another application is not checked",
    );
    database.execute(EXHAUST);
    is_found(&at(&role, &database, &[]).expect(4), "sequences", "failed", EXHAUSTED);
}

#[apply(test)]
fn a_sequence_that_another_application_has_locked_is_not_waited_for() {
    let database = head();
    database.execute(OTHER);
    let started = Instant::now();
    let holder = Held::begin(&database, "ALTER SEQUENCE others_id_seq CACHE 2");
    finds(&database, 0, "sequences", "note", "1 sequence ahead of the data\n`others_id_seq` of another application");
    database.execute(EVENTS);
    let fixed = check(&database, &["--fix"]).expect(0);
    is_found(&fixed, "repairs", "note", "advanced sequence events_id_seq past the data");
    database.execute(EXHAUST);
    finds(&database, 4, "sequences", "failed", EXHAUSTED);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    holder.close();
}

#[apply(test)]
fn a_locked_sequence_of_tarsys_is_75() {
    let database = head();
    let holder = Held::begin(&database, "ALTER SEQUENCE events_id_seq CACHE 2");
    finds(
        &database,
        75,
        "sequences",
        "failed",
        "`events_id_seq` is not checked: canceling statement due to lock timeout",
    );
    holder.close();
}

#[apply(test)]
fn a_table_of_another_application_that_cannot_be_read_is_a_note() {
    let database = head();
    database.execute(
        "CREATE TABLE others (id serial) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF others FOR VALUES FROM (1) TO (9)",
    );
    let _holder = Held::begin(&database, "LOCK TABLE part IN ACCESS EXCLUSIVE MODE");
    finds(&database, 0, "sequences", "note", "`others_id_seq` of another application is not checked");
    database.execute(EXHAUST);
    finds(&database, 4, "sequences", "failed", EXHAUSTED);
}

#[apply(test)]
fn a_role_that_may_only_use_the_sequence_sees_that_it_is_exhausted() {
    let database = head();
    let role = Role::new(&database);
    database.execute(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0}; GRANT USAGE ON events_id_seq TO {0}",
        role.name
    ));
    is_found(&at(&role, &database, &[]).expect(0), "sequences", "ok", "1 sequence ahead of the data");
    database.execute(EXHAUST);
    is_found(&at(&role, &database, &[]).expect(4), "sequences", "failed", EXHAUSTED);
    database.execute(&format!("REVOKE USAGE ON events_id_seq FROM {}", role.name));
    let refused = at(&role, &database, &[]).expect(0);
    is_found(&refused, "privileges", "warning", "the role lacks USAGE on events_id_seq; that is enough for `check`");
    is_found(&refused, "sequences", "skipped", "`events_id_seq` is not checked: no privilege");
}

#[apply(test)]
fn a_sequence_is_not_set_to_its_last_number() {
    let database = head();
    database.execute("INSERT INTO events (id, channel) VALUES (2147483647, 'sessions')");
    let fixed = check(&database, &["--fix"]).expect(4);
    is_found(&fixed, "repairs", "ok", "nothing to repair");
    is_found(
        &fixed,
        "sequences",
        "failed",
        "because no number is left past the data: stop the backend and run `TRUNCATE",
    );
    database.execute(INSERT);
    follow(&database, &fixed);
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
}

#[apply(test)]
fn a_sequence_follows_the_column_that_uses_it() {
    let database = head();
    database.execute(
        "ALTER SEQUENCE events_id_seq AS bigint; ALTER SEQUENCE events_id_seq OWNED BY alert_sessions.started_at_us;
         INSERT INTO alert_sessions (session_id, agent_type, alert_type, status, chain_id, started_at_us, alert_data)
         VALUES ('s', 'k', 'a', 'completed', 'c', 1700000000000000, '{}')",
    );
    let fixed = check(&database, &["--fix"]);
    is_found(&fixed, "repairs", "ok", "nothing to repair");
    is_found(&fixed, "sequences", "ok", "1 sequence ahead of the data");
    database.execute(INSERT);
}

#[apply(test)]
fn the_advice_for_an_exhausted_sequence_that_belongs_to_no_table_works() {
    let database = head();
    database.execute("ALTER SEQUENCE events_id_seq OWNED BY NONE");
    database.execute(EXHAUST);
    let checked = check(&database, &[]).expect(4);
    is_found(&checked, "sequences", "failed", "run `TRUNCATE events; ALTER SEQUENCE events_id_seq ");
    follow(&database, &checked);
    database.execute(INSERT);
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
}
