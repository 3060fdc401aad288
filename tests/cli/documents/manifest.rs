//! The dependencies of the tests.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::document::project;
use crate::support::{Outcome, apply, test};

/// Crates with their features, as cargo would build them.
fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--locked", "--prefix", "none", "--format", "{p} {f}", "--edges"]).args(arguments);
    let listed = Outcome::from(tree.current_dir(project()).output().expect("cargo runs")).expect(0).stdout;
    listed.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// A crate that only the tests use could enable a feature of a crate that the program uses as well: then cargo would
/// build that one, and all its dependents, twice, and again at each switch between `cargo run` and the tests.
#[apply(test)]
fn the_tests_are_built_with_the_same_features_as_the_program() {
    let (program, tests) = (crates(&["normal,build"]), crates(&["normal,build,dev", "--workspace"]));
    assert!(program.len() > 100, "{program:?}");
    assert_eq!(program.difference(&tests).collect::<Vec<_>>(), Vec::<&String>::new());
}
