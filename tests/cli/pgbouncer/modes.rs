//! What works in which mode of a pool, any number of times.

use std::path::Path;

use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, full_history, insert_whole_sessions};
use crate::support::pgbouncer::PgBouncer;
use crate::support::server::PASSWORD;
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, pgbouncer};

const PRUNE: [&str; 8] = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%", "--yes"];

/// What works in transaction mode as well.
const COMMANDS: [&[&str]; 6] = [
    &["wait", "--for", "schema", "--max-attempts", "1"],
    &["init", "--to", "head"],
    &["check"],
    &["info"],
    &["prune", "--now", NOW, "--older-than", "90d", "--dry-run"],
    &PRUNE,
];

const ROUNDS: u32 = 10;

fn run(directory: &Path, url: &str, arguments: &[&str]) -> Outcome {
    Outcome::of(bare_tarsy_db(directory).env("DATABASE_URL", url).args(arguments))
}

/// Runs each command again and again.
fn works(mode: &str) {
    let database = Database::postgresql();
    let pgbouncer = PgBouncer::before(&database, &[]);
    let url = pgbouncer.url(mode);
    run(database.directory(), &url, &["init"]).expect(0);
    run(database.directory(), &url, &["init", "--to", "head"]).expect(0);
    for _ in 0..ROUNDS {
        insert_whole_sessions(&database, 2, OLD_US);
        each(COMMANDS, |arguments| drop(run(database.directory(), &url, arguments).expect(0)));
        assert_eq!(database.count("alert_sessions"), 0);
    }
}

#[apply(pgbouncer)]
fn in_session_mode_every_command_works_any_number_of_times() {
    works("session");
}

#[apply(pgbouncer)]
fn in_transaction_mode_every_command_works_any_number_of_times() {
    works("transaction");
}

#[apply(pgbouncer)]
fn several_commands_at_once_share_two_sessions() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 30, OLD_US);
    let pgbouncer = PgBouncer::before(&database, &["default_pool_size = 2"]);
    let url = pgbouncer.url("transaction");
    let start = |arguments: &&[&str]| Running::start_at(&url, database.directory(), arguments);
    let running: Vec<_> = (0..3).flat_map(|_| COMMANDS.iter().map(start).collect::<Vec<_>>()).collect();
    for command in running {
        command.finish().expect(0);
    }
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(pgbouncer)]
fn what_takes_long_works_in_transaction_mode_as_well() {
    let source = full_history();
    let database = Database::postgresql();
    let pgbouncer = PgBouncer::before(&database, &[]);
    let url = pgbouncer.url("transaction");
    let from = ["migrate-sqlite-to-postgres", "--from", source.file().to_str().expect("UTF-8"), "--to", &url]
        .map(str::to_owned);
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    for (more, code) in [(&["--dry-run"][..], 0), (&[], 0), (&[], 7), (&["--verify-only"], 0), (&["--append"], 0)] {
        run(database.directory(), &url, &[&from[..], more].concat()).expect(code);
    }
    database.execute("DROP INDEX ix_alert_sessions_status");
    let fixed = run(database.directory(), &url, &["check", "--fix"]).expect(0);
    assert!(fixed.stdout.contains("created index ix_alert_sessions_status"), "{}", fixed.stdout);
    run(database.directory(), &url, &[&PRUNE[..], &["--vacuum"]].concat()).expect(0);
}

#[apply(pgbouncer)]
fn in_statement_mode_no_command_works() {
    let source = Database::sqlite().with_schema(Schema::Head);
    let database = Database::postgresql().with_schema(Schema::Head);
    let pgbouncer = PgBouncer::before(&database, &[]);
    let url = pgbouncer.url("statement");
    let file = source.file().display().to_string();
    let others = [&["check", "--fix"][..], &["migrate-sqlite-to-postgres", "--from", &file]];
    each(COMMANDS.into_iter().chain(others), |arguments| {
        let outcome = run(database.directory(), &url, arguments).expect(78);
        outcome.tells(&["transaction blocks not allowed in statement pooling mode", "hint: set `pool_mode`"]);
    });
}

#[apply(pgbouncer)]
fn a_move_to_the_server_itself_leaves_the_backend_its_pooler() {
    let source = full_history();
    let database = Database::postgresql();
    let pgbouncer = PgBouncer::before(&database, &[]);
    let pooled = pgbouncer.url("transaction");
    let file = source.file().display().to_string();
    let mut migrate = bare_tarsy_db(source.directory());
    migrate.env("DATABASE_URL", &pooled).env("DIRECT_DATABASE_URL", database.url());
    let moved = Outcome::of(migrate.args(["migrate-sqlite-to-postgres", "--from", &file])).expect(0);
    let shown = |url: &str| url.replacen(&format!(":{PASSWORD}"), "", 1);
    let target = shown(database.url()).replacen("postgresql://", "", 1);
    assert!(moved.stdout.contains(&format!(" to {target}, both at revision")), "{}", moved.stdout);
    assert!(moved.stdout.contains(&format!("next: set DATABASE_URL={}, ", shown(&pooled))), "{}", moved.stdout);
}

/// A session by way of the pool has the limits of its database, and one at the server asks for others.
#[apply(pgbouncer)]
fn where_limits_are_in_force_a_repair_and_a_vacuum_need_the_server_itself() {
    let database = Database::postgresql().with_schema(Schema::Head);
    database.execute(&format!("ALTER DATABASE {} SET lock_timeout = '1s'", database.name()));
    let pgbouncer = PgBouncer::before(&database, &[]);
    let url = pgbouncer.url("transaction");
    each([&["check", "--fix"][..], &[&PRUNE[..], &["--vacuum"]].concat()], |arguments| {
        database.execute("DROP INDEX IF EXISTS ix_alert_sessions_status");
        let refused = run(database.directory(), &url, arguments).expect(78);
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("needs a session of the server (`DIRECT_DATABASE_URL`)"), "{said}");
        let mut directly = bare_tarsy_db(database.directory());
        directly.env("DATABASE_URL", &url).env("DIRECT_DATABASE_URL", database.url()).args(arguments);
        Outcome::of(&mut directly).expect(0).tells(&[&format!(":{}/", database.port()), "(DIRECT_DATABASE_URL)"]);
        let mut by_flag = bare_tarsy_db(database.directory());
        by_flag.env("DATABASE_URL", &url).args(arguments).args(["--direct-url", database.url()]);
        Outcome::of(&mut by_flag).expect(0).tells(&["(--direct-url)"]);
    });
    // PgBouncer refuses such a login in session mode as well.
    let vacuum = [&PRUNE[..], &["--vacuum"]].concat();
    run(database.directory(), &pgbouncer.url("session"), &vacuum)
        .expect(78)
        .tells(&["hint: set `DIRECT_DATABASE_URL`"]);
}
