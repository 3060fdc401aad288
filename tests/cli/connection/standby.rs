//! Servers that accept no writes: a standby, and a database whose transactions are read-only by default. Commands that
//! only read continue; commands that write exit with 69, which orchestrators retry, and blame nothing in the database.

use crate::support::cases::each;
use crate::support::check::is_found;
use crate::support::history::{NOW, OLD_US, contents, insert_session};
use crate::support::migration::{migrate, migrate_to};
use crate::support::revision::init_to;
use crate::support::server::{PASSWORD, Server};
use crate::support::{Database, Outcome, Schema, apply, run_at, tarsy_db, test};

const STANDBY: &str = "the server is a standby and accepts no writes";
const READ_ONLY: &str = "transactions are read-only by default";

/// Commands that write.
const WRITES: [&[&str]; 4] = [
    &["init", "--to", "head"],
    &["prune", "--now", NOW, "--max-share", "100%", "--yes"],
    &["prune", "--now", NOW, "--max-share", "100%", "--yes", "--archive", "archive.db"],
    &["wait", "--max-attempts", "1"],
];

/// Commands that only read, or have nothing to write.
const READS: [&[&str]; 4] =
    [&["init"], &["info"], &["wait", "--for", "connect"], &["prune", "--now", NOW, "--older-than", "3650d", "--yes"]];

/// A standby with a baseline that lacks an index, and its server.
fn standby() -> (Server, Database) {
    let server = Server::start(&[]);
    let database = Database::on(&server.url("postgres"));
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    database.execute("DROP INDEX ix_alert_sessions_alert_id");
    server.stop("fast");
    server.become_standby();
    server.run();
    (server, database)
}

fn run(database: &Database, arguments: &[&str]) -> Outcome {
    Outcome::of(tarsy_db(database).args(arguments))
}

/// Makes sure that a command is refused because it cannot write, with this hint.
#[track_caller]
fn is_unavailable(database: &Database, arguments: &[&str], reason: &str, hint: &str) {
    let refused = run(database, arguments).expect(69);
    assert!(refused.stderr.contains(reason), "{arguments:?}: {}", refused.stderr);
    assert!(refused.stderr.contains(hint), "{arguments:?}: {}", refused.stderr);
}

