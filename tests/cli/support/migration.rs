//! Migrations from a SQLite file to a PostgreSQL database, and their results.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use super::activity::wait_for_lock;
use super::history::{NOW_US, full_history, insert_session};
use super::process::Held;
use super::revision::init_to;
use super::{Database, Outcome, Running, Schema, bare_tarsy_db};

/// A SQLite database with the baseline and an empty PostgreSQL one.
pub(crate) fn source_and_target() -> (Database, Database) {
    let target = Database::postgresql();
    (Database::sqlite().with_schema(Schema::Baseline), target)
}

/// A source with one session, and an empty database.
pub(crate) fn one_session_and_nothing() -> (Database, Database) {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    (source, target)
}

/// A source with one session, and a target with the baseline.
pub(crate) fn one_session_and_target() -> (Database, Database) {
    let (source, target) = one_session_and_nothing();
    (source, target.with_schema(Schema::Baseline))
}

/// The command line of a move, with JSON for its result.
pub(crate) fn arguments(target: &Database) -> [&str; 7] {
    arguments_to(target.url())
}

/// The same to a URL.
pub(crate) fn arguments_to(url: &str) -> [&str; 7] {
    ["migrate-sqlite-to-postgres", "--from", "history.db", "--to", url, "--output", "json"]
}

/// The move from a source to a target.
pub(crate) fn migrate(source: &Database, target: &Database) -> Command {
    migrate_to(source, target.url())
}

/// The move to any URL.
pub(crate) fn migrate_to(source: &Database, url: &str) -> Command {
    let mut command = bare_tarsy_db(source.directory());
    command.args(arguments_to(url));
    command
}

/// A comparison of both.
pub(crate) fn compare(source: &Database, target: &Database) -> Outcome {
    compare_at(source, target.url())
}

/// A comparison with any URL.
pub(crate) fn compare_at(source: &Database, url: &str) -> Outcome {
    Outcome::of(migrate_to(source, url).arg("--verify-only"))
}

/// Blocks the run at a lock of the target, after its snapshot of the source, while `meanwhile` runs.
pub(crate) fn migrate_while(source: &Database, target: &Database, meanwhile: impl FnOnce(&Running)) -> Outcome {
    let lock = Held::begin(target, "LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE");
    let run = Running::start(source, &arguments(target));
    wait_for_lock(target);
    meanwhile(&run);
    lock.close();
    run.finish()
}

/// A history with a value of every type, and a target that it was moved to.
pub(crate) fn moved() -> (Database, Database, Value) {
    let target = Database::postgresql();
    let source = full_history();
    source.execute("UPDATE llm_interactions SET temperature = 0.1");
    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0).json();
    (source, target, moved)
}

/// Table, rows and digest of each table of a summary.
pub(crate) fn table_digests(summary: &Value) -> Vec<[Value; 3]> {
    let tables = summary["tables"].as_array().expect("a list of tables").iter();
    tables.map(|table| ["table", "rows", "digest"].map(|name| table[name].clone())).collect()
}

/// The options for a report beside the source.
pub(crate) const REPORT: [&str; 2] = ["--report", "report.json"];

/// That report.
#[track_caller]
pub(crate) fn read_report(source: &Database) -> Value {
    read_report_at(&source.directory().join("report.json"))
}

/// A report in any place.
#[track_caller]
pub(crate) fn read_report_at(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

/// Asserts that nothing was created.
#[track_caller]
pub(crate) fn assert_no_tables(target: &Database) {
    assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

/// Everything that is in a target and that a run could have changed.
pub(crate) fn picture(target: &Database) -> Vec<String> {
    let everything = "
        SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT format('%s at %s', sequencename, last_value) FROM pg_sequences
        UNION ALL SELECT format('%s is left over', relname) FROM pg_class
        WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^(public|pg_|information_)')
        UNION ALL SELECT pg_get_indexdef(indexrelid) || indisvalid FROM pg_index JOIN pg_class c ON c.oid = indrelid
        WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT format('%s on %s: %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid), convalidated)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT format('%s holds %s', relname,
                                query_to_xml(format('TABLE %I ORDER BY 1', relname), true, false, '')::text)
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        ORDER BY 1";
    target.texts(everything).into_iter().flatten().collect()
}

/// The same migration by a user who may read the source but not write to its directory.
pub(crate) fn migrate_read_only(source: &Database, target: &Database) -> Outcome {
    let script = r#"chmod 0444 history.db*; chmod 0555 .
        if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; fi
        "$@"; code=$?; chmod 0755 .; exit $code"#;
    // The build directory may be closed to other users.
    let binary = source.directory().join("tarsy-db");
    std::fs::copy(env!("CARGO_BIN_EXE_tarsy-db"), &binary).expect("a copy of the binary");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&binary).args(arguments(target));
    Outcome::of(shell.env_clear().env("PATH", path).current_dir(source.directory()))
}

/// An empty history at a revision.
pub(crate) fn source_at(revision: &str) -> Database {
    let source = Database::sqlite();
    init_to(&source, revision);
    source
}
