//! `migrate-sqlite-to-postgres --append` concurrent with the backend and other sessions, and interrupted.

use serde_json::json;

use crate::support::activity::{wait_for_lock, wait_for_no_session_of_the_tool};
use crate::support::append::{append, append_with, came, two_histories};
use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_many, insert_session, session_ids};
use crate::support::migration::{arguments, one_session_and_target, picture};
use crate::support::process::Held;
use crate::support::{Outcome, Running, apply, test};

#[apply(test)]
fn a_row_that_another_session_updates_is_waited_for_and_compared_afterwards() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "one", "completed", Some(NOW_US));
    each([("ROLLBACK", 0), ("COMMIT", 7)], |(end, code)| {
        let mut other = Held::begin(&target, "UPDATE alert_sessions SET status = 'failed'");
        let run = Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat());
        wait_for_lock(&target);
        other.execute(end);
        run.finish().expect(code);
        other.close();
    });
}

#[apply(test)]
fn a_row_locked_for_too_long_is_busy_and_the_holder_named() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "one", "completed", Some(NOW_US));
    let held = "SET application_name = 'the holder'; UPDATE stage_executions SET status = 'failed'";
    let other = Held::begin(&target, held);
    let refused = append_with(&source, &target, &["--lock-timeout", "300ms"]).expect(75);
    refused.fails_with(&["the holder", "--lock-timeout"]);
    // Rows that are only counted are not locked.
    append_with(&source, &target, &["--lock-timeout", "300ms", "--dry-run"]).expect(0);
    other.close();
}

/// Runs an append that waits for its locks on tables, while another session changes something before its commit.
fn append_after(change: &str) -> Outcome {
    let (source, target) = two_histories();
    let mut other = Held::begin(&target, &format!("LOCK TABLE alert_sessions IN SHARE MODE; {change}"));
    let run = Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat());
    wait_for_lock(&target);
    other.execute("COMMIT");
    other.close();
    run.finish()
}

#[apply(test)]
fn what_another_application_creates_in_the_same_schema_is_no_change_of_the_tables() {
    let created = append_after("CREATE TABLE theirs (id integer PRIMARY KEY, note text DEFAULT 'none')").expect(0);
    assert_eq!(came(&created.json()), [Some(4), Some(4), Some(0)]);
}

#[apply(test)]
fn a_table_that_another_session_alters_before_the_locks_is_named_and_nothing_inserted() {
    let refused = append_after("CREATE INDEX theirs ON alert_sessions (agent_type, chain_id)").expect(75);
    refused.fails_with(&["another session altered alert_sessions in the meantime"]);
    assert_eq!(refused.json()["error"]["hint"], "run the same command again");
}

#[apply(test)]
fn a_parent_that_another_session_removes_after_the_search_for_orphans_is_no_orphan_of_the_source() {
    let (source, target) = two_histories();
    source.execute_unguarded("UPDATE stage_executions SET session_id = 'theirs'");
    let policy = ["--append", "--on", "orphan=drop", "--report", "report.json"];
    let run = || Running::start(&source, &[arguments(&target).as_slice(), &policy].concat());
    let mut other = Held::begin(&target, "LOCK TABLE stage_executions IN SHARE MODE");
    let waiting = run();
    wait_for_lock(&target);
    let children = ["llm_interactions", "mcp_communications", "stage_executions"];
    other.execute(&children.map(|table| format!("DELETE FROM {table};")).concat());
    other.execute("DELETE FROM alert_sessions; COMMIT");
    waiting.finish().expect(75).fails_with(&["another session removed a parent of stage_executions"]);
    run().finish().expect(0);
}

#[apply(test)]
fn a_parent_that_another_session_removes_before_the_insert_asks_for_a_repeat() {
    let ours = |when: &str| {
        format!(
            "CREATE TABLE ours (agent VARCHAR PRIMARY KEY); INSERT INTO ours VALUES ('kubernetes'), ('theirs');
             UPDATE alert_sessions SET agent_type = 'theirs'; ALTER TABLE alert_sessions ADD FOREIGN KEY (agent_type) REFERENCES ours {when}"
        )
    };
    each([ours(""), ours("DEFERRABLE INITIALLY DEFERRED")], |key| {
        let (source, target) = two_histories();
        target.execute(&key);
        let halt = Held::halt_inserts(&target, "alert_sessions", "NEW.session_id = 'one'");
        let run = || Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat());
        let halted = run();
        wait_for_lock(&target);
        target.execute("DELETE FROM ours WHERE agent = 'kubernetes'");
        halt.close();
        let refused = halted.finish().expect(75);
        refused.fails_with(&["another session has removed a row", "(agent_type)=(kubernetes)"]);
        assert_eq!(refused.json()["error"]["hint"], "run the same command again");
        assert_eq!(session_ids(&target), ["theirs"]);
        // By then the row has no parent.
        run().finish().expect(65).fails_with(&["orphan"]);
        target.execute("INSERT INTO ours VALUES ('kubernetes')");
        run().finish().expect(0);
    });
}

