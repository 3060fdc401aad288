//! `migrate-sqlite-to-postgres --report FILE`: private, written completely or not at all, and never lost.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::activity::{wait_for_lock, wait_for_no_session_of_the_tool};
use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{
    REPORT, arguments, arguments_to, migrate, migrate_to, one_session_and_nothing, one_session_and_target, picture,
    read_report,
};
use crate::support::process::Held;
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::sqlite_file::{files, names};
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, test};

const STRIP: [&str; 4] = ["--on", "nul=strip", "--report", "report.json"];

/// A source with U+0000 in two values and NaN in a third, and an empty database.
fn hazards_and_nothing() -> (Database, Database) {
    let (source, target) = one_session_and_nothing();
    write_hazards(&source);
    (source, target)
}

fn write_hazards(source: &Database) {
    source.execute(
        r#"UPDATE alert_sessions SET final_analysis = 'a' || char(0);
           UPDATE llm_interactions SET conversation = '["\u0000"]';
           UPDATE mcp_communications SET tool_result = '[NaN]'"#,
    );
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

/// Table, column, class and policy of each change.
fn changed(report: &Value) -> Vec<String> {
    let changes = report["changes"].as_array().expect("a list of changes").iter();
    let mut changed: Vec<_> = changes
        .map(|change| {
            ["table", "column", "class", "policy"].map(|name| change[name].as_str().expect("a text")).join(" ")
        })
        .collect();
    changed.sort();
    changed
}

#[apply(test)]
fn the_report_of_a_move_is_complete_and_private() {
    let (source, target) = hazards_and_nothing();
    let arguments = ["--on", "nul=strip", "--on", "non-finite=null", "--report", "report.json"];
    let moved = Outcome::of(migrate(&source, &target).args(arguments)).expect(0).json();
    assert_eq!(mode(&source.directory().join("report.json")), 0o600);
    assert_eq!(names(source.directory()), ["history.db", "report.json"]);
    let report = read_report(&source);
    assert_eq!(report["outcome"], "moved");
    assert_eq!(report["tool"], format!("tarsy-db {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(report["source"], source.file().display().to_string());
    assert_eq!(report["revision"], "ae85467a75d2");
    assert_eq!(report["snapshot"], json!({ "origin": "at_rest" }));
    assert_eq!(report["policies"], json!({ "nul": "strip", "non-finite": "null" }));
    assert_eq!(report["verified"], "full");
    let place = report["target"].as_str().expect("a place");
    assert!(place.ends_with(target.name()) && !place.contains("password"), "{place}");
    assert!(report["started"].as_str().is_some_and(|started| started.ends_with('Z')), "{}", report["started"]);
    // The tables are those of the summary.
    assert_eq!(report["tables"], moved["tables"]);
    let tables: Vec<_> = report["tables"].as_array().expect("tables").iter().map(|table| &table["table"]).collect();
    assert_eq!(tables, ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"]);
    for table in report["tables"].as_array().expect("tables") {
        assert_eq!(table["rows"], 1, "{table}");
        assert!(table["bytes"].as_u64() > Some(0) && table["seconds"].as_f64() >= Some(0.0), "{table}");
        assert_eq!(table["digest"].as_str().map(str::len), Some(64), "{table}");
    }
    assert_eq!((&report["rows"], &report["bytes"]), (&moved["rows"], &moved["bytes"]));
    let expected = [
        "alert_sessions final_analysis nul strip",
        "llm_interactions conversation nul strip",
        "mcp_communications tool_result non-finite null",
    ];
    assert_eq!(changed(&report), expected);
}

#[apply(test)]
fn without_anything_to_change_the_report_says_so() {
    let (source, target) = one_session_and_nothing();
    Outcome::of(migrate(&source, &target).args(["--verify", "counts"]).args(REPORT)).expect(0);
    let report = read_report(&source);
    assert_eq!((&report["outcome"], &report["verified"]), (&json!("moved"), &json!("counts")));
    assert_eq!((&report["changes"], &report["policies"]), (&json!([]), &json!({})));
    assert_eq!(report["tables"][0]["digest"], Value::Null);
}

#[apply(test)]
fn people_see_how_many_values_were_changed_and_which_files_to_keep() {
    let (source, target) = hazards_and_nothing();
    let mut command = bare_tarsy_db(source.directory());
    command.args(&arguments(&target)[..5]).args(["--on", "nul=strip", "--on", "non-finite=null"]).args(REPORT);
    let shown = Outcome::of(&mut command).expect(0).stdout;
    let (_, changes) = shown.split_once("changes").expect("a table of changes");
    each([["alert_sessions", "nul", "strip"], ["mcp_communications", "non-finite", "null"]], |words| {
        let line = changes.lines().find(|line| words.iter().all(|word| line.contains(word)));
        assert!(line.is_some_and(|line| line.contains(" 1 ")), "no {words:?} in {shown}");
    });
    let file = source.file().display().to_string();
    let keep = format!("keep: {file}, which was not changed, and report.json");
    assert!(shown.lines().any(|line| line == keep), "{shown}");
}

#[apply(test)]
fn a_failure_without_an_outcome_leaves_no_file() {
    let (source, target) = one_session_and_target();
    // Rows on the target.
    insert_session(&target, "theirs", "completed", Some(NOW_US));
    Outcome::of(migrate(&source, &target).args(REPORT)).expect(7);
    assert_eq!(names(source.directory()), ["history.db"]);
    target.execute("TRUNCATE alert_sessions CASCADE");
    // A lock.
    let lock = Held::begin(&target, "LOCK TABLE llm_interactions");
    Outcome::of(migrate(&source, &target).args(["--lock-timeout", "300ms"]).args(REPORT)).expect(75);
    lock.close();
    assert_eq!(names(source.directory()), ["history.db"]);
    // A mismatch.
    target.execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             NEW.agent_type := upper(NEW.agent_type); RETURN NEW; END $$;
         CREATE TRIGGER meddle BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION meddle()",
    );
    Outcome::of(migrate(&source, &target).args(REPORT)).expect(8);
    assert_eq!(names(source.directory()), ["history.db"]);
    // A missing target.
    let nowhere = arguments_to("postgresql://tarsy@127.0.0.1:1/tarsy");
    Outcome::of(bare_tarsy_db(source.directory()).args(nowhere).args(REPORT)).expect(69);
    assert_eq!(names(source.directory()), ["history.db"]);
}

#[apply(test)]
fn an_interrupted_run_deletes_its_unfinished_report() {
    let (source, target) = one_session_and_target();
    let lock = Held::begin(&target, "LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE");
    let run = Running::start(&source, &[&arguments(&target)[..], &REPORT].concat());
    wait_for_lock(&target);
    run.signal("TERM");
    run.finish().expect(143);
    lock.close();
    assert_eq!(names(source.directory()), ["history.db"]);
}

#[apply(test)]
fn a_killed_run_leaves_no_file() {
    let (source, target) = one_session_and_target();
    let lock = Held::begin(&target, "LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE");
    let run = Running::start(&source, &[&arguments(&target)[..], &REPORT].concat());
    wait_for_lock(&target);
    run.signal("KILL");
    run.finish();
    lock.close();
    assert_eq!(names(source.directory()), ["history.db"]);
}

#[apply(test)]
fn the_report_is_complete_and_in_its_place_before_the_commit_which_it_does_not_know_yet() {
    let (source, target) = hazards_and_nothing();
    source.execute("UPDATE mcp_communications SET tool_result = '[]'");
    let proxy = Proxy::to(target.port());
    proxy.halt_at(Moment::Before(COMMIT), Silence::Network);
    let url = target.url_through(proxy.port);
    let mut run = Running::start(&source, &[&arguments_to(&url)[..], &STRIP].concat());
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    let before = read_report(&source);
    assert_eq!(before["outcome"], "pending");
    assert_eq!(mode(&source.directory().join("report.json")), 0o600);
    proxy.resume();
    run.finish().expect(0);
    assert_eq!(names(source.directory()), ["history.db", "report.json"]);
    let after = read_report(&source);
    assert_eq!(after["outcome"], "moved");
    assert!(
        after.as_object().expect("an object").iter().all(|(name, value)| name == "outcome" || before[name] == *value)
    );
    assert_eq!(changed(&read_report(&source)).len(), 2);
}

#[apply(test)]
fn if_the_outcome_of_the_commit_is_unknown_the_report_is_kept() {
    let (source, target) = hazards_and_nothing();
    source.execute("UPDATE mcp_communications SET tool_result = '[]'");
    let proxy = Proxy::to(target.port());
    proxy.halt_at(Moment::After(COMMIT), Silence::Network);
    let url = target.url_through(proxy.port);
    let mut run = Running::start(&source, &[&arguments_to(&url)[..], &STRIP].concat());
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    target.wait_until("SELECT count(*) FROM pg_tables WHERE tablename = 'alert_sessions'");
    proxy.cut();
    let lost = run.finish().expect(69);
    assert!(lost.stderr.contains("whether the commit took place"), "{}", lost.stderr);
    assert!(lost.stderr.contains("this is its report: report.json"), "{}", lost.stderr);
    assert_eq!(target.texts("SELECT final_analysis FROM alert_sessions"), [Some("a".to_owned())]);
    assert_eq!(names(source.directory()), ["history.db", "report.json"]);
    let report = read_report(&source);
    assert_eq!((&report["outcome"], changed(&report).len()), (&json!("pending"), 2));
}

/// A source with U+0000 in two values, and an empty database.
fn changes_and_nothing() -> (Database, Database) {
    let (source, target) = hazards_and_nothing();
    source.execute("UPDATE mcp_communications SET tool_result = '[]'");
    (source, target)
}

/// Kills the move of a history before or after the server gets its COMMIT. Its report is pending then.
fn killed_at_its_commit(moment: Moment<'_>, (source, target): (Database, Database)) -> (Database, Database, Proxy) {
    let proxy = Proxy::to(target.port());
    proxy.halt_at(moment, Silence::Network);
    let url = target.url_through(proxy.port);
    let mut run = Running::start(&source, &[&arguments_to(&url)[..], &STRIP].concat());
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    run.signal("KILL");
    run.finish();
    proxy.cut();
    wait_for_no_session_of_the_tool(&target);
    assert_eq!(names(source.directory()), ["history.db", "report.json"]);
    assert_eq!(read_report(&source)["outcome"], "pending");
    (source, target, proxy)
}

#[apply(test)]
fn a_pending_report_with_changes_is_never_overwritten() {
    let (source, target, proxy) = killed_at_its_commit(Moment::Before(COMMIT), changes_and_nothing());
    let before = files(source.directory());
    each(["--check-only", "--dry-run", "--verify-only"], |option| {
        let to = if option == "--check-only" { &[][..] } else { &["--to", target.url()] };
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", option]).args(to).args(STRIP);
        let refused = Outcome::of(&mut command).expect(7);
        assert!(refused.stderr.contains("before it knew whether its commit took place"), "{}", refused.stderr);
        assert!(before == files(source.directory()), "{:?}", names(source.directory()));
    });
    let again = || Outcome::of(migrate_to(&source, &target.url_through(proxy.port)).args(STRIP));
    again().expect(7).fails_with(&["before it knew whether its commit took place", "move it away"]);
    assert!(before == files(source.directory()), "{:?}", names(source.directory()));
    assert!(picture(&target).is_empty());
    let path = |name: &str| source.directory().join(name);
    std::fs::rename(path("report.json"), path("earlier.json")).expect("it can be moved");
    again().expect(0);
    assert_eq!((&read_report(&source)["outcome"], changed(&read_report(&source)).len()), (&json!("moved"), 2));
}

#[apply(test)]
fn a_pending_report_without_changes_is_overwritten_by_its_move_if_the_target_is_empty() {
    let words = "report.json is the report of this move, which ended before it knew whether its commit took place";
    let (source, target, proxy) = killed_at_its_commit(Moment::Before(COMMIT), one_session_and_nothing());
    let moved = Outcome::of(migrate_to(&source, &target.url_through(proxy.port)).args(STRIP)).expect(0);
    assert!(moved.stderr.contains(words), "{}", moved.stderr);
    assert_eq!(read_report(&source)["outcome"], "moved");

    let (source, target, proxy) = killed_at_its_commit(Moment::After(COMMIT), one_session_and_nothing());
    let before = files(source.directory());
    let refused = Outcome::of(migrate_to(&source, &target.url_through(proxy.port)).args(STRIP)).expect(7);
    assert!(refused.stderr.contains(words) && refused.stderr.contains("holds 1 row"), "{}", refused.stderr);
    assert!(before == files(source.directory()), "{:?}", names(source.directory()));
}

#[apply(test)]
fn the_report_of_a_move_is_never_overwritten() {
    let (source, target) = hazards_and_nothing();
    source.execute("UPDATE mcp_communications SET tool_result = '[]'");
    Outcome::of(migrate(&source, &target).args(STRIP)).expect(0);
    let before = files(source.directory());
    let other = target.another();
    let refused = Outcome::of(migrate(&source, &other).args(STRIP)).expect(7);
    refused.fails_with(&["report.json is the report of a completed move", "another file"]);
    assert!(picture(&other).is_empty());
    each(["--check-only", "--dry-run", "--verify-only"], |option| {
        let to = if option == "--check-only" { &[][..] } else { &["--to", target.url()] };
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", option]).args(to).args(STRIP);
        Outcome::of(&mut command).expect(7);
    });
    assert!(before == files(source.directory()), "{:?}", names(source.directory()));
}

#[apply(test)]
fn the_report_of_a_refusal_is_overwritten_and_private_again() {
    let (source, target) = hazards_and_nothing();
    let path = source.directory().join("report.json");
    let refused = Outcome::of(migrate(&source, &target).args(STRIP)).expect(65).json();
    let report = read_report(&source);
    assert_eq!((&report["outcome"], &report["hazards"]), (&json!("refused"), &refused["error"]["details"]));
    assert_eq!(report["source"], source.file().display().to_string());
    assert_eq!(report["policies"], json!({ "nul": "strip" }));
    let expected = ["alert_sessions final_analysis nul strip", "llm_interactions conversation nul strip"];
    assert_eq!(changed(&report), expected);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("the mode can be changed");
    let both = ["--on", "nul=strip", "--on", "non-finite=string", "--report", "report.json"];
    Outcome::of(migrate(&source, &target).args(both)).expect(0);
    assert_eq!((&read_report(&source)["outcome"], mode(&path)), (&json!("moved"), 0o600));
}

#[apply(test)]
fn a_failure_without_an_outcome_leaves_the_report_of_a_refusal() {
    let (source, target) = hazards_and_nothing();
    Outcome::of(migrate(&source, &target).args(STRIP)).expect(65);
    let before = files(source.directory());
    let nowhere = arguments_to("postgresql://tarsy@127.0.0.1:1/tarsy");
    Outcome::of(bare_tarsy_db(source.directory()).args(nowhere).args(STRIP)).expect(69);
    assert!(before == files(source.directory()), "{:?}", names(source.directory()));
}

#[apply(test)]
fn a_path_that_cannot_be_written_is_refused_before_anything_is_written() {
    let (source, target) = one_session_and_nothing();
    std::fs::create_dir(source.directory().join("reports")).expect("a directory can be made");
    let cases = [
        ("nowhere/report.json", "no such file or directory"),
        ("history.db/report.json", "not a directory"),
        ("reports", "is a directory"),
        ("reports/", "is a directory"),
        (".", "is a directory"),
    ];
    each(cases, |(place, words)| {
        let refused = Outcome::of(migrate(&source, &target).args(["--report", place])).expect(73);
        refused.fails_with(&[&format!("cannot write the report {place}")]);
        assert!(refused.stdout.contains(words), "{place}: {}", refused.stdout);
        assert!(picture(&target).is_empty(), "{place}");
        assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0, "{place}");
    });
    assert_eq!(std::fs::read_dir(source.directory().join("reports")).expect("it can be read").count(), 0);
}

#[apply(test)]
fn other_files_are_not_overwritten() {
    let (source, target) = one_session_and_nothing();
    for (name, content) in [("notes.txt", "outcome"), ("notes.json", r#"{"outcomes": "moved"}"#), ("list.json", "[1]")]
    {
        std::fs::write(source.directory().join(name), content).expect("a file can be written");
    }
    let before = files(source.directory());
    // The source itself is the first.
    each(before.keys().map(String::as_str), |name| {
        let refused = Outcome::of(migrate(&source, &target).args(["--report", name])).expect(7);
        refused.fails_with(&[&format!("{name} exists and is not a tarsy-db report"), "another file"]);
        assert!(before == files(source.directory()), "{name}: {:?}", names(source.directory()));
        assert!(picture(&target).is_empty(), "{name}");
    });
    // An empty file, as `mktemp` creates it.
    std::fs::write(source.directory().join("report.json"), "").expect("a file can be written");
    Outcome::of(migrate(&source, &target).args(REPORT)).expect(0);
    assert_eq!(read_report(&source)["outcome"], "moved");
}

#[apply(test)]
fn a_check_lists_the_would_be_changes() {
    let source = Database::sqlite().with_schema(Schema::Baseline);
    insert_session(&source, "one", "completed", Some(NOW_US));
    write_hazards(&source);
    source.execute("PRAGMA foreign_keys = OFF; UPDATE stage_executions SET session_id = 'gone'");
    let check = |choices: &[&str]| {
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", "--check-only", "--output", "json"]);
        command.args(choices.iter().flat_map(|choice| ["--on", choice])).args(REPORT);
        Outcome::of(&mut command)
    };
    check(&["nul=strip", "non-finite=string"]).expect(65);
    assert_eq!(read_report(&source)["outcome"], "refused");
    let checked = check(&["nul=strip", "non-finite=string", "orphan=adopt"]).expect(0).json();
    let report = read_report(&source);
    assert_eq!((&report["outcome"], &report["tables"]), (&json!("checked"), &checked["tables"]));
    let mut expected = vec![
        "alert_sessions final_analysis nul strip",
        "alert_sessions session_id orphan adopt",
        "llm_interactions conversation nul strip",
        "mcp_communications tool_result non-finite string",
    ];
    assert_eq!(changed(&report), expected);
    // The orphan and the rows that reference it: the stage, the interaction and the communication.
    check(&["nul=strip", "non-finite=string", "orphan=drop"]).expect(0);
    expected.truncate(1);
    let (dropped, others): (Vec<_>, Vec<_>) =
        changed(&read_report(&source)).into_iter().partition(|line| line.ends_with(" drop"));
    assert_eq!(others, expected);
    let rows =
        ["llm_interactions interaction_id", "mcp_communications communication_id", "stage_executions execution_id"];
    assert_eq!(dropped, rows.map(|row| format!("{row} orphan drop")));
}

#[apply(test)]
fn a_rehearsal_and_a_comparison_list_them_too() {
    let (source, target) = hazards_and_nothing();
    source.execute("UPDATE mcp_communications SET tool_result = '[]'");
    let expected = ["alert_sessions final_analysis nul strip", "llm_interactions conversation nul strip"];
    Outcome::of(migrate(&source, &target).arg("--dry-run").args(STRIP)).expect(0);
    assert_eq!(
        (&read_report(&source)["outcome"], changed(&read_report(&source))),
        (&json!("planned"), expected.map(str::to_owned).to_vec())
    );
    Outcome::of(migrate(&source, &target).args(["--on", "nul=strip", "--report", "move.json"])).expect(0);
    Outcome::of(migrate(&source, &target).arg("--verify-only").args(STRIP)).expect(0);
    assert_eq!(
        (&read_report(&source)["outcome"], changed(&read_report(&source))),
        (&json!("compared"), expected.map(str::to_owned).to_vec())
    );
}
