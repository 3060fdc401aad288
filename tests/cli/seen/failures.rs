//! The errors and hints of each command. Failures that need another server or much time are in
//! `src/error_snapshots.rs`.

use std::fs;

use crate::support::history::{DAY_US, NOW, NOW_US, insert_session};
use crate::support::process::Held;
use crate::support::server::closed_port;
use crate::support::snapshot::{Scene, another, assert_seen, directory, file, name_of, target};
use crate::support::{Database, Role, Running, Schema, apply, test};

const OLD_US: i64 = NOW_US - 800 * DAY_US;
const MIGRATE: &str = "migrate-sqlite-to-postgres";

/// Compares the output of a failing command. The document is the same on both backends, and quicker to make on SQLite.
#[track_caller]
fn assert_fails(scenario: &str, database: &Database, scene: &Scene, words: &[&str]) {
    let shown = if database.is_sqlite() { scene.failure(words) } else { scene.failure_as_text(words) };
    assert_seen(&name_of("failure", scenario, database), &shown);
}

/// Like [`assert_fails`], after these statements.
#[track_caller]
fn assert_fails_after(scenario: &str, database: &Database, sql: &str, words: &[&str]) {
    database.execute(sql);
    assert_fails(scenario, database, &Scene::of(database), words);
}

fn baseline(database: &Database) -> Database {
    another(database).with_schema(Schema::Baseline)
}

fn with_session(database: &Database) -> Database {
    let database = baseline(database);
    insert_session(&database, "one", "completed", Some(OLD_US));
    database
}

#[apply(test)]
fn files_that_are_not_databases() {
    let directory = directory();
    fs::write(directory.path().join("text.db"), "this is no database, but it is as long as the head of one would be\n")
        .expect("it can be written");
    let scene = |url: &str| Scene::bare(directory.path()).with("DATABASE_URL", url);
    for (name, url, words) in [
        ("sqlite-missing", "sqlite:///missing.db", &["info"][..]),
        ("sqlite-missing-check", "sqlite:///missing.db", &["check"]),
        ("sqlite-missing-prune", "sqlite:///missing.db", &["prune", "--yes"]),
        ("sqlite-wait-for-schema", "sqlite:///missing.db", &["wait", "--for", "schema", "--max-attempts", "1"]),
        ("sqlite-directory", "sqlite:////tmp", &["info"]),
        ("sqlite-no-database", "sqlite:///text.db", &["info"]),
        ("sqlite-no-database-init", "sqlite:///text.db", &["init"]),
        ("sqlite-no-roles", "sqlite:///missing.db", &["init", "--app-role", "backend"]),
        ("sqlite-no-directory", "sqlite:////dev/null/missing/history.db", &["init"]),
    ] {
        assert_seen(&format!("failure-{name}"), &scene(url).failure(words));
    }
}

#[apply(test)]
fn servers_that_refuse_the_connection() {
    let database = target();
    let scene = |url: &str| Scene::of(&database).with("DATABASE_URL", url);
    let (_socket, port) = closed_port();
    let closed = database.url_through(port);
    let refused = |words: &[&str]| scene(&closed).hiding(&port.to_string(), "-----").failure(words);
    assert_seen("failure-refused", &refused(&["info"]));
    assert_seen("failure-refused-check", &refused(&["check"]));
    assert_seen("failure-refused-prune", &refused(&["prune", "--yes", "--retry-for", "0s"]));
    assert_seen("failure-refused-init", &refused(&["init"]));
    assert_seen("failure-refused-wait", &refused(&["wait", "--max-attempts", "1"]));

    let role = Role::new(&database);
    assert_seen("failure-password", &scene(&database.url_with_password("wrong")).failure(&["info"]));
    let elsewhere = database.url().replace(database.name(), "no_such_database");
    assert_seen("failure-no-such-database", &scene(&elsewhere).failure(&["info"]));
    let encrypted = format!("{}?sslmode=require", database.url());
    assert_seen("failure-tls", &scene(&encrypted).failure(&["info"]));
    database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT 0", role.name));
    assert_seen("failure-connections-of-the-role", &scene(&role.url()).failure(&["init"]));

    let read_only = target().with_schema(Schema::Baseline);
    insert_session(&read_only, "one", "completed", Some(OLD_US));
    read_only.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", read_only.name()));
    let scene = Scene::of(&read_only);
    assert_seen(
        "failure-read-only",
        &scene.failure(&["prune", "--now", NOW, "--yes", "--max-share", "100%", "--retry-for", "0s"]),
    );
    assert_seen("failure-read-only-check", &scene.failure(&["check"]));
    assert_seen("failure-read-only-wait", &scene.failure(&["wait", "--max-attempts", "1"]));
}

