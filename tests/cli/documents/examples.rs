//! The files in examples/ can be parsed, and agree with the program.

use std::process::Command;

use serde_json::Value;
use tarsy_db::internals::{Environment, Flags, KEYS, Settings};

use crate::support::cases::each;
use crate::support::document::{file_text, path_with_binary, project, yaml_documents};
use crate::support::{Database, Outcome, apply, test};

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
