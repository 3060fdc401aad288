//! What the manifest of the project makes of the tests.

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

/// A crate that only the tests use may switch on a feature of one that the program uses as well: then that, and all
/// that needs it, is built twice, and anew whenever somebody goes from `cargo run` to the tests or back.
#[apply(test)]
fn the_tests_are_built_with_the_same_features_as_the_program() {
    let (program, tests) = (crates(&["normal,build"]), crates(&["normal,build,dev", "--workspace"]));
    assert!(program.len() > 100, "{program:?}");
    assert_eq!(program.difference(&tests).collect::<Vec<_>>(), Vec::<&String>::new());
}
