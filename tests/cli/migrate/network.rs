//! `migrate-sqlite-to-postgres` over a network that falls silent, or interrupted at any stage: it ends soon, says why,
//! and leaves nothing on the server.

use std::time::{Duration, Instant};

use crate::support::activity::{WAITS_FOR_LOCK, wait_for_no_session_of_the_tool};
use crate::support::cases::each;
use crate::support::history::full_history;
use crate::support::migration::{arguments_to, picture};
use crate::support::process::Held;
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::server::Server;
use crate::support::{Database, Outcome, Running, Schema, apply, test};

/// Connecting, the schema, COPY at its middle and its beginning, an index, the comparison.
const STAGES: [(Moment<'static>, &str); 6] = [
    (Moment::After("user\0"), "cannot connect to "),
    (Moment::After("version_num"), "cannot finish the move\n"),
    (Moment::Before("l-50"), "cannot continue copying llm_interactions\n"),
    (
        Moment::After("CREATE INDEX idx_events_created_at"),
        "cannot continue indexing events (BTREE idx_events_created_at)\n",
    ),
    (Moment::After("COPY \"public\".\"chats\" ("), "cannot continue copying chats\n"),
    (Moment::After("TO STDOUT"), "cannot continue comparing "),
];

/// Stops by itself after a few seconds.
const SOON: Duration = Duration::from_secs(30);
/// On a quiet machine it is half a second; a wait for the lock itself takes five seconds or more.
const AT_ONCE: Duration = Duration::from_secs(3);

struct Ends {
    source: Database,
    target: Database,
    before: Vec<String>,
    proxy: Proxy,
}

impl Ends {
    fn new() -> Self {
        let target = Database::postgresql();
        target.create_schema(Schema::Head);
        let (before, proxy) = (picture(&target), Proxy::to(target.port()));
        Self { source: full_history(), target, before, proxy }
    }

    /// Runs through the proxy, with the shortest timeouts.
    fn start(&self) -> Running {
        let url = format!("{}?connect_timeout=1", self.target.url_through(self.proxy.port));
        Running::start(&self.source, &arguments_to(&url))
    }

    /// Runs until the network falls silent, and asserts that the run then ends soon.
    #[track_caller]
    fn run_into(&self, moment: Moment<'_>, silence: Silence) -> Outcome {
        self.proxy.halt_at(moment, silence);
        let mut run = self.start();
        assert!(self.proxy.has_halted(&mut run), "{moment:?}: {}", run.stderr());
        let silent = Instant::now();
        let outcome = run.finish();
        assert!(silent.elapsed() < SOON, "{moment:?}: {:?}", silent.elapsed());
        assert_eq!(outcome.json()["error"]["exit_code"], 69, "{moment:?}");
        outcome.expect(69)
    }
}

#[apply(test)]
fn a_silent_network_ends_the_run_soon_at_every_stage() {
    let ends = Ends::new();
    each(STAGES, |(moment, told)| {
        let outcome = ends.run_into(moment, Silence::Network);
        assert!(outcome.stderr.contains(told), "{moment:?}: {}", outcome.stderr);
        let silence = ["no answer within 1s", "no answer from the server for 4s"];
        assert!(silence.iter().any(|silence| outcome.stderr.contains(silence)), "{moment:?}: {}", outcome.stderr);
        ends.proxy.cut();
        wait_for_no_session_of_the_tool(&ends.target);
        assert!(picture(&ends.target) == ends.before, "{moment:?}");
    });
}

#[apply(test)]
fn a_connection_that_a_firewall_drops_is_detected_and_its_session_ended() {
    let ends = Ends::new();
    each(STAGES.into_iter().skip(1), |(moment, told)| {
        let outcome = ends.run_into(moment, Silence::Connection);
        assert!(outcome.stderr.contains(told), "{moment:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("the network lost a message"), "{moment:?}: {}", outcome.stderr);
        if outcome.stderr.contains("cannot finish the move\n") {
            // Before the data transaction the tool does not know the ID of its session.
            ends.proxy.cut();
        }
        // If it holds locks, the server would not notice for hours.
        wait_for_no_session_of_the_tool(&ends.target);
        ends.proxy.cut();
        assert!(picture(&ends.target) == ends.before, "{moment:?}");
    });
}

#[apply(test)]
fn a_target_that_becomes_read_only_meanwhile_is_reported_and_unchanged() {
    let server = Server::start(&[]);
    let target = Database::on(&server.url("postgres"));
    let (source, before, proxy) = (full_history(), picture(&target), Proxy::to(server.port));
    // It has been found writable, and nothing was written yet.
    proxy.halt_at(Moment::After("current_setting('session_replication_role')"), Silence::Network);
    let mut run = Running::start(&source, &arguments_to(&target.url_through(proxy.port)));
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    set_read_only(&target, "on");
    proxy.resume();
    let outcome = run.finish().expect(69);
    assert!(outcome.stderr.contains("read-only"), "{}", outcome.stderr);
    assert!(picture(&target) == before);
    set_read_only(&target, "off");
}

fn set_read_only(target: &Database, value: &str) {
    target.execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
    target.execute("SELECT pg_reload_conf()");
    target.wait_until(&format!("SELECT count(*) WHERE current_setting('default_transaction_read_only') = '{value}'"));
}

#[apply(test)]
fn a_lost_answer_to_commit_is_an_unknown_outcome() {
    let ends = Ends::new();
    each([(Moment::Before(COMMIT), 0), (Moment::After(COMMIT), 100)], |(moment, rows)| {
        let outcome = ends.run_into(moment, Silence::Connection);
        let unknown = "cannot determine whether the commit took place (`tarsy-db info` shows it)";
        assert!(outcome.stderr.contains(unknown), "{moment:?}: {}", outcome.stderr);
        wait_for_no_session_of_the_tool(&ends.target);
        ends.proxy.cut();
        assert_eq!(ends.target.count("alert_sessions"), rows, "{moment:?}");
    });
}

/// Makes an index on `events` take long: half a second for each of its hundred rows.
const SLOW_INDEX: &str = "CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM pg_sleep(0.5); RETURN $1; END $$;
    CREATE INDEX slow ON events (slow(id))";

#[apply(test)]
fn a_server_that_is_silent_because_it_works_is_waited_for() {
    let ends = Ends::new();
    ends.target.execute(&SLOW_INDEX.replace("0.5", "0.15"));
    let started = Instant::now();
    let outcome = ends.start().finish().expect(0);
    assert!(started.elapsed() > Duration::from_secs(12), "{:?}", started.elapsed());
    // Every ten seconds, also where nothing moves.
    assert!(outcome.stderr.contains("indexing events (BTREE slow): for "), "{}", outcome.stderr);
    assert_eq!(ends.target.count("events"), 100);
}

#[apply(test)]
fn a_server_that_waits_for_a_lock_is_waited_for() {
    let ends = Ends::new();
    let held = Held::begin(&ends.target, "LOCK TABLE events IN ACCESS SHARE MODE");
    let mut arguments = arguments_to("").to_vec();
    let url = format!("{}?connect_timeout=1", ends.target.url());
    arguments[4] = &url;
    arguments.extend(["--lock-timeout", "60s"]);
    let run = Running::start(&ends.source, &arguments);
    ends.target.wait_until(WAITS_FOR_LOCK);
    ends.target.wait_until(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
         AND clock_timestamp() > state_change + interval '6 s'",
    );
    held.close();
    run.finish().expect(0);
}

/// Waits until the server does something for the binary, interrupts it, and sees both gone within a second.
#[track_caller]
fn is_interrupted_while(ends: &Ends, activity: &str) {
    let run = Running::start(&ends.source, &arguments_to(ends.target.url()));
    let mut watcher = Held::connect(&ends.target);
    ends.target.wait_until(activity);
    let interrupted = Instant::now();
    run.signal("INT");
    let outcome = run.finish().expect(130);
    let ended = interrupted.elapsed();
    // On an open connection: logging in takes time.
    watcher.execute(
        "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'tarsy')
         LOOP PERFORM pg_sleep(0.01), pg_stat_clear_snapshot(); END LOOP; END $$",
    );
    let gone = interrupted.elapsed();
    assert!(gone < AT_ONCE, "ended after {ended:?}, gone after {gone:?}: {activity}");
    assert!(outcome.stderr.contains("stopped by SIGINT; uncommitted changes were rolled back"), "{}", outcome.stderr);
}

#[apply(test)]
fn ctrl_c_during_copy_ends_both_sides_at_once() {
    let ends = Ends::new();
    let _held = Held::halt_inserts(&ends.target, "llm_interactions", "true");
    is_interrupted_while(
        &ends,
        "SELECT count(*) FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid, datname)
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
}

#[apply(test)]
fn ctrl_c_while_an_index_is_built_ends_both_sides_at_once() {
    let ends = Ends::new();
    ends.target.execute(SLOW_INDEX);
    is_interrupted_while(
        &ends,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
}

#[apply(test)]
fn ctrl_c_while_a_lock_is_waited_for_ends_both_sides_at_once() {
    let ends = Ends::new();
    let _held = Held::begin(&ends.target, "LOCK TABLE events IN ACCESS SHARE MODE");
    is_interrupted_while(&ends, WAITS_FOR_LOCK);
}

#[apply(test)]
fn ctrl_c_while_rows_are_read_back_ends_both_sides_at_once() {
    let ends = Ends::new();
    ends.proxy.halt_at(Moment::After("TO STDOUT"), Silence::Connection);
    let url = ends.target.url_through(ends.proxy.port);
    let mut run = Running::start(&ends.source, &arguments_to(&url));
    assert!(ends.proxy.has_halted(&mut run), "{}", run.stderr());
    let interrupted = Instant::now();
    run.signal("INT");
    run.finish().expect(130);
    wait_for_no_session_of_the_tool(&ends.target);
    let gone = interrupted.elapsed();
    assert!(gone < AT_ONCE, "{gone:?}");
    ends.proxy.cut();
    assert!(picture(&ends.target) == ends.before);
}

#[apply(test)]
fn ctrl_c_over_a_silent_network_ends_at_once() {
    let ends = Ends::new();
    each(STAGES, |(moment, _)| {
        ends.proxy.halt_at(moment, Silence::Network);
        let url = ends.target.url_through(ends.proxy.port);
        let mut run = Running::start(&ends.source, &arguments_to(&url));
        assert!(ends.proxy.has_halted(&mut run), "{}", run.stderr());
        let interrupted = Instant::now();
        run.signal("INT");
        run.finish().expect(130);
        assert!(interrupted.elapsed() < AT_ONCE, "{moment:?}: {:?}", interrupted.elapsed());
        ends.proxy.cut();
        wait_for_no_session_of_the_tool(&ends.target);
        assert!(picture(&ends.target) == ends.before, "{moment:?}");
    });
}
