//! A password appears nowhere: not in a result, an error, a log line or a help text.

use std::path::Path;

use assert_cmd::Command;

use crate::support::campaign::Size;
use crate::support::cases::each;
use crate::support::server::closed_port;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, campaign, tarsy_db, test, write_file};

const MARKER: &str = "s3cr3t-m4rker";

#[track_caller]
fn assert_no_marker(outcome: &Outcome, what: &str) {
    for (stream, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        assert!(!text.contains(MARKER), "{what} shows the password on {stream}:\n{text}");
    }
}

/// A server that may or may not let this role in with the marker as its password.
struct Target {
    name: &'static str,
    host: String,
    port: String,
    user: String,
    database: String,
}

impl Target {
    fn url(&self) -> String {
        format!("postgresql://{}:{MARKER}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// The ways in which a password reaches the binary.
const WAYS: [&str; 8] = ["flag", "direct URL", "URL", "URL file", ".env", "parts", "password file", "settings file"];

fn command(directory: &Path, way: &str, target: &Target) -> Command {
    let mut command = bare_tarsy_db(directory);
    let parts = |command: &mut Command| {
        command.env("DATABASE_HOST", &target.host).env("DATABASE_PORT", &target.port);
        command.env("DATABASE_USER", &target.user).env("DATABASE_NAME", &target.database);
    };
    // What the way before left.
    let _ = std::fs::remove_file(directory.join(".env"));
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    };
    match way {
        "flag" => drop(command.args(["--database-url", &target.url()])),
        "direct URL" => drop(command.env("DATABASE_URL", target.url()).env("DIRECT_DATABASE_URL", target.url())),
        "URL" => drop(command.env("DATABASE_URL", target.url())),
        "URL file" => drop(command.env("DATABASE_URL_FILE", file("url", target.url()))),
        ".env" => drop(file(".env", format!("DATABASE_URL={}\n", target.url()))),
        "parts" => {
            parts(&mut command);
            command.env("DATABASE_PASSWORD", MARKER);
        }
        "password file" => {
            parts(&mut command);
            command.env("DATABASE_PASSWORD_FILE", file("password", MARKER.to_owned()));
        }
        _ => {
            parts(&mut command);
            let path = file("settings.toml", format!("[database]\npassword = \"{MARKER}\"\n"));
            command.arg("--config").arg(path);
        }
    }
    command
}

const COMMANDS: [&[&str]; 7] = [
    &["init", "--lock-timeout", "5s"],
    &["wait", "--max-attempts", "1"],
    &["check", "--deep"],
    &["info"],
    &["prune", "--dry-run", "--retry-for", "0s"],
    &["migrate-sqlite-to-postgres"],
    &["prune", "--help"],
];
const LOUD: [&[&str]; 2] = [&["-v", "-v", "--output", "json", "--log-format", "json"], &["-v", "-v"]];

/// The daily run has every pair of way, command, target and format; the campaign all of them with all.
#[apply(campaign)]
fn a_password_is_shown_by_no_command_whichever_way_it_came_and_whatever_the_server_says() {
    let database = Database::postgresql();
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let (_, address) = database.url().rsplit_once('@').expect("the URL names a host");
    let (place, name) = address.split_once('/').expect("the URL names a database");
    let (host, port) = place.split_once(':').expect("the URL names a port");
    let [friend, stranger] = ["friend", "stranger"].map(|suffix| format!("{name}_{suffix}"));
    database.execute(&format!(
        "CREATE ROLE {friend} LOGIN PASSWORD '{MARKER}'; GRANT CREATE, USAGE ON SCHEMA public TO {friend};
         CREATE ROLE {stranger} LOGIN PASSWORD 'another'"
    ));
    let target = |name_of_case, user: &str, port: &str| Target {
        name: name_of_case,
        host: host.to_owned(),
        port: port.to_owned(),
        user: user.to_owned(),
        database: name.to_owned(),
    };
    let (_socket, closed) = closed_port();
    let targets = [
        target("working", &friend, port),
        target("wrong password", &stranger, port),
        target("unreachable", &friend, &closed.to_string()),
    ];
    let mut outcomes = Vec::new();
    for (target_number, target) in targets.iter().enumerate() {
        for (way_number, way) in WAYS.into_iter().enumerate() {
            for (command_number, arguments) in COMMANDS.into_iter().enumerate() {
                for (loud_number, loud) in LOUD.into_iter().enumerate() {
                    let is_daily = (target_number + way_number + command_number + loud_number).is_multiple_of(2);
                    if campaign::size() == Size::Daily && !is_daily {
                        continue;
                    }
                    let outcome = Outcome::of(command(source.directory(), way, target).args(loud).args(arguments));
                    outcomes.push((
                        format!("{} by {way}, {}", arguments[0], target.name),
                        target.name,
                        arguments,
                        outcome,
                    ));
                }
            }
        }
    }
    database.execute(&format!("DROP OWNED BY {friend}; DROP ROLE {friend}, {stranger}"));
    for (what, target, arguments, outcome) in &outcomes {
        assert_no_marker(outcome, what);
        let expected = match (*target, arguments.contains(&"--help")) {
            (_, true) | ("working", false) => 0,
            ("unreachable", false) => 69,
            // The run's server may accept any password.
            _ => continue,
        };
        assert_eq!(outcome.code, Some(expected), "{what}: {}{}", outcome.stdout, outcome.stderr);
    }
}

#[apply(test)]
fn a_password_is_not_shown_where_a_url_is_wrong() {
    let database = Database::sqlite();
    let cases = [
        format!("postgresql://u:{MARKER}@x@h/d"),
        format!("postgresql://u:{MARKER}/x@h/d"),
        format!("postgresql://u:x/{MARKER}@h/d"),
        format!("postgresql://u:x#{MARKER}@h/d"),
        format!("postgresql://u:{MARKER}%zz@h/d"),
        format!("postgresql://u:{MARKER}@h:port/d"),
        format!("postgresql://u:{MARKER}@a,b/d?port=1,2,3"),
        format!("postgresql://u:{MARKER}@h/d?password={MARKER}%00"),
        format!("postgresql://u@h/d?passwort={MARKER}"),
        format!("postgresql://u@h/d?sslmode={MARKER}"),
        format!("postgresql://u:{MARKER}"),
        format!("mysql://u:{MARKER}@h/d"),
        format!("u:{MARKER}@h://d"),
        format!("postgresql:u:{MARKER}@h/d"),
        MARKER.to_owned(),
    ];
    each(cases, |url| {
        for loud in LOUD {
            let by_variable =
                Outcome::of(bare_tarsy_db(database.directory()).env("DATABASE_URL", &url).args(loud).arg("check"));
            assert_no_marker(&by_variable.expect(78), &url);
            let target = ["migrate-sqlite-to-postgres", "--to", &url];
            assert_no_marker(
                &Outcome::of(bare_tarsy_db(database.directory()).args(loud).args(target)).expect(78),
                &url,
            );
            let source = ["migrate-sqlite-to-postgres", "--from", &url, "--to", "postgresql://127.0.0.1:1/x"];
            let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(loud).args(source));
            // Without `://` it is a path, and paths are shown.
            assert!(!url.contains("://") || !outcome.stderr.contains(MARKER), "{url}: {}", outcome.stderr);
        }
    });
}

#[apply(test)]
fn a_password_is_not_shown_where_the_settings_file_is_wrong() {
    let database = Database::sqlite();
    let cases = [
        format!("[database]\npassword = {MARKER}\n"),
        format!("[database]\npassword = \"{MARKER}\n"),
        format!("[database]\npassword \"{MARKER}\"\n"),
        format!("[database]\npassword = \"x\"\npassword = \"{MARKER}\"\n"),
        format!("[database]\npasword = \"{MARKER}\"\n"),
        format!("[database]\npassword = \"\\{MARKER}\"\n"),
        format!("[database]\nurl = \"postgresql://u:x@{MARKER}@h/d\"\n"),
        format!("[database]\npassword = [\"{MARKER}\"]\nurl = 5\n"),
    ];
    each(cases, |text| {
        let path = database.directory().join("settings.toml");
        std::fs::write(&path, &text).expect("a file can be written");
        for loud in LOUD {
            let mut command = bare_tarsy_db(database.directory());
            let outcome = Outcome::of(command.arg("--config").arg(&path).args(loud).arg("check"));
            assert_no_marker(&outcome.expect(78), &text);
        }
    });
}

#[apply(test)]
fn a_password_is_not_shown_where_the_command_line_is_wrong() {
    let database = Database::sqlite();
    let url = format!("postgresql://u:{MARKER}@h/d");
    let wrong: [&[&str]; 6] = [
        &["init", &url],
        &[&url],
        &["--database-ur", &url, "info"],
        &["info", "--output", &url],
        &["prune", "--older-than", &url],
        &["info", "--database-url", &url, "--bogus"],
    ];
    let shown = wrong.iter().filter_map(|arguments| {
        let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(*arguments)).expect(2);
        let all = outcome.stdout + &outcome.stderr;
        all.contains(MARKER).then(|| format!("{arguments:?}: {all}"))
    });
    assert_eq!(shown.collect::<Vec<_>>(), Vec::<String>::new());
}

