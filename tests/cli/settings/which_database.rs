//! Which database a command works on, and that a setting that does not count is named.

use std::path::Path;

use assert_cmd::Command;

use crate::support::cases::each;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, tarsy_db, test, write_file};

/// The lines of standard error with a warning.
fn warnings(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("WARN ")).collect()
}

#[track_caller]
fn assert_warning(outcome: &Outcome, parts: &[&str]) {
    let found = warnings(outcome);
    let is_there = found.iter().any(|warning| parts.iter().all(|part| warning.contains(part)));
    assert!(is_there, "no warning with {parts:?}:\n{}", outcome.stderr);
}

/// Value and source of the URL that `info` shows.
#[track_caller]
fn database(command: &mut Command) -> (String, String) {
    let url =
        Outcome::of(command.args(["info", "--output", "json"])).expect(0).json()["settings"]["database.url"].clone();
    let text = |part: &str| url[part].as_str().expect("a text").to_owned();
    (text("value"), text("source"))
}

/// The value that `check` shows of the database where there is none.
#[track_caller]
fn place(command: &mut Command) -> String {
    let outcome = Outcome::of(command.args(["check", "--output", "json"])).expect(69);
    outcome.json()["database"].as_str().expect("a text").to_owned()
}

#[apply(test)]
fn a_file_that_has_to_hold_a_url_or_a_password_is_not_empty() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let directory = database.directory();
    let refused = |command: &mut Command| Outcome::of(command.arg("check")).expect(78).stderr;
    each(["", "\n", " \r\n\t\n"], |text| {
        let path = write_file(directory, "secret", text);
        for name in ["DATABASE_URL_FILE", "DATABASE_PASSWORD_FILE"] {
            let error = refused(bare_tarsy_db(directory).env(name, &path));
            assert!(error.contains(name) && error.contains(&path) && error.contains("empty"), "{text:?}: {error}");
            // By a relative path as well.
            let error = refused(bare_tarsy_db(directory).env(name, "secret"));
            assert!(error.contains(&path), "{error}");
        }
        for key in ["url_file", "password_file"] {
            let config = write_file(directory, "settings.toml", format!("[database]\n{key} = \"{path}\"\n"));
            let error = refused(bare_tarsy_db(directory).args(["--config", &config]));
            assert!(error.contains(&format!("database.{key}")) && error.contains(&path), "{error}");
        }
    });
    // An empty variable names no file.
    let mut command = bare_tarsy_db(directory);
    for name in ["DATABASE_URL_FILE", "DATABASE_PASSWORD_FILE", "DATABASE_URL", "DATABASE_PASSWORD", "TARSY_DB_CONFIG"]
    {
        command.env(name, "");
    }
    Outcome::of(command.arg("check")).expect(0);
}

#[apply(test)]
fn the_env_file_of_the_working_directory_stands_between_the_environment_and_the_settings_file() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let directory = there.directory();
    let absolute = |name: &str| directory.join(name).display().to_string();
    let bare = || bare_tarsy_db(directory);
    for name in ["env.db", "variable.db", "flag.db", "file.db"] {
        std::fs::copy(directory.join("history.db"), directory.join(name)).expect("a copy");
    }
    write_file(directory, "tarsy-db.toml", "[database]\nurl = \"sqlite:///file.db\"\n[history]\nretention_days = 3\n");
    assert_eq!(database(&mut bare()), (absolute("file.db"), "tarsy-db.toml".to_owned()));

    let text = "# the backend's\nexport database_url = 'sqlite:///${NAME:-env}.db' # here\nHISTORY_RETENTION_DAYS=7\n";
    let file = write_file(directory, ".env", text);
    assert_eq!(database(&mut bare()), (absolute("env.db"), format!("DATABASE_URL in {file}")));
    let shown = Outcome::of(bare().args(["info", "--output", "json"])).expect(0).json()["settings"].clone();
    assert_eq!(shown["history.retention_days"]["value"], 7);

    let variable = ("DATABASE_URL", "sqlite:///variable.db");
    assert_eq!(database(bare().env(variable.0, variable.1)), (absolute("variable.db"), "DATABASE_URL".to_owned()));
    let mut flag = bare();
    flag.env(variable.0, variable.1).args(["--database-url", "sqlite:///flag.db"]);
    assert_eq!(database(&mut flag), (absolute("flag.db"), "--database-url".to_owned()));
    let named = write_file(directory, "url", "sqlite:///variable.db");
    assert_eq!(database(bare().env("DATABASE_URL_FILE", &named)).0, absolute("variable.db"));

    // Only the one in the working directory counts.
    let below = directory.join("below");
    std::fs::create_dir(&below).expect("a directory");
    assert_eq!(database(bare_tarsy_db(&below).env(variable.0, "sqlite:///../env.db")).1, "DATABASE_URL");
    let missing = Outcome::of(bare_tarsy_db(&below).arg("check")).expect(78).stderr;
    assert!(missing.contains(&below.join("history.db").display().to_string()), "{missing}");
}

