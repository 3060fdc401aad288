//! A command opens no more connections than the backend's settings of the pool allow, and lives with one.

use std::time::Duration;

use assert_cmd::Command;
use tarsy_db::internals::{Access, Connection, PoolLimits, Transaction, open};

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::history::{NOW, OLD_US, full_history, insert_whole_sessions};
use crate::support::pooler::Pooler;
use crate::support::process::Held;
use crate::support::role::give_tables_to;
use crate::support::{Database, Outcome, Role, Running, Schema, apply, bare_tarsy_db, test};

const PRUNE: [&str; 8] = ["prune", "--yes", "--older-than", "90d", "--now", NOW, "--max-share", "100%"];
/// The lock that allows one `prune` at a time.
const LOCK_OF_PRUNE: &str = "SELECT pg_advisory_xact_lock(x'74617273792d6462'::bigint + 2)";

/// A command whose pool has this size and no overflow.
fn command(database: &Database, url: &str, size: &str, arguments: &[&str]) -> Command {
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", url).env("POSTGRES_POOL_SIZE", size).env("POSTGRES_MAX_OVERFLOW", "0");
    command.args(arguments);
    command
}

/// A role that owns the schema and may open this many connections.
fn limited(database: &Database, limit: u32) -> Role<'_> {
    let role = Role::new(database);
    let name = &role.name;
    database.execute(&format!(
        "ALTER ROLE {name} CONNECTION LIMIT {limit}; GRANT CREATE, USAGE ON SCHEMA public TO {name}"
    ));
    role
}

#[apply(test)]
fn each_schema_of_a_database_has_a_prune_of_its_own() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    database.execute("CREATE SCHEMA mine");
    let mine = format!("{}?options=-csearch_path%3Dmine", database.url());
    Outcome::of(&mut command(&database, &mine, "2", &["init"])).expect(0);
    let held = Held::begin(&database, LOCK_OF_PRUNE);
    let skipped = |url: &str| {
        let arguments = [&PRUNE[..], &["--output", "json"]].concat();
        Outcome::of(&mut command(&database, url, "2", &arguments)).expect(0).json()["skipped"].clone()
    };
    assert_eq!((skipped(database.url()).is_string(), skipped(&mine).is_null()), (true, true));
    held.close();
}

#[apply(test)]
fn every_command_works_with_one_connection() {
    let database = Database::postgresql();
    let role = limited(&database, 1);
    let run = |arguments: &[&str]| Outcome::of(&mut command(&database, &role.url(), "1", arguments)).expect(0);
    run(&["wait"]);
    run(&["init", "--to", "head"]);
    insert_whole_sessions(&database, 300, OLD_US);
    database.execute("DROP INDEX ix_alert_sessions_status");
    run(&["check", "--fix"]);
    each([&["check", "--deep"][..], &["info", "--exact"], &["wait", "--for", "schema"]], |arguments| {
        run(arguments);
    });
    run(&[&PRUNE[..], &["--dry-run"]].concat());
    run(&[&PRUNE[..], &["--vacuum", "--events", "--orphans"]].concat());
    assert_eq!(database.count("alert_sessions"), 0);
    assert_eq!(database.count("stage_executions"), 0);
    let source = full_history();
    let (file, url) = (source.file().display().to_string(), role.url());
    let migrate = ["migrate-sqlite-to-postgres", "--from", &file, "--to", &url];
    each([&["--dry-run"][..], &[], &["--verify-only"], &["--append"]], |mode| {
        run(&[&migrate[..], mode].concat());
    });
    assert_eq!(database.count("alert_sessions"), 100);
}

#[apply(test)]
fn a_prune_opens_no_more_connections_than_the_pool_may() {
    each([("1", 1), ("2", 2), ("3", 3), ("20", 3), ("0", 3)], |(size, most)| {
        let database = Database::postgresql().with_schema(Schema::Head);
        insert_whole_sessions(&database, 300, OLD_US);
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
        process.env_clear().current_dir(database.directory()).env("DATABASE_URL", database.url());
        process.env("POSTGRES_POOL_SIZE", size).env("POSTGRES_MAX_OVERFLOW", "0");
        let mut run = Running::of(process.args(PRUNE).args(["--batch-time", "1us", "--vacuum"]));
        let seen = database.with_connection(|connection| {
            let mut seen = 0;
            while !run.is_over() {
                seen = seen.max(connection.number(
                    // A session that another one replaces is listed until it has ended.
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name = 'tarsy' AND backend_type = 'client backend'
                     AND backend_start < clock_timestamp() - interval '200 ms'",
                ));
            }
            seen
        });
        run.finish().expect(0);
        assert_eq!(database.count("alert_sessions"), 0);
        assert_eq!(seen, most, "with a pool of {size}");
    });
}