#[apply(test)]
fn a_role_without_privileges() {
    let database = target().with_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    let role = Role::new(&database);
    let scene = Scene::of(&database).with("DATABASE_URL", &role.url());
    assert_seen("failure-privilege-info", &scene.failure(&["info"]));
    assert_seen("failure-privilege-check", &scene.failure(&["check"]));
    assert_seen("failure-privilege-prune", &scene.failure(&["prune", "--now", NOW, "--yes", "--max-share", "100%"]));
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    assert_seen(
        "failure-privilege-to-delete",
        &scene.failure(&["prune", "--now", NOW, "--yes", "--max-share", "100%"]),
    );
    let backend = format!("{}_backend", database.name());
    database.execute(&format!("CREATE ROLE {backend} LOGIN"));
    assert_seen("failure-privilege-to-grant", &scene.failure(&["init", "--app-role", &backend]));
    database.execute(&format!("DROP ROLE {backend}"));
    assert_seen("failure-no-such-role", &scene.failure(&["init", "--app-role", "No One"]));
    database.execute("ALTER TABLE alert_sessions ENABLE ROW LEVEL SECURITY");
    assert_seen("failure-row-policy", &scene.failure(&["prune", "--now", NOW, "--dry-run"]));
    assert_seen("failure-row-policy-check", &scene.failure(&["check"]));
}

#[apply(test)]
fn schemas_that_do_not_match(database: &Database) {
    let upgrade = ["init", "--to", "4"];
    let empty = another(database);
    // The file must exist.
    empty.execute("CREATE TABLE mine (id INTEGER)");
    assert_fails("pending", &empty, &Scene::of(&empty), &["prune", "--yes"]);
    assert_fails("pending-check", &empty, &Scene::of(&empty), &["check"]);
    assert_fails("pending-wait", &empty, &Scene::of(&empty), &["wait", "--for", "schema", "--max-attempts", "1"]);

    let newer = baseline(database);
    let stamp = "UPDATE alembic_version SET version_num = 'ffffffffffff'";
    assert_fails_after("unknown-strict", &newer, stamp, &["init", "--strict"]);
    assert_fails_after("ledger-beyond", &newer, "UPDATE alembic_version SET version_num = '3eafea61046d'", &upgrade);
    let second = "INSERT INTO alembic_version (version_num) VALUES ('ae85467a75d2')";
    assert_fails_after("ambiguous", &newer, second, &upgrade);
    assert_fails("ambiguous-check", &newer, &Scene::of(&newer), &["check"]);

    let drifted = baseline(database);
    assert_fails_after("drift-repairable", &drifted, "DROP INDEX ix_alert_sessions_status", &upgrade);
    assert_fails_after("drift", &drifted, "ALTER TABLE llm_interactions DROP COLUMN provider", &upgrade);
    assert_fails_after("incomplete", &drifted, "DROP TABLE mcp_communications", &upgrade);
    let leftover = "CREATE TABLE _alembic_tmp_alert_sessions AS SELECT * FROM alert_sessions";
    if database.is_sqlite() {
        assert_fails_after("leftover", &baseline(database), leftover, &upgrade);
    }
    let view = "CREATE VIEW mine AS SELECT alert_id FROM alert_sessions";
    assert_fails_after("blocked", &baseline(database), view, &upgrade);
}

