//! Settings: where a value comes from, which one wins, and what is said about a mistake.

use assert_cmd::Command;
use serde_json::Value;

use crate::support::cases::each;
use crate::support::other_user::{as_other_user_in, set_mode};
use crate::support::{
    Database, Outcome, Schema, apply, bare_tarsy_db, require_root, tarsy_db, test, test_directory, write_file,
};

fn settings(command: &mut Command) -> Value {
    Outcome::of(command.args(["info", "--output", "json"])).expect(0).json()["settings"].clone()
}

fn value_and_source(settings: &Value, name: &str) -> (String, String) {
    let text = |part: &str| match &settings[name][part] {
        Value::Null => panic!("no {name}"),
        Value::String(text) => text.clone(),
        typed => typed.to_string(),
    };
    (text("value"), text("source"))
}

/// The error of a command that has to end with 78, as one text.
#[track_caller]
fn configuration_error(command: &mut Command) -> String {
    let outcome = Outcome::of(command.args(["check", "--output", "json"])).expect(78);
    let error = outcome.json()["error"].clone();
    assert_eq!(error["exit_code"], 78);
    error.to_string()
}

#[track_caller]
fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

#[apply(test)]
fn flag_beats_environment_beats_file_beats_default() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let directory = database.directory();
    let bare = || bare_tarsy_db(directory);
    let url = |settings: &Value| value_and_source(settings, "database.url");
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());

    let absolute = directory.join("history.db").display().to_string();
    assert_eq!(url(&settings(&mut bare())), pair(&absolute, "default"));
    write_file(
        directory,
        "tarsy-db.toml",
        "[database]\nurl = \"sqlite:///./history.db\"\n[history]\nretention_days = 30\n",
    );
    let from_file = settings(&mut bare());
    assert_eq!(url(&from_file), pair(&absolute, "tarsy-db.toml"));
    assert_eq!(value_and_source(&from_file, "history.retention_days"), pair("30", "tarsy-db.toml"));
    assert_eq!(value_and_source(&from_file, "postgres.pool_size"), pair("5", "default"));

    let from_environment =
        settings(bare().env("DATABASE_URL", format!("sqlite:///{absolute}")).env("HISTORY_RETENTION_DAYS", "7"));
    assert_eq!(url(&from_environment), pair(&absolute, "DATABASE_URL"));
    assert_eq!(value_and_source(&from_environment, "history.retention_days"), pair("7", "HISTORY_RETENTION_DAYS"));
    let with_flag = settings(
        bare().env("DATABASE_URL", "sqlite:////nowhere/x.db").args(["--database-url", "sqlite:///history.db"]),
    );
    assert_eq!(url(&with_flag), pair(&absolute, "--database-url"));
}

#[apply(test)]
fn the_settings_file_is_the_flags_else_the_variables_else_the_one_in_the_directory() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let directory = database.directory();
    let pool_size = |command: &mut Command| value_and_source(&settings(command), "postgres.pool_size").0;
    write_file(directory, "tarsy-db.toml", "[postgres]\npool_size = 1\n");
    let second = write_file(directory, "second.toml", "[postgres]\npool_size = 2\n");
    let third = write_file(directory, "third.toml", "[postgres]\npool_size = 3\n");
    let bare = || bare_tarsy_db(directory);
    assert_eq!(pool_size(&mut bare()), "1");
    assert_eq!(pool_size(bare().env("TARSY_DB_CONFIG", &second)), "2");
    assert_eq!(pool_size(bare().env("TARSY_DB_CONFIG", &second).args(["--config", &third])), "3");
    let missing = configuration_error(bare().env("TARSY_DB_CONFIG", "missing.toml"));
    assert_contains(&missing, &["missing.toml"]);
}

