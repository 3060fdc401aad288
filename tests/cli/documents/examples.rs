//! The files in examples/ can be parsed, and agree with the program.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tarsy_db::internals::{Environment, Flags, KEYS, Settings};

use crate::support::cases::each;
use crate::support::document::{directory_of_examples, file_text, path_with_binary, project, yaml_documents};
use crate::support::server::{binaries, require_postgresql};
use crate::support::{Database, Outcome, apply, test, test_directory};

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
    known.extend(["url", "direct_url", "password"].map(|secret| format!("database.{secret}_file")));
    known.sort();
    assert_eq!(named, known);
}

#[apply(test)]
fn kubernetes_does_not_retry_permanent_failures() {
    let manifests = yaml_documents("examples/kubernetes.yaml");
    let kind = |kind: &str| manifests.iter().find(|manifest| manifest["kind"] == kind).expect("the kind is there");
    assert_eq!(kind("CronJob")["spec"]["concurrencyPolicy"], "Forbid");
    let jobs = manifests.iter().filter(|manifest| manifest["kind"] == "Job").map(|job| &job["spec"]);
    each(jobs.chain([&kind("CronJob")["spec"]["jobTemplate"]["spec"]]), |policy| {
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
    });
    let init = &kind("Deployment")["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(init["args"][0], "init");
}

#[apply(test)]
fn systemd_does_not_retry_permanent_failures() {
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

#[apply(test)]
fn the_demo_works_in_a_directory_of_its_own_and_leaves_no_server_running() {
    require_postgresql();
    let parent = test_directory();
    // As root the server runs as another user.
    std::fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).expect("it is ours");
    let path = std::iter::once(binaries()).chain(std::env::split_paths(&path_with_binary())).collect::<Vec<_>>();
    let output = Command::new("sh")
        .arg(project().join("examples/demo.sh"))
        .current_dir(parent.path())
        .env_clear()
        .env("PATH", std::env::join_paths(path).expect("a sound PATH"))
        .env("TMPDIR", parent.path())
        .env("GENERATE_HISTORY", directory_of_examples().join("generate_history"))
        // What leads to another database or changes the commands. No server is at this address (RFC 5737).
        .envs([("PGHOSTADDR", "192.0.2.1"), ("PGPORT", "1"), ("PGSERVICE", "other"), ("PGDATA", "/other")])
        .envs([
            ("DATABASE_URL", "postgresql://192.0.2.1/other"),
            ("DIRECT_DATABASE_URL", "postgresql://192.0.2.1/other"),
        ])
        .envs([("HISTORY_ENABLED", "false"), ("HISTORY_RETENTION_DAYS", "1"), ("TARSY_DB_CONFIG", "/other.toml")])
        .output()
        .expect("a shell runs");
    let outcome = Outcome::from(output).expect(0);
    assert_eq!(outcome.stdout.matches(" is sound\n").count(), 2, "{}", outcome.stdout);

    let directory = entries(parent.path()).pop().expect("the demo keeps its files");
    let (_, named) = outcome.stdout.split_once("\n# What was where\n").expect("the list of the files");
    let mut named: Vec<_> = named.lines().filter(|line| line.starts_with('/')).collect();
    named.sort_unstable();
    let named = named.iter().map(|line| PathBuf::from(line.split(':').next().expect("a path")));
    assert_eq!(named.collect::<Vec<_>>(), entries(&directory));
    let expected = ["archive.db", "history.db", "report.json", "server"];
    assert_eq!(entries(&directory), expected.map(|name| directory.join(name)));

    let directory = directory.to_str().expect("UTF-8");
    let processes = entries(Path::new("/proc")).into_iter();
    let commands = processes.filter_map(|process| std::fs::read_to_string(process.join("cmdline")).ok());
    assert_eq!(commands.filter(|command| command.contains(directory)).collect::<Vec<_>>(), Vec::<String>::new());
}

/// What is in a directory, in order.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    entries
}
