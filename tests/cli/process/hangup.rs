//! SIGHUP, which arrives when a terminal is closed or its connection is lost.

use crate::support::activity::wait_for_lock;
use crate::support::history::{NOW, insert_old_sessions, session_ids};
use crate::support::migration::{REPORT, arguments, one_session_and_target};
use crate::support::process::{Held, running_by};
use crate::support::sqlite_file::names;
use crate::support::{Database, Outcome, apply, test};

/// A runner of these tests may ignore the signal.
const WITH_DEFAULT: [&str; 2] = ["env", "--default-signal=HUP"];

/// Sends the signal to a move that waits for a lock and has begun its report. Returns its end, and its directory.
fn move_that_hangs_up(start: &[&str]) -> (Outcome, Vec<String>) {
    let (source, target) = one_session_and_target();
    let lock = Held::begin(&target, "LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE");
    let run = running_by(start, &source, &[&arguments(&target)[..], &REPORT].concat());
    wait_for_lock(&target);
    run.signal("HUP");
    if start == WITH_DEFAULT {
        return (run.finish(), names(source.directory()));
    }
    lock.close();
    (run.finish(), names(source.directory()))
}

#[apply(test)]
fn a_run_that_loses_its_terminal_leaves_no_file_behind() {
    let (outcome, names) = move_that_hangs_up(&WITH_DEFAULT);
    let outcome = outcome.expect(129);
    assert!(outcome.stderr.contains("stopped by SIGHUP; uncommitted changes were rolled back"), "{}", outcome.stderr);
    assert_eq!(names, ["history.db"]);
}

#[apply(test)]
fn under_nohup_a_run_goes_on() {
    let (outcome, names) = move_that_hangs_up(&["nohup"]);
    outcome.expect(0);
    assert_eq!(names, ["history.db", "report.json"]);
}

#[apply(test)]
fn a_second_hangup_does_not_roll_the_batch_in_hand_back() {
    let database = Database::postgresql();
    insert_old_sessions(&database, 3);
    let halt = Held::halt_removals(&database);
    let prune = ["prune", "--max-share", "100%", "--older-than", "1d", "--now", NOW, "--yes", "--batch-time", "1us"];
    let mut run = running_by(&WITH_DEFAULT, &database, &prune);
    Held::wait_for_halted_removal(&database, "0");
    run.signal("HUP");
    run.says("stopping after the current batch");
    run.signal("HUP");
    halt.close();
    run.finish().expect(129);
    assert_eq!(session_ids(&database), ["2", "3"]);
}
