//! `migrate-sqlite-to-postgres --verify-only`: compares a target with the source, whatever tool moved it, and changes
//! nothing.

use serde_json::json;

use crate::support::alteration::ALTERATIONS;
use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{
    arguments_to, compare, compare_at, migrate, moved, one_session_and_target, picture, source_and_target,
    table_digests,
};
use crate::support::process::Held;
use crate::support::sqlite_file::files;
use crate::support::{Outcome, Role, apply, bare_tarsy_db, tarsy_db, test};

#[apply(test)]
fn a_target_that_was_moved_is_equal_with_the_digests_of_the_move() {
    let (source, target, moved) = moved();
    let before = (files(source.directory()), picture(&target));
    let compared = compare(&source, &target).expect(0);
    assert_eq!(table_digests(&compared.json()), table_digests(&moved));
    assert_eq!(compared.json()["verified"], "full");
    assert!(before == (files(source.directory()), picture(&target)));
    // Without --output json it is a sentence.
    let arguments = &arguments_to(target.url())[..5];
    let shown = Outcome::of(bare_tarsy_db(source.directory()).args(arguments).arg("--verify-only")).expect(0).stdout;
    assert!(shown.contains("/history.db, at revision b67c135119d7 (23 of 23)"), "{shown}");
}

#[apply(test)]
fn one_altered_value_of_any_type_is_found_and_named_and_nothing_is_changed() {
    let (source, target, _) = moved();
    each(ALTERATIONS, |[kind, table, row, key, column, value]| {
        let original = target.texts(&format!("SELECT quote_nullable({column}) FROM {table} WHERE {row}"));
        let [Some(original)] = &original[..] else { panic!("one row {row}") };
        target.execute(&format!("UPDATE {table} SET {column} = {value} WHERE {row}"));
        let before = picture(&target);
        let found = compare(&source, &target).expect(8);
        let expected = json!([{
            "table": table, "source_rows": 100, "target_rows": 100, "differences": [format!("{key}: {column}")],
        }]);
        assert_eq!(found.json()["error"]["details"], expected, "{kind}");
        assert!(found.stderr.contains(&format!("{table} {key}: {column}")), "{kind}: {}", found.stderr);
        assert!(before == picture(&target), "{kind}");
        target.execute(&format!("UPDATE {table} SET {column} = {original} WHERE {row}"));
    });
    compare(&source, &target).expect(0);
}

#[apply(test)]
fn altered_values_of_one_row_and_of_several_tables_are_named_together() {
    let (source, target, _) = moved();
    target.execute(
        "UPDATE alert_sessions SET status = 'x', chain_id = 'x' WHERE session_id = 's-1';
         UPDATE alert_sessions SET status = 'x' WHERE session_id = 's-2';
         UPDATE events SET payload = NULL WHERE id = 3",
    );
    let found = compare(&source, &target).expect(8);
    let details = &found.json()["error"]["details"];
    assert_eq!(details[0]["table"], "alert_sessions");
    assert_eq!(details[0]["differences"], json!(["s-1: chain_id, status", "s-2: status"]));
    assert_eq!((&details[1]["table"], &details[1]["differences"]), (&json!("events"), &json!(["3: payload"])));
    assert_eq!(details.as_array().map(Vec::len), Some(2));
    found.fails_with(&["rows of alert_sessions, events differ between the source and the target"]);
}

#[apply(test)]
fn missing_and_additional_rows_are_named() {
    let (source, target, _) = moved();
    target.execute("DELETE FROM chat_user_messages WHERE message_id = 'm-7'");
    let found = compare(&source, &target).expect(8);
    let expected = json!([{
        "table": "chat_user_messages", "source_rows": 100, "target_rows": 99, "differences": ["m-7: not in the target"],
    }]);
    assert_eq!(found.json()["error"]["details"], expected);
    target.execute(
        "INSERT INTO chat_user_messages (message_id, chat_id, content, author) VALUES ('m-0', 'c-7', 'new', 'me')",
    );
    let found = compare(&source, &target).expect(8);
    let expected = json!([{
        "table": "chat_user_messages", "source_rows": 100, "target_rows": 100,
        "differences": ["m-7: not in the target", "m-0: only in the target"],
    }]);
    assert_eq!(found.json()["error"]["details"], expected);
    found.fails_with(&["rows that TARSy wrote to the target after the move are expected to differ"]);
}

