//! `prune` that ends before it has removed everything, and two at once.

use serde_json::Value;

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, counts, insert_many, insert_old_sessions, insert_session, session_ids};
use crate::support::process::{Held, wait_until};
use crate::support::prune::{prune, start_to_prune};
use crate::support::revision::init_to;
use crate::support::{Database, Outcome, Running, Schema, apply, tarsy_db, test};

/// What a run says that came to its end, or was ended: sessions that it removed, that remain, and why it ended.
fn told(outcome: &Outcome) -> (Option<i64>, Option<i64>, Value) {
    let told = outcome.json();
    let removed = &told["removed"];
    (removed["sessions"].as_i64(), told["remaining_sessions"].as_i64(), removed["stopped"].clone())
}

#[apply(test)]
fn without_any_time_nothing_goes_and_the_next_run_goes_on(database: &Database) {
    insert_old_sessions(database, 3);
    let outcome = prune(database, &["--yes", "--max-duration", "0s"]).expect(0);
    assert_eq!(told(&outcome), (Some(0), Some(3), "deadline".into()));
    let failed = prune(database, &["--yes", "--max-duration", "0s", "--fail-if-remaining"]).expect(6);
    assert_eq!(told(&failed), (Some(0), Some(3), "deadline".into()));
    let mut command = tarsy_db(database);
    command.args(["prune", "--max-share", "100%", "--now", NOW, "--yes", "--max-duration", "0s"]);
    let shown = Outcome::of(&mut command).expect(0).stdout;
    assert!(shown.contains("`--max-duration` is over; remaining sessions from before the cutoff: 3;"), "{shown}");
    let rest = prune(database, &["--yes", "--max-duration", "1h", "--fail-if-remaining"]).expect(0);
    assert_eq!(told(&rest), (Some(3), Some(0), Value::Null));
}

#[apply(test)]
fn when_the_time_is_up_the_batch_in_hand_is_finished() {
    each([([].as_slice(), 0), (&["--fail-if-remaining"], 6)], |(more, code)| {
        let database = Database::postgresql();
        insert_old_sessions(&database, 3);
        let halt = Held::halt_removals(&database);
        let run = start_to_prune(&database, &[more, &["--max-duration", "3s"]].concat());
        Held::wait_for_halted_removal(&database, "3.1");
        halt.close();
        assert_eq!(told(&run.finish().expect(code)), (Some(1), Some(2), "deadline".into()));
        assert_eq!(session_ids(&database), ["2", "3"]);
    });
}

#[apply(test)]
fn a_signal_lets_the_batch_in_hand_come_to_its_end() {
    let cases = [
        ("TERM", [].as_slice(), 143),
        ("INT", &[], 130),
        ("TERM", &["--fail-if-remaining"], 6),
        ("INT", &["--fail-if-remaining"], 6),
    ];
    each(cases, |(signal, more, code)| {
        let database = Database::postgresql();
        insert_old_sessions(&database, 3);
        let halt = Held::halt_removals(&database);
        let mut run = start_to_prune(&database, more);
        Held::wait_for_halted_removal(&database, "0");
        run.signal(signal);
        run.says("stopping after the current batch");
        halt.close();
        assert_eq!(told(&run.finish().expect(code)), (Some(1), Some(2), "signal".into()), "{signal}");
        assert_eq!(session_ids(&database), ["2", "3"]);
    });
}

#[apply(test)]
fn a_second_signal_rolls_the_batch_in_hand_back() {
    each([("TERM", "INT", 130), ("INT", "TERM", 143)], |(first, second, code)| {
        let database = Database::postgresql();
        insert_old_sessions(&database, 2);
        let halt = Held::halt_removals(&database);
        let mut run = start_to_prune(&database, &[]);
        Held::wait_for_halted_removal(&database, "0");
        run.signal(first);
        run.says("a second signal rolls it back");
        run.signal(second);
        // The batch stays blocked meanwhile.
        let outcome = run.finish().expect(code);
        assert_eq!(outcome.json()["removed"]["sessions"], 0);
        assert!(outcome.stderr.contains("rolled back"), "{}", outcome.stderr);
        halt.close();
        wait_for_no_session_of_the_tool(&database);
        assert_eq!(session_ids(&database), ["1", "2"]);
        assert_eq!(database.count("llm_interactions"), 2);
    });
}

