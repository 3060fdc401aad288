//! How long sessions are kept if it is not set: at the baseline 90 days. At later revisions the backend may keep more, so
//! that no session is removed.

use serde_json::{Value, json};

use crate::support::cases::each;
use crate::support::check::{finding, is_found};
use crate::support::document::{file_text, yaml_documents};
use crate::support::history::{DAY_US, NOW, NOW_US, insert_session, now_us, session_ids};
use crate::support::revision::init_to;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

const BOTH: &str = "90 days by design and 365 days in its releases since January 2026";
const NOT_SET: &str = "not set; TARSy keeps 90 days by design and 365 days in its releases since January 2026";

/// A database with sessions that are younger than both numbers, between them, and older than both.
fn fill(database: &Database, now_us: i64) {
    for (session, days) in [("young", 80), ("between", 120), ("old", 400)] {
        insert_session(database, session, "completed", Some(now_us - days * DAY_US));
    }
}

fn at(database: &Database, revision: &str) {
    init_to(database, revision);
    if revision != "baseline" && revision != "2" && revision != "3" {
        // The revision that takes `alert_id` away: `insert_session` writes it.
        database.execute("ALTER TABLE alert_sessions ADD COLUMN alert_id VARCHAR");
    }
}

fn prune(database: &Database, arguments: &[&str]) -> Outcome {
    Outcome::of(tarsy_db(database).args(["prune", "--now", NOW, "--max-share", "100%"]).args(arguments))
}

#[apply(test)]
fn beyond_the_baseline_an_unset_retention_removes_no_session(database: &Database) {
    each(["2", "head"], |revision| {
        let database = database.another();
        at(&database, revision);
        fill(&database, NOW_US);
        for arguments in
            [&["--yes"][..], &["--yes", "--events", "--fail-if-remaining"], &["--yes", "--status", "failed"]]
        {
            let refused = prune(&database, arguments).expect(78);
            assert!(refused.stderr.contains(BOTH), "{}", refused.stderr);
            assert!(refused.stderr.contains("hint: set HISTORY_RETENTION_DAYS"), "{}", refused.stderr);
        }
        let document = prune(&database, &["--yes", "--output", "json"]).expect(78).json();
        assert!(document["error"]["message"].as_str().is_some_and(|message| message.contains(BOTH)), "{document}");
        assert_eq!(session_ids(&database), ["between", "old", "young"]);
        database.execute("DELETE FROM alembic_version");
        prune(&database, &["--yes"]).expect(78);
        assert_eq!(database.count("alert_sessions"), 3);
    });
}

