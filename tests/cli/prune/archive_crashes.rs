//! `prune --archive`, killed again and again: every session is whole in the database, in the archive, or in both.

use std::time::Duration;

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::archive::{assert_whole_in_either, prune_into, rows_of_archive, start_archiving};
use crate::support::history::{OLD_US, insert_whole_sessions, rows, session_ids};
use crate::support::process::wait_until;
use crate::support::random::Random;
use crate::support::{Database, Outcome, Schema, apply, campaign, tarsy_db};

/// More than all killed runs remove, on any machine.
const SESSIONS: u32 = 1200;
const KILLS: u64 = 15;

fn is_killed_many_times(database: &Database, seed: u64) {
    let (mut random, archive) = (Random::new(seed), Database::sqlite());
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, SESSIONS, OLD_US);
    let original = rows(database);
    for kill in 0..KILLS {
        let before = database.count("alert_sessions");
        let gone = i64::try_from(random.below(30)).expect("few");
        // Anywhere between two batches or in one.
        let moment = Duration::from_micros(random.below(20_000));
        let what = format!("seed {seed}, kill {kill}, after {gone} sessions and {moment:?}");
        let mut run = start_archiving(database, &archive);
        wait_until("some sessions are gone", || run.is_over() || database.count("alert_sessions") <= before - gone);
        assert!(!run.is_over(), "{what}: {}", run.stderr());
        std::thread::sleep(moment);
        run.kill();
        wait_for_no_session_of_the_tool(database);
        assert_whole_in_either(&original, &rows(database), &rows_of_archive(&archive), &what);
    }
    assert!(!session_ids(database).is_empty(), "seed {seed}: it was over too soon");
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(session_ids(database).len(), 0);
    assert!(rows(&archive) == original, "seed {seed}");
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
}

#[apply(campaign)]
fn killed_15_times_no_session_is_lost_or_kept_twice(database: &Database) {
    for seed in campaign::seeds(1) {
        is_killed_many_times(&database.another(), seed);
    }
}

#[apply(campaign)]
fn killed_15_times_with_a_write_ahead_log_no_session_is_lost_or_kept_twice() {
    for seed in campaign::seeds(1) {
        let database = Database::sqlite();
        database.execute("PRAGMA journal_mode = WAL");
        is_killed_many_times(&database, seed);
    }
}