#[apply(test)]
fn a_prune_works_with_what_the_role_is_granted() {
    each([1, 2], |limit| {
        let database = Database::postgresql();
        let role = limited(&database, limit);
        let run = |arguments: &[&str]| Outcome::of(&mut command(&database, &role.url(), "5", arguments)).expect(0);
        run(&["init", "--to", "head"]);
        insert_whole_sessions(&database, 300, OLD_US);
        run(&PRUNE);
        assert_eq!(database.count("alert_sessions"), 0);
        database.execute("DROP INDEX ix_alert_sessions_status");
        run(&["check", "--fix"]);
    });
}

#[apply(test)]
fn with_one_connection_too_one_prune_works_at_a_time() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 300, OLD_US);
    let mut held = Held::begin(&database, LOCK_OF_PRUNE);
    let outcome = Outcome::of(&mut command(&database, database.url(), "1", &PRUNE)).expect(0);
    assert!(outcome.stdout.contains("another `prune` is running on "), "{}", outcome.stdout);
    assert_eq!(database.count("alert_sessions"), 300);
    held.execute("COMMIT");

    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    process.env_clear().current_dir(database.directory()).env("DATABASE_URL", database.url());
    process.env("POSTGRES_POOL_SIZE", "1").env("POSTGRES_MAX_OVERFLOW", "0");
    let run = Running::of(process.args(PRUNE).args(["--batch-time", "1us"]));
    database.wait_until("SELECT (count(*) < 290)::int::bigint FROM alert_sessions");
    // Between two batches the lock is free.
    held.execute(&format!("BEGIN; {LOCK_OF_PRUNE}"));
    let outcome = run.finish();
    assert!(outcome.stdout.contains("another `prune` is running now"), "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(database.count("alert_sessions") > 0);
    held.close();
}

/// A pool of one connection.
async fn single(database: &Database) -> Connection {
    let url = database.url().parse().expect("a URL");
    open(&url, Access::Write, PoolLimits::ONE, Duration::from_secs(5)).await.expect("a connection")
}

#[apply(test)]
fn what_was_cancelled_or_failed_leaves_no_transaction_on_the_connection() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    block_on(async {
        let connection = single(&database).await;
        let age = "SELECT 1 WHERE transaction_timestamp() < statement_timestamp() - interval '300 ms'";
        let slow = connection.reading(async |reading| run(reading, "SELECT pg_sleep(0.5)").await);
        tokio::time::timeout(Duration::from_millis(50), slow).await.expect_err("it takes longer");
        connection.reading(async |reading| run(reading, age).await).await.expect("the next transaction");
        let failed = connection.reading(async |reading| run(reading, "SELECT 1 / 0").await).await;
        failed.expect_err("it divides by zero");
        connection.reading(async |reading| run(reading, "SELECT 1").await).await.expect("the next transaction");
        connection.close().await.expect("it closes");
    });
    wait_for_no_session_of_the_tool(&database);
}

async fn run(reading: &Transaction, sql: &str) -> Result<u64, sea_orm::DbErr> {
    Ok(sea_orm::ConnectionTrait::execute_unprepared(reading, sql).await?.rows_affected())
}

#[apply(test)]
fn behind_a_pooler_a_vacuum_needs_a_role_without_limits() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = limited(&database, 10);
    give_tables_to(&database, &role.name);
    let pooler = Pooler::to(database.port());
    let through =
        |pooler: &Pooler| role.url().replace(&format!(":{}/", database.port()), &format!(":{}/", pooler.port));
    let vacuum = |url: &str| Outcome::of(&mut command(&database, url, "1", &[&PRUNE[..], &["--vacuum"]].concat()));
    vacuum(&through(&pooler)).expect(0);
    database.execute(&format!("ALTER ROLE {} SET lock_timeout = '1s'", role.name));
    // The pooler's session began before.
    let pooler = Pooler::to(database.port());
    let refused = vacuum(&through(&pooler)).expect(78);
    refused.tells(&[
        "needs a session of the server",
        "the role's `lock_timeout` of 1s",
        "hint: set `DIRECT_DATABASE_URL`",
    ]);
    // A login at the server itself asks for other limits.
    vacuum(&role.url()).expect(0);
}