#[apply(test)]
fn the_env_file_and_the_environment_are_merged_name_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.path();
    let bare = || bare_tarsy_db(directory);
    write_file(directory, ".env", "DATABASE_PASSWORD=p$a\nDATABASE_HOST=file.invalid\nDATABASE_USER=file\n");
    assert_eq!(place(&mut bare()), "file@file.invalid:5432/tarsy");
    assert_eq!(place(bare().env("database_host", "variable.invalid")), "file@variable.invalid:5432/tarsy");

    // The URL is stronger than the password, wherever they are.
    write_file(directory, ".env", "DATABASE_URL=postgresql://user@url.invalid/tarsy\n");
    assert_eq!(place(bare().env("DATABASE_PASSWORD", "x")), "user@url.invalid:5432/tarsy");
    // An empty variable is stronger than the line in the file, as for the backend. A warning says so.
    let mut hidden = bare();
    hidden.env("DATABASE_URL", "").env("DATABASE_PASSWORD", "x").env("DATABASE_HOST", "variable.invalid");
    let outcome = Outcome::of(hidden.arg("check")).expect(69);
    assert!(outcome.stdout.contains("variable.invalid"), "{}", outcome.stdout);
    assert_warning(&outcome, &["`DATABASE_URL in ", ".env", "`DATABASE_URL` is empty"]);

    // What the backend does not read there.
    write_file(
        directory,
        ".env",
        "TARSY_DB_REQUIRE_TLS=false\nTARSY_DB_SCHEMA=head\nDATABASE_URL_FILE=/nowhere\nTESTING=true\nTARSY_DB_CONFIG=x\n",
    );
    let outcome = Outcome::of(bare().args(["init"])).expect(0);
    assert!(outcome.stdout.contains("ae85467a75d2"), "{}", outcome.stdout);
    each(["TARSY_DB_REQUIRE_TLS", "TARSY_DB_SCHEMA", "DATABASE_URL_FILE", "TARSY_DB_CONFIG"], |name| {
        assert_warning(&outcome, &[".env", name]);
    });
}

#[apply(test)]
fn an_env_file_that_cannot_be_read_is_an_error_unless_something_stronger_names_the_database() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let directory = there.directory();
    let bare = || bare_tarsy_db(directory);
    let path = write_file(directory, ".env", b"DATABASE_URL=sqlite:///\xe9.db\n");
    each([&mut bare(), bare().env("DATABASE_PASSWORD", "x"), bare().env("DATABASE_URL", "")], |command| {
        let error = Outcome::of(command.arg("check")).expect(78).stderr;
        assert!(error.contains(&path) && error.contains("UTF-8"), "{error}");
    });
    let url = "sqlite:///history.db";
    each([bare().env("DATABASE_URL", url), bare().args(["--database-url", url])], |command| {
        assert_warning(&Outcome::of(command.arg("check")).expect(0), &[&path, "UTF-8"]);
    });
    let moved = ["migrate-sqlite-to-postgres", "--from", "history.db", "--to", "postgresql://x@127.0.0.1:1/x"];
    assert_warning(&Outcome::of(bare().args(moved)).expect(69), &[&path]);

    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("a directory");
    assert_eq!(database(&mut bare()).1, "default");
}

#[apply(test)]
fn what_is_wrong_in_an_env_file_is_reported_without_the_line() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let directory = there.directory();
    let outcome = |text: &str, code| {
        write_file(directory, ".env", text);
        let outcome = Outcome::of(bare_tarsy_db(directory).args(["-v", "check"])).expect(code);
        assert!(!(outcome.stdout.clone() + &outcome.stderr).contains("hunter2"), "{}", outcome.stderr);
        outcome
    };
    let unclosed = outcome("\nDATABASE_URL='postgresql://tarsy:hunter2@db/tarsy\n", 0);
    assert_warning(&unclosed, &[".env", "line 2"]);
    let marked = outcome("\u{feff}DATABASE_URL=postgresql://tarsy:hunter2@db/tarsy\n", 0);
    assert_warning(&marked, &[".env", "byte order mark"]);
    let wrong = outcome("DATABASE_URL=postgresql://tarsy:hunter2@x@db/tarsy\n", 78);
    assert!(wrong.stderr.contains("DATABASE_URL in ") && wrong.stderr.contains(".env"), "{}", wrong.stderr);
    let wrong = outcome("HISTORY_RETENTION_DAYS=many\nDATABASE_PASSWORD=hunter2\n", 78);
    assert!(wrong.stderr.contains("`HISTORY_RETENTION_DAYS` in "), "{}", wrong.stderr);
}

