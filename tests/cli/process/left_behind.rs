//! What a command was doing on the server ends with the command: stopped by a signal, killed, or out of time.

use std::time::{Duration, Instant};

use crate::support::activity::{LOCK_OF_THE_SCHEMA, wait_for_lock, wait_for_no_session_of_the_tool};
use crate::support::history::{NOW, three_old_sessions};
use crate::support::process::Held;
use crate::support::prune::start_to_prune;
use crate::support::{Database, Outcome, Running, apply, test};

/// Runs a command into a lock of another session, stops it, and sees both ends gone soon, while the lock is still held.
#[track_caller]
fn is_stopped_at(database: &Database, lock: &str, arguments: &[&str]) -> Outcome {
    let held = Held::begin(database, lock);
    let run = Running::start(database, arguments);
    wait_for_lock(database);
    let told = Instant::now();
    run.signal("TERM");
    let outcome = run.finish().expect(143);
    wait_for_no_session_of_the_tool(database);
    // By itself it would have waited for 5 s and more.
    assert!(told.elapsed() < Duration::from_secs(4), "{:?}: {arguments:?}", told.elapsed());
    held.close();
    outcome
}

const ALL_SESSIONS: &str = "LOCK TABLE alert_sessions";

#[apply(test)]
fn check_that_is_stopped_leaves_no_query_behind() {
    is_stopped_at(&three_old_sessions(), ALL_SESSIONS, &["check"]);
}

#[apply(test)]
fn info_that_is_stopped_leaves_no_query_behind() {
    is_stopped_at(&three_old_sessions(), ALL_SESSIONS, &["info"]);
}

#[apply(test)]
fn init_that_is_stopped_leaves_nothing_behind() {
    let database = Database::postgresql();
    let arguments = ["init", "--lock-timeout", "1h"];
    let outcome = is_stopped_at(&database, LOCK_OF_THE_SCHEMA, &arguments);
    assert!(outcome.stderr.contains("uncommitted changes were rolled back"), "{}", outcome.stderr);
}

#[apply(test)]
fn init_that_is_killed_leaves_nothing_behind() {
    let database = Database::postgresql();
    let _held = Held::begin(&database, LOCK_OF_THE_SCHEMA);
    let run = Running::start(&database, &["init", "--lock-timeout", "1h"]);
    wait_for_lock(&database);
    run.kill();
    wait_for_no_session_of_the_tool(&database);
}

#[apply(test)]
fn a_plan_that_is_stopped_leaves_no_query_behind() {
    is_stopped_at(&three_old_sessions(), ALL_SESSIONS, &["prune", "--now", NOW, "--dry-run"]);
}

#[apply(test)]
fn a_vacuum_that_is_stopped_leaves_nothing_behind() {
    let arguments = ["prune", "--max-share", "100%", "--now", NOW, "--yes", "--vacuum"];
    // Rows can be removed meanwhile.
    is_stopped_at(&three_old_sessions(), "LOCK TABLE mcp_communications IN SHARE UPDATE EXCLUSIVE MODE", &arguments);
}

#[apply(test)]
fn a_batch_that_a_second_signal_rolls_back_ends_on_the_server_as_well() {
    let database = three_old_sessions();
    let halt = Held::halt_removals(&database);
    let mut run = start_to_prune(&database, &[]);
    Held::wait_for_halted_removal(&database, "0");
    run.signal("TERM");
    run.says("a second signal rolls it back");
    run.signal("TERM");
    run.finish().expect(143);
    wait_for_no_session_of_the_tool(&database);
    assert_eq!(database.count("alert_sessions"), 3);
    halt.close();
}

#[apply(test)]
fn a_batch_that_does_not_end_is_rolled_back_a_while_after_the_first_signal_or_when_the_time_is_up() {
    let cases = [(&[][..], 143, "failure"), (&["--max-duration", "2s"], 69, "failure")];
    let cases = cases.map(|case| (three_old_sessions(), case));
    // Side by side: they only wait.
    std::thread::scope(|scope| {
        for (database, (more, code, stopped)) in &cases {
            scope.spawn(|| {
                let halt = Held::halt_removals(database);
                let run = start_to_prune(database, more);
                Held::wait_for_halted_removal(database, "0");
                if more.is_empty() {
                    run.signal("TERM");
                }
                let told = run.finish().expect(*code).json();
                assert_eq!(
                    (&told["removed"]["stopped"], &told["removed"]["sessions"]),
                    (&(*stopped).into(), &0.into())
                );
                wait_for_no_session_of_the_tool(database);
                assert_eq!(database.count("alert_sessions"), 3);
                halt.close();
            });
        }
    });
}