#[apply(test)]
fn a_schema_that_another_session_holds(database: &Database) {
    let database = baseline(database);
    let lock = if database.is_sqlite() { "SELECT 1" } else { "LOCK TABLE alert_sessions" };
    let held = Held::begin(&database, lock);
    let (holder, name) = if database.is_sqlite() {
        let name = fs::read_to_string("/proc/self/comm").expect("the name of this process");
        (format!("process {} ({})", std::process::id(), name.trim()), "process <number> (<name>)")
    } else {
        let state = "datname = current_database() AND state = 'idle in transaction'";
        let number = format!("SELECT 'pid ' || pid FROM pg_stat_activity WHERE {state}");
        (database.texts(&number).remove(0).expect("a process"), "pid <number>")
    };
    let scene = Scene::of(&database).hiding(&holder, name);
    assert_fails("locked", &database, &scene, &["init", "--to", "2", "--lock-timeout", "50ms"]);
    held.close();
}

#[apply(test)]
fn invalid_retentions(database: &Database) {
    let database = with_session(database);
    let scene = Scene::of(&database);
    for (scenario, words) in [
        ("retention-nothing", &["prune", "--yes", "--older-than", "0d"][..]),
        ("retention-negative", &["prune", "--yes", "--older-than", "-90d"]),
        ("retention-short", &["prune", "--yes", "--older-than", "3m"]),
        ("retention-long", &["prune", "--yes", "--older-than", "900000000d"]),
        ("retention-to-come", &["prune", "--yes", "--before", "2026-02-02T00:00:00Z", "--now", NOW]),
    ] {
        assert_fails(scenario, &database, &scene, words);
    }
    let zero = Scene::of(&database).with("HISTORY_RETENTION_DAYS", "0");
    assert_fails("retention-setting-nothing", &database, &zero, &["prune", "--yes"]);
    let head = another(&database).with_schema(Schema::Head);
    assert_fails("retention-not-chosen", &head, &Scene::of(&head), &["prune", "--yes"]);
    let events = Scene::of(&head).with("EVENT_RETENTION_HOURS", "0");
    assert_fails("retention-of-events", &head, &events, &["prune", "--yes", "--events"]);
}

#[apply(test)]
fn removals_that_are_refused(database: &Database) {
    let database = with_session(database);
    insert_session(&database, "two", "in_progress", Some(OLD_US));
    let scene = Scene::of(&database);
    let prune = |more: &[&'static str]| [&["prune", "--now", NOW, "--max-share", "100%"], more].concat();
    assert_fails("not-confirmed", &database, &scene, &prune(&[]));
    assert_fails("share", &database, &scene, &["prune", "--now", NOW, "--max-share", "10%", "--yes"]);
    assert_fails("share-planned", &database, &scene, &prune(&["--dry-run", "--fail-if-remaining"]));
    for (scenario, archive) in [
        ("archive-no-directory", "missing/archive.db"),
        ("archive-directory", "folder"),
        ("archive-no-database", "text.db"),
        ("archive-foreign", "foreign.db"),
    ] {
        let directory = directory();
        fs::create_dir(directory.path().join("folder")).expect("a directory");
        fs::write(directory.path().join("text.db"), "no database\n").expect("it can be written");
        let foreign = Database::sqlite().with_schema(Schema::Baseline);
        fs::copy(foreign.file(), directory.path().join("foreign.db")).expect("a copy");
        let scene = Scene::of(&database).beside(directory.path(), "archives");
        let path = directory.path().join(archive).display().to_string();
        let words = [&prune(&["--yes", "--archive"])[..], &[path.as_str()]].concat();
        assert_fails(scenario, &database, &scene, &words);
    }
    if database.is_sqlite() {
        assert_fails("archive-itself", &database, &scene, &prune(&["--yes", "--archive", "history.db"]));
    }
    assert_fails("archive-planned", &database, &scene, &prune(&["--dry-run", "--archive", "missing/archive.db"]));
    let trigger = match database.is_sqlite() {
        true => "CREATE TRIGGER mine BEFORE DELETE ON alert_sessions BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        false => {
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RAISE 'not this one'; END $$;
             CREATE TRIGGER mine BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION mine()"
        }
    };
    assert_fails_after("stuck", &database, trigger, &prune(&["--yes"]));
    let metrics = prune(&["--yes", "--before", "2020-01-01T00:00:00Z", "--metrics-file", "missing/prune.prom"]);
    assert_fails("metrics", &database, &scene, &metrics);
}

