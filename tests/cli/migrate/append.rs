//! `migrate-sqlite-to-postgres --append`: adds rows to a target that holds rows, which are not changed.

use serde_json::{Value, json};

use crate::support::append::{append, append_with, assert_conflicts, came, difference, two_histories};
use crate::support::cases::each;
use crate::support::history::{NOW_US, full_history, insert_session};
use crate::support::migration::{
    arguments, compare, migrate, moved, one_session_and_target, picture, read_report, table_digests,
};
use crate::support::sqlite_file::files;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, tarsy_db, test};

#[apply(test)]
fn rows_come_to_others_and_the_second_time_all_are_skipped() {
    let (source, target) = two_histories();
    let theirs = "SELECT alert_sessions::text FROM alert_sessions WHERE session_id = 'theirs'";
    let (before, source_before) = (target.texts(theirs), files(source.directory()));
    let appended = append(&source, &target).expect(0).json();
    assert_eq!(came(&appended), [Some(4), Some(4), Some(0)]);
    for table in appended["tables"].as_array().expect("a list of tables") {
        assert_eq!(came(table), [Some(1), Some(1), Some(0)], "{table}");
        assert_eq!(table["digest"].as_str().map(str::len), Some(64), "{table}");
    }
    assert_eq!(appended["verified"], "full");
    assert_eq!(target.count("mcp_communications"), 2);
    assert_eq!(target.texts(theirs), before);
    assert!(source_before == files(source.directory()));

    let before = picture(&target);
    let again = append(&source, &target).expect(0).json();
    assert_eq!(came(&again), [Some(4), Some(0), Some(4)]);
    assert_eq!(table_digests(&again), table_digests(&appended));
    assert!(before == picture(&target));
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn people_read_how_many_rows_came_and_how_many_were_there() {
    let (source, target) = two_histories();
    insert_session(&source, "two", "completed", Some(NOW_US));
    insert_session(&target, "two", "completed", Some(NOW_US));
    let run = || Outcome::of(bare_tarsy_db(source.directory()).args(&arguments(&target)[..5]).arg("--append"));
    let shown = run().expect(0).stdout;
    assert!(shown.starts_with("appended /"), "{shown}");
    for words in ["/history.db to ", "4 rows inserted, 4 already existed", "skipped", "ae85467a75d2"] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    assert!(run().expect(0).stdout.contains("0 rows inserted, 8 already existed"));
}

#[apply(test)]
fn an_archive_comes_back_with_the_digests_and_to_the_rows_that_were_there_before() {
    let (archive, target, moved) = moved();
    let before = picture(&target);
    target.execute(
        "DELETE FROM chat_user_messages WHERE message_id > 'm-3';
         DELETE FROM chats WHERE chat_id > 'c-3';
         DELETE FROM alert_sessions WHERE session_id > 's-3'",
    );
    let left = target.count("alert_sessions");
    assert!((1..100).contains(&left) && target.count("llm_interactions") == left);
    let appended = append(&archive, &target).expect(0).json();
    assert_eq!(table_digests(&appended), table_digests(&moved));
    assert_eq!(appended["skipped"], 5 * left + 100);
    assert!(before == picture(&target));
    assert_eq!(table_digests(&compare(&archive, &target).expect(0).json()), table_digests(&moved));
}

#[apply(test)]
fn children_that_stand_before_their_parents_come_with_them() {
    let target = Database::postgresql();
    Outcome::of(&mut migrate(&full_history(), &target)).expect(0);
    let source = Database::sqlite();
    source.create_schema(Schema::Head);
    let stage =
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                               parallel_index, parallel_type, chat_id) VALUES";
    source.execute(&format!(
        "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id) VALUES ('new', 'k', 'completed', 'c');
         {stage} ('a-child', 'new', 'x', 0, 'X', 'A', 'completed', 1, 'replica', NULL);
         {stage} ('b-child', 'new', 'x', 0, 'X', 'A', 'completed', 2, 'replica', NULL);
         {stage} ('parent', 'new', 'x', 0, 'X', 'A', 'completed', 0, 'replica', 'chat');
         UPDATE stage_executions SET parent_stage_execution_id = 'parent' WHERE execution_id <> 'parent';
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name,
                                       interaction_type)
         VALUES ('new', 'new', 'a-child', 1, 1, 'gemini', 'investigation');
         INSERT INTO chats (chat_id, session_id, conversation_history, chain_id, created_at_us)
         VALUES ('chat', 'new', 'why?', 'c', 1);
         INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
         VALUES ('new', 'chat', 'because', 'me', 1)"
    ));
    assert_eq!(came(&append(&source, &target).expect(0).json()), [Some(7), Some(7), Some(0)]);
    let children = "SELECT execution_id FROM stage_executions WHERE parent_stage_execution_id = 'parent' ORDER BY 1";
    assert_eq!(target.texts(children), ["a-child", "b-child"].map(|child| Some(child.to_owned())));
    assert_eq!(target.count("chat_user_messages"), 101);
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn a_parent_may_be_on_either_side_and_has_to_be_on_one() {
    let (source, target) = two_histories();
    let stage = |id: &str, session: &str| {
        format!(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
             VALUES ('{id}', '{session}', 'x', 0, 'X', 'A', 'completed')"
        )
    };
    source.execute(&stage("late", "theirs"));
    assert_eq!(append(&source, &target).expect(0).json()["inserted"], 5);
    source.execute(&stage("lost", "nowhere"));
    let before = picture(&target);
    each([["--show-values"].as_slice(), &["--show-values", "--dry-run"]], |more| {
        let refused = append_with(&source, &target, more).expect(65);
        let details = refused.json()["error"]["details"].clone();
        assert_eq!((&details[0]["primary_key"], &details[0]["class"]), (&json!("lost"), &json!("orphan")));
        assert_eq!((&details[0]["value"], details.as_array().map(Vec::len)), (&json!("'nowhere'"), Some(1)));
    });
    // With another hazard of one row: orphans of both sides together are found only after it is repaired.
    source.execute("UPDATE stage_executions SET stage_name = 'a' || char(0) WHERE execution_id = 'late'");
    let details = append(&source, &target).expect(65).json()["error"]["details"].clone();
    assert_eq!((&details[0]["primary_key"], details.as_array().map(Vec::len)), (&json!("late"), Some(1)));
    assert!(before == picture(&target));
}

