//! `migrate-sqlite-to-postgres`: whichever process is killed at whatever time, the target is unchanged or complete.
//!
//! Processes are killed after a number of bytes, not after a time: so it happens all over the run on any machine.

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::history::full_history;
use crate::support::migration::{arguments_to, migrate, picture};
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::{Database, Outcome, Running, Schema, apply, campaign};

/// The states of a target.
struct Pictures {
    empty: Vec<String>,
    with_schema: Vec<String>,
    complete: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    WithSchema,
    Complete,
}

impl Pictures {
    /// Reads them from targets that were not interrupted.
    fn of(source: &Database, target: &Database) -> Self {
        let other = target.another();
        let empty = picture(&other);
        other.create_schema(Schema::Head);
        let with_schema = picture(&other);
        Outcome::of(&mut migrate(source, &other)).expect(0);
        let complete = picture(&other);
        assert!(empty.is_empty() && with_schema.len() > 100);
        assert!(complete.concat().len() > with_schema.concat().len() + 200_000);
        Self { empty, with_schema, complete }
    }

    #[track_caller]
    fn state_of(&self, target: &Database) -> State {
        let found = picture(target);
        let known =
            [(&self.empty, State::Empty), (&self.with_schema, State::WithSchema), (&self.complete, State::Complete)];
        let state = known.into_iter().find(|(picture, _)| **picture == found).map(|(_, state)| state);
        state.unwrap_or_else(|| {
            let likest = known.iter().min_by_key(|(picture, _)| picture.len().abs_diff(found.len()));
            let likest = likest.expect("three pictures").0;
            let lacks = |these: &[String], those: &[String]| {
                let lacking = those.iter().filter(|line| !these.contains(line));
                lacking.map(|line| line.chars().take(200).collect()).collect::<Vec<String>>()
            };
            let (lost, new) = (lacks(&found, likest), lacks(likest, &found));
            panic!("neither as before nor complete; lost: {lost:#?}; new: {new:#?}")
        })
    }
}

/// Numbers of bytes all over a run: a random one in each of `count` equal parts.
fn moments(count: u64, total: u64) -> impl Iterator<Item = u64> {
    let mut random = Random::new(campaign::first_seed());
    (0..count).map(move |part| (part * total + random.below(total)) / count)
}

/// How much a whole run lets pass, without the end, in which the COMMIT is.
fn measure(source: &Database, target: &Database, proxy: &Proxy) -> u64 {
    let run = Running::start(source, &arguments_to(&target.url_through(proxy.port)));
    run.finish().expect(0);
    let passed = proxy.passed();
    proxy.cut();
    // Runs differ by some per cent: numbers of objects and transactions grow, and a slow server is asked whether it
    // works.
    passed * 9 / 10
}

/// Resets a target to its state before the first run.
fn set_back(target: &Database, to: State) {
    match to {
        State::Empty => target.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
        _ => target.execute(
            "TRUNCATE alert_sessions, stage_executions, llm_interactions, mcp_communications, events, chats,
                      chat_user_messages RESTART IDENTITY",
        ),
    }
}

/// The next run makes it complete, unless the last one did.
#[track_caller]
fn run_again(source: &Database, target: &Database, pictures: &Pictures, found: State) {
    let code = if found == State::Complete { 7 } else { 0 };
    Outcome::of(&mut migrate(source, target)).expect(code);
    assert_eq!(pictures.state_of(target), State::Complete);
}

fn is_killed_at_many_moments(start: State) {
    let target = Database::postgresql();
    let source = full_history();
    let pictures = Pictures::of(&source, &target);
    if start == State::WithSchema {
        target.create_schema(Schema::Head);
    }
    let proxy = Proxy::to(target.port());
    let total = measure(&source, &target, &proxy);
    let mut moments: Vec<_> = moments(campaign::count(6, 23), total).map(Moment::Bytes).collect();
    moments.extend([Moment::Before(COMMIT), Moment::After(COMMIT)]);
    let mut found = Vec::new();
    for moment in moments {
        set_back(&target, start);
        proxy.halt_at(moment, Silence::Network);
        let mut run = Running::start(&source, &arguments_to(&target.url_through(proxy.port)));
        assert!(proxy.has_halted(&mut run), "{moment:?} of {total}: {}", run.stderr());
        run.signal("KILL");
        assert_eq!(run.finish().code, None, "{moment:?} of {total}");
        if matches!(moment, Moment::After(_)) {
            // A reset of the connection may overtake what was sent before it.
            target.wait_until(
                "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'tarsy' AND backend_xid IS NOT NULL",
            );
        }
        proxy.cut();
        wait_for_no_session_of_the_tool(&target);
        let state = pictures.state_of(&target);
        assert!(state == start || state == State::Complete, "{moment:?} of {total}: {state:?}");
        run_again(&source, &target, &pictures, state);
        found.push(state);
    }
    let [before_commit, after_commit] = found[found.len() - 2..] else { panic!("two moments at the end") };
    assert_eq!((found[0], before_commit, after_commit), (start, start, State::Complete), "{found:?}");
}

#[apply(campaign)]
fn killed_at_many_moments_on_the_way_to_an_empty_database() {
    is_killed_at_many_moments(State::Empty);
}

#[apply(campaign)]
fn killed_at_many_moments_on_the_way_to_a_schema_without_rows() {
    is_killed_at_many_moments(State::WithSchema);
}

#[apply(campaign)]
fn the_server_crashes_at_many_moments() {
    let server = Server::start(&[]);
    let target = Database::on(&server.url("postgres"));
    let source = full_history();
    let pictures = Pictures::of(&source, &target);
    let proxy = Proxy::to(server.port);
    let total = measure(&source, &target, &proxy);
    for moment in moments(campaign::count(3, 9), total).map(Moment::Bytes).chain([Moment::After(COMMIT)]) {
        set_back(&target, State::Empty);
        proxy.halt_at(moment, Silence::Network);
        let mut run = Running::start(&source, &arguments_to(&target.url_through(proxy.port)));
        assert!(proxy.has_halted(&mut run), "{moment:?} of {total}: {}", run.stderr());
        server.stop("immediate");
        let is_committing = matches!(moment, Moment::After(_));
        // The proxy still passes on the last messages of the server, then closes.
        if is_committing {
            proxy.cut();
        } else {
            proxy.resume();
        }
        let outcome = run.finish().expect(69);
        assert_eq!(outcome.json()["error"]["exit_code"], 69, "{moment:?}");
        let unknown = "cannot determine whether the commit took place (`tarsy-db info` shows it)";
        assert!(outcome.stderr.contains("because: ") && outcome.stderr.contains("hint: "), "{}", outcome.stderr);
        let is_unknown = outcome.stderr.contains(unknown);
        proxy.cut();
        server.run();
        let state = pictures.state_of(&target);
        // A busy machine makes a run shorter than the measured one: a moment may come after its COMMIT.
        assert!(is_unknown || (!is_committing && state == State::Empty), "{moment:?} {state:?}: {}", outcome.stderr);
        run_again(&source, &target, &pictures, state);
    }
}