#[apply(test)]
fn a_command_that_writes_says_where_the_url_came_from() {
    let there = Database::sqlite();
    let directory = there.directory();
    let path = directory.join("history.db").display().to_string();
    write_file(directory, ".env", "DATABASE_URL=sqlite:///history.db\n");
    let cases = [
        (&["init"] as &[&str], true),
        (&["init", "--dry-run"], false),
        (&["check", "--fix"], true),
        (&["check"], false),
        (&["prune", "--yes"], true),
        (&["prune", "--dry-run"], false),
        (&["info"], false),
    ];
    each(cases, |(arguments, is_writing)| {
        let outcome = Outcome::of(bare_tarsy_db(directory).args(arguments)).expect(0);
        let is_told = outcome.stderr.contains(&path) && outcome.stderr.contains("DATABASE_URL in ");
        assert_eq!(is_told, is_writing, "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.worries(), [""; 0], "{arguments:?}");
    });
    let mut moved = bare_tarsy_db(directory);
    moved.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--to", "postgresql://x@127.0.0.1:1/x"]);
    let told = Outcome::of(&mut moved).expect(69).stderr;
    assert!(told.contains("the database is x@127.0.0.1:1/x (--to)"), "{told}");
}

#[apply(test)]
fn parts_without_a_password_do_not_count_and_are_named() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let directory = there.directory();
    let check = |command: &mut Command| Outcome::of(command.arg("check"));
    each(["DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER"], |name| {
        let outcome = check(bare_tarsy_db(directory).env(name, "5432")).expect(0);
        assert_warning(&outcome, &[&format!("`{name}`"), "history.db", "DATABASE_PASSWORD"]);
    });
    let several = check(bare_tarsy_db(directory).env("database_host", "db").env("DATABASE_NAME", "x")).expect(0);
    assert_warning(&several, &["`database_host`, `DATABASE_NAME` are ignored"]);
    assert_eq!(warnings(&check(bare_tarsy_db(directory).env("DATABASE_HOST", "")).expect(0)), [""; 0]);

    let config = write_file(directory, "settings.toml", "[database]\nhost = \"db\"\n");
    let in_file = check(bare_tarsy_db(directory).args(["--config", &config])).expect(0);
    assert_warning(&in_file, &["database.host", &config]);
    let path = write_file(directory, ".env", "DATABASE_HOST=db\n");
    assert_warning(&check(&mut bare_tarsy_db(directory)).expect(0), &["DATABASE_HOST in ", &path]);

    // Where a URL is the stronger one there is nothing to say.
    assert_eq!(warnings(&check(tarsy_db(&there).env("DATABASE_HOST", "db")).expect(0)), [""; 0]);
    // A URL in the settings file is weaker.
    let config = write_file(directory, "settings.toml", "[database]\nurl = \"sqlite:///history.db\"\nuser = \"x\"\n");
    let weaker = check(bare_tarsy_db(directory).args(["--config", &config])).expect(0);
    assert_warning(&weaker, &["DATABASE_HOST in ", &path]);
    assert!(!weaker.stderr.contains("database.user"), "{}", weaker.stderr);
}

#[apply(test)]
fn the_old_name_of_the_url_does_not_count_and_is_named() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let directory = there.directory();
    let old = ("HISTORY_DATABASE_URL", "postgresql://tarsy:hunter2@db/tarsy");
    let by_variable = Outcome::of(bare_tarsy_db(directory).env(old.0, old.1).arg("check")).expect(0);
    write_file(directory, ".env", format!("{}={}\n", old.0, old.1));
    let by_file = Outcome::of(bare_tarsy_db(directory).arg("check")).expect(0);
    each([by_variable, by_file], |outcome| {
        assert_warning(&outcome, &["HISTORY_DATABASE_URL", "`DATABASE_URL`", "history.db (default)"]);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    });
    let flag = ["--database-url", "sqlite:///history.db", "check"];
    assert_eq!(warnings(&Outcome::of(bare_tarsy_db(directory).args(flag)).expect(0)), [""; 0]);
}

