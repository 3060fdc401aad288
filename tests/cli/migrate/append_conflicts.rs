//! `migrate-sqlite-to-postgres --append`: a row that exists with other values is a conflict, an identical one is
//! skipped.

use std::time::Duration;

use serde_json::json;
use tarsy_db::internals::{Access, PoolLimits, open, read_schema};

use crate::support::alteration::ALTERATIONS;
use crate::support::append::{append, append_with, assert_conflicts, came, difference, two_histories};
use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{REPORT, moved, one_session_and_target, read_report, source_and_target};
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

#[apply(test)]
fn a_row_that_differs_in_one_value_of_any_type_is_refused_and_named() {
    let (source, target, _) = moved();
    each(ALTERATIONS, |[kind, table, row, key, column, value]| {
        let original = target.texts(&format!("SELECT quote_nullable({column}) FROM {table} WHERE {row}"));
        let [Some(original)] = &original[..] else { panic!("one row {row}") };
        target.execute(&format!("UPDATE {table} SET {column} = {value} WHERE {row}"));
        let refused = assert_conflicts(&source, &target, &json!([difference(table, key, &[column])]));
        let line = format!("  - {table} `{key}`: exists with another value of {column}\n");
        assert!(refused.stderr.contains(&line), "{kind}: {}", refused.stderr);
        target.execute(&format!("UPDATE {table} SET {column} = {original} WHERE {row}"));
    });
    assert_eq!(came(&append(&source, &target).expect(0).json())[1], Some(0));
}

/// Otherwise the tables count as altered meanwhile.
#[apply(test)]
fn tables_are_the_same_in_whatever_order_the_server_gives_their_keys() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let url = database.url().parse().expect("a URL");
    let read = || {
        block_on(async {
            let connection =
                open(&url, Access::Read, PoolLimits::ONE, Duration::from_secs(5)).await.expect("a connection");
            connection.reading(async |reading| read_schema(reading).await).await.expect("a schema")
        })
    };
    let before = read();
    database.execute(
        "DO $$ DECLARE k record; BEGIN
             FOR k IN SELECT conrelid::regclass AS keyed, conname, pg_get_constraintdef(oid) AS definition
                      FROM pg_constraint WHERE contype = 'f' ORDER BY conname DESC LOOP
                 EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.keyed, k.conname);
                 EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.keyed, k.conname, k.definition);
             END LOOP; END $$",
    );
    assert_eq!(before, read());
}

#[apply(test)]
fn doubles_are_the_same_only_bit_by_bit() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "one", "completed", Some(NOW_US));
    let expected = json!([difference("llm_interactions", "llm-one", &["temperature"])]);
    each([("0.0", "'-0'"), ("NULL", "'NaN'"), ("1.0", "1.0000000000000002")], |(stored, held)| {
        source.execute(&format!("UPDATE llm_interactions SET temperature = {stored}"));
        target.execute(&format!("UPDATE llm_interactions SET temperature = {held}"));
        assert_conflicts(&source, &target, &expected);
    });
}

#[apply(test)]
fn jsonb_is_the_same_however_it_is_written_and_json_is_not() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "one", "completed", Some(NOW_US));
    source.execute(
        r#"UPDATE llm_interactions SET conversation = '{"messages" :[ ],"b":{"y":1,"x":"\u00e9"},  "a": 1.50e1}'"#,
    );
    target
        .execute(r#"UPDATE llm_interactions SET conversation = '{"a": 15, "b": {"x": "é", "y": 1}, "messages": []}'"#);
    assert_eq!(came(&append(&source, &target).expect(0).json()), [Some(4), Some(0), Some(4)]);
    target.execute("UPDATE mcp_communications SET tool_result = ' null'");
    assert_conflicts(&source, &target, &json!([difference("mcp_communications", "mcp-one", &["tool_result"])]));
    target.execute("UPDATE mcp_communications SET tool_result = NULL");
    assert_conflicts(&source, &target, &json!([difference("mcp_communications", "mcp-one", &["tool_result"])]));
}

