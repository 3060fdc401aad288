//! `migrate-sqlite-to-postgres --on CLASS=POLICY`: what a policy lets through arrives as it promises, the report has
//! the original of every changed value, and a hazard without a policy still ends the move.

use serde_json::{Value, json};
use tarsy_db::internals::{Choice, Class};

use crate::support::cases::each;
use crate::support::change::{change_of, changes, with_policies};
use crate::support::history::{NOW_US, insert_session, row_key};
use crate::support::migration::{assert_no_tables, migrate, read_report, source_and_target, source_at};
use crate::support::{Database, Outcome, apply, bare_tarsy_db, tarsy_db, test};

/// A table, a column of it, and the SQL expression that shows the column on PostgreSQL.
type Place = (&'static str, &'static str, &'static str);

const TEXT: Place = ("alert_sessions", "final_analysis", "final_analysis");
const JSON: Place = ("mcp_communications", "tool_result", "tool_result::text");
const JSONB: Place = ("llm_interactions", "conversation", "conversation::text");
const BIGINT: Place = ("alert_sessions", "completed_at_us", "completed_at_us::text");
const INTEGER: Place = ("stage_executions", "duration_ms", "duration_ms::text");
const DOUBLE: Place = ("llm_interactions", "temperature", "temperature::text");
const BOOLEAN: Place = ("mcp_communications", "success", "success::text");
const DEEP_JSON: Place =
    ("mcp_communications", "tool_result", "left(tool_result::text, 3) || length(tool_result::text)");
const DEEP_JSONB: Place =
    ("llm_interactions", "conversation", "left(conversation::text, 3) || length(conversation::text)");
/// At most 100 characters.
const SHORT: Place = ("events", "channel", "length(channel) || right(channel, 1)");
const INDEXED: Place = ("alert_sessions", "alert_type", "length(alert_type) || ' ' || octet_length(alert_type)");

const DEEP: &str = "replace(hex(zeroblob(20000)), '00', '[') || replace(hex(zeroblob(20000)), '00', ']')";

/// A class, a value of it as an SQL expression on SQLite, and the result of each of the class's policies.
struct Case {
    class: &'static str,
    place: Place,
    written: &'static str,
    arrives: &'static [(&'static str, Option<&'static str>)],
}

const fn case(
    class: &'static str,
    place: Place,
    written: &'static str,
    arrives: &'static [(&'static str, Option<&'static str>)],
) -> Case {
    Case { class, place, written, arrives }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("nul", TEXT, "'a' || char(0) || 'b' || char(0)",
         &[("replace", Some("a\u{fffd}b\u{fffd}")), ("strip", Some("ab"))]),
    case("nul", TEXT, "char(0)", &[("replace", Some("\u{fffd}")), ("strip", Some(""))]),
    case("nul", JSON, r#"'{"a": "b' || char(0) || '"}'"#,
         &[("replace", Some("{\"a\": \"b\u{fffd}\"}")), ("strip", Some(r#"{"a": "b"}"#))]),
    case("nul", JSON, r#"'{ "a\u0000" :1e5}'"#,
         &[("replace", Some(r#"{ "a\ufffd" :1e5}"#)), ("strip", Some(r#"{ "a" :1e5}"#))]),
    case("nul", JSONB, r#"'["x\u0000y", "\\u0000"]'"#,
         &[("replace", Some("[\"x\u{fffd}y\", \"\\\\u0000\"]")), ("strip", Some(r#"["xy", "\\u0000"]"#))]),
    case("lone-surrogate", JSON, r#"'{"a": "x\ude00y"}'"#,
         &[("replace", Some(r#"{"a": "x\ufffdy"}"#)), ("strip", Some(r#"{"a": "xy"}"#))]),
    case("lone-surrogate", JSONB, r#"'["x\ud83dy", "\ud83d\ude80"]'"#,
         &[("replace", Some("[\"x\u{fffd}y\", \"🚀\"]")), ("strip", Some("[\"xy\", \"🚀\"]"))]),
    case("invalid-utf8", TEXT, "CAST(x'6162c328' AS TEXT)", &[("replace", Some("ab\u{fffd}("))]),
    case("invalid-utf8", JSON, "CAST(x'22fffe22' AS TEXT)", &[("replace", Some("\"\u{fffd}\u{fffd}\""))]),
    case("invalid-utf8", JSONB, "CAST(x'5b22f09f9a225d' AS TEXT)", &[("replace", Some("[\"\u{fffd}\"]"))]),
    case("non-finite", JSON, r#"'{"a": NaN}'"#,
         &[("null", Some(r#"{"a": null}"#)), ("string", Some(r#"{"a": "NaN"}"#))]),
    case("non-finite", JSONB, "'[-Infinity, 1]'",
         &[("null", Some("[null, 1]")), ("string", Some(r#"["-Infinity", 1]"#))]),
    // SQLite stores it as an infinite REAL.
    case("non-finite", JSON, "'1e400'", &[("null", Some("null")), ("string", Some(r#""Infinity""#))]),
    case("number-range", JSONB, "'[1e131072]'", &[("null", Some("[null]")), ("string", Some(r#"["1e131072"]"#))]),
    case("number-range", JSONB, r#"'{"a": 1e-16384}'"#,
         &[("null", Some(r#"{"a": null}"#)), ("string", Some(r#"{"a": "1e-16384"}"#))]),
    case("invalid-json", JSON, "'{''a'': None}'", &[("string", Some(r#""{'a': None}""#)), ("null", Some("null"))]),
    case("invalid-json", JSON, r#"'{"a": "b' || char(10) || '"}'"#,
         &[("string", Some(r#""{\"a\": \"b\n\"}""#)), ("null", Some("null"))]),
    case("invalid-json", JSON, "''", &[("string", Some(r#""""#)), ("null", Some("null"))]),
    case("invalid-json", JSONB, r#"'{"messages": ['"#,
         &[("string", Some(r#""{\"messages\": [""#)), ("null", Some("null"))]),
    case("depth", DEEP_JSON, DEEP, &[("string", Some(r#""[[40002"#)), ("null", Some("nul4"))]),
    case("depth", DEEP_JSONB, DEEP, &[("string", Some(r#""[[40002"#)), ("null", Some("nul4"))]),
    case("integer-range", INTEGER, "2147483648", &[("clamp", Some("2147483647")), ("null", None)]),
    case("integer-range", INTEGER, "-2147483649", &[("clamp", Some("-2147483648")), ("null", None)]),
    case("storage-class", TEXT, "CAST('good text' AS BLOB)", &[("convert", Some("good text"))]),
    case("storage-class", JSON, "CAST('{}' AS BLOB)", &[("convert", Some("{}"))]),
    case("storage-class", JSONB, "CAST('[1]' AS BLOB)", &[("convert", Some("[1]"))]),
    case("storage-class", INTEGER, "CAST('12' AS BLOB)", &[("convert", Some("12"))]),
    case("storage-class", BOOLEAN, "'true'", &[("convert", Some("true"))]),
    case("storage-class", DOUBLE, "'Infinity'", &[("convert", Some("Infinity"))]),
    case("storage-class", DOUBLE, "'NaN'", &[("convert", Some("NaN"))]),
    case("inexact", TEXT, "x'0001feff'", &[("null", None)]),
    case("inexact", BIGINT, "1.5", &[("null", None)]),
    case("inexact", INTEGER, "'fast'", &[("null", None)]),
    case("inexact", DOUBLE, "'hot'", &[("null", None)]),
    // JSON has a null of its own.
    case("inexact", JSON, "x'ff'", &[("null", Some("null"))]),
    case("too-long", SHORT, "replace(hex(zeroblob(101)), '00', 'é')", &[("truncate", Some("100é"))]),
    case("too-long", SHORT, "hex(zeroblob(50)) || '  '", &[("truncate", Some("1000"))]),
    case("index-entry", INDEXED, "hex(randomblob(6000))", &[("truncate", Some("2600 2600"))]),
    // Cut between two characters.
    case("index-entry", INDEXED, "'x' || replace(hex(zeroblob(2000)), '00', 'é')", &[("truncate", Some("1300 2599"))]),
    case("duplicate-key", JSONB, r#"'{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}'"#,
         &[("last", Some(r#"{"a": 4, "b": {"c": 3}}"#))]),
];

/// Every choice but those about whole rows, which have tests of their own.
fn choices() -> impl Iterator<Item = Choice> {
    Choice::all().filter(|choice| choice.class != Class::Orphan)
}

/// The primary key's column and value for the number of a case.
fn key_of(table: &str, number: usize) -> (&'static str, String) {
    match table {
        "events" => ("id", number.to_string()),
        _ => row_key(table, &number.to_string()),
    }
}

fn write(source: &Database, number: usize, Case { place: (table, column, _), written, .. }: &Case) {
    insert_session(source, &number.to_string(), "completed", Some(NOW_US));
    let (key_column, key) = key_of(table, number);
    source.execute(&format!(
        "INSERT INTO events (id, channel, created_at) VALUES ({number}, 'sessions', '2026-01-31 12:00:00');
         UPDATE {table} SET {column} = {written} WHERE {key_column} = '{key}'"
    ));
}

/// The lines of the changes that a policy makes to the values of its class, of all cases with their numbers.
fn changes_of<'c>(source: &Database, cases: impl Iterator<Item = (usize, &'c Case)>, choice: Choice) -> Vec<String> {
    let own = cases.filter(|(_, case)| case.class == choice.class.name());
    let line = |(number, case): (usize, &Case)| {
        let (table, column, _) = case.place;
        let (key_column, key) = key_of(table, number);
        change_of(source, table, (key_column, &key), column, &choice.to_string())
    };
    let mut lines: Vec<_> = own.map(line).collect();
    lines.sort();
    lines
}

#[apply(test)]
fn what_a_policy_lets_through_arrives_as_promised_and_the_report_has_the_original() {
    let empty = std::fs::read(source_at("3").file()).expect("the file is there");
    each(choices(), |choice| {
        let target = Database::postgresql();
        let source = Database::sqlite();
        std::fs::write(source.file(), &empty).expect("a file");
        let cases: Vec<_> = CASES.iter().filter(|case| case.class == choice.class.name()).enumerate().collect();
        assert!(!cases.is_empty(), "{choice}");
        for (number, case) in &cases {
            write(&source, *number, case);
        }
        let chosen = choice.to_string();
        let arguments = with_policies(&[chosen.as_str()]);
        Outcome::of(migrate(&source, &target).args(&arguments)).expect(0);
        for (number, case) in &cases {
            let (table, column, shown) = case.place;
            let (key_column, key) = key_of(table, *number);
            let found = target.texts(&format!("SELECT {shown} FROM {table} WHERE {key_column} = '{key}'"));
            let expected = case.arrives.iter().find(|(policy, _)| *policy == choice.policy.name());
            let (_, expected) = expected.unwrap_or_else(|| panic!("no {choice} of {}", case.written));
            assert_eq!(found, [expected.map(str::to_owned)], "{choice}: {table}.{column} = {}", case.written);
        }
        let report = read_report(&source);
        assert_eq!(report["outcome"], "moved");
        assert_eq!(report["policies"], json!({ choice.class.name(): choice.policy.name() }));
        assert_eq!(changes(&report), changes_of(&source, cases.into_iter(), choice));
        // With the same policies, --verify-only finds no difference.
        let again = ["--verify-only", "--on", &chosen, "--report", "again.json"];
        Outcome::of(migrate(&source, &target).args(again)).expect(0);
    });
}

#[apply(test)]
fn a_policy_takes_its_own_class_off_the_list_and_each_would_be_change_is_reported_once() {
    let target = Database::postgresql();
    let source = source_at("3");
    for (number, case) in CASES.iter().enumerate() {
        write(&source, number, case);
    }
    each(choices(), |choice| {
        let chosen = choice.to_string();
        let refused = Outcome::of(migrate(&source, &target).args(with_policies(&[&chosen]))).expect(65).json();
        let hazards = &refused["error"]["details"];
        let text = |hazard: &Value, name: &str| hazard[name].as_str().expect("a text").to_owned();
        let listed = hazards
            .as_array()
            .expect("a list of hazards")
            .iter()
            .map(|hazard| ["table", "primary_key", "column", "class"].map(|name| text(hazard, name)).join(" "));
        let mut listed: Vec<_> = listed.collect();
        let others = CASES.iter().enumerate().filter(|(_, case)| case.class != choice.class.name());
        // The server compresses one long text until it fits an index, and was asked.
        let others = others.filter(|(_, case)| !case.written.contains("zeroblob(2000)"));
        let mut expected: Vec<_> = others
            .map(|(number, case)| {
                let (table, column, _) = case.place;
                format!("{table} {} {column} {}", key_of(table, number).1, case.class)
            })
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "{choice}");
        let report = read_report(&source);
        assert_eq!((&report["outcome"], &report["hazards"]), (&json!("refused"), hazards), "{choice}");
        assert_eq!(changes(&report), changes_of(&source, CASES.iter().enumerate(), choice), "{choice}");
        assert_no_tables(&target);
    });
}

#[apply(test)]
fn null_takes_no_place_that_has_to_be_filled() {
    let cases = [
        ("integer-range=null", "duration_ms", "2147483648", json!(["clamp"])),
        ("inexact=null", "success", "2", json!([])),
        ("inexact=null", "model_name", "x'00ff'", json!([])),
    ];
    each(cases, |(choice, column, value, policies)| {
        let (source, target) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute(&format!("UPDATE llm_interactions SET {column} = {value}"));
        let refused = Outcome::of(migrate(&source, &target).args(with_policies(&[choice]))).expect(65).json();
        let hazards = refused["error"]["details"].as_array().expect("a list of hazards").clone();
        assert_eq!(hazards.len(), 1, "{hazards:?}");
        assert_eq!((&hazards[0]["column"], &hazards[0]["policies"]), (&json!(column), &policies), "{choice}");
        assert_eq!(read_report(&source)["changes"], json!([]));
        assert_no_tables(&target);
    });
}

#[apply(test)]
fn several_policies_repair_one_value_and_each_has_its_line() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    // Invalid UTF-8, U+0000, and a key that is a duplicate once U+0000 is removed.
    source.execute(
        r#"UPDATE alert_sessions SET final_analysis = CAST(x'61ff0062' AS TEXT);
           UPDATE llm_interactions SET conversation = '{"a": 1, "a\u0000": NaN}'"#,
    );
    let some = with_policies(&["nul=strip", "non-finite=null"]);
    let refused = Outcome::of(migrate(&source, &target).args(some)).expect(65).json();
    let hazards = refused["error"]["details"].as_array().expect("a list of hazards").clone();
    let listed: Vec<_> = hazards.iter().map(|hazard| (&hazard["class"], &hazard["byte_offset"])).collect();
    assert_eq!(listed, [(&json!("invalid-utf8"), &json!(1)), (&json!("duplicate-key"), &json!(9))]);

    let all = ["nul=strip", "non-finite=null", "duplicate-key=last", "invalid-utf8=replace"];
    Outcome::of(migrate(&source, &target).args(with_policies(&all))).expect(0);
    assert_eq!(target.texts("SELECT final_analysis FROM alert_sessions"), [Some("a\u{fffd}b".to_owned())]);
    assert_eq!(target.texts("SELECT conversation::text FROM llm_interactions"), [Some(r#"{"a": null}"#.to_owned())]);
    let session = |choice| change_of(&source, "alert_sessions", ("session_id", "one"), "final_analysis", choice);
    let llm = |choice| change_of(&source, "llm_interactions", ("interaction_id", "llm-one"), "conversation", choice);
    let expected = [
        session("invalid-utf8=replace"),
        session("nul=strip"),
        llm("duplicate-key=last"),
        llm("non-finite=null"),
        llm("nul=strip"),
    ];
    assert_eq!(changes(&read_report(&source)), expected);
}

#[apply(test)]
fn bytes_that_become_text_are_cut_for_an_index_as_well() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET alert_type = CAST(hex(randomblob(6000)) AS BLOB)");
    let both = with_policies(&["storage-class=convert", "index-entry=truncate"]);
    Outcome::of(migrate(&source, &target).args(both)).expect(0);
    assert_eq!(target.number("SELECT length(alert_type)::bigint FROM alert_sessions"), 2600);
    let change = |choice| change_of(&source, "alert_sessions", ("session_id", "one"), "alert_type", choice);
    assert_eq!(changes(&read_report(&source)), [change("index-entry=truncate"), change("storage-class=convert")]);
}

#[apply(test)]
fn only_what_becomes_text_is_cut_for_an_index() {
    let cases = [("started_at_us", "'x' || hex(randomblob(3000))"), ("alert_type", "randomblob(6000)")];
    each(cases, |(column, value)| {
        let (source, target) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute(&format!("UPDATE alert_sessions SET {column} = {value}"));
        let both = with_policies(&["inexact=null", "index-entry=truncate"]);
        Outcome::of(migrate(&source, &target).args(both)).expect(0);
        assert_eq!(target.number(&format!("SELECT count(*) FROM alert_sessions WHERE {column} IS NULL")), 1);
        let change = change_of(&source, "alert_sessions", ("session_id", "one"), column, "inexact=null");
        assert_eq!(changes(&read_report(&source)), [change]);
    });
}

#[apply(test)]
fn what_is_no_long_text_on_the_target_is_not_undecided() {
    let cases = [("started_at_us", "'x' || hex(randomblob(3000))"), ("alert_type", "randomblob(6000)")];
    each(cases, |(column, value)| {
        let (source, _) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute(&format!("UPDATE alert_sessions SET {column} = {value}"));
        let mut check = bare_tarsy_db(source.directory());
        check.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only", "--output", "json"]);
        let checked = Outcome::of(check.args(["--on", "inexact=null", "--report", "check.json"])).expect(0).json();
        assert_eq!(checked["undecided"], json!([]), "{column}");
    });
}

#[apply(test)]
fn a_key_is_repaired_together_with_the_rows_that_reference_it() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    let tables = ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"];
    for table in tables {
        source.execute(&format!("PRAGMA foreign_keys = OFF; UPDATE {table} SET session_id = 'o' || char(0)"));
    }
    Outcome::of(migrate(&source, &target).args(with_policies(&["nul=replace"]))).expect(0);
    for table in tables {
        assert_eq!(target.texts(&format!("SELECT session_id FROM {table}")), [Some("o\u{fffd}".to_owned())], "{table}");
    }
    let expected = [
        "alert_sessions o\0 session_id nul=replace text 6F00",
        "llm_interactions llm-one session_id nul=replace text 6F00",
        "mcp_communications mcp-one session_id nul=replace text 6F00",
        "stage_executions stage-one session_id nul=replace text 6F00",
    ];
    assert_eq!(changes(&read_report(&source)), expected);
}

/// Two sessions with these keys, as SQL expressions.
fn two_sessions(keys: [&str; 2]) -> Database {
    let source = source_at("head");
    for key in keys {
        source.execute(&format!(
            "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id)
             VALUES ({key}, 'kubernetes', 'completed', 'chain')"
        ));
    }
    source
}

#[apply(test)]
fn two_keys_that_a_policy_makes_the_same_are_refused_by_every_command() {
    let cases = [
        ("nul=strip", ["'one'", "'one' || char(0)"]),
        ("invalid-utf8=replace", ["CAST(x'73ff' AS TEXT)", "CAST(x'73fe' AS TEXT)"]),
        ("storage-class=convert", ["'one'", "CAST('one' AS BLOB)"]),
        ("index-entry=truncate", ["hex(zeroblob(1400)) || 'a'", "hex(zeroblob(1400)) || 'b'"]),
    ];
    each(cases, |(choice, keys)| {
        let (source, target) = (two_sessions(keys), Database::postgresql());
        let refused = json!({ "duplicate-row": 2 });
        let mut check = bare_tarsy_db(source.directory());
        check.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only", "--output", "json"]);
        let checked = Outcome::of(check.args(with_policies(&[choice]))).expect(65).json();
        assert_eq!(checked["error"]["counts"], refused, "{choice}");
        for more in [&["--dry-run"][..], &[]] {
            let run = Outcome::of(migrate(&source, &target).args(with_policies(&[choice])).args(more)).expect(65);
            assert_eq!(run.json()["error"]["counts"], refused, "{choice} {more:?}");
        }
        assert_no_tables(&target);
    });
}

#[apply(test)]
fn two_numbers_that_a_policy_makes_the_same_are_refused() {
    let source = source_at("head");
    source.execute(
        "INSERT INTO events (id, channel, created_at)
         VALUES (-2147483650, 'sessions', '2026-01-31 12:00:00'), (-2147483651, 'sessions', '2026-01-31 12:00:00')",
    );
    let mut check = bare_tarsy_db(source.directory());
    check.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only", "--output", "json"]);
    let checked = Outcome::of(check.args(with_policies(&["integer-range=clamp"]))).expect(65).json();
    assert_eq!(checked["error"]["counts"], json!({ "duplicate-row": 2 }));
}

#[apply(test)]
fn two_keys_that_differ_after_a_policy_are_moved() {
    let (source, target) = (two_sessions(["'one'", "'one' || char(0)"]), Database::postgresql());
    Outcome::of(migrate(&source, &target).args(with_policies(&["nul=replace"]))).expect(0);
    assert_eq!(target.count("alert_sessions"), 2);
}

#[apply(test)]
fn what_cannot_be_chosen_is_a_usage_error() {
    let source = Database::sqlite();
    let cases = [
        (&["nul"][..], "CLASS=POLICY"),
        (&["nul=null"], "fail, replace, strip"),
        (
            &["null=replace"],
            "the class `null` has no policy `replace`; its only policy is fail; classes with `replace`: nul,",
        ),
        (&["nan=null"], "there is no class `nan`"),
        (&["nul=strip", "nul=replace"], "the class `nul` two policies, `strip` and `replace`"),
    ];
    each(cases, |(choices, words)| {
        let mut command = tarsy_db(&source);
        command.args(["migrate-sqlite-to-postgres", "--check-only"]).args(with_policies(choices));
        let refused = Outcome::of(&mut command).expect(2);
        assert!(refused.stderr.contains(words), "{choices:?}: {}", refused.stderr);
    });
    // Changes must be recorded in a report.
    let mut command = tarsy_db(&source);
    let refused =
        Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only", "--on", "nul=strip"])).expect(2);
    assert!(refused.stderr.contains("--report"), "{}", refused.stderr);
}