#[apply(test)]
fn the_url_may_stand_in_a_file_of_its_own() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let directory = database.directory();
    let file = write_file(directory, "url", " sqlite:///history.db\r\n\n");
    let from_file = settings(bare_tarsy_db(directory).env("DATABASE_URL_FILE", &file));
    let (value, source) = value_and_source(&from_file, "database.url");
    let absolute = directory.join("history.db").display().to_string();
    assert_eq!(value, absolute);
    assert_eq!(source, "DATABASE_URL_FILE");
    let two = write_file(directory, "two", "sqlite:///history.db\npostgresql://tarsy@db/tarsy\n");
    let two = configuration_error(bare_tarsy_db(directory).env("DATABASE_URL_FILE", &two));
    assert_contains(&two, &["DATABASE_URL_FILE", "the file has more than one line"]);
    // In a variable the backend takes blanks for a part of the URL.
    let blanks = configuration_error(bare_tarsy_db(directory).env("DATABASE_URL", "sqlite:///history.db\n"));
    assert_contains(&blanks, &["DATABASE_URL", "blanks or line ends around it"]);
    let missing = configuration_error(bare_tarsy_db(directory).env("DATABASE_URL_FILE", "/no/such/file"));
    assert_contains(&missing, &["DATABASE_URL_FILE", "/no/such/file"]);
}

#[apply(test)]
fn a_variable_and_its_file_form_exclude_each_other() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let directory = database.directory();
    let file = write_file(directory, "secret", "sqlite:///history.db");
    each(["DATABASE_URL", "DATABASE_PASSWORD"], |name| {
        let mut command = bare_tarsy_db(directory);
        command.env(name, "sqlite:///history.db").env(format!("{name}_FILE"), &file);
        if name == "DATABASE_PASSWORD" {
            command.env("DATABASE_URL", "");
        }
        assert_contains(&configuration_error(&mut command), &[name, &format!("{name}_FILE")]);
    });
}

/// Everything that a shell, a URL, TOML, SQL or a connection string could stumble over.
const ODD_PASSWORD: &str = r#"p@ss:w/o?r#d %40 'q' "d" \n $HOME `x` é &=;+ "#;

#[apply(test)]
fn a_password_given_by_its_parts_is_taken_literally() {
    let database = Database::postgresql();
    let (_, name) = database.url().rsplit_once('/').expect("the URL names a database");
    let (_, address) = database.url().rsplit_once('@').expect("the URL names a host");
    let (host, port) = address.split_once('/').and_then(|(host, _)| host.split_once(':')).expect("host and port");
    let role = format!("{name}_odd");
    database.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", ODD_PASSWORD.replace('\'', "''")));
    let directory = database.directory();
    let parts = || {
        let mut command = bare_tarsy_db(directory);
        command.env("DATABASE_HOST", host).env("DATABASE_PORT", port).env("DATABASE_USER", &role);
        command.env("DATABASE_NAME", name).args(["wait", "--max-attempts", "1", "--for", "connect"]);
        command
    };
    let file = write_file(directory, "password", format!("{ODD_PASSWORD}\n"));
    let toml = format!("[database]\npassword = {}\n", toml_string(ODD_PASSWORD));
    let config = write_file(directory, "settings.toml", &toml);
    let url = format!("postgresql://{role}:{}@{address}", percent_encoded(ODD_PASSWORD));
    let outcomes = [
        ("variable", Outcome::of(parts().env("DATABASE_PASSWORD", ODD_PASSWORD))),
        ("file", Outcome::of(parts().env("DATABASE_PASSWORD_FILE", &file))),
        ("settings file", Outcome::of(parts().env("TARSY_DB_CONFIG", &config))),
        ("escaped URL", Outcome::of(parts().env("DATABASE_URL", url))),
        ("wrong", Outcome::of(parts().env("DATABASE_PASSWORD", ODD_PASSWORD.trim()))),
    ];
    database.execute(&format!("DROP ROLE {role}"));
    each(outcomes, |(way, outcome)| {
        let expected = if way == "wrong" { 77 } else { 0 };
        assert_eq!(outcome.code, Some(expected), "{way}: {}", outcome.stderr);
    });
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| escaped + &format!("%{byte:02X}"))
}

#[apply(test)]
fn an_unescaped_password_is_explained_with_both_remedies() {
    let database = Database::sqlite();
    each(["p@ss", "p/ss", "p#ss", "p?ss", "50%"], |password| {
        let url = format!("postgresql://tarsy:{password}@localhost/tarsy");
        let error = configuration_error(bare_tarsy_db(database.directory()).env("DATABASE_URL", url));
        assert_contains(&error, &["DATABASE_URL", "percent-encode", "%40", "DATABASE_PASSWORD"]);
        assert!(!error.contains(password), "{error}");
    });
}

