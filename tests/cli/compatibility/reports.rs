//! Reports of earlier releases: this one does not overwrite what may be the only copy of a value, and computes the same
//! digests.

use std::fs;

use serde_json::Value;

use crate::support::cases::each;
use crate::support::document::{file_text, project};
use crate::support::migration::{REPORT, arguments_to, migrate, one_session_and_nothing, table_digests};
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, test, write_file};

/// A report that 0.1.0 wrote, by what the run did.
fn report_of_0_1_0(outcome: &str) -> String {
    file_text(&format!("tests/cli/compatibility/0.1.0/report-{outcome}.json"))
}

#[apply(test)]
fn the_report_of_a_completed_move_is_not_overwritten() {
    let (source, target) = one_session_and_nothing();
    each(["moved", "appended", "dropped"], |outcome| {
        let report = report_of_0_1_0(outcome);
        write_file(source.directory(), "report.json", &report);
        let refused = Outcome::of(migrate(&source, &target).args(REPORT)).expect(7);
        assert!(refused.stderr.contains("report.json is the report of a completed move"), "{}", refused.stderr);
        assert_eq!(fs::read_to_string(source.directory().join("report.json")).expect("it is there"), report);
    });
}

#[apply(test)]
fn the_report_of_a_run_that_moved_nothing_is_overwritten() {
    each(["checked", "refused", "planned", "compared"], |outcome| {
        let (source, target) = one_session_and_nothing();
        write_file(source.directory(), "report.json", report_of_0_1_0(outcome));
        Outcome::of(migrate(&source, &target).args(REPORT)).expect(0);
        let report = fs::read_to_string(source.directory().join("report.json")).expect("it is there");
        assert_eq!(serde_json::from_str::<Value>(&report).expect("JSON")["outcome"], "moved");
    });
}

#[apply(test)]
fn the_same_rows_have_the_digests_of_the_earlier_report() {
    let (source, target) = (Database::sqlite(), Database::postgresql().with_schema(Schema::Baseline));
    fs::copy(project().join("tests/cli/compatibility/0.1.0/baseline.sqlite"), source.file()).expect("a copy");
    let mut command = bare_tarsy_db(source.directory());
    let appended = Outcome::of(command.args(arguments_to(target.url())).arg("--append")).expect(0).json();
    let earlier: Value = serde_json::from_str(&report_of_0_1_0("appended")).expect("JSON");
    assert_eq!(table_digests(&appended), table_digests(&earlier));
}

/// The fields that bring a value back, as docs/compatibility.md describes those of 0.1.0.
#[apply(test)]
fn each_change_of_an_earlier_report_has_its_original() {
    each(["moved", "dropped"], |outcome| {
        let report: Value = serde_json::from_str(&report_of_0_1_0(outcome)).expect("JSON");
        let changes = report["changes"].as_array().expect("a list");
        assert!(changes.len() > 2, "{changes:?}");
        for change in changes {
            for name in ["table", "primary_key", "column", "class", "policy", "stored", "original"] {
                assert!(change[name].is_string(), "{name} of {change}");
            }
        }
    });
}