#[apply(test)]
fn another_primary_key_is_a_missing_row_and_an_additional_one() {
    let (source, target, _) = moved();
    target.execute("UPDATE events SET id = 1 WHERE id = 300");
    let found = compare(&source, &target).expect(8);
    let differences = &found.json()["error"]["details"][0]["differences"];
    assert_eq!(*differences, json!(["300: not in the target", "1: only in the target"]));
}

#[apply(test)]
fn of_very_many_differences_the_first_ten_are_named() {
    let (source, target, _) = moved();
    target.execute("UPDATE llm_interactions SET success = false");
    let found = compare(&source, &target).expect(8);
    let details = &found.json()["error"]["details"];
    assert_eq!(details[0]["differences"].as_array().map(Vec::len), Some(10));
    assert_eq!(details[0]["differences"][0], "l-1: success");
}

#[apply(test)]
fn an_empty_target_lacks_every_row_and_a_database_without_tables_holds_none() {
    let (source, target) = one_session_and_target();
    let found = compare(&source, &target).expect(8);
    let details = &found.json()["error"]["details"];
    assert_eq!(details.as_array().map(Vec::len), Some(4));
    assert_eq!(details[0]["differences"], json!(["one: not in the target"]));
    let nothing = target.another();
    let refused = compare(&source, &nothing).expect(7);
    refused.fails_with(&["the target has no TARSy schema, so it holds no row of the source", "check `--to`"]);
    assert!(!refused.stderr.contains("--ignore"), "{}", refused.stderr);
    assert!(picture(&nothing).is_empty());
}

#[apply(test)]
fn jsonb_in_another_order_and_with_other_blanks_is_equal_and_json_is_not() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "one", "completed", Some(NOW_US));
    source.execute(
        r#"UPDATE llm_interactions SET conversation = '{"messages" :[ ],"b":{"y":1,"x":"\u00e9"},  "a": 1.5e1}'"#,
    );
    target
        .execute(r#"UPDATE llm_interactions SET conversation = '{"a": 15, "b": {"x": "é", "y": 1}, "messages": []}'"#);
    let compared = compare(&source, &target).expect(0).json();
    assert_eq!(compared["normalised"]["key-order"], 1);
    target
        .execute(r#"UPDATE llm_interactions SET conversation = '{"a": 15, "b": {"x": "e", "y": 1}, "messages": []}'"#);
    compare(&source, &target).expect(8).fails_with(&["llm-one: conversation"]);
    target.execute(
        r#"UPDATE llm_interactions SET conversation = '{"a": 15, "b": {"x": "é", "y": 1}, "messages": []}';
           UPDATE mcp_communications SET tool_result = ' null'"#,
    );
    compare(&source, &target).expect(8).fails_with(&["mcp-one: tool_result"]);
}

#[apply(test)]
fn a_target_that_was_filled_by_other_means_is_equal() {
    let (source, target) = one_session_and_target();
    // The same statements on both, in another order on the target.
    for session in ["two", "three"] {
        insert_session(&source, session, "failed", None);
    }
    for (session, status, started) in
        [("three", "failed", None), ("one", "completed", Some(NOW_US)), ("two", "failed", None)]
    {
        insert_session(&target, session, status, started);
    }
    let before = picture(&target);
    let compared = compare(&source, &target).expect(0).json();
    assert_eq!(compared["rows"], 12);
    assert!(before == picture(&target));
    // A move gives the same digests.
    let other = target.another();
    let moved = Outcome::of(&mut migrate(&source, &other)).expect(0).json();
    assert_eq!(table_digests(&compared), table_digests(&moved));
}

#[apply(test)]
fn a_role_that_may_only_read_can_compare_and_one_that_may_not_is_77() {
    let (source, target, moved) = moved();
    let role = Role::new(&target);
    compare_at(&source, &role.url()).expect(77).fails_with(&["permission denied"]);
    target.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let before = picture(&target);
    assert_eq!(table_digests(&compare_at(&source, &role.url()).expect(0).json()), table_digests(&moved));
    target.execute(&format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name));
    compare_at(&source, &role.url()).expect(0);
    assert!(before == picture(&target));
    target.execute("UPDATE events SET channel = 'other' WHERE id = 3");
    compare_at(&source, &role.url()).expect(8).fails_with(&["3: channel"]);
}