#[apply(test)]
fn a_blank_flag_does_not_count_and_is_named() {
    let there = Database::sqlite().with_schema(Schema::Baseline);
    let outcome = Outcome::of(bare_tarsy_db(there.directory()).args(["--database-url", " ", "check"])).expect(0);
    assert_warning(&outcome, &["`--database-url` is empty", "history.db (default)"]);
}

#[apply(test)]
fn three_slashes_before_a_directory_of_the_root_are_reported_and_paths_are_shown_absolute() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.path();
    let here = std::fs::canonicalize(directory).expect("it is there");
    let init = |url: &str| Outcome::of(bare_tarsy_db(directory).env("DATABASE_URL", url).arg("init")).expect(0);
    let created = init("sqlite:///tmp/history.db?timeout=5");
    let path = here.join("tmp/history.db").display().to_string();
    assert_warning(&created, &["`sqlite:///tmp/history.db`", &path, "`sqlite:////tmp/history.db`"]);
    assert!(created.stdout.contains(&path), "{}", created.stdout);
    each(["sqlite:///./tmp/history.db", "sqlite:///no-such-directory/history.db", "sqlite:///tmp"], |url| {
        // A file called `tmp` cannot be where the directory is.
        let _ = std::fs::remove_dir_all(directory.join("tmp"));
        assert_eq!(warnings(&init(url)), [""; 0], "{url}");
    });
    let at_root = format!("sqlite:///{}", here.join("tmp").display().to_string().trim_start_matches('/'));
    let mut command = bare_tarsy_db(Path::new("/"));
    let outcome = Outcome::of(command.env("DATABASE_URL", at_root).arg("check")).expect(0);
    assert_eq!(warnings(&outcome), [""; 0]);

    let from = ["migrate-sqlite-to-postgres", "--from", "sqlite:///tmp/x.db", "--check-only"];
    let source = Outcome::of(bare_tarsy_db(directory).args(from));
    assert_warning(&source, &["`sqlite:///tmp/x.db`", "`sqlite:////tmp/x.db`"]);
    assert!(source.stderr.contains(&here.join("tmp/x.db").display().to_string()), "{}", source.stderr);
}

#[apply(test)]
fn a_url_that_has_lost_its_file_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let init = |url: &str| Outcome::of(bare_tarsy_db(directory.path()).env("DATABASE_URL", url).arg("init")).expect(0);
    assert_warning(&init("sqlite:///?timeout=5"), &["`sqlite:///` names no file", "memory"]);
    each(["sqlite:///:memory:", "sqlite://"], |url| {
        assert_eq!(warnings(&init(url)), [""; 0], "{url}");
    });
}

/// As psycopg2 with libpq 17 takes them, which the backend connects with.
#[apply(test)]
fn what_a_url_leaves_out_is_taken_from_the_variables_of_libpq() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |url: &str| {
        let mut command = bare_tarsy_db(directory.path());
        command.env("DATABASE_URL", url);
        command.env("PGHOST", "variable.invalid").env("PGPORT", "7").env("PGDATABASE", "variable");
        command
    };
    assert_eq!(place(&mut at("postgresql://x@/")), "x@variable.invalid:7/variable");
    assert_eq!(place(&mut at("postgresql://x@url.invalid")), "x@url.invalid:7/variable");
    assert_eq!(place(&mut at("postgresql://x@:5432/url")), "x@variable.invalid:5432/url");
    assert_eq!(place(&mut at("postgresql://x@/url?host=url.invalid&port=6")), "x@url.invalid:6/url");
    let empty = [("PGHOST", ""), ("PGPORT", ""), ("PGDATABASE", "")];
    assert_eq!(place(at("postgresql://x@url.invalid").envs(empty)), "x@url.invalid:5432/x");
    // The backend makes a whole URL of the parts.
    let mut parts = at("");
    parts.env("DATABASE_PASSWORD", "x").env("DATABASE_HOST", "part.invalid");
    assert_eq!(place(&mut parts), "tarsy@part.invalid:5432/tarsy");

    each([("PGPORT", "many"), ("PGHOSTADDR", "one.invalid")], |(name, value)| {
        let error = Outcome::of(at("postgresql://x@/x").env(name, value).arg("check")).expect(78).stderr;
        assert!(error.contains(&format!("`{name}`")), "{error}");
    });
}
