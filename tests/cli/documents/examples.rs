//! What the README and examples/ promise: commands run, files parse.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tarsy_db::internals::{Environment, Flags, KEYS, Settings};

use crate::support::document::{file_text, project, yaml_documents};
use crate::support::{Database, Outcome, apply, test};

/// The database that the README's commands name.
const README_URL: &str = "postgresql://tarsy:tarsy-dev-password@localhost:5432/tarsy";

/// The PATH of this process, with the binary under test in front.
fn path_with_binary() -> std::ffi::OsString {
    let directory = PathBuf::from(env!("CARGO_BIN_EXE_tarsy-db")).parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(directory).chain(std::env::split_paths(&path))).expect("a sound PATH")
}

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

#[apply(test)]
fn the_example_of_the_settings_names_every_setting_and_no_other() {
    let path = "examples/tarsy-db.toml";
    let flags = Flags { config: Some(project().join(path)), ..Flags::default() };
    Settings::load(&flags, &Environment::new()).expect("the example is sound as it is");

    let is_setting = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let uncommented: String = file_text(path)
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    let table: toml::Table = uncommented.parse().expect("the example is TOML with every line in force");
    let mut named: Vec<String> = table
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table().expect("sections only").keys().map(move |key| format!("{section}.{key}"))
        })
        .collect();
    named.sort();
    let mut known: Vec<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    known.extend(["database.url_file".to_owned(), "database.password_file".to_owned()]);
    known.sort();
    assert_eq!(named, known);
}

#[apply(test)]
fn kubernetes_stops_retrying_what_does_not_heal() {
    let manifests = yaml_documents("examples/kubernetes.yaml");
    let kind = |kind: &str| manifests.iter().find(|manifest| manifest["kind"] == kind).expect("the kind is there");
    assert_eq!(kind("CronJob")["spec"]["concurrencyPolicy"], "Forbid");
    for policy in [&kind("Job")["spec"], &kind("CronJob")["spec"]["jobTemplate"]["spec"]] {
        let rule = &policy["podFailurePolicy"]["rules"][0];
        assert_eq!(rule["action"], "FailJob");
        let codes: Vec<u64> =
            rule["onExitCodes"]["values"].as_array().expect("codes").iter().filter_map(Value::as_u64).collect();
        for permanent in [2, 3, 4, 7, 8, 65, 73, 77, 78] {
            assert!(codes.contains(&permanent), "{permanent} in {codes:?}");
        }
        for transient in [69, 75, 124, 130, 143] {
            assert!(!codes.contains(&transient), "{transient} in {codes:?}");
        }
    }
    let init = &kind("Deployment")["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(init["args"][0], "init");
}

#[apply(test)]
fn systemd_stops_retrying_what_does_not_heal() {
    let unit = file_text("examples/tarsy-db-prune.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).expect("the line is there");
    let codes: Vec<&str> = line.split_whitespace().collect();
    assert!(["7", "77", "78"].iter().all(|code| codes.contains(code)), "{codes:?}");
    assert!(!codes.contains(&"69") && !codes.contains(&"75"), "{codes:?}");
    assert!(file_text("examples/tarsy-db-prune.timer").contains("OnCalendar="));
}

#[apply(test)]
fn compose_runs_database_init_and_backend_and_the_jobs_in_profiles() {
    let compose = yaml_documents("compose.yaml").remove(0);
    let services = &compose["services"];
    let check = &services["database"]["healthcheck"];
    assert_eq!(check["test"], serde_json::json!(["CMD-SHELL", "pg_isready -U tarsy"]));
    assert_eq!((&check["interval"], &check["timeout"], &check["retries"]), (&"30s".into(), &"10s".into(), &5.into()));
    assert_eq!(services["init"]["command"], serde_json::json!(["init", "--wait"]));
    let condition = &services["backend"]["depends_on"]["init"]["condition"];
    assert_eq!(condition, "service_completed_successfully");
    assert!(services["backend"]["entrypoint"].to_string().contains("tarsy-db wait --for schema"));
    assert_eq!(services["prune"]["profiles"], serde_json::json!(["prune"]));
    assert_eq!(services["migrate"]["profiles"], serde_json::json!(["migrate"]));
    assert!(!compose.to_string().contains("tarsy-dev-password"), "the password belongs into its file");
    assert_eq!(file_text("deploy/development-password").trim(), "tarsy-dev-password");
}

#[apply(test)]
fn the_entrypoint_prepares_the_database_and_becomes_the_backend() {
    let database = Database::sqlite();
    let output = Command::new("sh")
        .arg(project().join("examples/entrypoint.sh"))
        .args(["sh", "-c", "echo backend; exit 9"])
        .current_dir(database.directory())
        .env_clear()
        .env("PATH", path_with_binary())
        .env("DATABASE_URL", database.url())
        .output()
        .expect("a shell runs");
    let outcome = Outcome::from(output).expect(9);
    assert!(outcome.stdout.ends_with("backend\n"), "{}", outcome.stdout);
    assert_eq!(database.count("alembic_version"), 1);
}
