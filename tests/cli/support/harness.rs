//! Runs the tests, with the output of Rust's own runner. In addition, a running test can end as ignored, and the end of the
//! run reports what was left out and why.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{UnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::{campaign::told, database, page};

/// How many of the slowest tests are named at the end.
const SLOWEST: usize = 5;

/// Modules with tests that mostly wait: they run first, so that the end of the run does not wait for them.
const WAITING: [&str; 3] = ["::migrate::network::", "::prune::network::", "::wait::"];

/// A function that was marked with `#[apply(test)]`, or with the name of another kind.
pub(crate) struct Test {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

inventory::collect!(Test);

/// Makes a test of a function, or two tests of one that takes a database: one for each backend.
macro_rules! test {
    ($($function:tt)*) => { crate::support::harness::register! { "" $($function)* } };
}
pub(crate) use test;

/// Makes a test of a function whose work grows with `TARSY_DB_TEST_CAMPAIGN`.
macro_rules! campaign {
    ($($function:tt)*) => { crate::support::harness::register! { "campaign" $($function)* } };
}
pub(crate) use campaign;

/// Makes a test of a function that needs PgBouncer, which only `make test-pgbouncer` runs.
macro_rules! pgbouncer {
    ($($function:tt)*) => { crate::support::harness::register! { "pgbouncer" $($function)* } };
}
pub(crate) use pgbouncer;

/// Makes a test of a function that needs a cluster of Patroni's: `make test-patroni`.
macro_rules! patroni {
    ($($function:tt)*) => { crate::support::harness::register! { "patroni" $($function)* } };
}
pub(crate) use patroni;

macro_rules! register {
    ($kind:literal $(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])* fn $name() $body
        crate::support::harness::submit!($kind, stringify!($name), $name);
    };
    ($kind:literal $(#[$attribute:meta])* fn $name:ident($database:ident: &Database) $body:block) => {
        $(#[$attribute])* fn $name($database: &Database) $body
        crate::support::harness::submit!($kind, concat!("on_sqlite::", stringify!($name)), || {
            $name(&Database::sqlite());
        });
        crate::support::harness::submit!($kind, concat!("on_postgresql::", stringify!($name)), || {
            $name(&Database::postgresql());
        });
    };
}
pub(crate) use register;

macro_rules! submit {
    ($kind:literal, $name:expr, $run:expr) => {
        inventory::submit! {
            crate::support::harness::Test { kind: $kind, name: concat!(module_path!(), "::", $name), run: $run }
        }
    };
}
pub(crate) use submit;

/// The reason why a test does not run, as the payload with which it ends.
struct LeftOut(String);

/// Ends the test as ignored if what it needs is switched off.
pub(crate) fn require(switch: &str, what: &str) {
    if std::env::var_os(switch).is_some() {
        leave_out(format!("{what} ({switch} is set)"));
    }
}

/// Ends the test as ignored unless the target of the Makefile runs that switches it on.
pub(crate) fn require_target(switch: &str, what: &str, target: &str) {
    if std::env::var_os(switch).is_none() {
        leave_out(format!("{what} (`make {target}` runs them)"));
    }
}

fn leave_out(reason: String) -> ! {
    // Unlike a panic this writes nothing.
    resume_unwind(Box::new(LeftOut(reason)));
}

/// The report at the end of the run.
#[derive(Default)]
struct Record {
    left_out: BTreeMap<String, usize>,
    times: Vec<(Duration, &'static str)>,
}

/// Runs the tests that the command line names, and reports what was left out. Three times as many as there are cores,
/// because most of them wait for a server or a process most of the time.
pub(crate) fn run() -> ExitCode {
    let record = Arc::<Mutex<Record>>::default();
    let mut tests: Vec<&Test> = inventory::iter::<Test>().collect();
    tests.sort_by_key(|test| (!WAITING.iter().any(|module| test.name.contains(module)), test.name));
    let trials = tests.into_iter().map(|test| {
        let record = Arc::clone(&record);
        // The name of the binary is no part of a test's.
        let (_, name) = test.name.split_once("::").expect("a test is in a module");
        Trial::ignorable_test(name, move || conclude(name, test.run, &record)).with_kind(test.kind)
    });
    let pages = page::pages().into_iter().map(|path| {
        let (name, record): (&str, _) = (format!("documents::pages::{path}").leak(), Arc::clone(&record));
        Trial::ignorable_test(name, move || conclude(name, move || page::compare(&path), &record))
    });
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(|| std::thread::available_parallelism().map_or(1, usize::from) * 3);
    // Before the run as well, so that a campaign that hangs can be repeated.
    if !arguments.list {
        tell_campaign();
    }
    let conclusion = libtest_mimic::run(&arguments, trials.chain(pages).collect());
    database::drop_templates();
    if !arguments.list {
        record.lock().expect("no thread panics while it holds the lock").tell();
    }
    conclusion.exit_code()
}

#[expect(clippy::print_stdout, reason = "a test run prints its result there")]
fn tell_campaign() {
    if let Some(command) = told() {
        println!("campaign: {command} repeats it");
    }
}

/// Runs a test on a thread of its name, which is what a panic shows.
fn conclude(
    name: &'static str,
    run: impl FnOnce() + UnwindSafe + Send + 'static,
    record: &Mutex<Record>,
) -> Result<Completion, Failed> {
    let started = Instant::now();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || catch_unwind(run));
    let ended = thread.expect("a thread starts").join().expect("a panic was caught");
    let mut record = record.lock().expect("no thread panics while it holds the lock");
    record.times.push((started.elapsed(), name));
    let Err(payload) = ended else { return Ok(Completion::Completed) };
    let Some(LeftOut(reason)) = payload.downcast_ref() else { return Err(message(&*payload).into()) };
    *record.left_out.entry(reason.clone()).or_default() += 1;
    Ok(Completion::ignored_with(format!("needs {reason}")))
}

/// Whether a panic is none: the test cannot run here.
pub(crate) fn is_left_out(payload: &(dyn Any + Send)) -> bool {
    payload.is::<LeftOut>()
}

/// The message of a panic.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

impl Record {
    #[expect(clippy::print_stdout, reason = "a test run prints its result there")]
    fn tell(&mut self) {
        self.times.sort_unstable_by(|one, other| other.cmp(one));
        for (time, name) in self.times.iter().take(SLOWEST) {
            println!("slowest: {:5.1} s {name}", time.as_secs_f64());
        }
        for (reason, tests) in &self.left_out {
            println!("left out: {tests} tests need {reason}");
        }
        if self.left_out.is_empty() {
            println!("left out: nothing");
        }
        tell_campaign();
        println!();
    }
}
