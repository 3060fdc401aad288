//! `migrate-sqlite-to-postgres --verify-only`: whether a target holds what the source holds, by whatever tool it was
//! moved; and nothing is changed.

use serde_json::{Value, json};

use crate::migrate::arrival::{arguments_to, files, migrate, source_and_target};
use crate::migrate::crashes::{history, picture};
use crate::migrate::refusals::assert_message;
use crate::support::history::{NOW_US, insert_session};
use crate::support::process::Held;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, tarsy_db, test};

pub(crate) fn compare(source: &Database, target: &Database) -> Outcome {
    compare_to(source, target.url())
}

fn compare_to(source: &Database, url: &str) -> Outcome {
    Outcome::of(bare_tarsy_db(source.directory()).args(arguments_to(url)).arg("--verify-only"))
}

/// A history with a value of every type, and a target that it was moved to.
pub(crate) fn moved() -> (Database, Database, Value) {
    let target = Database::postgresql();
    let source = history();
    source.execute("UPDATE llm_interactions SET temperature = 0.1");
    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0).json();
    (source, target, moved)
}

/// One session at the baseline, and a target with the schema and no rows.
fn one_session_and_schema() -> (Database, Database) {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    (source, target.with_schema(Schema::Baseline))
}

/// Table, rows and digest of each table of a summary.
pub(crate) fn tables(summary: &Value) -> Vec<[Value; 3]> {
    let tables = summary["tables"].as_array().expect("a list of tables").iter();
    tables.map(|table| ["table", "rows", "digest"].map(|name| table[name].clone())).collect()
}

#[apply(test)]
fn a_target_that_was_moved_is_equal_with_the_digests_of_the_move() {
    let (source, target, moved) = moved();
    let before = (files(source.directory()), picture(&target));
    let compared = compare(&source, &target).expect(0);
    assert_eq!(tables(&compared.json()), tables(&moved));
    assert_eq!(compared.json()["verified"], "full");
    assert!(before == (files(source.directory()), picture(&target)));
    // People read it in a sentence.
    let arguments = &arguments_to(target.url())[..5];
    let shown = Outcome::of(bare_tarsy_db(source.directory()).args(arguments).arg("--verify-only")).expect(0).stdout;
    assert!(shown.contains("/history.db holds, at revision b67c135119d7 (23 of 23)"), "{shown}");
}

