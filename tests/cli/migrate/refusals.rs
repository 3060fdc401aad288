//! `migrate-sqlite-to-postgres`: what it refuses before it begins, and which locks it waits for.

use crate::support::activity::wait_for_lock;
use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{arguments, migrate, migrate_while, one_session_and_target, source_and_target};
use crate::support::process::Held;
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, tarsy_db, test};

#[apply(test)]
fn a_target_that_holds_one_row_anywhere_is_left_alone() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "theirs", "completed", Some(NOW_US));
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    refused.fails_with(&["alert_sessions", "holds 1 row", "mcp_communications"]);
    assert_eq!(target.texts("SELECT session_id FROM alert_sessions"), [Some("theirs".to_owned())]);
    target.execute("DELETE FROM mcp_communications; DELETE FROM llm_interactions; DELETE FROM stage_executions");
    Outcome::of(&mut migrate(&source, &target)).expect(7);
    assert_eq!(target.count("alert_sessions"), 1);
    assert_eq!(target.count("llm_interactions"), 0);
}

#[apply(test)]
fn a_source_at_an_unknown_revision_is_refused() {
    let (source, target) = one_session_and_target();
    source.execute("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    Outcome::of(&mut migrate(&source, &target)).expect(7).fails_with(&["source", "feedfacecafe"]);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_source_that_is_not_what_its_ledger_says_is_refused() {
    let (source, target) = one_session_and_target();
    source.execute("UPDATE alembic_version SET version_num = '7c617b3e7c2c'");
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(4);
    refused.fails_with(&["7c617b3e7c2c", "the source lacks `llm_interactions.interaction_type`"]);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_target_beyond_the_source_is_refused() {
    let (source, target) = one_session_and_target();
    Outcome::of(tarsy_db(&target).args(["init", "--to", "2"])).expect(0);
    Outcome::of(&mut migrate(&source, &target)).expect(7).fails_with(&["7c617b3e7c2c", "later than", "ae85467a75d2"]);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn what_the_target_lacks_is_listed_unless_it_is_ignored() {
    let (source, target) = one_session_and_target();
    source.execute(
        "ALTER TABLE llm_interactions ADD COLUMN our_score REAL DEFAULT 0.5;
         CREATE TABLE our_notes (id INTEGER PRIMARY KEY)",
    );
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    refused.fails_with(&["our_notes", "llm_interactions.our_score", "--ignore"]);
    let one_ignored = Outcome::of(migrate(&source, &target).args(["--ignore", "our_notes"])).expect(7);
    one_ignored.fails_with(&["llm_interactions.our_score"]);
    assert_eq!(target.count("alert_sessions"), 0);
    let both = ["--ignore", "our_notes", "--ignore", "llm_interactions.our_score"];
    Outcome::of(migrate(&source, &target).args(both)).expect(0);
    assert_eq!(target.count("llm_interactions"), 1);
}

#[apply(test)]
fn ignoring_does_not_lose_a_column_that_the_target_has() {
    let (source, target) = one_session_and_target();
    let refused = Outcome::of(migrate(&source, &target).args(["--ignore", "llm_interactions.conversation"])).expect(7);
    refused.fails_with(&["--ignore", "llm_interactions.conversation"]);
}

#[apply(test)]
fn a_source_without_a_column_that_must_not_be_null_is_refused() {
    let (source, target) = one_session_and_target();
    source.execute("ALTER TABLE llm_interactions DROP COLUMN model_name");
    Outcome::of(&mut migrate(&source, &target)).expect(4).fails_with(&["llm_interactions.model_name"]);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_trigger_that_alters_a_value_is_found_and_everything_rolled_back() {
    let (source, target) = one_session_and_target();
    target.execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             NEW.agent_type := upper(NEW.agent_type); RETURN NEW; END $$;
         CREATE TRIGGER meddle BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION meddle()",
    );
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(8);
    let details = outcome.json()["error"]["details"].clone();
    assert_eq!(details[0]["table"], "alert_sessions");
    assert_eq!(details[0]["differences"], serde_json::json!(["one: agent_type"]));
    assert_eq!(target.count("alert_sessions") + target.count("llm_interactions"), 0);
}

#[apply(test)]
fn a_trigger_that_drops_a_row_is_found_and_everything_rolled_back() {
    each(["full", "counts"], |verify| {
        let (source, target) = one_session_and_target();
        insert_session(&source, "two", "completed", Some(NOW_US));
        target.execute(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
                 IF NEW.communication_id = 'mcp-two' THEN RETURN NULL; END IF; RETURN NEW; END $$;
             CREATE TRIGGER swallow BEFORE INSERT ON mcp_communications FOR EACH ROW EXECUTE FUNCTION swallow()",
        );
        let outcome = Outcome::of(migrate(&source, &target).args(["--verify", verify])).expect(8);
        let details = outcome.json()["error"]["details"].clone();
        assert_eq!((details[0]["source_rows"].as_u64(), details[0]["target_rows"].as_u64()), (Some(2), Some(1)));
        let named = details[0].to_string().contains("mcp-two");
        assert!(named || verify == "counts", "the row is not named: {details:#}");
        assert_eq!(target.count("alert_sessions"), 0);
    });
}

#[apply(test)]
fn ends_of_the_wrong_kind_are_configuration_errors() {
    let (source, target) = one_session_and_target();
    let run = |from: &str, to: &str| {
        let arguments = ["migrate-sqlite-to-postgres", "--output", "json", "--from", from, "--to", to];
        Outcome::of(bare_tarsy_db(source.directory()).args(arguments))
    };
    run("history.db", "sqlite:///other.db").expect(78).fails_with(&["target", "PostgreSQL"]);
    assert!(!source.directory().join("other.db").exists());
    run(target.url(), target.url()).expect(78).fails_with(&["source", "SQLite"]);
    run("sqlite:///:memory:", target.url()).expect(78).fails_with(&["the source is in memory"]);
    run("no-such-file.db", target.url()).expect(78).fails_with(&["no-such-file.db"]);
    assert!(!source.directory().join("no-such-file.db").exists());
    std::fs::write(source.directory().join("text.db"), "not a database at all ".repeat(100)).expect("a file");
    run("text.db", target.url()).expect(74);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_target_that_is_not_named_is_asked_for() {
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let run = |url: Option<&str>| {
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", "--output", "json", "--from", "history.db"]);
        Outcome::of(command.envs(url.map(|url| ("DATABASE_URL", url)))).expect(78)
    };
    for (url, named) in [(None, "(default)"), (Some("sqlite:///other.db"), "(DATABASE_URL)")] {
        let refused = run(url);
        refused.fails_with(&["no PostgreSQL database was named", named]);
        let hint = refused.json()["error"]["hint"].clone();
        assert_eq!(hint, "name it with `--to postgresql://USER@HOST/DATABASE` or with DATABASE_URL");
    }
    assert!(!source.directory().join("other.db").exists());
}

#[apply(test)]
fn a_role_without_create_is_refused() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    let (_, database) = target.url().rsplit_once('/').expect("the URL names a database");
    let role = format!("{database}_guest");
    target.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'guest'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    let (_, address) = target.url().rsplit_once('@').expect("the URL names a host");
    let to = format!("postgresql://{role}:guest@{address}");
    let refused = Outcome::of(bare_tarsy_db(source.directory()).args([
        "migrate-sqlite-to-postgres",
        "--output",
        "json",
        "--to",
        &to,
    ]));
    target.execute(&format!("DROP ROLE {role}"));
    refused.expect(77).fails_with(&["permission denied"]);
}

#[apply(test)]
fn a_lock_on_the_target_ends_the_wait_and_its_holder_is_named() {
    let (source, target) = one_session_and_target();
    each(["LOCK TABLE llm_interactions IN ROW EXCLUSIVE MODE", "LOCK TABLE llm_interactions"], |lock| {
        let holder = Held::begin(&target, &format!("SET application_name = 'the holder'; {lock}"));
        let refused = Outcome::of(migrate(&source, &target).args(["--lock-timeout", "300ms"])).expect(75);
        refused.fails_with(&["the holder", "--lock-timeout"]);
        holder.close();
        assert_eq!(target.count("alert_sessions"), 0, "{lock}");
    });
}

const WRITES: &str = "UPDATE alert_sessions SET status = 'failed'";

#[apply(test)]
fn a_source_at_rest_that_changes_meanwhile_is_not_moved() {
    let (source, target) = one_session_and_target();
    assert!(!source.directory().join("history.db-wal").exists());
    let outcome = migrate_while(&source, &target, |_| source.execute(WRITES)).expect(75);
    outcome.fails_with(&["history.db", "changed"]);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn rows_that_are_committed_while_the_lock_is_waited_for_are_seen_in_any_isolation() {
    let (source, target) = one_session_and_target();
    target.execute(&format!("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'", target.name()));
    let mut writer = Held::begin(&target, "SELECT 1");
    writer.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id) VALUES ('precious', 'a', 'k', 's', 'c')",
    );
    let run = Running::start(&source, &arguments(&target));
    wait_for_lock(&target);
    writer.execute("COMMIT");
    run.finish().expect(7).fails_with(&["alert_sessions"]);
    assert_eq!(target.texts("SELECT session_id FROM alert_sessions"), [Some("precious".to_owned())]);
}

#[apply(test)]
fn a_target_that_lost_a_foreign_key_is_refused() {
    let (source, target) = one_session_and_target();
    target.execute("ALTER TABLE stage_executions DROP CONSTRAINT stage_executions_session_id_fkey");
    Outcome::of(&mut migrate(&source, &target)).expect(4).fails_with(&["missing foreign key stage_executions"]);
    assert_eq!(target.count("alert_sessions"), 0);
}
