//! `prune --archive`, killed again and again: every session is whole in the database, in the archive, or in both.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::prune::archive::{OLD_US, file, prune_into, start_archiving};
use crate::prune::sessions::{sessions, wait_for_no_session_of_the_tool};
use crate::support::history::{Rows, insert_whole_sessions, rows};
use crate::support::process::wait_until;
use crate::support::random::Random;
use crate::support::{Database, Outcome, Schema, apply, campaign, tarsy_db};

const SESSIONS: u32 = 400;
const KILLS: u64 = 15;

/// Makes sure that each session is whole in one of the two at least, and nothing is in either that was not there.
#[track_caller]
pub(crate) fn assert_whole_in_either(original: &Rows, database: &Rows, archive: &Rows, what: &str) {
    for rows in [database, archive] {
        for (key, values) in rows {
            assert_eq!(original.get(key), Some(values), "{key:?}: {what}");
        }
    }
    let [missing, not_archived] = [database, archive].map(|rows| {
        let lacking = original.keys().filter(|key| !rows.contains_key(key));
        lacking.map(|(_, key)| key.rsplit('@').next().expect("a part")).collect::<BTreeSet<_>>()
    });
    let in_neither: Vec<_> = missing.intersection(&not_archived).collect();
    assert!(in_neither.is_empty(), "{in_neither:?}: {what}");
}

/// What is in an archive that may not have been begun.
pub(crate) fn rows_of_archive(archive: &Database) -> Rows {
    if Path::new(&file(archive)).exists() { rows(archive) } else { Rows::new() }
}

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
    assert!(!sessions(database).is_empty(), "seed {seed}: it was over too soon");
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(sessions(database).len(), 0);
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