#[apply(test)]
fn values_that_the_target_cannot_hold_are_hazards_and_policies_repair_them() {
    let (source, target) = two_histories();
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    let before = picture(&target);
    append(&source, &target).expect(65).fails_with(&["U+0000 in text", "alert_sessions", "one"]);
    append_with(&source, &target, &["--dry-run"]).expect(65).fails_with(&["U+0000 in text"]);
    assert!(before == picture(&target));
    let policy = ["--on", "nul=strip", "--report", "report.json"];
    assert_eq!(append_with(&source, &target, &policy).expect(0).json()["inserted"], 4);
    let report = read_report(&source);
    assert_eq!(
        (&report["outcome"], &report["inserted"], &report["skipped"]),
        (&json!("appended"), &json!(4), &json!(0))
    );
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        target.texts("SELECT final_analysis FROM alert_sessions WHERE session_id = 'one'"),
        [Some("a".to_owned())]
    );
    // It may hold the only copy of that character.
    append_with(&source, &target, &policy).expect(7);
    let other = ["--on", "nul=strip", "--report", "other.json"];
    assert_eq!(append_with(&source, &target, &other).expect(0).json()["skipped"], 4);
}

#[apply(test)]
fn what_the_target_lacks_is_listed_unless_it_is_ignored() {
    let (source, target) = two_histories();
    source.execute("CREATE TABLE our_notes (id INTEGER PRIMARY KEY)");
    append(&source, &target).expect(7).fails_with(&["our_notes", "--ignore"]);
    assert_eq!(append_with(&source, &target, &["--ignore", "our_notes"]).expect(0).json()["inserted"], 4);
}

