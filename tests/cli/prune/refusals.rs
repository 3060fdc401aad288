//! `prune`: what it does not begin, what ends it with an error, and what can be made one.

use serde_json::{Value, json};

use crate::support::activity::wait_for_lock;
use crate::support::archive::{archive_path, prune_into};
use crate::support::cases::each;
use crate::support::check::is_found;
use crate::support::history::{NOW, OLD_US, assert_whole, insert_session, session_ids, three_old_sessions};
use crate::support::process::Held;
use crate::support::prune::{prune, refuse_to_delete, start_to_prune};
use crate::support::{Database, Outcome, Running, Schema, apply, tarsy_db, test};

#[apply(test)]
fn sessions_that_the_database_keeps_end_the_run(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "kept", "completed", Some(OLD_US));
    match database.is_sqlite() {
        true => database.execute("CREATE TRIGGER keep BEFORE DELETE ON alert_sessions BEGIN SELECT RAISE(IGNORE); END"),
        false => database.execute("CREATE RULE keep AS ON DELETE TO alert_sessions DO INSTEAD NOTHING"),
    }
    let failed = prune(database, &["--yes"]).expect(4);
    assert!(failed.stderr.contains("a trigger or rule kept rows of alert_sessions"), "{}", failed.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_run_that_fails_halfway_gives_its_error_the_form_that_all_errors_have(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "one", "completed", Some(OLD_US));
    refuse_to_delete(database, "alert_sessions", "OLD.session_id = 'one'");
    let outcome = prune(database, &["--yes"]);
    assert_eq!(outcome.json()["error"]["exit_code"].as_i64(), outcome.code.map(i64::from), "{}", outcome.stdout);
}

#[apply(test)]
fn without_yes_and_without_a_terminal_nothing_is_removed(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let refused = prune(database, &[]).expect(7);
    assert!(refused.json()["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--yes")), "{}", refused.stdout);
    assert_whole(database, 1);
    // Where there is nothing to remove there is nothing to confirm.
    prune(database, &["--older-than", "1000d"]).expect(0);
}

#[apply(test)]
fn what_is_not_over_when_the_time_is_up_can_be_made_a_failure(database: &Database) {
    database.create_schema(Schema::Head);
    database
        .execute("INSERT INTO events (id, channel, payload, created_at) VALUES (1, 'c', '{}', '2020-01-01 00:00:00')");
    let flags = ["--yes", "--events", "--max-duration", "0s", "--fail-if-remaining"];
    assert_eq!(prune(database, &flags).expect(6).json()["remaining_sessions"], 0);
    let flags = ["--yes", "--events", "--fail-if-remaining"];
    assert_eq!(prune(database, &flags).expect(0).json()["removed"]["rows"]["events"], 1);
}

#[apply(test)]
fn a_schema_that_is_newer_is_left_alone(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'");
    each(["--yes", "--dry-run"], |flag| {
        let refused = prune(database, &[flag]).expect(5);
        assert!(refused.stderr.contains("ffffffffffff"), "{}", refused.stderr);
    });
    assert_whole(database, 1);
}

/// The first DELETE of a session upgrades the ledger.
fn upgrade_in_mid_run(database: &Database) {
    let upgrade = "UPDATE alembic_version SET version_num = '7c617b3e7c2c'";
    database.execute(&match database.is_sqlite() {
        true => format!("CREATE TRIGGER upgrade BEFORE DELETE ON alert_sessions BEGIN {upgrade}; END"),
        false => format!(
            "CREATE FUNCTION upgrade() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {upgrade}; RETURN OLD; END $$;
             CREATE TRIGGER upgrade BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION upgrade()"
        ),
    });
}