#[apply(test)]
fn a_signal_ends_the_wait_for_a_file_with_a_writer() {
    each([("TERM", 143), ("INT", 130)], |(signal, code)| {
        let database = Database::sqlite();
        insert_old_sessions(&database, 2);
        let writer = Held::begin(&database, "UPDATE alert_sessions SET status = 'failed'");
        let mut run = start_to_prune(&database, &[]);
        run.says("retrying for");
        run.signal(signal);
        assert_eq!(told(&run.finish().expect(code)), (Some(0), Some(2), "signal".into()));
        writer.close();
        assert_eq!(session_ids(&database), ["1", "2"]);
    });
}

/// Makes sure that a run says that another one is at work, and does nothing.
#[track_caller]
fn is_turned_away(database: &Database) {
    let second = prune(database, &["--yes", "--fail-if-remaining"]).expect(0).json();
    assert_eq!((&second["plan"], &second["removed"]), (&Value::Null, &Value::Null));
    let mut command = tarsy_db(database);
    let shown = Outcome::of(command.args(["prune", "--now", NOW, "--yes"])).expect(0).stdout;
    assert!(shown.contains("another `prune` is running on "), "{shown}");
    // Looking is no work.
    assert_eq!(prune(database, &["--dry-run"]).expect(0).json()["plan"]["sessions"], 2);
}

#[apply(test)]
fn of_two_at_once_on_a_server_the_second_has_nothing_to_do() {
    let database = Database::postgresql();
    insert_old_sessions(&database, 2);
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let run = start_to_prune(&database, &[]);
    Held::wait_for_halted_commit(&database);
    is_turned_away(&database);
    halt.close();
    assert_eq!(told(&run.finish().expect(0)), (Some(2), Some(0), Value::Null));
}

#[apply(test)]
fn of_two_at_once_on_a_file_the_second_has_nothing_to_do() {
    each(["DELETE", "WAL"], |journal_mode| {
        let database = Database::sqlite();
        database.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
        insert_old_sessions(&database, 2);
        let writer = Held::begin(&database, "UPDATE alert_sessions SET chain_id = 'x'");
        let mut run = start_to_prune(&database, &[]);
        run.says("retrying for");
        is_turned_away(&database);
        writer.close();
        assert_eq!(told(&run.finish().expect(0)), (Some(2), Some(0), Value::Null));
        // Nothing of the right to prune stays behind.
        assert_eq!(prune(&database, &["--yes"]).expect(0).json()["plan"]["sessions"], 0);
    });
}

#[apply(test)]
fn a_crash_releases_the_prune_lock() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 300, 640, OLD_US);
    let run = start_to_prune(&database, &[]);
    database.wait_until("SELECT count(*) < 300 FROM alert_sessions");
    run.kill();
    let left = database.count("alert_sessions");
    assert!(left > 0, "it was over before it was killed");
    assert_eq!(prune(&database, &["--yes"]).expect(0).json()["removed"]["sessions"], left);
}

const MANY: i64 = 1000;

/// Fills a database with sessions to remove; the returned function counts them.
fn many(database: &Database) -> impl Fn() -> i64 + '_ {
    database.create_schema(Schema::Baseline);
    insert_many(database, u32::try_from(MANY).expect("few"), 640, OLD_US);
    move || database.count("alert_sessions")
}