#[apply(test)]
fn commands_that_write_to_a_standby_are_69_and_the_others_work() {
    let (server, database) = standby();
    let before = contents(&database);
    each(WRITES, |arguments| {
        is_unavailable(&database, arguments, STANDBY, "hint: connect to the primary");
    });
    // It has nothing to write, and says what is wrong with the tables.
    let planned = run(&database, &["init", "--to", "head", "--dry-run"]).expect(4);
    planned.tells(&["missing index ix_alert_sessions_alert_id"]);
    each(READS, |arguments| {
        run(&database, arguments).expect(0);
    });
    let mut serializable = tarsy_db(&database);
    serializable.env("PGOPTIONS", "-c default_transaction_isolation=serializable");
    let refused = Outcome::of(serializable.args(["wait", "--max-attempts", "1"])).expect(69);
    assert!(refused.stderr.contains("server is a standby"), "{}", refused.stderr);
    let checked = run(&database, &["check", "--output", "json"]).expect(69);
    is_found(&checked, "writable", "failed", "is a standby");
    is_found(&checked, "schema", "failed", "missing index ix_alert_sessions_alert_id");
    let fix = run(&database, &["check", "--fix", "--output", "json"]).expect(69);
    is_found(&fix, "repairs", "failed", STANDBY);
    let planned = run(&database, &["prune", "--now", NOW, "--dry-run"]).expect(0).stdout;
    assert!(planned.contains("a run would fail (exit code 69): transactions are read-only: a standby"), "{planned}");
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let refused = Outcome::of(&mut migrate(&source, &database));
    assert!(refused.stderr.contains("the server is a standby"), "{}", refused.stderr);
    let refused = Outcome::of(migrate(&source, &database).arg("--append")).expect(69);
    assert!(refused.stderr.contains("the server is a standby"), "{}", refused.stderr);
    let different = Outcome::of(migrate(&source, &database).arg("--verify-only")).expect(8);
    assert!(different.stderr.contains("alert_sessions"), "{}", different.stderr);
    let vacuum = ["prune", "--now", NOW, "--older-than", "3650d", "--yes", "--vacuum"];
    is_unavailable(&database, &vacuum, STANDBY, "hint: connect to the primary");
    assert!(contents(&database) == before, "a standby was written to");
    assert!(!database.directory().join("archive.db").exists());

    server.promote();
    run(&database, &["check", "--fix"]).expect(0);
    run(&database, &["init", "--to", "head"]).expect(0);
    run(&database, &["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%", "--yes"]).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn the_schema_of_a_standby_is_compared_although_nothing_can_be_replayed_there() {
    let server = Server::start(&[]);
    let databases = ["baseline", "12", "head"].map(|revision| {
        let database = Database::on(&server.url("postgres"));
        init_to(&database, revision);
        database
    });
    let [baseline, _, head] = &databases;
    head.execute("UPDATE alembic_version SET version_num = 'ae85467a75d2'");
    server.stop("fast");
    server.become_standby();
    server.run();
    for database in &databases[..2] {
        let checked = run(database, &["check", "--output", "json"]).expect(69);
        is_found(&checked, "schema", "ok", "as in revision");
    }
    let checked = run(head, &["check", "--output", "json"]).expect(69);
    is_found(&checked, "schema", "failed", "the tables match revision b67c135119d7");
    let planned = run(baseline, &["init", "--to", "head", "--dry-run"]).expect(0);
    assert!(planned.stdout.contains("would upgrade"), "{}", planned.stdout);
    // The statements are those of a replay.
    is_unavailable(baseline, &["init", "--to", "head", "--sql"], STANDBY, "hint: connect to the primary");
    is_unavailable(head, &["init", "--to", "head"], STANDBY, "hint: connect to the primary");
    server.promote();
}

#[apply(test)]
fn where_another_host_may_be_the_primary_the_hint_has_the_parameter_that_finds_it() {
    let (server, database) = standby();
    let hosts = format!("host=127.0.0.1:{0}&host=localhost:{0}", server.port);
    let any = format!("postgresql://postgres:{PASSWORD}@/{}?{hosts}", database.name());
    each(WRITES, |arguments| {
        let refused = run_at(&any, arguments).expect(69);
        refused.tells(&[STANDBY, "hint: add `target_session_attrs=read-write` to the URL"]);
    });
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let refused = Outcome::of(&mut migrate_to(&source, &any));
    refused.tells(&["the server is a standby", "add `target_session_attrs=read-write` to the URL"]);
    let primary = format!("{any}&target_session_attrs=read-write");
    each([&["init", "--to", "head"][..], &["check"], &["info"]], |arguments| {
        let refused = run_at(&primary, arguments).expect(69);
        refused.tells(&["its sessions are read-only", "hint: run `tarsy-db wait`, which tries all hosts"]);
    });
    let waited = run_at(&primary, &["wait", "--max-attempts", "1"]).expect(69);
    waited.tells(&["hint: check why no host of the URL is a primary"]);
    server.promote();
}

#[apply(test)]
fn a_standby_without_a_ledger_is_reported_as_a_standby() {
    let server = Server::start(&[]);
    let (adopted, lacking) = (Database::on(&server.url("postgres")), Database::on(&server.url("postgres")));
    adopted.create_schema(Schema::Baseline);
    adopted.execute("DROP TABLE alembic_version");
    lacking.create_schema(Schema::Baseline);
    lacking.execute("DROP TABLE mcp_communications");
    let empty = server.url("postgres");
    server.stop("fast");
    server.become_standby();
    server.run();
    is_unavailable(&adopted, &["init"], STANDBY, "hint: connect to the primary");
    run(&adopted, &["init", "--dry-run"]).expect(0);
    is_unavailable(&lacking, &["init"], STANDBY, "hint: connect to the primary");
    let created = Outcome::of(tarsy_db(&adopted).env("DATABASE_URL", &empty).arg("init")).expect(69);
    assert!(created.stderr.contains(STANDBY), "{}", created.stderr);
    // The databases are dropped with their server, because a standby cannot drop any.
    server.promote();
}

#[apply(test)]
fn commands_that_write_are_69_and_the_others_work_with_read_only_transactions() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    let before = contents(&database);
    each(WRITES, |arguments| {
        is_unavailable(
            &database,
            arguments,
            READ_ONLY,
            "hint: connect to the primary, or reset `default_transaction_read_only`",
        );
    });
    each(READS, |arguments| {
        run(&database, arguments).expect(0);
    });
    run(&database, &["init", "--to", "head", "--dry-run"]).expect(0);
    database.execute("BEGIN READ WRITE; DROP INDEX ix_alert_sessions_alert_id; COMMIT");
    let fix = run(&database, &["check", "--fix", "--output", "json"]).expect(69);
    is_found(&fix, "repairs", "failed", "create index ix_alert_sessions_alert_id");
    assert!(contents(&database) == before, "it was written to");
}