/// Each type of a column, and one value of it altered: table, primary key as a condition and as it is shown, column, and
/// its new value.
pub(crate) type Alteration = [&'static str; 6];

pub(crate) const ALTERATIONS: [Alteration; 12] = [
    ["text", "alert_sessions", "session_id = 's-7'", "s-7", "status", "'Completed'"],
    ["text that was NULL", "alert_sessions", "session_id = 's-7'", "s-7", "author", "''"],
    // One blank less: `json` keeps every byte.
    ["json", "alert_sessions", "session_id = 's-7'", "s-7", "alert_data", r#"'{"number": 7}'"#],
    ["json that was NULL", "alert_sessions", "session_id = 's-7'", "s-7", "mcp_selection", "'null'"],
    ["jsonb", "llm_interactions", "interaction_id = 'l-7'", "l-7", "conversation", "conversation || '{\"x\": null}'"],
    ["jsonb that is NULL", "llm_interactions", "interaction_id = 'l-7'", "l-7", "conversation", "NULL"],
    ["bigint", "alert_sessions", "session_id = 's-7'", "s-7", "started_at_us", "started_at_us + 1"],
    ["integer", "llm_interactions", "interaction_id = 'l-7'", "l-7", "duration_ms", "-duration_ms"],
    ["boolean", "llm_interactions", "interaction_id = 'l-7'", "l-7", "success", "NOT success"],
    // The next number that there is.
    ["double precision", "llm_interactions", "interaction_id = 'l-7'", "l-7", "temperature", "0.10000000000000002"],
    ["timestamp", "events", "id = 21", "21", "created_at", "created_at + interval '1 microsecond'"],
    ["a foreign key", "chats", "chat_id = 'c-7'", "c-7", "session_id", "'s-8'"],
];

#[apply(test)]
fn one_altered_value_of_any_type_is_found_and_named_and_nothing_is_changed() {
    let (source, target, _) = moved();
    for [kind, table, row, key, column, value] in ALTERATIONS {
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
    }
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
    assert_message(&found, &["does not hold what the source holds in alert_sessions, events"]);
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
    assert_message(&found, &["what TARSy wrote to the target since it was moved is only there"]);
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
fn an_empty_target_lacks_every_row_and_a_database_without_tables_every_table() {
    let (source, target) = one_session_and_schema();
    let found = compare(&source, &target).expect(8);
    let details = &found.json()["error"]["details"];
    assert_eq!(details.as_array().map(Vec::len), Some(4));
    assert_eq!(details[0]["differences"], json!(["one: not in the target"]));
    let nothing = target.another();
    assert_message(&compare(&source, &nothing).expect(7), &["alert_sessions", "mcp_communications"]);
    assert!(picture(&nothing).is_empty());
}

#[apply(test)]
fn jsonb_in_another_order_and_with_other_blanks_is_equal_and_json_is_not() {
    let (source, target) = one_session_and_schema();
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
    assert_message(&compare(&source, &target).expect(8), &["llm-one: conversation"]);
    target.execute(
        r#"UPDATE llm_interactions SET conversation = '{"a": 15, "b": {"x": "é", "y": 1}, "messages": []}';
           UPDATE mcp_communications SET tool_result = ' null'"#,
    );
    assert_message(&compare(&source, &target).expect(8), &["mcp-one: tool_result"]);
}

#[apply(test)]
fn a_target_that_was_filled_by_other_means_is_equal() {
    let (source, target) = one_session_and_schema();
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
    assert_eq!(tables(&compared), tables(&moved));
}

#[apply(test)]
fn a_role_that_may_only_read_can_compare_and_one_that_may_not_is_77() {
    let (source, target, moved) = moved();
    let role = Role::new(&target);
    assert_message(&compare_to(&source, &role.url()).expect(77), &["permission denied"]);
    target.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let before = picture(&target);
    assert_eq!(tables(&compare_to(&source, &role.url()).expect(0).json()), tables(&moved));
    target.execute(&format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name));
    compare_to(&source, &role.url()).expect(0);
    assert!(before == picture(&target));
    target.execute("UPDATE events SET channel = 'other' WHERE id = 3");
    assert_message(&compare_to(&source, &role.url()).expect(8), &["3: channel"]);
}

#[apply(test)]
fn what_somebody_is_writing_is_not_seen_and_not_waited_for() {
    let (source, target, _) = moved();
    let somebody = Held::begin(&target, "UPDATE alert_sessions SET status = 'failed'");
    compare(&source, &target).expect(0);
    somebody.close();
}

#[apply(test)]
fn rows_that_a_role_may_not_see_are_not_taken_for_missing() {
    let (source, target, _) = moved();
    let role = Role::new(&target);
    target.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {};
         ALTER TABLE events ENABLE ROW LEVEL SECURITY; CREATE POLICY ours ON events USING (id < 100)",
        role.name
    ));
    let refused = compare_to(&source, &role.url()).expect(77);
    assert_message(&refused, &["the row policy `ours` on `events`", "BYPASSRLS"]);
}

#[apply(test)]
fn columns_and_tables_of_the_operators_own_are_none_of_its_business() {
    let (source, target, moved) = moved();
    target.execute(
        "ALTER TABLE alert_sessions ADD COLUMN ours int DEFAULT 7; CREATE TABLE our_notes (id int);
         INSERT INTO our_notes VALUES (1)",
    );
    assert_eq!(tables(&compare(&source, &target).expect(0).json()), tables(&moved));
}

#[apply(test)]
fn hazards_of_the_source_are_listed_and_the_same_policies_make_it_equal() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    let with = |policy: &'static str, report: &'static str| ["--on", policy, "--report", report];
    Outcome::of(migrate(&source, &target).args(with("nul=strip", "move.json"))).expect(0);
    assert_message(&compare(&source, &target).expect(65), &["U+0000 in text"]);
    Outcome::of(migrate(&source, &target).arg("--verify-only").args(with("nul=strip", "same.json"))).expect(0);
    let other = Outcome::of(migrate(&source, &target).arg("--verify-only").args(with("nul=replace", "other.json")));
    assert_message(&other.expect(8), &["one: final_analysis", "the same `--on` as then"]);
    assert!(source.directory().join("same.json").exists() && !source.directory().join("other.json").exists());
}

#[apply(test)]
fn a_target_at_another_revision_is_refused() {
    let (source, target, _) = moved();
    let earlier = target.another();
    Outcome::of(tarsy_db(&earlier).args(["init", "--quiet"])).expect(0);
    assert_message(&compare(&source, &earlier).expect(7), &["chats"]);
}

#[apply(test)]
fn a_database_that_is_not_there_is_told_as_everywhere() {
    let (source, target) = one_session_and_schema();
    let elsewhere = target.url().replace(target.name(), "no_such_database");
    assert_message(&compare_to(&source, &elsewhere).expect(78), &["no_such_database"]);
    compare_to(&source, "postgresql://tarsy@127.0.0.1:1/tarsy").expect(69);
}