#[apply(test)]
fn mistakes_in_urls_are_named() {
    let database = Database::sqlite();
    let error = |url: &str| configuration_error(bare_tarsy_db(database.directory()).env("DATABASE_URL", url));
    assert_contains(&error("mysql://u:p@h/d"), &["mysql", "postgresql+asyncpg", "sqlite"]);
    assert_contains(&error("history.db"), &["does not start with", "for a SQLite file write"]);
    assert_contains(&error("sqlite:/history.db"), &["does not start with `sqlite:///`"]);
    assert_contains(&error("sqlite://history.db"), &["sqlite:///"]);
    assert_contains(&error("postgresql://u:p@h:port/d"), &["port"]);
    assert_contains(&error("postgresql://u:p@a:1,b:2/d?port=1,2,3"), &["more or fewer ports"]);
    assert_contains(&error("postgresql://u:p@h/d?sslmod=require"), &["sslmod", "sslmode"]);
    assert_contains(&error("postgresql://u:p@h/d?sslmode=yes"), &["`sslmode`", "verify-full"]);
    assert_contains(&error("postgresql://u:p@h/d?ssl=yes"), &["`ssl`", "verify-full"]);
}

#[apply(test)]
fn a_port_that_kubernetes_has_set_is_named() {
    let database = Database::sqlite();
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_PASSWORD", "x").env("DATABASE_PORT", "tcp://127.0.0.1:5432");
    assert_contains(&configuration_error(&mut command), &["`DATABASE_PORT`", "Kubernetes", "enableServiceLinks"]);
}

#[apply(test)]
fn mistakes_in_the_settings_file_are_named() {
    let database = Database::sqlite();
    let error = |text: &str| {
        let path = write_file(database.directory(), "settings.toml", text);
        configuration_error(bare_tarsy_db(database.directory()).args(["--config", &path]))
    };
    assert_contains(&error("[history]\nretention_day = 3\n"), &["history.retention_day", "history.retention_days"]);
    assert_contains(&error("[postgre]\npool_size = 3\n"), &["postgre.pool_size", "postgres.pool_size"]);
    assert_contains(&error("retention_days = 3\n"), &["retention_days", "history.retention_days"]);
    assert_contains(&error("[history\n"), &["settings.toml:1"]);
    assert_contains(&error("[postgres]\npool_size = \"many\"\n"), &["POSTGRES_POOL_SIZE", "many", "settings.toml"]);
    assert_contains(&error("[postgres]\npool_size = 2.5\n"), &["2.5"]);
}

#[apply(test)]
fn what_is_no_single_value_is_not_made_into_one() {
    let database = Database::sqlite();
    let cases = [
        ("[database.url]\nhost = \"db\"\n", "database.url"),
        ("[database]\npassword = [\"a\"]\nhost = \"127.0.0.1\"\nport = 1\n", "database.password"),
        ("[database.password]\nvalue = \"a\"\n", "database.password"),
    ];
    each(cases, |(text, setting)| {
        let path = write_file(database.directory(), "settings.toml", text);
        let error = configuration_error(bare_tarsy_db(database.directory()).args(["--config", &path]));
        assert_contains(&error, &[setting]);
    });
}

#[apply(test)]
fn an_empty_variable_counts_as_not_set() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    write_file(database.directory(), "tarsy-db.toml", "[history]\nretention_days = 30\n");
    let names = [
        "HISTORY_RETENTION_DAYS",
        "EVENT_RETENTION_HOURS",
        "HISTORY_ENABLED",
        "TARSY_DB_SCHEMA",
        "POSTGRES_POOL_SIZE",
        "POSTGRES_POOL_RECYCLE",
        "POSTGRES_POOL_PRE_PING",
    ];
    each(["", " "], |empty| {
        let mut info = tarsy_db(&database);
        info.envs(names.map(|name| (name, empty)));
        let settings = settings(&mut info);
        let found = |name| value_and_source(&settings, name);
        let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
        assert_eq!(found("history.retention_days"), pair("30", "tarsy-db.toml"), "{empty:?}");
        assert_eq!(found("history.event_retention_hours"), pair("24", "default"));
        assert_eq!(found("history.enabled"), pair("true", "default"));
        assert_eq!(found("postgres.pool_size"), pair("5", "default"));
    });
}

