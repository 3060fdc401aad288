//! Row policies of PostgreSQL that hide rows from the role: no decision is based on the visible rows alone, and
//! commands that decide nothing report the policies and continue.

use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, contents, full_history, insert_many, insert_whole_sessions};
use crate::support::migration::arguments_to;
use crate::support::process::wait_until;
use crate::support::prune::start_to_prune_at;
use crate::support::role::give_tables_to;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, tarsy_db, test};

/// 21 old sessions at head, and a role that may read and write everything, as the backend's.
fn with_role(database: &Database) -> Role<'_> {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 21, OLD_US);
    let role = Role::new(database);
    database.execute(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0};
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {0}",
        role.name
    ));
    role
}

fn enable(database: &Database, table: &str, name: &str, condition: &str) {
    database.execute(&format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY {name} ON {table} USING ({condition})"
    ));
}

fn run_as(role: &Role<'_>, arguments: &[&str]) -> Outcome {
    Outcome::of(bare_tarsy_db(role.database().directory()).env("DATABASE_URL", role.url()).args(arguments))
}

const PRUNE: [&str; 6] = ["prune", "--now", NOW, "--max-share", "100%", "--yes"];

/// Makes sure that every kind of removal is refused with these words, and removes nothing.
#[track_caller]
fn prune_refuses(role: &Role<'_>, words: &[&str]) {
    let before = contents(role.database());
    let old = ["--older-than", "90d"];
    let kinds: [&[&str]; 5] = [&[], &["--orphans"], &["--dry-run"], &["--events"], &["--archive", "archive.db"]];
    for kind in kinds {
        let refused = run_as(role, &[&PRUNE, &old[..], kind].concat()).expect(77);
        for word in words.iter().chain(&["BYPASSRLS"]) {
            assert!(refused.stderr.contains(word), "{kind:?}: {word} in {}", refused.stderr);
        }
    }
    assert!(contents(role.database()) == before, "something is gone");
}

#[apply(test)]
fn children_of_hidden_sessions_are_no_orphans() {
    let database = Database::postgresql();
    let role = with_role(&database);
    enable(&database, "alert_sessions", "of_one_team", "session_id = 's7'");
    prune_refuses(&role, &["`of_one_team`", "`alert_sessions`"]);

    let checked = run_as(&role, &["check", "--deep", "--output", "json"]).expect(77).json();
    let finding = |name: &str| {
        let all = checked["checks"].as_array().expect("a list");
        all.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} in {checked}")).clone()
    };
    let policies = finding("row policies");
    assert_eq!(policies["status"], "failed");
    assert!(policies["detail"].as_str().is_some_and(|text| text.contains("`of_one_team`")), "{policies}");
    for name in ["foreign keys", "retention"] {
        assert_eq!(finding(name)["status"], "skipped", "{name}");
    }
    for name in ["connection", "server", "revision"] {
        assert_eq!(finding(name)["status"], "ok", "{name}");
    }

    let info = run_as(&role, &["info", "--output", "json"]).expect(0).json();
    let expected = serde_json::json!([{ "table": "alert_sessions", "policies": ["of_one_team"] }]);
    assert_eq!(info["row_policies"], expected);
    let shown = run_as(&role, &["info"]).expect(0).stdout;
    assert!(shown.contains("incomplete: the row policy `of_one_team` on `alert_sessions`"), "{shown}");

    each([&["wait", "--for", "schema"][..], &["init"], &["init", "--to", "head"]], |arguments| {
        run_as(&role, arguments).expect(0);
    });
}

#[apply(test)]
fn a_policy_on_a_child_alone_counts_and_so_does_one_that_hides_nothing() {
    each([("llm_interactions", "interaction_id <> 'llm@s3'"), ("chats", "true")], |(table, condition)| {
        let database = Database::postgresql();
        let role = with_role(&database);
        enable(&database, table, "ours", condition);
        prune_refuses(&role, &["`ours`", &format!("`{table}`")]);
        run_as(&role, &["check"]).expect(77);
        // The tables' owner and a role with BYPASSRLS see every row.
        run_as(&role, &["wait", "--for", "schema"]).expect(0);
        Outcome::of(tarsy_db(&database).args(["check", "--deep"])).expect(0);
        database.execute(&format!("ALTER ROLE {} BYPASSRLS", role.name));
        run_as(&role, &["check", "--deep"]).expect(0);
        run_as(&role, &[&PRUNE, &["--older-than", "90d", "--orphans"][..]].concat()).expect(0);
        assert_eq!(database.count("alert_sessions"), 0);
    });
}

