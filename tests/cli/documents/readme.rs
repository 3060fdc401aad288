//! The commands of the README run, one after the other.

use std::process::Command;

use crate::support::document::{file_text, path_with_binary, project};
use crate::support::{Database, Outcome, apply, test};

/// The database that the README's commands name.
const README_URL: &str = "postgresql://tarsy:tarsy-dev-password@localhost:5432/tarsy";

#[apply(test)]
fn the_commands_of_the_readme_run_one_after_the_other() {
    let database = Database::postgresql();
    let readme = file_text("README.md");
    let blocks = readme.split("```sh test\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let script: String = blocks
        .flat_map(str::lines)
        // The tests do not run themselves.
        .filter(|line| !line.starts_with("make test"))
        .map(|line| line.replace(README_URL, database.url()) + "\n")
        .collect();
    // Built already: the release build is the same program, and takes minutes.
    let manifest = project().join("Cargo.toml");
    let script =
        script.replace("cargo run --release", &format!("cargo run --quiet --manifest-path {}", manifest.display()));
    assert!(script.matches("tarsy-db ").count() > 8, "the README has lost its commands:\n{script}");

    let mut shell = Command::new("sh");
    shell
        .args(["-euxc", &script])
        .current_dir(database.directory())
        .env("PATH", path_with_binary())
        .env_remove("DATABASE_URL");
    // Cargo says which package it tests. `ring` is built anew when that changes, with all that needs it: now in the
    // script, and once more in the next run of the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            shell.env_remove(name);
        }
    }
    let output = shell.output().expect("a shell runs");
    let outcome = Outcome::from(output).expect(0);
    assert!(outcome.stdout.contains("this is where the backend starts"), "{}", outcome.stdout);
    let moved = format!("moved {} to", database.file().display());
    assert!(outcome.stdout.contains(&moved), "{}", outcome.stdout);
    assert_eq!(database.count("alert_sessions"), 0);
    assert!(database.directory().join("large.db").exists());
}
