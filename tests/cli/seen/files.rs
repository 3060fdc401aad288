//! The files that a command writes for other programs: the report of a migration, and the metrics of a run.

use std::fs;

use serde_json::Value;

use crate::support::history::{DAY_US, NOW, NOW_US, insert_session};
use crate::support::snapshot::{Scene, another, assert_seen, directory, file, name_of, target};
use crate::support::{Database, Schema, apply, test};

const OLD_US: i64 = NOW_US - 800 * DAY_US;

#[apply(test)]
fn the_report_of_a_migration_and_of_a_refusal() {
    let source = file().with_schema(Schema::Baseline);
    insert_session(&source, "one", "completed", Some(OLD_US));
    source.execute(
        "UPDATE alert_sessions SET final_analysis = 'a' || char(0) || 'b';
         UPDATE mcp_communications SET tool_result = 'no JSON'",
    );
    let version = format!("\"tarsy-db {}\"", env!("CARGO_PKG_VERSION"));
    let target = target();
    let scene = Scene::of(&target).at(source.directory(), "directory").hiding(&version, "\"tarsy-db <version>\"");
    let policies = ["--on", "nul=strip", "--on", "invalid-json=string"];
    for (name, policies) in [("report-refused", &[][..]), ("report-moved", &policies)] {
        scene.shown(&[&["migrate-sqlite-to-postgres", "--report", "move.json"], policies].concat());
        let report = fs::read_to_string(source.directory().join("move.json")).expect("a report");
        let report: Value = serde_json::from_str(&report).expect("a document");
        assert_seen(&format!("file-{name}"), &scene.named(&format!("{report:#}")));
    }
}

#[apply(test)]
fn the_metrics_of_a_run(database: &Database) {
    let database = another(database).with_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(OLD_US));
    let directory = directory();
    let path = directory.path().join("prune.prom").display().to_string();
    let scene = Scene::of(&database);
    scene.shown(&["prune", "--now", NOW, "--max-share", "100%", "--yes", "--metrics-file", &path]);
    let metrics = fs::read_to_string(&path).expect("metrics");
    let metrics = metrics.lines().map(|line| match line.rsplit_once(' ') {
        Some((metric, _)) if metric.contains("_seconds{") => format!("{metric} <seconds>\n"),
        _ => format!("{line}\n"),
    });
    let metrics = metrics.collect::<Vec<_>>().concat();
    assert_seen(&name_of("file", "metrics", &database), &scene.named(&metrics));
}