#[apply(test)]
fn uncommitted_changes_are_not_seen_and_not_waited_for() {
    let (source, target, _) = moved();
    let writer = Held::begin(&target, "UPDATE alert_sessions SET status = 'failed'");
    compare(&source, &target).expect(0);
    writer.close();
}

#[apply(test)]
fn rows_that_a_role_may_not_see_do_not_count_as_missing() {
    let (source, target, _) = moved();
    let role = Role::new(&target);
    target.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {};
         ALTER TABLE events ENABLE ROW LEVEL SECURITY; CREATE POLICY ours ON events USING (id < 100)",
        role.name
    ));
    let refused = compare_at(&source, &role.url()).expect(77);
    refused.fails_with(&["the row policy `ours` on `events`", "BYPASSRLS"]);
}

#[apply(test)]
fn columns_and_tables_of_the_operators_own_are_none_of_its_business() {
    let (source, target, moved) = moved();
    target.execute(
        "ALTER TABLE alert_sessions ADD COLUMN ours int DEFAULT 7; CREATE TABLE our_notes (id int);
         INSERT INTO our_notes VALUES (1)",
    );
    assert_eq!(table_digests(&compare(&source, &target).expect(0).json()), table_digests(&moved));
}

#[apply(test)]
fn hazards_of_the_source_are_listed_and_the_same_policies_make_it_equal() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    let with = |policy: &'static str, report: &'static str| ["--on", policy, "--report", report];
    Outcome::of(migrate(&source, &target).args(with("nul=strip", "move.json"))).expect(0);
    compare(&source, &target).expect(65).fails_with(&["U+0000 in text"]);
    Outcome::of(migrate(&source, &target).arg("--verify-only").args(with("nul=strip", "same.json"))).expect(0);
    let other = Outcome::of(migrate(&source, &target).arg("--verify-only").args(with("nul=replace", "other.json")));
    other.expect(8).fails_with(&["one: final_analysis", "repeat the same `--on` here"]);
    assert!(source.directory().join("same.json").exists() && !source.directory().join("other.json").exists());
}

#[apply(test)]
fn a_target_at_another_revision_is_refused() {
    let (source, target, _) = moved();
    let earlier = target.another();
    Outcome::of(tarsy_db(&earlier).args(["init", "--quiet"])).expect(0);
    compare(&source, &earlier).expect(7).fails_with(&["chats"]);
}

#[apply(test)]
fn a_database_that_is_not_there_is_told_as_everywhere() {
    let (source, target) = one_session_and_target();
    let elsewhere = target.url().replace(target.name(), "no_such_database");
    compare_at(&source, &elsewhere).expect(78).fails_with(&["no_such_database"]);
    compare_at(&source, "postgresql://tarsy@127.0.0.1:1/tarsy").expect(69);
}

#[apply(test)]
fn a_column_of_the_target_with_a_type_of_no_history_is_no_fault_of_the_source() {
    let (source, target, _) = moved();
    target.execute("ALTER TABLE alert_sessions ALTER started_at_us TYPE numeric");
    let refused = compare(&source, &target).expect(4);
    refused.tells(&[
        "error: the column `alert_sessions.started_at_us` of the target has type numeric",
        "`tarsy-db check`",
    ]);
}