#[apply(test)]
fn a_password_in_the_place_of_a_path_is_not_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases = [
        ("DATABASE_URL_FILE", format!("postgresql://tarsy:{MARKER}@db/tarsy")),
        ("DATABASE_PASSWORD_FILE", MARKER.to_owned()),
    ];
    each(cases, |(name, value)| {
        let outcome = Outcome::of(bare_tarsy_db(directory.path()).args(["info", "--output", "json"]).env(name, value));
        assert_no_marker(&outcome.expect(78), name);
    });
    each([format!("tarsy:{MARKER}@db/tarsy"), format!("postgresql:/tarsy:{MARKER}@db")], |url| {
        let arguments = ["migrate-sqlite-to-postgres", "--from", &url, "--to", "postgresql://tarsy@db/tarsy"];
        assert_no_marker(&Outcome::of(bare_tarsy_db(directory.path()).args(arguments)).expect(78), &url);
    });
    each(["--output", "--older-than"], |flag| {
        let argument = format!("{flag}=postgresql://tarsy:{MARKER}@db/tarsy");
        assert_no_marker(&Outcome::of(bare_tarsy_db(directory.path()).args(["prune", &argument])).expect(2), flag);
    });
}

#[apply(test)]
fn a_url_in_the_place_of_a_path_is_refused_and_not_shown() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    let url = format!("postgresql://tarsy:{MARKER}@db/tarsy");
    let on_sqlite = ["--from", "history.db", "--to", "postgresql://127.0.0.1:1/x"];
    let moved = [&["migrate-sqlite-to-postgres"][..], &on_sqlite, &["--report", &url]].concat();
    let cases = [
        &["info", "--config", &url][..],
        &["prune", "--older-than", "1d", "--yes", "--archive", &url],
        &["prune", "--older-than", "1d", "--yes", "--metrics-file", &url],
        &moved,
    ];
    each(cases, |arguments| {
        for loud in LOUD {
            let outcome = Outcome::of(tarsy_db(&database).args(arguments).args(loud)).expect(2);
            assert_no_marker(&outcome, arguments[0]);
            assert!(outcome.stderr.contains("expected the path of a file"), "{}", outcome.stderr);
        }
    });
    each(LOUD, |loud| {
        let outcome = Outcome::of(tarsy_db(&database).env("TARSY_DB_CONFIG", &url).arg("info").args(loud)).expect(78);
        assert_no_marker(&outcome, "TARSY_DB_CONFIG");
        assert!(outcome.stderr.contains("`TARSY_DB_CONFIG` is a URL"), "{}", outcome.stderr);
    });
    let outcome = Outcome::of(tarsy_db(&database).args(["wait", "--", &url])).expect(127);
    assert_no_marker(&outcome, "the command of wait");
}