#[apply(test)]
fn an_archive_of_another_revision_or_with_other_values(database: &Database) {
    let database = with_session(database);
    let scene = Scene::of(&database).with("HISTORY_RETENTION_DAYS", "90");
    let prune = ["prune", "--now", NOW, "--max-share", "100%", "--yes", "--archive", "archive.db"];
    scene.shown(&prune);
    insert_session(&database, "one", "completed", Some(OLD_US));
    database.execute("UPDATE llm_interactions SET model_name = 'another'");
    assert_fails("archive-differs", &database, &scene, &prune);
    scene.shown(&["init", "--to", "2"]);
    assert_fails("archive-revision", &database, &scene, &prune);
}

/// A source with a session, and an empty target.
fn source_and_target() -> (Database, Database) {
    let source = file().with_schema(Schema::Baseline);
    insert_session(&source, "one", "completed", Some(OLD_US));
    (source, target())
}

fn between(source: &Database, target: &Database) -> Scene {
    Scene::of(target).at(source.directory(), "directory")
}

#[track_caller]
fn assert_not_moved(scenario: &str, scene: &Scene, words: &[&str]) {
    assert_seen(&format!("failure-{scenario}"), &scene.failure(&[&[MIGRATE], words].concat()));
}

#[apply(test)]
fn sources_that_are_refused() {
    let (source, target) = source_and_target();
    let scene = between(&source, &target);
    fs::write(source.directory().join("text.db"), "no database\n").expect("it can be written");
    for (scenario, words) in [
        ("source-missing", &["--from", "missing.db"][..]),
        ("source-no-database", &["--from", "text.db"]),
        ("source-is-server", &["--from", "postgresql://db/tarsy"]),
        ("source-is-server-alone", &["--from", "postgresql://db/tarsy", "--database-url", "sqlite:///other.db"]),
        ("target-without-scheme", &["--to", "other.db"]),
        ("source-is-memory", &["--from", "sqlite://"]),
        ("source-url", &["--from", "mysql://db/tarsy"]),
        ("target-is-file", &["--to", "sqlite:///other.db"]),
        ("target-not-named", &["--database-url", "sqlite:///other.db"]),
        ("policies-twice", &["--on", "nul=strip", "--on", "nul=replace", "--report", "move.json"]),
        ("report-no-directory", &["--report", "missing/move.json"]),
        ("report-no-report", &["--report", "text.db"]),
        ("not-lacking", &["--ignore", "alert_sessions.status", "--ignore", "nothing"]),
    ] {
        assert_not_moved(scenario, &scene, words);
    }
    let change = |sql: &str| source.execute(sql);
    change(
        "ALTER TABLE llm_interactions ADD COLUMN score REAL DEFAULT 0.5; CREATE TABLE notes (id INTEGER PRIMARY KEY)",
    );
    assert_not_moved("lacking", &scene, &[]);
    change("ALTER TABLE llm_interactions DROP COLUMN score; DROP TABLE notes");
    change("UPDATE alembic_version SET version_num = '7c617b3e7c2c'");
    assert_not_moved("source-schema", &scene, &["--check-only"]);
    change("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    assert_not_moved("source-revision", &scene, &["--check-only"]);
    change("PRAGMA foreign_keys = OFF; DROP TABLE alembic_version; DROP TABLE alert_sessions");
    assert_not_moved("source-no-history", &scene, &["--check-only"]);
}

#[apply(test)]
fn values_that_are_refused() {
    let (source, target) = source_and_target();
    let scene = between(&source, &target);
    source.execute(
        "PRAGMA foreign_keys = OFF;
         UPDATE alert_sessions SET final_analysis = 'a' || char(0) || 'b', completed_at_us = 'late', chain_id = x'ff';
         UPDATE mcp_communications SET tool_result = 'no JSON', session_id = 'nowhere', success = 2;
         UPDATE stage_executions SET duration_ms = 3000000000;
         UPDATE llm_interactions SET conversation = '{\"a\": NaN}'",
    );
    assert_not_moved("hazards", &scene, &["--check-only"]);
    assert_not_moved("hazards-with-values", &scene, &["--show-values"]);
    let damaged = source_and_target().0;
    damaged.execute(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = 'ix_alert_sessions_status',
         sql = 'CREATE INDEX ix_alert_sessions_status ON alert_sessions (chain_id)' WHERE name = 'ix_alert_sessions_status'",
    );
    assert_not_moved("damaged", &between(&damaged, &target), &[]);
}

#[apply(test)]
fn targets_that_are_refused() {
    let (source, target) = source_and_target();
    let scene = between(&source, &target);
    target.execute("CREATE VIEW alert_sessions AS SELECT 1 AS id; CREATE TABLE chats (id INTEGER)");
    assert_not_moved("name-taken", &scene, &[]);
    target.execute("DROP VIEW alert_sessions; DROP TABLE chats");
    target.create_schema(Schema::Baseline);
    insert_session(&target, "two", "completed", Some(OLD_US));
    target.execute(
        "ALTER TABLE llm_interactions SET UNLOGGED; ALTER TABLE mcp_communications ADD note TEXT NOT NULL DEFAULT ''",
    );
    assert_not_moved("obstacles", &scene, &[]);
    assert_not_moved("different", &scene, &["--verify-only"]);
    let role = Role::new(&target);
    assert_not_moved("privileges", &scene, &["--to", &role.url()]);
}

#[apply(test)]
fn rows_that_cannot_be_appended() {
    let (source, target) = source_and_target();
    let scene = between(&source, &target);
    scene.shown(&[MIGRATE, "--report", "move.json"]);
    assert_not_moved("target-not-empty", &scene, &[]);
    assert_not_moved("report-exists", &scene, &["--append", "--report", "move.json"]);
    insert_session(&source, "two", "completed", Some(OLD_US));
    source.execute("UPDATE alert_sessions SET status = 'failed', chain_id = 'other' WHERE session_id = 'one'");
    assert_not_moved("clashes", &scene, &["--append"]);
    let ahead = file().with_schema(Schema::Head);
    assert_not_moved("target-behind", &between(&ahead, &target), &["--append"]);
    scene.shown(&["init", "--to", "2"]);
    assert_not_moved("target-beyond", &scene, &["--append"]);
}

#[apply(test)]
fn a_target_that_alters_rows() {
    let (source, target) = source_and_target();
    target.create_schema(Schema::Baseline);
    target.execute(
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS
         $$ BEGIN NEW.status = 'altered'; RETURN NEW; END $$;
         CREATE TRIGGER mine BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION mine()",
    );
    assert_not_moved("mismatch", &between(&source, &target), &[]);
}

#[apply(test)]
fn a_wait_that_is_stopped() {
    let database = target();
    let (_socket, port) = closed_port();
    let mut run = Running::start_at(&database.url_through(port), database.directory(), &["wait"]);
    run.says("waiting for");
    run.signal("TERM");
    let scene = Scene::of(&database).hiding(&port.to_string(), "-----");
    assert_seen("failure-stopped", &scene.outcome(&["wait"], &run.finish()));
}