#[apply(test)]
fn the_backend_goes_on_beside_it() {
    let (source, target) = two_histories();
    insert_session(&source, "two", "completed", Some(NOW_US));
    insert_session(&target, "two", "completed", Some(NOW_US));
    let before = "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
                  VALUES ('before', 'before', 'k', 'pending', 'c')";
    // A transaction with new rows, and with updated ones that the source does not have, ends much later.
    let backend =
        Held::begin(&target, &format!("{before}; UPDATE alert_sessions SET status = 'x' WHERE session_id = 'theirs'"));
    let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'llm-one'");
    let run = Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat());
    wait_for_lock(&target);
    insert_session(&target, "new", "pending", Some(NOW_US));
    target.execute("UPDATE alert_sessions SET status = 'completed' WHERE session_id = 'new'");
    target.execute("DELETE FROM mcp_communications WHERE session_id = 'new'");
    assert_eq!(target.count("alert_sessions"), 3);
    // Only the rows that were compared are locked.
    let free = "SELECT session_id FROM alert_sessions ORDER BY 1 FOR UPDATE SKIP LOCKED";
    assert_eq!(target.texts(free), [Some("new".to_owned())]);
    halt.close();
    assert_eq!(came(&run.finish().expect(0).json()), [Some(8), Some(4), Some(4)]);
    backend.close();
    let sessions = target.texts("SELECT session_id FROM alert_sessions ORDER BY 1");
    assert_eq!(sessions, ["new", "one", "theirs", "two"].map(|session| Some(session.to_owned())));
}

#[apply(test)]
fn killed_or_terminated_in_the_middle_the_target_is_as_before_and_the_next_run_succeeds() {
    each([("KILL", None), ("TERM", Some(143)), ("INT", Some(130))], |(signal, code)| {
        let (source, target) = two_histories();
        let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'llm-one'");
        let before = picture(&target);
        let run = Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat());
        wait_for_lock(&target);
        run.signal(signal);
        assert_eq!(run.finish().code, code);
        halt.close();
        wait_for_no_session_of_the_tool(&target);
        assert!(before == picture(&target), "{signal}");
        assert_eq!(append(&source, &target).expect(0).json()["inserted"], 4, "{signal}");
    });
}

#[apply(test)]
fn of_two_at_once_one_inserts_and_the_other_finds_all_there() {
    let (source, target) = two_histories();
    insert_many(&source, 50, 10_000, NOW_US);
    let runs = [(); 2].map(|()| Running::start(&source, &[arguments(&target).as_slice(), &["--append"]].concat()));
    let inserted = runs.map(|run| run.finish().expect(0).json()["inserted"].as_u64());
    assert!(inserted == [Some(104), Some(0)] || inserted == [Some(0), Some(104)], "{inserted:?}");
    assert_eq!(target.count("llm_interactions"), 52);
}

#[apply(test)]
fn triggers_that_meddle_are_found_out_before_the_commit() {
    let cases = [
        ("NEW.agent_type := upper(NEW.agent_type); RETURN NEW;", 8, "one: agent_type"),
        ("RETURN NULL;", 8, "one: not in the target"),
    ];
    each(cases, |(change, code, difference)| {
        let (source, target) = two_histories();
        // Without children, whose foreign keys would fail.
        source.execute("DELETE FROM mcp_communications; DELETE FROM llm_interactions; DELETE FROM stage_executions");
        target.execute(&format!(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {change} END $$;
             CREATE TRIGGER meddle BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION meddle()"
        ));
        let found = append(&source, &target).expect(code);
        assert_eq!(found.json()["error"]["details"][0]["differences"], json!([difference]));
        assert_eq!(target.count("alert_sessions"), 1);
    });
}
