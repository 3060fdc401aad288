//! `prune --dry-run` and the limits of a run: the plan is shown, and too large a share is refused.

use serde_json::json;

use crate::support::cases::each;
use crate::support::history::{DAY_US, NOW, NOW_US, OLD_US, contents, insert_many, insert_session, session_ids};
use crate::support::revision::init_to;
use crate::support::{Database, Outcome, Role, Schema, apply, tarsy_db, test};

/// A run with the limits that there are by default.
fn prune(database: &Database, arguments: &[&str]) -> Outcome {
    Outcome::of(tarsy_db(database).args(["prune", "--now", NOW, "--output", "json"]).args(arguments))
}

/// Two old sessions, one that is old and active, and some new ones.
fn with_sessions(database: &Database, new: u32) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "one", "completed", Some(OLD_US));
    insert_session(database, "two", "failed", Some(OLD_US + DAY_US));
    insert_session(database, "active", "in_progress", Some(OLD_US));
    if new > 0 {
        insert_many(database, new, 320, NOW_US - DAY_US);
    }
}

#[apply(test)]
fn people_read_what_would_go(database: &Database) {
    with_sessions(database, 7);
    let before = contents(database);
    let shown = Outcome::of(tarsy_db(database).args(["prune", "--now", NOW, "--dry-run"])).expect(0).stdout;
    let lines: Vec<String> = shown
        .replace(['│', '┆'], " ")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "plan (nothing was changed)",
        "cutoff 2025-11-03T00:00:00Z",
        "sessions 2 of 10 (20 %)",
        "oldest 2025-10-04T00:00:00Z",
        "newest 2025-10-05T00:00:00Z",
        "active in_progress 2025-10-04T00:00:00Z not in a terminal status",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "no `{line}` in\n{shown}");
    }
    for (table, rows) in [
        ("alert_sessions", 2),
        ("llm_interactions", 2),
        ("mcp_communications", 2),
        ("stage_executions", 2),
        ("total", 8),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{table} {rows} "))), "{table} in\n{shown}");
    }
    assert!(contents(database) == before);
}

#[apply(test)]
fn bytes_are_those_of_the_values(database: &Database) {
    with_sessions(database, 7);
    let planned = prune(database, &["--dry-run"]).expect(0).json()["plan"].clone();
    database
        .execute(&format!("UPDATE llm_interactions SET model_name = '{}' WHERE session_id = 'one'", "x".repeat(1000)));
    let more = prune(database, &["--dry-run"]).expect(0).json()["plan"].clone();
    let bytes = |plan: &serde_json::Value| {
        let tables = plan["tables"].as_array().expect("a list of tables").iter();
        tables.map(|table| table["bytes"].as_i64().expect("a number")).sum::<i64>()
    };
    let grown = bytes(&more) - bytes(&planned);
    // The name was `gemini`; PostgreSQL's own length word grows with it.
    assert!((994..1000).contains(&grown), "{grown}");
}

#[apply(test)]
fn more_than_half_of_the_sessions_is_refused_unless_it_is_allowed(database: &Database) {
    with_sessions(database, 0);
    let before = contents(database);
    let planned = prune(database, &["--dry-run"]).expect(0).json();
    assert_eq!((&planned["plan"]["sessions"], &planned["plan"]["of_sessions"]), (&2.into(), &3.into()));
    assert!(planned["share"].as_f64().is_some_and(|share| (share - 2.0 / 3.0).abs() < 1e-9), "{planned:#}");
    let shown = Outcome::of(tarsy_db(database).args(["prune", "--now", NOW, "--dry-run"])).expect(0).stdout;
    assert!(
        shown.contains("a run would be refused (exit code 7): it would remove 66.7 % of all sessions, and `--max-share` allows 50 %"),
        "{shown}"
    );
    assert_eq!(planned["run_exit_code"], 7);
    let allowed = prune(database, &["--dry-run", "--max-share", "67%"]).expect(0).json();
    assert_eq!((&allowed["in_the_way"], &allowed["run_exit_code"]), (&json!([]), &json!(null)));
    each([[].as_slice(), &["--max-share", "66%"], &["--max-share", "0%"], &["--max-share", "0"]], |limit| {
        let refused = prune(database, &[&["--yes"], limit].concat()).expect(7);
        assert_eq!(refused.json()["error"]["exit_code"], 7);
        assert!(refused.stderr.contains("--max-share 100%"), "{}", refused.stderr);
    });
    assert!(contents(database) == before);
    prune(database, &["--yes", "--max-share", "67%"]).expect(0);
    assert_eq!(session_ids(database), ["active"]);
}

#[apply(test)]
fn exactly_half_may_go_and_all_where_it_is_allowed(database: &Database) {
    with_sessions(database, 1);
    prune(database, &["--yes"]).expect(0);
    assert_eq!(session_ids(database), ["active", "s-1"]);
    prune(database, &["--yes", "--older-than", "1h", "--include-active"]).expect(7);
    prune(database, &["--yes", "--older-than", "1h", "--include-active", "--max-share", "100%"]).expect(0);
    assert_eq!(session_ids(database).len(), 0);
}