#[apply(test)]
fn bad_numbers_and_switches_are_errors_and_never_defaults() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let cases = [
        ("HISTORY_RETENTION_DAYS", "ninety"),
        ("HISTORY_RETENTION_DAYS", "-1"),
        ("HISTORY_RETENTION_DAYS", "90d"),
        ("HISTORY_ENABLED", "maybe"),
        ("POSTGRES_POOL_SIZE", "1e3"),
        ("POSTGRES_MAX_OVERFLOW", "4294967296"),
        ("POSTGRES_POOL_TIMEOUT", "30s"),
        ("POSTGRES_POOL_RECYCLE", "0x10"),
        ("POSTGRES_POOL_PRE_PING", "2"),
    ];
    each(cases, |(name, value)| {
        assert_contains(&configuration_error(tarsy_db(&database).env(name, value)), &[name, value]);
    });
    let port = configuration_error(
        tarsy_db(&database).env("DATABASE_URL", "").env("DATABASE_PASSWORD", "x").env("DATABASE_PORT", "70000"),
    );
    assert_contains(&port, &["DATABASE_PORT", "70000"]);
}

#[apply(test)]
fn the_parts_in_the_environment_beat_a_url_in_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_file(directory.path(), "tarsy-db.toml", "[database]\nurl = \"sqlite:///other.db\"\n");
    let mut command = bare_tarsy_db(directory.path());
    command
        .args(["check", "--output", "json"])
        .env("DATABASE_PASSWORD", "x")
        .env("DATABASE_HOST", "nosuchhost.invalid");
    assert_eq!(Outcome::of(&mut command).expect(69).json()["database"], "tarsy@nosuchhost.invalid:5432/tarsy");
}

#[apply(test)]
fn an_unknown_revision_of_a_setting_is_answered_as_that_of_the_flag() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let flag = Outcome::of(tarsy_db(&database).args(["init", "--to", "haed"])).expect(2).stderr;
    let answer = flag.split_once("<REVISION>': ").map(|(_, answer)| answer.lines().next().unwrap_or_default());
    let answer = answer.expect("the answer of the flag").to_owned();
    assert_contains(&answer, &["the nearest is `head`", "the revisions are 1 ae85467a75d2, 2 "]);
    let of_variable = configuration_error(tarsy_db(&database).env("TARSY_DB_SCHEMA", "haed"));
    assert_contains(&of_variable, &["`TARSY_DB_SCHEMA` is `haed`; ", &answer]);
    write_file(database.directory(), "tarsy-db.toml", "[schema]\ntarget = \"haed\"\n");
    let of_file = configuration_error(&mut tarsy_db(&database));
    assert_contains(&of_file, &["tarsy-db.toml is `haed`; ", &answer]);
    let several = configuration_error(tarsy_db(&database).env("TARSY_DB_SCHEMA", "a"));
    assert_contains(&several, &["`TARSY_DB_SCHEMA` is `a`; `a` is the beginning of several revisions"]);
}

#[apply(test)]
fn a_working_directory_that_cannot_be_searched_is_warned_of() {
    require_root();
    let database = Database::sqlite().with_schema(Schema::Baseline);
    set_mode(database.directory(), 0o777);
    set_mode(&database.file(), 0o666);
    let closed = test_directory();
    write_file(closed.path(), "tarsy-db.toml", "[postgres]\npool_size = 1\n");
    let wait = |arguments: &[&str]| {
        as_other_user_in(closed.path(), &database, &[&["wait", "--max-attempts", "1"], arguments].concat())
    };
    let what = format!("WARN this system user may not search the working directory {}", closed.path().display());
    set_mode(closed.path(), 0o700);
    wait(&[]).expect(0).tells(&[&what, "no `.env` and no `tarsy-db.toml` is looked up there"]);
    // A directory below it can be searched from within.
    let below = closed.path().join("below");
    std::fs::create_dir(&below).expect("it can be created");
    set_mode(&below, 0o755);
    write_file(&below, ".env", "HISTORY_ENABLED=false\n");
    let disabled = as_other_user_in(&below, &database, &["wait", "--max-attempts", "1"]).expect(0);
    assert!(disabled.stdout.contains("history is disabled (HISTORY_ENABLED in "), "{}", disabled.stdout);
    // A file that is named is needed.
    wait(&["--config", "tarsy-db.toml"]).expect(78).tells(&["cannot read the settings file tarsy-db.toml"]);
    // So is one that exists.
    set_mode(closed.path(), 0o755);
    set_mode(&closed.path().join("tarsy-db.toml"), 0o600);
    wait(&[]).expect(78).tells(&["cannot read the settings file tarsy-db.toml", "permission denied"]);
}
