//! JSON documents of earlier releases: a program that reads one of them reads those of this release.
//!
//! Each field that 0.1.0 printed is described by docs/output.schema.json with a type that admits its value, and the
//! tests hold every document of this release against it. What differs is listed here, and in docs/compatibility.md.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::document::{file_text, project};
use crate::support::json_schema::faults_of_earlier;
use crate::support::{apply, test};

/// What 0.1.0 printed and this release does not: the command, and why its documents are not as the schema says.
const DIFFERENCES: [(&str, &str); 1] = [("info", ": tls is not in the schema")];

fn command_of(name: &str) -> &'static str {
    let commands = ["init", "wait", "check", "info", "prune"];
    commands.into_iter().find(|command| name.starts_with(command)).unwrap_or("migrate-sqlite-to-postgres")
}

/// The faults of a document, with `*` in the place of each index.
fn differences(name: &str, mut document: Value) -> BTreeSet<(&'static str, String)> {
    let command = command_of(name);
    document["command"] = command.into();
    faults_of_earlier(&document).into_iter().map(|fault| (command, without_indices(&fault))).collect()
}

fn without_indices(fault: &str) -> String {
    let (place, what) = fault.split_once(": ").expect("a place");
    let parts = place.split('/').map(|part| if part.parse::<u64>().is_ok() { "*" } else { part });
    format!("{}: {what}", parts.collect::<Vec<_>>().join("/"))
}

#[apply(test)]
fn the_documents_of_0_1_0_have_the_fields_and_types_of_this_release() {
    let directory = Path::new("tests/cli/compatibility/0.1.0/documents");
    let entries =
        std::fs::read_dir(project().join(directory)).expect("documents").map(|entry| entry.expect("an entry"));
    let names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert!(names.len() > 30, "{names:?}");
    let found = names.iter().flat_map(|name| {
        let document = file_text(directory.join(name).to_str().expect("UTF-8"));
        differences(name, serde_json::from_str(&document).expect("JSON"))
    });
    let found: BTreeSet<_> = found.collect();
    let known: BTreeSet<_> = DIFFERENCES.iter().map(|(command, what)| (*command, (*what).to_owned())).collect();
    assert_eq!(found, known);
}
