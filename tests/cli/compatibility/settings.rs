//! Settings files of earlier releases: each key is known and has its meaning.

use serde_json::Value;

use crate::support::cases::each;
use crate::support::document::{file_text, project};
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, test};

fn path_of(name: &str) -> String {
    project().join("tests/cli/compatibility/0.1.0").join(name).display().to_string()
}

#[apply(test)]
fn a_settings_file_is_accepted_whole() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let mut command = bare_tarsy_db(database.directory());
    command.args(["info", "--output", "json", "--database-url", "sqlite:///history.db", "--config"]);
    let shown = Outcome::of(command.arg(path_of("settings.toml"))).expect(0).json()["settings"].clone();
    let file: toml::Table = file_text("tests/cli/compatibility/0.1.0/settings.toml").parse().expect("TOML");
    let mut compared = 0;
    for (section, keys) in file.iter().filter(|(section, _)| *section != "database") {
        for (key, value) in keys.as_table().expect("a section") {
            let value = match key.as_str() {
                "target" => "ae85467a75d2 (1 of 23)".into(),
                _ => serde_json::to_value(value).expect("a value"),
            };
            assert_eq!(shown[format!("{section}.{key}")]["value"], value, "{section}.{key} in {shown:#}");
            compared += 1;
        }
    }
    assert_eq!(compared, 9);
}

/// `check-config` of the Makefile reads a file in the same way, without a database.
#[apply(test)]
fn the_keys_that_exclude_others_are_accepted() {
    let files = ["settings.toml", "settings-url.toml", "settings-url-file.toml", "settings-password-file.toml"];
    each(files, |name| {
        let database = Database::sqlite();
        std::fs::write(database.directory().join("database_url"), "sqlite:///history.db").expect("a file");
        std::fs::write(database.directory().join("database_password"), "secret").expect("a file");
        let mut command = bare_tarsy_db(database.directory());
        command.env("HISTORY_ENABLED", "false").args(["init", "--output", "json", "--config", &path_of(name)]);
        let disabled: Value = Outcome::of(&mut command).expect(0).json();
        assert_eq!(disabled["outcome"], "disabled", "{name}");
    });
}