#[apply(test)]
fn all_conflicts_are_named_together_and_the_others_counted() {
    let (source, target) = two_histories();
    for session in ["two", "three"] {
        insert_session(&source, session, "completed", Some(NOW_US));
    }
    for session in ["one", "two"] {
        insert_session(&target, session, "completed", Some(NOW_US));
    }
    target.execute(
        "UPDATE alert_sessions SET status = 'failed', chain_id = 'x' WHERE session_id = 'one';
         UPDATE stage_executions SET stage_index = 7 WHERE session_id = 'two'",
    );
    let refused = assert_conflicts(
        &source,
        &target,
        &json!([
            difference("alert_sessions", "one", &["chain_id", "status"]),
            difference("stage_executions", "stage-two", &["stage_index"]),
        ]),
    );
    let message =
        "2 rows conflict with rows of the target; nothing was changed (4 more could be inserted, 6 already exist)";
    refused.fails_with(&[message, "compare the rows with these keys"]);
}

#[apply(test)]
fn a_unique_key_that_another_row_has_is_refused_with_both_keys() {
    let (source, target) = two_histories();
    target.execute("UPDATE alert_sessions SET alert_id = 'alert-one'");
    let expected = json!([{
        "table": "alert_sessions", "primary_key": "one", "target_primary_key": "theirs", "columns": ["alert_id"],
    }]);
    let refused = assert_conflicts(&source, &target, &expected);
    assert!(refused.stderr.contains("alert_sessions `one`: `theirs` has the same alert_id"), "{}", refused.stderr);
    refused.fails_with(&["1 row conflicts", "(3 more could be inserted, 0 already exist)"]);
    // The report has the conflicts too.
    append_with(&source, &target, &REPORT).expect(7);
    let report = read_report(&source);
    assert_eq!((&report["outcome"], &report["clashes"]), (&json!("refused"), &expected));
}

#[apply(test)]
fn an_operators_own_unique_index_is_looked_at_too() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    Outcome::of(tarsy_db(&target).args(["init", "--quiet"])).expect(0);
    insert_session(&target, "theirs", "failed", None);
    target.execute("CREATE UNIQUE INDEX ours ON alert_sessions (chain_id, agent_type)");
    let refused = append(&source, &target).expect(7);
    refused.fails_with(&["alert_sessions", "theirs", "agent_type", "chain_id"]);
}

#[apply(test)]
fn of_very_many_conflicts_the_first_are_named_all_are_counted_and_the_report_has_each() {
    let (source, target) = one_session_and_target();
    let sessions = |series: &str, status: &str| {
        format!(
            "{series} INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
             SELECT 's-' || (10000 + n), 'a-' || n, 'k', '{status}', 'c' FROM n"
        )
    };
    source.execute(&sessions(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500)",
        "failed",
    ));
    target.execute(&sessions("WITH n AS (SELECT n FROM generate_series(1, 1500) n)", "completed"));
    // A row with another value may also have the unique key of another row.
    target.execute("UPDATE alert_sessions SET alert_id = 'x' WHERE alert_id = 'a-2'");
    target.execute("UPDATE alert_sessions SET alert_id = 'a-2' WHERE alert_id = 'a-1'");
    target.execute("DELETE FROM alert_sessions WHERE session_id = 's-10003'");
    target.execute("UPDATE alert_sessions SET alert_id = 'a-3' WHERE alert_id = 'a-4'");
    let refused = append_with(&source, &target, &REPORT).expect(7);
    refused.fails_with(&["1,500 rows conflict", "(4 more could be inserted, 0 already exist)"]);
    let error = &refused.json()["error"];
    assert_eq!((&error["total"], &error["counts"]), (&json!(1501), &json!({ "alert_sessions": 1501 })));
    let report = read_report(&source);
    let (named, all) = (error["details"].as_array().expect("a list"), report["clashes"].as_array().expect("a list"));
    assert_eq!((named.len(), all.len(), &report["total"]), (1000, 1501, &json!(1501)));
    assert_eq!(named[..], all[..1000]);
    let [first, second, third] =
        [0, 1, 2].map(|at| ["primary_key", "target_primary_key"].map(|key| all[at][key].clone()));
    let pair = |row: &str, other: &str| [json!(row), json!(other)];
    assert_eq!([first, second], [pair("s-10001", "s-10001"), pair("s-10002", "s-10002")]);
    assert_eq!(third, pair("s-10002", "s-10001"));
    assert!(refused.stderr.contains("and 1,401 more: `--report FILE` lists all"), "{}", refused.stderr);
}