/// The variables of which a message shows the value, or what it names.
const SHOWN: [&str; 21] = [
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_USER",
    "DATABASE_NAME",
    "HISTORY_RETENTION_DAYS",
    "TARSY_DB_SCHEMA",
    "TARSY_DB_REQUIRE_TLS",
    "TARSY_DB_CONFIG",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGCONNECT_TIMEOUT",
    "PGPASSFILE",
    "PGSERVICE",
];

#[apply(test)]
fn a_url_in_the_place_of_another_value_is_refused_and_not_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let values = ["postgresql://tarsy:X@h/d", "tarsy:X@127.0.0.1", "tarsy:X@h:1/d", "tarsy:X,@h", "//tarsy:X@h/d"];
    let cases = SHOWN.iter().flat_map(|name| values.map(|value| (*name, value.replace('X', MARKER))));
    each(cases, |(name, value)| {
        for loud in LOUD {
            let mut command = bare_tarsy_db(directory.path());
            if name.starts_with("PG") {
                command.env("DATABASE_URL", "postgresql://");
            } else {
                command.env("DATABASE_PASSWORD", "x");
            }
            let outcome = Outcome::of(command.env(name, &value).args(["wait", "--max-attempts", "1"]).args(loud));
            assert_no_marker(&outcome, name);
            outcome.expect(78).tells(&[name, "is a URL or a login, which is not shown; expected"]);
        }
    });
    let service = [("PGSERVICE", "x".to_owned()), ("PGSERVICEFILE", format!("u:{MARKER}@h"))];
    let mut command = bare_tarsy_db(directory.path());
    let outcome = Outcome::of(command.env("DATABASE_URL", "postgresql://").envs(service).arg("info")).expect(78);
    assert_no_marker(&outcome, "PGSERVICEFILE");
    let file = write_file(directory.path(), "services", format!("[x]\nldap://u:{MARKER}@h/d?x=y\n"));
    let mut command = bare_tarsy_db(directory.path());
    command.env("DATABASE_URL", "postgresql://?service=x").env("PGSERVICEFILE", file);
    let outcome = Outcome::of(command.arg("info")).expect(78);
    assert_no_marker(&outcome, "a line of a service");
    outcome.tells(&["a URL is not supported"]);
    each([format!("host={MARKER}@h"), format!("dbname=u:{MARKER}@h"), format!("u:{MARKER}@h=x")], |parameter| {
        let url = format!("postgresql://u@h/d?{parameter}");
        let outcome = Outcome::of(bare_tarsy_db(directory.path()).env("DATABASE_URL", &url).arg("info")).expect(78);
        assert_no_marker(&outcome, &url);
    });
}