#[apply(test)]
fn a_rehearsal_counts_and_changes_nothing() {
    let (source, target) = two_histories();
    insert_session(&source, "two", "completed", Some(NOW_US));
    insert_session(&target, "two", "completed", Some(NOW_US));
    let rows = "SELECT xmin || ' ' || xmax FROM alert_sessions ORDER BY session_id";
    let before = (picture(&target), target.texts(rows));
    let planned = append_with(&source, &target, &["--dry-run"]).expect(0);
    assert_eq!(planned.stderr, "");
    let planned = planned.json();
    assert_eq!((&planned["outcome"], came(&planned)), (&json!("planned"), [Some(8), Some(4), Some(4)]));
    assert_eq!(came(&planned["tables"][0]), [Some(2), Some(1), Some(1)]);
    let shown =
        bare_tarsy_db(source.directory()).args(&arguments(&target)[..5]).args(["--append", "--dry-run"]).output();
    let shown = Outcome::from(shown.expect("the binary runs")).expect(0).stdout;
    for words in ["plan (nothing was changed)", "which already holds rows, in one transaction", "to insert", "to skip"]
    {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    target.execute("UPDATE alert_sessions SET status = 'failed' WHERE session_id = 'two'");
    let refused = append_with(&source, &target, &["--dry-run"]).expect(7);
    refused.fails_with(&["1 row conflicts", "(4 more could be inserted, 3 already exist)"]);
    target.execute("UPDATE alert_sessions SET status = 'completed' WHERE session_id = 'two'");
    assert!(before.0 == picture(&target));
    assert_eq!(before.1[0], target.texts(rows)[0]);
}

#[apply(test)]
fn a_target_without_rows_or_tables_is_filled_as_without_the_flag() {
    let (source, target) = one_session_and_target();
    for target in [&target.another(), &target] {
        append_with(&source, target, &["--dry-run"]).expect(0);
        assert_eq!(came(&append(&source, target).expect(0).json()), [Some(4), Some(4), Some(0)]);
        assert_eq!(came(&append(&source, target).expect(0).json()), [Some(4), Some(0), Some(4)]);
    }
}

#[apply(test)]
fn a_target_with_rows_at_another_revision_is_left_alone() {
    let (baseline, target) = two_histories();
    let before = picture(&target);
    let behind = append(&full_history(), &target).expect(7);
    behind.fails_with(&["ae85467a75d2", "b67c135119d7", "tarsy-db init --to b67c135119d7"]);
    assert!(before == picture(&target));
    target.create_schema(Schema::Head);
    let before = picture(&target);
    append(&baseline, &target).expect(7).fails_with(&["later than", "b67c135119d7", "ae85467a75d2"]);
    assert!(before == picture(&target));
    assert_eq!(append(&full_history(), &target).expect(0).json()["skipped"], 0);
}

#[apply(test)]
fn without_the_flag_rows_are_refused_as_ever_and_the_flag_is_named() {
    let (source, target) = two_histories();
    Outcome::of(&mut migrate(&source, &target)).expect(7).fails_with(&["alert_sessions", "holds 1 row", "--append"]);
    each(["--check-only", "--verify-only"], |other| {
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", "--append", other]);
        assert!(Outcome::of(&mut command).expect(2).stderr.contains("cannot be used with"), "{other}");
    });
}

#[apply(test)]
fn sequences_are_behind_the_events_that_came_and_never_go_back() {
    let target = Database::postgresql();
    let source = Database::sqlite();
    for database in [&source, &target] {
        Outcome::of(tarsy_db(database).args(["init", "--quiet", "--to", "3"])).expect(0);
    }
    target.execute("INSERT INTO events (channel) SELECT 'theirs' FROM generate_series(1, 5)");
    let event =
        |id: u32| format!("INSERT INTO events (id, channel, created_at) VALUES ({id}, 'x', '2026-01-31 12:00:00')");
    let next = "SELECT nextval('events_id_seq')";
    for (id, expected) in [(8, 9), (7, 10), (5000, 5001), (4000, 5002)] {
        source.execute(&event(id));
        append(&source, &target).expect(0);
        assert_eq!(target.number(next), expected, "after {id}");
    }
    source.execute(&event(3));
    let expected = json!([difference("events", "3", &["channel", "created_at"])]);
    assert_conflicts(&source, &target, &expected);
}

#[apply(test)]
fn the_sequence_of_the_default_is_set_whichever_column_it_belongs_to() {
    each(["NONE", "alert_sessions.started_at_us"], |owner| {
        let source = Database::sqlite().with_schema(Schema::Head);
        let target = Database::postgresql().with_schema(Schema::Head);
        source.execute(
            "INSERT INTO alert_sessions (session_id, agent_type, alert_type, status, chain_id, started_at_us, alert_data)
             VALUES ('s', 'k', 'a', 'completed', 'c', 1700000000000000, '{}')",
        );
        target.execute(&format!("ALTER SEQUENCE events_id_seq AS bigint OWNED BY {owner}"));
        for (id, expected) in [(8, 9), (5000, 5001)] {
            let event = "INSERT INTO events (id, channel, payload, created_at)";
            source.execute(&format!("{event} VALUES ({id}, 'x', '{{}}', '2026-01-31 12:00:00')"));
            append(&source, &target).expect(0);
            assert_eq!(target.number("SELECT nextval('events_id_seq')"), expected);
        }
    });
}

#[apply(test)]
fn less_may_be_compared() {
    each(["counts", "none"], |verify| {
        let (source, target) = two_histories();
        let appended = append_with(&source, &target, &["--verify", verify]).expect(0).json();
        assert_eq!((&appended["verified"], came(&appended)[1]), (&json!(verify), Some(4)));
        assert_eq!(appended["tables"][0]["digest"], Value::Null);
    });
}

#[apply(test)]
fn a_role_needs_no_more_than_to_read_to_insert_and_to_hold() {
    let (source, target) = two_histories();
    let role = Role::new(&target);
    target.execute(&format!("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let run = |url: &str| {
        let arguments = ["migrate-sqlite-to-postgres", "--append", "--output", "json", "--to", url];
        Outcome::of(bare_tarsy_db(source.directory()).args(arguments))
    };
    run(&role.url()).expect(77).fails_with(&["permission denied", "UPDATE"]);
    target.execute(&format!("GRANT UPDATE ON ALL TABLES IN SCHEMA public TO {}", role.name));
    assert_eq!(run(&role.url()).expect(0).json()["inserted"], 4);
}
