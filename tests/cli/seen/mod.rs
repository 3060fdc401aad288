//! The program's output as snapshots: help, results as tables and documents, files, failures, and the errors of
//! `src/error_snapshots.rs`.

mod failures;
mod files;
mod help;
mod tables;
mod usage;

use crate::support::snapshot::folder;
use crate::support::{apply, test};

/// These files contain the names of all snapshots literally, except for a prefix with the kind and a suffix with the
/// backend.
const SOURCES: [&str; 5] = [
    include_str!("failures.rs"),
    include_str!("files.rs"),
    include_str!("tables.rs"),
    include_str!("usage.rs"),
    include_str!("../../../src/error_snapshots.rs"),
];

fn is_asserted(name: &str) -> bool {
    let of_backend = ["-sqlite", "-postgresql"].iter().find_map(|backend| name.strip_suffix(backend));
    let scenario = of_backend.unwrap_or(name);
    let of_kind = scenario.split_once('-').map_or(scenario, |(_, rest)| rest);
    let is_written = |name: &str| SOURCES.iter().any(|source| source.contains(&format!("\"{name}\"")));
    is_written(scenario) || is_written(of_kind)
}

#[apply(test)]
fn every_snapshot_is_one_that_a_test_asserts() {
    let files = std::fs::read_dir(folder()).expect("a folder").map(|file| file.expect("a file").file_name());
    let help = help::names();
    let lost = files.filter(|file| {
        let file = file.to_string_lossy();
        // insta writes a new version beside a snapshot that differs.
        let name = file.strip_suffix(".new").unwrap_or(&file).strip_suffix(".snap");
        !name.is_some_and(|name| help.iter().any(|help| help == name) || is_asserted(name))
    });
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new(), "`make snapshots` removes them");
}
