//! `migrate-sqlite-to-postgres`: all values that PostgreSQL cannot hold are listed, and nothing is written.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::cases::each;
use crate::support::column::{BIGINT, BOOLEAN, DOUBLE, INTEGER, JSON, JSONB, TEXT};
use crate::support::database::block_on;
use crate::support::history::{NOW_US, insert_session, row_key};
use crate::support::migration::{arguments, assert_no_tables, migrate, read_report, source_and_target};
use crate::support::sqlite_file::names;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, tarsy_db, test};

const NOT_JSON: &str = "not JSON";
const NOT_A_NUMBER: &str = "NaN or Infinity in JSON";
const EMPTY: &str = "empty text in a JSON column";
const NUL_ESCAPE: &str = r"\u0000 in jsonb";
const LONE: &str = "a lone surrogate in jsonb";
const RANGE: &str = "a number that jsonb cannot hold";
const NOT_UTF8: &str = "not UTF-8";
const NOT_BOOLEAN: &str = "neither 0 nor 1 in a boolean column";
const NOT_WHOLE: &str = "not a whole number in an integer column";
const BEYOND: &str = "out of the range of 32-bit integers";

/// Table and column, the SQL expression that writes the value, the byte and the reason of the report.
type HazardCase = ((&'static str, &'static str), &'static str, Option<u64>, &'static str);