#[apply(test)]
fn after_an_upgrade_in_mid_run_nothing_more_goes(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    upgrade_in_mid_run(database);
    let refused = prune(database, &["--yes"]).expect(75);
    assert!(refused.stderr.contains("another session has upgraded the schema"), "{}", refused.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_column_or_a_trigger_that_comes_in_mid_run_ends_it() {
    let changes = [
        "ALTER TABLE llm_interactions ADD COLUMN note text",
        "CREATE TRIGGER mine BEFORE DELETE ON llm_interactions FOR EACH ROW EXECUTE FUNCTION other()",
        "CREATE RULE mine AS ON DELETE TO llm_interactions DO INSTEAD NOTHING",
    ];
    each(changes, |change| {
        let database = Database::postgresql().with_schema(Schema::Baseline);
        insert_session(&database, "old", "completed", Some(OLD_US));
        // The first DELETE of a session changes another table, from which the batch has removed rows before.
        database.execute(&format!(
            "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RETURN NULL; END $$;
             CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql SET search_path = public
             AS $$ BEGIN {change}; RETURN OLD; END $$;
             CREATE TRIGGER change BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION change()"
        ));
        let refused = prune(&database, &["--yes"]).expect(75);
        refused.fails_with(&["another session has added a column, a trigger or a rule", "run the same command again"]);
        assert_whole(&database, 1);
    });
}

/// No later run of `prune` takes this archive, because it is at the earlier revision.
#[apply(test)]
fn after_an_upgrade_in_mid_run_the_archive_has_its_indexes(database: &Database) {
    let (before, archive) = (database.another().with_schema(Schema::Baseline), Database::sqlite());
    insert_session(&before, "before", "completed", Some(OLD_US));
    prune_into(&before, &archive, &[]).expect(0);
    // As a run that was killed leaves it.
    archive.execute("DROP INDEX ix_alert_sessions_status; PRAGMA user_version = 1");
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    upgrade_in_mid_run(database);
    let refused = prune_into(database, &archive, &[]).expect(75);
    assert!(refused.stderr.contains("another session has upgraded the schema"), "{}", refused.stderr);
    let found = "SELECT count(*) FROM sqlite_master WHERE name = 'ix_alert_sessions_status'";
    assert_eq!((archive.number(found), archive.number("PRAGMA user_version")), (1, 0));
}

#[apply(test)]
fn beside_an_upgrade_that_drops_a_column_the_archive_is_left_to_another_run() {
    let database = three_old_sessions();
    let archive = Database::sqlite();
    let halt = Held::halt_removals(&database);
    let prune = start_to_prune(&database, &["--archive", &archive_path(&archive)]);
    Held::wait_for_halted_removal(&database, "0");
    let init = Running::start(&database, &["init", "--to", "head", "--lock-timeout", "1h"]);
    wait_for_lock(&database);
    halt.close();
    init.finish().expect(0);
    let refused = prune.finish().expect(75);
    assert!(refused.stderr.contains("another session has upgraded the schema"), "{}", refused.stderr);
    let pruned = refused.json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["stuck"]), (&1.into(), &json!([])));
    assert_eq!(session_ids(&database), ["2", "3"]);
    assert_eq!(session_ids(&archive), ["1"]);

    // The hint says what is to be done about the archive.
    let hint = pruned["error"]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("if it has `--archive`, give that another file"), "{hint}");
    let again = prune_into(&database, &archive, &[]).expect(7);
    again.tells(&["is at revision ae85467a75d2, the database at b67c135119d7", "`alert_id`"]);
    let other = Database::sqlite();
    prune_into(&database, &other, &[]).expect(0);
    assert_eq!((session_ids(&database).len(), session_ids(&other).len()), (0, 2));
    // The run has completed the indexes of the archive, although it failed.
    Outcome::of(tarsy_db(&archive).arg("check")).expect(0);
}