#[apply(test)]
fn row_security_without_a_policy_hides_everything() {
    let database = Database::postgresql();
    let role = with_role(&database);
    database.execute("ALTER TABLE mcp_communications ENABLE ROW LEVEL SECURITY");
    prune_refuses(&role, &["without a policy", "`mcp_communications`"]);
}

#[apply(test)]
fn the_owner_sees_every_row_unless_the_table_forces_it() {
    let database = Database::postgresql();
    let role = with_role(&database);
    enable(&database, "alert_sessions", "ours", "session_id > 's5'");
    database.execute(&format!("ALTER TABLE alert_sessions OWNER TO {}", role.name));
    run_as(&role, &[&PRUNE, &["--older-than", "90d", "--dry-run"][..]].concat()).expect(0);
    database.execute("ALTER TABLE alert_sessions FORCE ROW LEVEL SECURITY");
    prune_refuses(&role, &["`ours`", "FORCE"]);
}

#[apply(test)]
fn a_ledger_whose_row_is_hidden_is_not_an_empty_one() {
    let database = Database::postgresql();
    let role = with_role(&database);
    enable(&database, "alembic_version", "ours", "true");
    // The ledger's row is visible, and there is nothing to do.
    each([&["wait", "--for", "schema"][..], &["init"], &["init", "--to", "head"]], |arguments| {
        run_as(&role, arguments).expect(0);
    });
    prune_refuses(&role, &["`ours`", "`alembic_version`"]);
    database.execute("ALTER POLICY ours ON alembic_version USING (false)");
    let before = contents(&database);
    let ledger = database.texts("SELECT version_num FROM alembic_version");
    let cases = [
        &["wait", "--for", "schema", "--max-attempts", "1"][..],
        &["init"],
        &["init", "--to", "head"],
        &["init", "--dry-run"],
        &["check"],
        &["check", "--fix"],
    ];
    each(cases, |arguments| {
        let refused = run_as(&role, arguments).expect(77);
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("`ours`") && said.contains("`alembic_version`"), "{arguments:?}: {said}");
        assert!(!said.contains("to adopt them"), "{arguments:?}: {said}");
    });
    prune_refuses(&role, &["`ours`", "`alembic_version`"]);
    assert!(contents(&database) == before);
    assert_eq!(database.texts("SELECT version_num FROM alembic_version"), ledger);
}

#[apply(test)]
fn an_upgrade_that_fills_a_column_names_the_policy() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_many(&database, 3, 64, OLD_US);
    let role = Role::new(&database);
    give_tables_to(&database, &role.name);
    database.execute(&format!("GRANT ALL ON SCHEMA public TO {}", role.name));
    enable(&database, "llm_interactions", "ours", "false");
    database.execute("ALTER TABLE llm_interactions FORCE ROW LEVEL SECURITY");
    let refused = run_as(&role, &["init", "--to", "head"]).expect(77);
    assert!(refused.stderr.contains("`ours`") && refused.stderr.contains("`llm_interactions`"), "{}", refused.stderr);
    assert_eq!(database.texts("SELECT version_num FROM alembic_version"), [Some("ae85467a75d2".to_owned())]);
}

#[apply(test)]
fn a_policy_that_is_created_during_a_removal_ends_it() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 1500, 64, OLD_US);
    let role = Role::new(&database);
    database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let run = start_to_prune_at(&role.url(), &database, &["--older-than", "90d"]);
    wait_until("some sessions are gone", || database.count("alert_sessions") < 1500);
    enable(&database, "alert_sessions", "late", "session_id = 's-1500'");
    let left = database.count("alert_sessions");
    let shown = run.finish().expect(77).json();
    assert!(left > 0, "it was over before");
    assert_eq!((database.count("alert_sessions"), database.count("llm_interactions")), (left, left));
    assert_eq!(shown["removed"]["sessions"], 1500 - left);
}

#[apply(test)]
fn a_migration_to_tables_with_a_policy_is_refused_before_it_begins() {
    let source = full_history();
    let target = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&target);
    give_tables_to(&target, &role.name);
    target.execute(&format!("GRANT ALL ON SCHEMA public TO {}", role.name));
    enable(&target, "alert_sessions", "ours", "false");
    target.execute("ALTER TABLE alert_sessions FORCE ROW LEVEL SECURITY");
    let before = contents(&target);
    let to_role = role.url();
    each([&[][..], &["--append"], &["--dry-run"]], |more| {
        let refused = Outcome::of(bare_tarsy_db(source.directory()).args(arguments_to(&to_role)).args(more)).expect(77);
        assert!(refused.stderr.contains("`ours`"), "{more:?}: {}", refused.stderr);
    });
    assert!(contents(&target) == before);
}