#[apply(test)]
fn killed_in_the_middle_whole_sessions_are_gone_and_the_next_run_finishes(database: &Database) {
    let left = many(database);
    let run = Running::start(database, &["prune", "--max-share", "100%", "--yes", "--now", NOW, "--batch-time", "1us"]);
    wait_until("some sessions are gone", || left() < MANY);
    run.signal("KILL");
    assert_eq!(run.finish().code, None);
    wait_for_no_session_of_the_tool(database);
    let rest = left();
    assert!(rest > 0, "it was over before it was killed");
    assert_eq!(database.count("llm_interactions"), rest);
    let pairs = "SELECT count(*) FROM alert_sessions s JOIN llm_interactions l ON l.session_id = s.session_id";
    assert_eq!(database.number(pairs), rest);
    let again = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(again["removed"]["sessions"].as_i64(), Some(rest));
    assert_eq!(counts(database), [0; 4]);
}

#[apply(test)]
fn interrupted_it_tells_what_is_gone(database: &Database) {
    each([("INT", 130), ("TERM", 143)], |(signal, code)| {
        let left = many(database);
        let run = Running::start(
            database,
            &["prune", "--max-share", "100%", "--yes", "--now", NOW, "--batch-time", "1us", "--output", "json"],
        );
        wait_until("some sessions are gone", || left() < MANY);
        run.signal(signal);
        let outcome = run.finish().expect(code);
        wait_for_no_session_of_the_tool(database);
        let rest = left();
        assert!(rest > 0, "it was over before it was interrupted");
        assert_eq!(outcome.json()["removed"]["sessions"].as_i64(), Some(MANY - rest));
        assert_eq!(database.count("llm_interactions"), rest);
        prune(database, &["--yes"]).expect(0);
    });
}

#[apply(test)]
fn a_batch_whose_commit_is_on_its_way_is_counted() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    insert_session(&database, "two", "completed", Some(OLD_US + 1));
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let running = Running::start(
        &database,
        &["prune", "--max-share", "100%", "--now", NOW, "--output", "json", "--yes", "--batch-time", "1us"],
    );
    Held::wait_for_halted_commit(&database);
    running.signal("TERM");
    halt.close();
    let stopped = running.finish().expect(143).json();
    assert_eq!(stopped["removed"]["sessions"], 1);
    assert_eq!(stopped["error"]["exit_code"], 143);
    assert_eq!(session_ids(&database), ["two"]);
}

#[apply(test)]
fn what_cannot_be_counted_in_half_the_time_is_left_out_of_the_plan_and_sessions_are_removed() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    insert_session(&database, "open", "pending", Some(OLD_US));
    init_to(&database, "head");
    let other = Held::begin(&database, "LOCK TABLE chat_user_messages");
    let limited =
        ["--max-share", "100%", "--now", NOW, "--older-than", "90d", "--yes", "--orphans", "--max-duration", "6s"];
    let mut run = Running::start(&database, &[&["--database-url", database.url(), "prune"], &limited[..]].concat());
    run.says("the rows were not counted, because `--max-duration` leaves no time to count");
    run.says("orphans are left to a run with more time, because `--max-duration` leaves no time to count");
    other.close();
    let shown = run.finish().expect(0).stdout;
    assert!(shown.contains("removed 1 session that started before"), "{shown}");
    let kept = "sessions from before the cutoff that were kept, because they are open, in use, locked, or needed by \
                other sessions: 1; `tarsy-db prune --dry-run --older-than 90d --now ";
    assert!(shown.contains(kept), "{shown}");
    // The command names the server without its password.
    let (login, place) = database.url().rsplit_once('@').expect("the URL names a user");
    let (user, password) = login.rsplit_once(':').expect("the URL has a password");
    assert!(shown.contains(&format!("--database-url {user}@{place}")) && !shown.contains(password), "{shown}");
    assert!(shown.contains("the command lacks the password: set PGPASSWORD or use a password file"), "{shown}");
    assert_eq!(session_ids(&database), ["open"]);
}