#[apply(test)]
fn a_filter_that_no_session_meets_is_warned_of(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let statuses = ["--yes", "--status", "completed", "--status", "in_progress"];
    let warned = prune(database, &[&statuses[..], &["--agent-type", "Kubernetes"]].concat()).expect(0);
    each(
        [
            "no session has the status `in_progress`\n",
            "no session has the agent type `Kubernetes`; check the spelling\n",
        ],
        |words| assert!(warned.stderr.contains(words), "{}", warned.stderr),
    );
    assert!(!warned.stderr.contains("`completed`"), "{}", warned.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_status_that_neither_a_session_nor_tarsy_has_is_refused_with_the_known_ones(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_session(database, "odd", "archived", Some(OLD_US));
    each([&["--yes"][..], &["--dry-run"]], |mode| {
        let refused = prune(database, &[mode, &["--status", "complted"]].concat()).expect(2);
        assert!(refused.stderr.contains("no session has the status `complted`"), "{}", refused.stderr);
        assert!(refused.stderr.contains("TARSy's statuses are completed, failed, cancelled"), "{}", refused.stderr);
        prune(database, &["--dry-run", "--include-active", "--status", "archived"]).expect(0);
    });
    assert_whole(database, 2);
}

#[apply(test)]
fn minutes_and_a_cutoff_in_the_future_are_refused(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let refused = prune(database, &["--yes", "--older-than", "3m"]).expect(78);
    assert!(refused.stderr.contains("`--older-than 3m` is less than an hour"), "{}", refused.stderr);
    let refused = prune(database, &["--yes", "--older-than", "-5d"]).expect(78);
    assert!(refused.stderr.contains("`--older-than -5d` would remove"), "{}", refused.stderr);
    let arguments = ["prune", "--yes", "--max-share", "100%", "--now", "2999-01-01T00:00:00Z"];
    let refused = Outcome::of(tarsy_db(database).args(arguments)).expect(78);
    assert!(refused.stderr.contains("is not in the past"), "{}", refused.stderr);
    let refused =
        Outcome::of(tarsy_db(database).args(["prune", "--yes", "--before", "2999-01-01T00:00:00Z"])).expect(78);
    assert!(refused.stderr.contains("the cutoff 2999-01-01T00:00:00Z is not in the past"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: set `--before`"), "{}", refused.stderr);
    assert_whole(database, 1);
}

#[apply(test)]
fn sessions_that_remain_can_be_made_a_failure(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "active", "in_progress", Some(OLD_US));
    insert_session(database, "old", "completed", Some(OLD_US));
    prune(database, &["--dry-run", "--fail-if-remaining"]).expect(6);
    let pruned = prune(database, &["--yes", "--fail-if-remaining"]).expect(6).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&1.into(), &1.into()));
    prune(database, &["--yes", "--fail-if-remaining"]).expect(6);
    prune(database, &["--yes", "--fail-if-remaining", "--include-active"]).expect(0);
}

#[apply(test)]
fn a_retention_that_would_remove_everything_is_a_configuration_error(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    let cases = [
        ["--older-than", "0d"],
        ["--older-than", "-5d"],
        ["--older-than", "0s"],
        ["--before", "2026-02-01T00:00:00Z"],
        ["--before", "2199-01-01T00:00:00Z"],
    ];
    each(cases, |arguments| {
        let refused = prune(database, &[&arguments[..], &["--yes"]].concat()).expect(78);
        assert_eq!(refused.json()["error"]["exit_code"], 78, "{arguments:?}");
    });
    each(["0", "-5", "ninety"], |days| {
        Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", days).args([
            "prune",
            "--max-share",
            "100%",
            "--yes",
        ]))
        .expect(78);
    });
    assert_whole(database, 1);
    // A sound flag makes a senseless setting irrelevant.
    Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "0").args([
        "prune",
        "--max-share",
        "100%",
        "--yes",
        "--older-than",
        "1d",
        "--now",
        NOW,
    ]))
    .expect(0);
    assert_whole(database, 0);
}

#[apply(test)]
fn check_and_info_say_that_the_retention_cannot_be_applied(database: &Database) {
    let run = |command: &str| {
        Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "0").args([command, "--output", "json"]))
    };
    let error = "`HISTORY_RETENTION_DAYS` is 0, which would remove the whole history";
    let is_said = |info: &Value| {
        let said = info["retention_error"].as_str().expect("a text");
        assert!(said.starts_with(&format!("{error}: set it to 1 or more")), "{said}");
    };
    // Also before there is a session.
    database.create_schema(Schema::Baseline);
    is_found(&run("check").expect(78), "retention", "failed", error);
    is_said(&run("info").expect(0).json());
    database.execute("DROP TABLE mcp_communications; DROP TABLE llm_interactions");
    database.execute("DROP TABLE stage_executions; DROP TABLE alert_sessions; DROP TABLE alembic_version");
    is_found(&run("check").expect(78), "retention", "failed", error);
    is_said(&run("info").expect(0).json());
}

#[apply(test)]
fn a_database_without_the_schema_needs_init(database: &Database) {
    database.execute("CREATE TABLE something_else (id int)");
    prune(database, &["--yes"]).expect(3);
}

#[apply(test)]
fn a_database_in_memory_has_no_schema_to_prune() {
    let database = Database::sqlite();
    each(["--yes", "--dry-run"], |mode| {
        let old = ["prune", "--older-than", "1d", "--now", NOW, mode];
        let refused = Outcome::of(tarsy_db(&database).env("DATABASE_URL", "sqlite:///:memory:").args(old)).expect(3);
        refused.tells(&["error: the database has no TARSy schema yet", "hint: check the database URL"]);
    });
}