#[apply(test)]
fn a_share_that_makes_no_sense_is_a_wrong_argument(database: &Database) {
    database.create_schema(Schema::Baseline);
    for share in ["101%", "-1%", "half", "", "NaN%", "0.6", "1", "0.07"] {
        prune(database, &["--dry-run", &format!("--max-share={share}")]).expect(2);
    }
}

#[apply(test)]
fn filters_choose_by_status_and_type_and_each_may_be_given_again(database: &Database) {
    database.create_schema(Schema::Baseline);
    let quoted = r#"it's "odd" \; --"#;
    for (id, status, alert_type, agent_type) in [
        ("a", "completed", "PodCrash", "kubernetes"),
        ("b", "failed", "PodCrash", "o'agent"),
        ("c", "timed_out", quoted, "kubernetes"),
        ("d", "failed", quoted, "o'agent"),
        ("e", "in_progress", quoted, "o'agent"),
    ] {
        insert_session(database, id, status, Some(OLD_US));
        let [alert_type, agent_type] = [alert_type, agent_type].map(|value| value.replace('\'', "''"));
        database.execute(&format!(
            "UPDATE alert_sessions SET alert_type = '{alert_type}', agent_type = '{agent_type}' WHERE session_id = '{id}'"
        ));
    }
    insert_session(database, "new", "failed", Some(NOW_US));
    database.execute("UPDATE alert_sessions SET alert_type = NULL WHERE session_id = 'new'");
    let plan = |arguments: &[&str]| {
        prune(database, &[&["--dry-run"], arguments].concat()).expect(0).json()["plan"]["sessions"].as_i64()
    };
    assert_eq!(plan(&[]), Some(4));
    assert_eq!(plan(&["--status", "failed"]), Some(2));
    assert_eq!(plan(&["--status", "failed", "--status", "timed_out"]), Some(3));
    assert_eq!(plan(&["--alert-type", quoted]), Some(2));
    assert_eq!(plan(&["--alert-type", quoted, "--alert-type", "PodCrash"]), Some(4));
    assert_eq!(plan(&["--agent-type", "o'agent", "--status", "failed", "--alert-type", quoted]), Some(1));
    // Open sessions are removed only with both flags.
    assert_eq!(plan(&["--status", "in_progress"]), Some(0));
    assert_eq!(plan(&["--status", "in_progress", "--include-active"]), Some(1));
    // Case and blanks count.
    assert_eq!(plan(&["--alert-type", "podcrash"]), Some(0));
    prune(database, &["--dry-run", "--status", "failed "]).expect(2);
    prune(database, &["--yes", "--alert-type", quoted, "--agent-type", "o'agent", "--include-active"]).expect(0);
    assert_eq!(session_ids(database), ["a", "b", "c", "new"]);
    // Those that are old and not meant do not count as left over.
    prune(database, &["--yes", "--alert-type", quoted, "--agent-type", "o'agent", "--fail-if-remaining"]).expect(0);
    prune(database, &["--yes", "--alert-type", "PodCrash", "--status", "failed", "--fail-if-remaining"]).expect(0);
    assert_eq!(session_ids(database), ["a", "c", "new"]);
}

#[apply(test)]
fn a_dry_run_tells_what_the_role_lacks() {
    let database = Database::postgresql();
    init_to(&database, "3");
    insert_session(&database, "old", "completed", Some(OLD_US));
    insert_many(&database, 7, 320, NOW_US - DAY_US);
    database.execute("INSERT INTO events (channel, payload, created_at) VALUES ('c', '{}', '2020-01-01')");
    let role = Role::new(&database);
    let told = |arguments: &[&str]| {
        let mut command = tarsy_db(&database);
        command.env("DATABASE_URL", role.url()).env("HISTORY_RETENTION_DAYS", "90");
        command.args(["prune", "--now", NOW, "--dry-run", "--output", "json"]);
        let planned = Outcome::of(command.args(arguments)).expect(0).json();
        let told = planned["in_the_way"].as_array().expect("a list").iter();
        assert_eq!(planned["run_exit_code"].is_null(), told.len() == 0, "{planned:#}");
        told.map(|obstacle| obstacle.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let grant = |rights: &str| database.execute(&format!("GRANT {rights} TO {}", role.name));
    grant("SELECT ON ALL TABLES IN SCHEMA public");
    let removed = "alert_sessions, llm_interactions, mcp_communications, stage_executions";
    let lacking = ["the role lacks UPDATE on alert_sessions".to_owned(), format!("the role lacks DELETE on {removed}")];
    assert_eq!(told(&[]), lacking);
    assert!(told(&["--older-than", "3650d"]).is_empty(), "nothing is removed, and nothing prevents it");
    grant("DELETE ON ALL TABLES IN SCHEMA public");
    grant("UPDATE ON alert_sessions");
    assert!(told(&[]).is_empty());
    assert_eq!(told(&["--events"]), ["the role lacks UPDATE on events"]);
    grant("UPDATE ON events");
    assert!(told(&["--events"]).is_empty());
    database.execute(&format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name));
    assert_eq!(told(&[]), ["transactions are read-only: a standby, or `default_transaction_read_only`"]);
}