const HAZARDS: &[HazardCase] = &[
    (TEXT, "'before' || char(0) || 'after'", Some(6), "U+0000 in text"),
    (JSON, r#"'{"a": "b' || char(0) || '"}'"#, Some(8), "U+0000 in text"),
    (JSONB, r#"'["' || char(0) || '"]'"#, Some(2), "U+0000 in text"),
    (JSONB, r#"'{"a": "b\u0000c"}'"#, Some(8), NUL_ESCAPE),
    (JSONB, r#"'{"\u0000": 1}'"#, Some(2), NUL_ESCAPE),
    (JSONB, r#"'["x\ud83dy"]'"#, Some(3), LONE),
    (JSONB, r#"'["x\ude00y"]'"#, Some(3), LONE),
    (JSONB, r#"'["\ud83d\u0041"]'"#, Some(2), LONE),
    (JSON, r#"'{"a": NaN}'"#, Some(6), NOT_A_NUMBER),
    (JSON, "'[Infinity]'", Some(1), NOT_A_NUMBER),
    (JSONB, "'[-Infinity]'", Some(1), NOT_A_NUMBER),
    (INTEGER, "'fast'", None, "stored as TEXT in a column that is integer"),
    (INTEGER, "''", None, "stored as TEXT in a column that is integer"),
    (BIGINT, "'2025-12-31T10:00:00Z'", None, "stored as TEXT in a column that is bigint"),
    (DOUBLE, "'hot'", None, "stored as TEXT in a column that is double precision"),
    (INTEGER, "2147483648", None, BEYOND),
    (INTEGER, "-2147483649", None, BEYOND),
    (TEXT, "CAST(x'6162c328' AS TEXT)", Some(2), NOT_UTF8),
    (TEXT, "CAST(x'eda0bdedb880' AS TEXT)", Some(0), NOT_UTF8),
    (TEXT, "CAST(x'61f09f9a' AS TEXT)", Some(1), NOT_UTF8),
    (TEXT, "CAST(x'c080' AS TEXT)", Some(0), NOT_UTF8),
    (JSON, "CAST(x'22fffe22' AS TEXT)", Some(1), NOT_UTF8),
    (JSON, r#"'{"a": 1,}'"#, Some(8), NOT_JSON),
    (JSON, r#"'{"a": "cut'"#, Some(10), NOT_JSON),
    (JSON, "'{''a'': None}'", Some(1), NOT_JSON),
    (JSON, r#"'{"a": 1} x'"#, Some(9), NOT_JSON),
    (JSON, r#"'{"a": "b' || char(10) || '"}'"#, Some(8), NOT_JSON),
    (JSONB, r#"'{"messages": ['"#, Some(14), NOT_JSON),
    (JSON, "''", None, EMPTY),
    (JSON, "'  '", None, EMPTY),
    (JSONB, "''", None, EMPTY),
    (TEXT, "x'0001feff'", None, "stored as BLOB in a column that is text"),
    (TEXT, "CAST('good text' AS BLOB)", None, "stored as BLOB in a column that is text"),
    (JSON, "CAST('{}' AS BLOB)", None, "stored as BLOB in a column that is json"),
    (BIGINT, "1.5", None, NOT_WHOLE),
    (BIGINT, "1e19", None, "stored as REAL in a column that is bigint; out of the range of 64-bit integers"),
    (BIGINT, "9e999", None, NOT_WHOLE),
    (BOOLEAN, "2", None, NOT_BOOLEAN),
    (BOOLEAN, "-1", None, NOT_BOOLEAN),
    (BOOLEAN, "'true'", None, "stored as TEXT in a column that is boolean"),
    (BOOLEAN, "0.5", None, "stored as REAL in a column that is boolean"),
    // The server accepts these, but fails at the first `->>`.
    (JSON, r#"'{"a": "\u0000"}'"#, Some(7), r"\u0000 in json"),
    (JSON, r#"'{"a": "x\ud83dy"}'"#, Some(8), "a lone surrogate in json"),
    (JSON, r#"'{"a": "x\ude00y"}'"#, Some(8), "a lone surrogate in json"),
    (JSONB, r#"'{"a": 1, "b": {"c": 1, "c": 1}}'"#, Some(23), "a duplicate key in an object"),
    (JSON, "'1e400'", None, "an infinite number in a JSON column"),
    (JSONB, "'[1e131072]'", Some(1), RANGE),
    (JSONB, "'[1e-16384]'", Some(1), RANGE),
    (JSON, "replace(hex(zeroblob(20000)), '00', '[') || replace(hex(zeroblob(20000)), '00', ']')", None, "deep"),
    (JSONB, "replace(hex(zeroblob(20000)), '00', '[') || replace(hex(zeroblob(20000)), '00', ']')", None, "deep"),
];

/// Values that look like hazards but are not.
const HARMLESS: &[((&str, &str), &str)] = &[
    (JSON, r#"'{"a": "b\\u0000c"}'"#),
    (JSONB, r#"'{"a": "b\\u0000c"}'"#),
    (JSONB, r#"'{"a": "\ud83d\ude80"}'"#),
    (JSON, "'[1e131072]'"),
    (JSON, "NULL"),
    (JSON, "'null'"),
    (JSONB, "'\"NaN\"'"),
    (DOUBLE, "9e999"),
    (BOOLEAN, "'1'"),
    (INTEGER, "12.0"),
];

/// Table, primary key, column, byte offset, reason.
type Listed = (String, String, String, Option<u64>, String);

fn listed(outcome: &Outcome) -> BTreeSet<Listed> {
    let document = outcome.json();
    let details = document["error"]["details"].as_array().expect("a list of hazards");
    let text = |hazard: &serde_json::Value, name: &str| hazard[name].as_str().expect("text").to_owned();
    let hazards = details.iter().map(|hazard| {
        let [table, key, column, reason] = ["table", "primary_key", "column", "reason"].map(|name| text(hazard, name));
        (table, key, column, hazard["byte_offset"].as_u64(), reason)
    });
    hazards.collect()
}

fn write(source: &Database, session: &str, (table, column): (&str, &str), value: &str) -> String {
    insert_session(source, session, "completed", Some(NOW_US));
    let (key_column, key) = row_key(table, session);
    source.execute(&format!("UPDATE {table} SET {column} = {value} WHERE {key_column} = '{key}'"));
    key
}

#[apply(test)]
fn every_hazard_is_listed_in_one_run_and_no_look_alike() {
    let (source, target) = source_and_target();
    let mut expected = BTreeSet::new();
    each(HAZARDS.iter().enumerate(), |(number, (place, value, offset, reason))| {
        let key = write(&source, &format!("hazard-{number}"), *place, value);
        // The offset depends on the depth limit, which is not tested here.
        let (offset, reason) = if *reason == "deep" { (Some(0), "JSON nested too deeply") } else { (*offset, *reason) };
        for reason in reason.split("; ") {
            expected.insert((place.0.to_owned(), key.clone(), place.1.to_owned(), offset, reason.to_owned()));
        }
    });
    for (number, (place, value)) in HARMLESS.iter().enumerate() {
        write(&source, &format!("harmless-{number}"), *place, value);
    }
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let found = listed(&outcome).into_iter().map(|(table, key, column, offset, reason)| {
        let offset = if reason == "JSON nested too deeply" { Some(0) } else { offset };
        (table, key, column, offset, reason)
    });
    let found: BTreeSet<Listed> = found.collect();
    assert_eq!(found.difference(&expected).collect::<Vec<_>>(), Vec::<&Listed>::new(), "listed, but not wrong");
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), Vec::<&Listed>::new(), "wrong, but not listed");
    assert_eq!(outcome.json()["error"]["exit_code"], 65);
    assert_no_tables(&target);
}

#[apply(test)]
fn look_alikes_are_moved() {
    let (source, target) = source_and_target();
    for (number, (place, value)) in HARMLESS.iter().enumerate() {
        write(&source, &format!("harmless-{number}"), *place, value);
    }
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.number("SELECT count(*) FROM alert_sessions"), i64::try_from(HARMLESS.len()).expect("few"));
}

#[apply(test)]
fn people_see_the_hazards_too() {
    let (source, target) = source_and_target();
    write(&source, "one", TEXT, "'a' || char(0)");
    let arguments = &arguments(&target)[..5];
    let outcome = Outcome::of(bare_tarsy_db(source.directory()).args(arguments)).expect(65);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("alert_sessions `one` final_analysis: U+0000 in text at byte 1"),
        "{}",
        outcome.stderr
    );
}

#[apply(test)]
fn orphans_are_listed() {
    let (source, target) = source_and_target();
    for session in ["gone", "stays"] {
        insert_session(&source, session, "completed", Some(NOW_US));
    }
    source.execute(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM alert_sessions WHERE session_id = 'gone';
         UPDATE llm_interactions SET stage_execution_id = 'no such stage' WHERE session_id = 'stays'",
    );
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let orphan = |table: &str, key: &str, column: &str| {
        let [table, key, column] = [table, key, column].map(str::to_owned);
        (table, key, column, None, "references a missing row".to_owned())
    };
    let expected = [
        orphan("stage_executions", "stage-gone", "session_id"),
        orphan("llm_interactions", "llm-gone", "session_id"),
        orphan("llm_interactions", "llm-stays", "stage_execution_id"),
        orphan("mcp_communications", "mcp-gone", "session_id"),
    ];
    assert_eq!(listed(&outcome), BTreeSet::from(expected));
    assert_no_tables(&target);
}

#[apply(test)]
fn null_where_the_target_needs_a_value_is_listed() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    // A table made from a query has no constraints.
    source.execute(
        "ALTER TABLE mcp_communications RENAME TO strict;
         CREATE TABLE mcp_communications AS SELECT * FROM strict;
         DROP TABLE strict;
         UPDATE mcp_communications SET server_name = NULL",
    );
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let [table, key, column, reason] =
        ["mcp_communications", "mcp-one", "server_name", "NULL in a column that is NOT NULL"].map(str::to_owned);
    assert_eq!(listed(&outcome), BTreeSet::from([(table, key, column, None, reason)]));
    assert_no_tables(&target);
}

#[apply(test)]
fn text_too_long_for_an_index_is_refused_and_the_target_has_no_rows() {
    let (source, target) = source_and_target();
    // Random, so that the server cannot compress it.
    write(&source, "one", ("alert_sessions", "alert_type"), "hex(randomblob(6000))");
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let [table, key, column, reason] =
        ["alert_sessions", "one", "alert_type", "more bytes than an index entry can hold"].map(str::to_owned);
    assert_eq!(listed(&outcome), BTreeSet::from([(table, key, column, None, reason)]));
    assert_no_tables(&target);
}

#[apply(test)]
fn duplicates_that_a_source_without_its_unique_index_holds_are_refused() {
    let (source, target) = source_and_target();
    source.execute("DROP INDEX ix_alert_sessions_alert_id");
    for session in ["one", "two"] {
        write(&source, session, ("alert_sessions", "alert_id"), "'the same'");
    }
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let duplicate = |key: &str| {
        let [table, key, column, reason] =
            ["alert_sessions", key, "alert_id", "the same unique key as another row"].map(str::to_owned);
        (table, key, column, None, reason)
    };
    assert_eq!(listed(&outcome), BTreeSet::from([duplicate("one"), duplicate("two")]));
    assert_no_tables(&target);
}

/// JSON of every kind, sound or not. None is a bare number: SQLite would not keep its text.
#[rustfmt::skip]
const JSON_TEXTS: &[&str] = &[
    "[]", "{}", "[ ]", "{ }", "[[], {}]", "\"\"", " true ", "\t\r\n[]\t\r\n", "[01]", "[+1]", "[.5]", "[1.]", "[1e]",
    "[1e+]", "[-]", "[--1]", "[-0]", "[0e0]", "[1E-5]", "[0x1]", "[1 2]", "[1,,2]", "[,]", "[1,]", "[", "]", "[}",
    "{]", "{\"a\" 1}", "{\"a\":}", "{\"a\":1 \"b\":2}", "{1: 2}", "{\"a\":1,}", "{,}", "{\"\": 1}",
    "{\"a\": 1, \"a\": 2}", "[] []", "[]]", "nul", "nullx", "null null", "TRUE", "NaN", "[NaN]", "Infinity",
    "[-Infinity]", "[-NaN]", "\u{feff}[]", "\u{a0}[]", "\u{b}[]", "\u{c}[]", "[1]\u{c}", "/* c */[]", "'a'", "\"",
    "\"\\", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\U1234\"", "\"\\/\\b\\f\\n\\r\\t\\\\\"",
    "\"\u{7f}\u{2028}\u{10ffff}\"", "\"\u{1}\"", "\"\t\"", "\"\n\"", "\"\\u0000\"", "\"\\u0001\"", "\"\\\\u0000\"",
    "\"\\uD83D\\uDE80\"", "\"\\ud83d\"", "\"\\ud83d\\n\"", "\"\\ud83dx\"", "\"\\ud83d\\ud83d\\ude80\"",
    "\"\\ude80\\ud83d\"", "\"\\uffff\\ufffe\"", "{\"\\ud83d\": 1}", "{\"\\u0000\": 1}", "[1e131071]", "[1e131072]",
    "[1e-16383]", "[1e-16384]", "[0e131072]", "[0e-16384]", "[0.0e-16383]", "[10e131070]", "[10e131071]",
    "[0.1e131072]", "[0.01e131073]", "[-1e131072]", "[1.5e-16383]", "[1e2000000000]", "[0e2000000000]",
    "[1e-2000000000]", "[1e99999999999999999999]", "[0e99999999999999999999]",
];

#[apply(test)]
fn json_is_listed_exactly_where_postgresql_refuses_it() {
    let (source, target) = source_and_target();
    let mut refused = BTreeSet::new();
    each(JSON_TEXTS.iter().enumerate(), |(number, text)| {
        let session = number.to_string();
        insert_session(&source, &session, "completed", None);
        for ((table, column), kind) in [(JSON, "json"), (JSONB, "jsonb")] {
            let (key_column, key) = row_key(table, &session);
            let literal = text.replace('\'', "''");
            source.execute(&format!("UPDATE {table} SET {column} = '{literal}' WHERE {key_column} = '{key}'"));
            // Escapes at which only the first `->>` fails, and a duplicate key, of which jsonb silently drops a value.
            let is_escaped = kind == "json" && text.contains("\\u") && !accepts(&target, "jsonb", text);
            let loses_value = kind == "jsonb" && *text == r#"{"a": 1, "a": 2}"#;
            if is_escaped || loses_value || !accepts(&target, kind, text) {
                refused.insert((table.to_owned(), *text));
            }
        }
    });
    assert!(refused.len() > 50, "{refused:?}");
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(65);
    let found = listed(&outcome).into_iter().map(|(table, key, ..)| {
        let number: usize = key.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
        (table, JSON_TEXTS[number])
    });
    let found: BTreeSet<_> = found.collect();
    assert_eq!(found.symmetric_difference(&refused).collect::<Vec<_>>(), Vec::<&(String, &str)>::new());
}

fn accepts(target: &Database, kind: &str, text: &str) -> bool {
    block_on(async {
        let mut connection = PgConnection::connect(target.url()).await.expect("the server answers");
        let query = format!("SELECT ($1::text)::{kind}::text");
        sqlx::query(AssertSqlSafe(query)).bind(text).fetch_one(&mut connection).await.is_ok()
    })
}

#[apply(test)]
fn a_source_in_utf_16_arrives_as_the_same_text() {
    let target = Database::postgresql();
    let source = Database::sqlite();
    source.execute("PRAGMA encoding = 'UTF-16le'; CREATE TABLE first (id int); DROP TABLE first");
    let source = source.with_schema(Schema::Baseline);
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET final_analysis = '漢字'");
    assert_eq!(source.texts("PRAGMA encoding"), [Some("UTF-16le".to_owned())]);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.texts("SELECT final_analysis FROM alert_sessions"), [Some("漢字".to_owned())]);
}

/// More values that the target cannot hold than an error names: U+0000 in all, NaN in one.
fn very_many_hazards() -> (Database, Database) {
    let (source, target) = source_and_target();
    source.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500)
         INSERT INTO alert_sessions (session_id, alert_id, alert_data, agent_type, status, chain_id, final_analysis)
         SELECT printf('%05d', n), n, iif(n = 1500, '[NaN]', '[]'), 'k', 'completed', 'c', 'a' || char(0) FROM n",
    );
    (source, target)
}

#[apply(test)]
fn of_very_many_hazards_the_first_are_named_all_are_counted_and_the_report_has_each() {
    let (source, target) = very_many_hazards();
    let modes = [&["--check-only"][..], &["--dry-run"], &[], &["--verify-only"], &["--check-only", "--show-values"]];
    each(modes, |mode| {
        let to = if mode.contains(&"--check-only") { &[][..] } else { &["--to", target.url()] };
        if *mode == ["--verify-only"] {
            Outcome::of(tarsy_db(&target).args(["init", "--quiet"])).expect(0);
        }
        let run = |more: &[&str]| {
            let mut command = bare_tarsy_db(source.directory());
            let words = ["migrate-sqlite-to-postgres", "--from", "history.db"];
            Outcome::of(command.args(words).args(to).args(mode).args(more)).expect(65)
        };
        let refused = run(&["--output", "json", "--report", "report.json"]).json();
        let error = &refused["error"];
        assert_eq!(error["message"], "1,501 values of the source cannot be converted exactly; nothing was written");
        assert_eq!((&error["total"], &error["counts"]), (&json!(1501), &json!({ "non-finite": 1, "nul": 1500 })));
        let report = read_report(&source);
        assert_eq!((&report["total"], &report["counts"]), (&error["total"], &error["counts"]));
        let (named, all) =
            (error["details"].as_array().expect("a list"), report["hazards"].as_array().expect("a list"));
        assert_eq!((named.len(), all.len()), (1000, 1501));
        assert_eq!(named[..], all[..1000]);
        assert_eq!((&all[1500]["primary_key"], all[0]["value"].is_string()), (&json!("01500"), mode.len() == 2));
        assert_eq!(names(source.directory()), ["history.db", "report.json"]);
        let shown = run(&[]);
        if matches!(mode, ["--check-only" | "--dry-run"]) {
            assert!(shown.stdout.contains("1,500") && !shown.stderr.contains("in total"), "{}", shown.stderr);
        } else {
            let rest = "and 1,401 more: `--report FILE` lists all\n  - in total non-finite: 1, nul: 1,500\n  hint: ";
            assert!(shown.stderr.contains(rest), "{}", shown.stderr);
        }
    });
}

#[apply(test)]
fn a_value_is_shown_whatever_the_key_of_its_row_is() {
    let (source, target) = source_and_target();
    source.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, alert_data, agent_type, status, chain_id, final_analysis)
         VALUES (CAST(x'ff' AS TEXT), '1', '{}', 'k', 'completed', 'c', 'one''s' || char(0)),
                ('two', '2', '{}', 'k', 'completed', 'c', x'41')",
    );
    let shown = Outcome::of(migrate(&source, &target).arg("--show-values")).expect(65).json();
    let values = shown["error"]["details"].as_array().expect("a list").iter();
    let values: Vec<_> = values.map(|hazard| hazard["value"].as_str().expect("a value")).collect();
    assert_eq!(values, ["'one''s\0'", "'\u{fffd}'", "X'41'"]);
}
