//! The dependencies of the tests.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::document::{file_text, project};
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

/// The files that `cargo package` puts in a package.
fn packaged(package: &str) -> Vec<String> {
    let mut list = Command::new("cargo");
    list.args(["package", "--list", "--allow-dirty", "--locked", "--package", package]);
    let listed = Outcome::from(list.current_dir(project()).output().expect("cargo runs")).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

#[apply(test)]
fn the_packages_hold_the_program_and_no_tests() {
    let files = packaged("tarsy-db");
    let is_known = |file: &String| file.starts_with("src/") || file.starts_with("completions/") || !file.contains('/');
    assert_eq!(files.iter().filter(|file| !is_known(file)).collect::<Vec<_>>(), Vec::<&String>::new());
    for file in
        ["Cargo.lock", "LICENSE", "README.md", "build.rs", "src/schema/recorded.json", "completions/man/tarsy-db.1"]
    {
        assert!(files.iter().any(|found| found == file), "{file}");
    }
    let files = packaged("tarsy-db-migration");
    for file in ["LICENSE", "README.md", "src/lib.rs"] {
        assert!(files.iter().any(|found| found == file), "{file}");
    }
}

#[apply(test)]
fn every_place_of_the_version_has_the_same() {
    Outcome::from(Command::new("packaging/check-version").current_dir(project()).output().expect("bash runs"))
        .expect(0);
    let version = env!("CARGO_PKG_VERSION");
    let check = |tag: &str| {
        Outcome::from(
            Command::new("packaging/check-version").arg(tag).current_dir(project()).output().expect("bash runs"),
        )
    };
    // As long as the maintainers' address is a placeholder, that is the only objection.
    let has_placeholder =
        ["Cargo.toml", "packaging/debian/changelog"].iter().any(|path| file_text(path).contains(".invalid>"));
    let right = check(&format!("v{version}")).expect(i32::from(has_placeholder));
    assert_eq!(right.stderr.contains("is a placeholder"), has_placeholder, "{}", right.stderr);
    assert!(!right.stderr.contains(" has `"), "{}", right.stderr);
    assert!(check("v0.0.1").expect(1).stderr.contains("the tag has `v0.0.1`"));
    let notes =
        Command::new("packaging/release-notes").arg(version).current_dir(project()).output().expect("bash runs");
    assert!(Outcome::from(notes).expect(0).stdout.contains("### "));
}