#[apply(test)]
fn at_the_baseline_ninety_days_are_the_default(database: &Database) {
    at(database, "baseline");
    fill(database, NOW_US);
    let plan = prune(database, &["--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!(plan["retention"], json!({"days": 90, "source": "default"}));
    assert_eq!(plan["plan"]["sessions"], 2);
    database.execute("DROP TABLE alembic_version");
    prune(database, &["--yes"]).expect(0);
    assert_eq!(session_ids(database), ["young"]);
}

#[apply(test)]
fn a_dry_run_counts_for_both_numbers(database: &Database) {
    at(database, "head");
    fill(database, NOW_US);
    let shown = prune(database, &["--dry-run"]).expect(0).stdout;
    for line in [
        NOT_SET,
        "a retention of 90 days would remove 2 sessions",
        "a retention of 365 days would remove 1 session",
        "(exit code 78)",
    ] {
        assert!(shown.contains(line), "no `{line}` in {shown}");
    }
    let plan = prune(database, &["--dry-run", "--output", "json"]).expect(0).json();
    let defaults = json!([{"days": 90, "sessions": 2}, {"days": 365, "sessions": 1}]);
    assert_eq!(plan["retention"], json!({"days": null, "source": "default", "defaults": defaults}));
    assert_eq!((&plan["plan"]["sessions"], &plan["cutoff"]), (&json!(1), &json!("2025-02-01T00:00:00Z")));
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
fn a_number_that_was_chosen_counts_and_the_plan_names_who_chose_it(database: &Database) {
    at(database, "head");
    fill(database, NOW_US);
    let planned = |arguments: &[&str], days: Option<&str>| {
        let mut command = tarsy_db(database);
        command.args(["prune", "--now", NOW, "--dry-run", "--max-share", "100%"]).args(arguments);
        Outcome::of(command.envs(days.map(|days| ("HISTORY_RETENTION_DAYS", days)))).expect(0)
    };
    let chosen = |arguments: &[&str], days: Option<&str>| {
        let document = planned(&[&["--output", "json"], arguments].concat(), days).json();
        let shown = planned(arguments, days).stdout;
        assert!(!shown.contains("not set"), "{shown}");
        (document["retention"].clone(), document["plan"]["sessions"].clone(), shown)
    };
    let is = |found: (Value, Value, String), retention: Value, sessions: u32, words: &str| {
        assert_eq!((&found.0, &found.1), (&retention, &json!(sessions)));
        assert!(found.2.contains(words), "no `{words}` in {}", found.2);
    };
    let variable = json!({"days": 90, "source": "HISTORY_RETENTION_DAYS"});
    is(chosen(&[], Some("90")), variable, 2, "90 days (HISTORY_RETENTION_DAYS)");
    let flag = json!({"days": 365, "source": "--older-than"});
    is(chosen(&["--older-than", "365d"], Some("90")), flag, 1, "365 days (--older-than)");
    let limit = json!({"days": null, "source": "--before"});
    is(chosen(&["--before", "2025-11-01T00:00:00Z"], None), limit, 2, "--before");
    let hours = json!({"days": null, "source": "--older-than"});
    is(chosen(&["--older-than", "2161h"], None), hours, 2, "--older-than");
    let file = database.directory().join("tarsy-db.toml");
    std::fs::write(file, "[history]\nretention_days = 365\n").expect("the file can be written");
    is(chosen(&[], None), json!({"days": 365, "source": "tarsy-db.toml"}), 1, "365 days (tarsy-db.toml)");
    prune(database, &["--yes"]).expect(0);
    assert_eq!(session_ids(database), ["between", "young"]);
}

#[apply(test)]
fn events_and_orphans_need_no_retention_of_sessions(database: &Database) {
    at(database, "head");
    fill(database, NOW_US);
    database
        .execute("INSERT INTO events (id, channel, payload, created_at) VALUES (1, 'c', '{}', '2020-01-01 00:00:00')");
    let planned = prune(database, &["--events", "--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!((&planned["plan"]["sessions"], &planned["cutoff"]), (&json!(0), &Value::Null));
    let done = prune(database, &["--events", "--yes"]).expect(0);
    assert!(!done.stdout.contains("exit code 78"), "{}", done.stdout);
    assert!(done.stderr.contains("WARN no session is removed: set HISTORY_RETENTION_DAYS"), "{}", done.stderr);
    let done = done.stdout;
    assert!(done.contains("removed no sessions and 1 event"), "{done}");
    assert!(done.contains(NOT_SET), "{done}");
    assert_eq!((database.count("events"), database.count("alert_sessions")), (0, 3));
    let done = prune(database, &["--events", "--yes", "--output", "json"]).expect(0).json();
    assert_eq!(done["remaining_sessions"], Value::Null);
    if database.is_sqlite() {
        database.execute("PRAGMA foreign_keys = off; DELETE FROM alert_sessions WHERE session_id = 'old'");
        prune(database, &["--orphans", "--yes"]).expect(0);
        assert_eq!((database.count("alert_sessions"), database.count("stage_executions")), (2, 2));
    }
}

#[apply(test)]
fn check_calls_nothing_overdue_before_the_longer_number_and_info_shows_both(database: &Database) {
    at(database, "head");
    let now_us = now_us();
    insert_session(database, "between", "completed", Some(now_us - 360 * DAY_US));
    let check =
        |arguments: &[&str]| Outcome::of(tarsy_db(database).args(["check", "--output", "json"]).args(arguments));
    // The column that the test has added is drift; what counts is this check.
    let found = finding(&check(&["--fail-if-overdue"]), "retention");
    assert_eq!(found.0, "note", "{}", found.1);
    for line in
        [NOT_SET, "a retention of 90 days would remove 1 session", "a retention of 365 days would remove 0 sessions"]
    {
        assert!(found.1.contains(line), "no `{line}` in {}", found.1);
    }
    insert_session(database, "old", "completed", Some(now_us - 400 * DAY_US));
    is_found(&check(&[]), "retention", "warning", "sessions more than a day past the retention of 365 days: 1");
    is_found(&check(&["--fail-if-overdue"]), "retention", "failed", NOT_SET);

    let info = Outcome::of(tarsy_db(database).args(["info", "--output", "json"])).expect(0).json();
    let defaults = json!([{"days": 90, "sessions": 2}, {"days": 365, "sessions": 1}]);
    assert_eq!(info["sessions"]["retention"]["defaults"], defaults);
    assert_eq!(info["sessions"]["would_remove"]["sessions"], 1);
    assert_eq!(info["settings"]["history.retention_days"], json!({"value": null, "source": "default"}));
    let shown = Outcome::of(tarsy_db(database).arg("info")).expect(0).stdout;
    assert!(shown.contains(NOT_SET) && shown.contains("a retention of 90 days would remove 2 sessions"), "{shown}");
    let chosen = Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "90").arg("info")).expect(0).stdout;
    assert!(!chosen.contains("not set"), "{chosen}");
}

#[apply(test)]
fn a_database_that_init_has_just_made_at_head_is_sound_without_a_retention(database: &Database) {
    database.create_schema(Schema::Head);
    is_found(
        &Outcome::of(tarsy_db(database).args(["check", "--output", "json"])).expect(0),
        "retention",
        "note",
        NOT_SET,
    );
}

/// The number comes from where the backend has it, and from there alone.
#[apply(test)]
fn no_example_has_a_retention_of_its_own() {
    let manifests = yaml_documents("examples/kubernetes.yaml");
    let kind = |kind: &str| manifests.iter().find(|manifest| manifest["kind"] == kind).expect("the kind is there");
    let map = kind("ConfigMap");
    let backend = &kind("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let prune = &kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    each([backend, prune], |container| {
        assert_eq!(container["envFrom"], json!([{"configMapRef": {"name": map["metadata"]["name"]}}]));
    });
    assert!(!map["data"].to_string().contains("HISTORY_RETENTION_DAYS"), "{map}");

    let compose = yaml_documents("compose.yaml").remove(0);
    each(["backend", "prune"], |service| {
        let environment = &compose["services"][service]["environment"];
        let merged = &compose["x-tarsy-db"]["environment"];
        let environment = if environment.is_null() { merged } else { environment };
        assert_eq!(environment.get("HISTORY_RETENTION_DAYS"), Some(&Value::Null), "{service}: {environment}");
    });
    let cases =
        ["compose.yaml", "examples/kubernetes.yaml", "examples/tarsy-db-prune.service", "examples/entrypoint.sh"];
    each(cases, |path| {
        let text = file_text(path);
        let has_number = |line: &&str| {
            let (_, behind) = line.rsplit_once("HISTORY_RETENTION_DAYS").unwrap_or_default();
            behind.trim_start_matches([' ', ':', '=', '-', '"']).starts_with(|c: char| c.is_ascii_digit())
        };
        assert_eq!(text.lines().find(has_number), None, "{path}");
    });
    assert!(file_text("examples/tarsy-db-prune.service").contains("\nEnvironmentFile=/etc/tarsy-db/retention\n"));
}
