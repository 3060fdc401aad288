//! Every result: as tables on terminals of 80 and 120 columns, and as a document.

use crate::support::history::{DAY_US, NOW, NOW_US, insert_session, insert_whole_sessions};
use crate::support::snapshot::{Scene, another, assert_seen, file, name_of, target};
use crate::support::{Database, Role, Schema, apply, test};

/// The start of a session that is old by [`NOW`], and by any later clock.
const OLD_US: i64 = NOW_US - 800 * DAY_US;
/// 2100-01-01T00:00:00Z, the start of a session that is not old by any clock.
const FUTURE_US: i64 = 4_102_444_800_000_000;
/// The first words of every `prune` here.
const PRUNE: [&str; 5] = ["prune", "--now", NOW, "--max-share", "100%"];

fn prune(more: &[&'static str]) -> Vec<&'static str> {
    [&PRUNE, more].concat()
}

/// The widths for a result that has no tables of its own.
const NARROW: &[u16] = &[80];
const BOTH: &[u16] = &[80, 120];

/// Compares the output of a command that changes nothing.
fn assert_shows(scenario: &str, database: &Database, widths: &[u16], scene: &Scene, words: &[&str]) {
    let tables: Vec<_> = widths.iter().map(|&columns| scene.on_terminal(columns, words)).collect();
    assert_seen(&name_of("table", scenario, database), &tables.join("\n"));
    assert_seen(&name_of("document", scenario, database), &scene.document(words));
}

/// Compares the output of a command that changes a database, which `prepare` sets up each time.
fn assert_shows_change(
    scenario: &str,
    database: &Database,
    widths: &[u16],
    prepare: impl Fn(&Database),
    words: &[&str],
) {
    let prepared = || {
        let database = another(database);
        prepare(&database);
        database
    };
    let tables = widths.iter().map(|&columns| {
        let database = prepared();
        scene(&database).on_terminal(columns, words)
    });
    assert_seen(&name_of("table", scenario, database), &tables.collect::<Vec<_>>().join("\n"));
    let document = prepared();
    assert_seen(&name_of("document", scenario, &document), &scene(&document).document(words));
}

/// The retention is 90 days here, unless a test sets another one.
fn scene(database: &Database) -> Scene {
    Scene::of(database).with("HISTORY_RETENTION_DAYS", "90")
}

fn unguarded(database: &Database, sql: &str) {
    let off = if database.is_sqlite() { "PRAGMA foreign_keys = OFF" } else { "SET session_replication_role = replica" };
    database.execute(&format!("{off}; {sql}"));
}

/// Sessions of several weeks: three in a terminal status, one active, and one that starts after the clock's time.
fn sessions(database: &Database) {
    for (id, status, started_at_us) in [
        ("one", "completed", OLD_US),
        ("two", "failed", OLD_US + 8 * DAY_US),
        ("three", "completed", OLD_US + 9 * DAY_US),
        ("four", "in_progress", OLD_US + 22 * DAY_US),
    ] {
        insert_session(database, id, status, Some(started_at_us));
    }
}

fn baseline_with_sessions(database: &Database) {
    database.create_schema(Schema::Baseline);
    sessions(database);
    insert_session(database, "new", "completed", Some(FUTURE_US));
}

/// Every kind of row at the newest revision, with orphans and old events.
fn head_with_orphans_and_events(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 4, OLD_US);
    unguarded(
        database,
        "DELETE FROM alert_sessions WHERE session_id = 's1'; DELETE FROM chats WHERE chat_id = 'chat@s3';
         UPDATE alert_sessions SET started_at_us = 4102444800000000 WHERE session_id = 's4'",
    );
    database.execute(
        "INSERT INTO events (id, channel, payload, created_at)
         VALUES (1, 'sessions', '{}', '2020-01-01 00:00:00'), (2, 'sessions', '{}', '2020-01-01 00:00:00.5'),
                (3, 'sessions', '{}', '2100-01-01 00:00:00')",
    );
}

#[apply(test)]
fn init(database: &Database) {
    let head = ["init", "--to", "head"];
    assert_shows_change("init-created", database, NARROW, |_| (), &["init"]);
    assert_shows_change("init-upgraded", database, BOTH, baseline_with_sessions, &head);
    assert_shows_change(
        "init-adopted",
        database,
        NARROW,
        |database| {
            baseline_with_sessions(database);
            database.execute("DROP TABLE alembic_version");
        },
        &["init", "--to", "2"],
    );
}

#[apply(test)]
fn init_that_changes_nothing(database: &Database) {
    let empty = another(database);
    assert_shows("init-planned-from-nothing", &empty, NARROW, &scene(&empty), &["init", "--dry-run"]);
    assert_shows("init-script-from-nothing", &empty, NARROW, &scene(&empty), &["init", "--sql"]);
    let disabled = scene(&empty).with("HISTORY_ENABLED", "false");
    assert_shows("init-disabled", &empty, NARROW, &disabled, &["init"]);
    let database = another(database);
    baseline_with_sessions(&database);
    assert_shows("init-present", &database, NARROW, &scene(&database), &["init"]);
    assert_shows("init-planned", &database, BOTH, &scene(&database), &["init", "--to", "head", "--dry-run"]);
    assert_shows("init-script", &database, NARROW, &scene(&database), &["init", "--to", "head", "--sql"]);
}

#[apply(test)]
fn the_backends_role() {
    let database = target().with_schema(Schema::Baseline);
    let role = Role::new(&database);
    let [init, check] = [["init", "--app-role", &role.name], ["check", "--as-role", &role.name]];
    assert_shows("check-as-role", &database, NARROW, &scene(&database), &check);
    assert_shows("init-app-role-planned", &database, NARROW, &scene(&database), &[&init[..], &["--dry-run"]].concat());
    assert_seen(&name_of("table", "init-app-role", &database), &scene(&database).on_terminal(80, &init));
    database.execute(&format!("DROP OWNED BY {}", role.name));
    assert_seen(&name_of("document", "init-app-role", &database), &scene(&database).document(&init));
}

#[apply(test)]
fn wait(database: &Database) {
    let database = another(database).with_schema(Schema::Baseline);
    assert_shows("wait", &database, NARROW, &scene(&database), &["wait", "--for", "schema"]);
    let disabled = scene(&database).with("HISTORY_ENABLED", "false");
    assert_shows("wait-disabled", &database, NARROW, &disabled, &["wait"]);
}

#[apply(test)]
fn check(database: &Database) {
    let empty = another(database);
    if empty.is_sqlite() {
        empty.execute("VACUUM");
    }
    assert_shows("check-empty", &empty, NARROW, &scene(&empty), &["check"]);

    let sound = another(database).with_schema(Schema::Baseline);
    insert_session(&sound, "new", "completed", Some(FUTURE_US));
    assert_shows("check-sound", &sound, BOTH, &scene(&sound), &["check"]);
    assert_shows("check-deep", &sound, NARROW, &scene(&sound), &["check", "--deep"]);
    sessions(&sound);
    assert_shows("check-overdue", &sound, BOTH, &scene(&sound), &["check", "--fail-if-overdue"]);

    let drifted = another(database).with_schema(Schema::Baseline);
    drifted.execute(
        "DROP INDEX ix_alert_sessions_status; DROP INDEX ix_alert_sessions_alert_id;
         CREATE INDEX ix_alert_sessions_alert_id ON alert_sessions (chain_id);
         ALTER TABLE llm_interactions DROP COLUMN provider; ALTER TABLE alert_sessions ADD COLUMN note TEXT;
         CREATE TABLE mine (id INTEGER); CREATE UNIQUE INDEX own ON alert_sessions (chain_id)",
    );
    assert_shows("check-drift", &drifted, BOTH, &scene(&drifted), &["check"]);
    assert_shows_change(
        "check-fix",
        database,
        BOTH,
        |database| {
            database.create_schema(Schema::Baseline);
            database.execute("DROP INDEX ix_alert_sessions_status; DROP INDEX ix_alert_sessions_alert_id");
        },
        &["check", "--fix"],
    );

    let newer = another(database).with_schema(Schema::Baseline);
    newer.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'");
    assert_shows("check-newer", &newer, NARROW, &scene(&newer), &["check"]);
    newer.execute("DROP TABLE mcp_communications; UPDATE alembic_version SET version_num = 'ae85467a75d2'");
    assert_shows("check-incomplete", &newer, NARROW, &scene(&newer), &["check"]);

    let damaged = another(database);
    head_with_orphans_and_events(&damaged);
    assert_shows("check-orphans", &damaged, BOTH, &Scene::of(&damaged), &["check", "--deep"]);
}

#[apply(test)]
fn info(database: &Database) {
    let empty = another(database);
    if empty.is_sqlite() {
        empty.execute("VACUUM");
    }
    assert_shows("info-empty", &empty, NARROW, &scene(&empty), &["info"]);
    let baseline = another(database).with_schema(Schema::Baseline);
    sessions(&baseline);
    assert_shows("info", &baseline, BOTH, &scene(&baseline), &["info"]);
    let head = another(database).with_schema(Schema::Head);
    insert_whole_sessions(&head, 4, OLD_US);
    assert_shows("info-not-chosen", &head, BOTH, &Scene::of(&head), &["info", "--exact"]);
}

#[apply(test)]
fn prune_that_changes_nothing(database: &Database) {
    let baseline = another(database);
    baseline_with_sessions(&baseline);
    assert_shows("prune-planned", &baseline, BOTH, &scene(&baseline), &prune(&["--dry-run"]));
    let all = prune(&["--dry-run", "--include-active", "--archive", "archive.db"]);
    assert_shows("prune-planned-with-archive", &baseline, BOTH, &scene(&baseline), &all);
    let none = prune(&["--yes", "--before", "2020-01-01T00:00:00Z"]);
    assert_shows("prune-nothing", &baseline, NARROW, &scene(&baseline), &none);
    let head = another(database);
    head_with_orphans_and_events(&head);
    let all = prune(&["--dry-run", "--events", "--orphans", "--status", "completed", "--alert-type", "PodCrash"]);
    assert_shows("prune-planned-with-all", &head, BOTH, &scene(&head), &all);
    assert_shows("prune-planned-not-chosen", &head, NARROW, &Scene::of(&head), &prune(&["--dry-run", "--events"]));
}

#[apply(test)]
fn prune_that_removes(database: &Database) {
    let yes = prune(&["--yes", "--fail-if-remaining"]);
    assert_shows_change("prune-removed", database, BOTH, baseline_with_sessions, &yes);
    let all = prune(&["--yes", "--events", "--orphans"]);
    assert_shows_change("prune-removed-all", database, NARROW, head_with_orphans_and_events, &all);
    let archive = prune(&["--yes", "--archive", "archive.db", "--compress"]);
    assert_shows_change("prune-archived", database, NARROW, baseline_with_sessions, &archive);
    let vacuum = prune(&["--yes", "--vacuum"]);
    assert_shows_change("prune-vacuumed", database, NARROW, baseline_with_sessions, &vacuum);
}

/// A source with sessions of several weeks, one of them with JSON that `jsonb` formats otherwise.
fn source() -> Database {
    let source = file().with_schema(Schema::Baseline);
    sessions(&source);
    source.execute(
        r#"UPDATE llm_interactions SET conversation = '{"b": 1.0e2, "a": "\u00e9"}' WHERE session_id = 'one'"#,
    );
    source
}

/// Values that policies convert.
fn source_with_hazards() -> Database {
    let source = source();
    source.execute(
        "UPDATE alert_sessions SET final_analysis = 'a' || char(0) || 'b' WHERE session_id IN ('one', 'two');
         UPDATE mcp_communications SET tool_result = 'no JSON' WHERE session_id = 'one'",
    );
    source
}

fn between(source: &Database, target: &Database) -> Scene {
    Scene::of(target).at(source.directory(), "directory")
}

/// The longest values are short here, and not every server has LZ4.
const MIGRATE: [&str; 3] = ["migrate-sqlite-to-postgres", "--toast", "keep"];

#[apply(test)]
fn migrate_that_changes_nothing() {
    let (source, target) = (source(), target());
    let scene = between(&source, &target);
    assert_shows("migrate-checked", &target, NARROW, &scene, &["migrate-sqlite-to-postgres", "--check-only"]);
    assert_shows("migrate-planned", &target, BOTH, &scene, &[&MIGRATE[..], &["--dry-run"]].concat());
    let hazards = source_with_hazards();
    let policies = ["--on", "nul=strip", "--on", "invalid-json=string", "--report", "move.json", "--check-only"];
    let check = [&["migrate-sqlite-to-postgres"], &policies[..]].concat();
    assert_shows("migrate-checked-with-policies", &target, BOTH, &between(&hazards, &target), &check);
}

#[apply(test)]
fn migrate_that_moves() {
    let policies = ["--on", "nul=strip", "--on", "invalid-json=string", "--report", "move.json"];
    for (scenario, widths, words, source) in [
        ("migrate-moved", NARROW, &["--verify", "counts"][..], source as fn() -> Database),
        ("migrate-moved-with-policies", BOTH, &policies, source_with_hazards),
    ] {
        let words = [&MIGRATE[..], words].concat();
        let tables = widths.iter().map(|&columns| {
            let (source, target) = (source(), target());
            between(&source, &target).on_terminal(columns, &words)
        });
        assert_seen(&format!("table-{scenario}"), &tables.collect::<Vec<_>>().join("\n"));
        let (source, target) = (source(), target());
        assert_seen(&format!("document-{scenario}"), &between(&source, &target).document(&words));
    }
}

#[apply(test)]
fn migrate_to_a_target_that_holds_rows() {
    let (source, target) = (source(), target());
    let scene = between(&source, &target);
    scene.shown(&MIGRATE);
    let compare = ["migrate-sqlite-to-postgres", "--verify-only"];
    assert_shows("migrate-compared", &target, BOTH, &scene, &compare);
    insert_session(&source, "five", "completed", Some(OLD_US));
    let append = [&MIGRATE[..], &["--append"]].concat();
    assert_shows("migrate-planned-to-append", &target, BOTH, &scene, &[&append[..], &["--dry-run"]].concat());
    scene.shown(&append);
    assert_shows("migrate-appended", &target, BOTH, &scene, &append);
}
