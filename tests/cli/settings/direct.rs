//! The direct URL: which commands use it, and when it does not count.

use std::path::Path;

use assert_cmd::Command;

use crate::support::cases::each;
use crate::support::history::{NOW, three_old_sessions};
use crate::support::server::closed_port;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, test, write_file};

const PRUNE: [&str; 6] = ["prune", "--older-than", "90d", "--yes", "--retry-for", "0s"];

/// Two addresses without a server: of a pooler, and of the server behind it.
struct Addresses {
    pooler: String,
    server: String,
    _reservations: [tokio::net::TcpSocket; 2],
}

impl Addresses {
    fn new() -> Self {
        let ((one, pooler), (other, server)) = (closed_port(), closed_port());
        let address = |port| format!("tarsy@127.0.0.1:{port}/tarsy");
        Self { pooler: address(pooler), server: address(server), _reservations: [one, other] }
    }
}

fn url(address: &str) -> String {
    format!("postgresql://{}", address.replacen('@', ":s3cr3t@", 1))
}

/// Runs a command that finds no server, and asserts which one it has looked for, and that it shows no password.
#[track_caller]
fn looks_for(command: &mut Command, address: &str) -> Outcome {
    let outcome = Outcome::of(command).expect(69);
    assert!(!outcome.stderr.contains("s3cr3t") && !outcome.stdout.contains("s3cr3t"), "{}", outcome.stderr);
    outcome.tells(&[&format!("cannot connect to {address}")]);
    outcome
}

/// `check --fix` at the database of the pooler, where nothing else is set.
fn fix(directory: &Path, addresses: &Addresses) -> Command {
    let mut command = bare_tarsy_db(directory);
    command.env("DATABASE_URL", url(&addresses.pooler)).args(["check", "--fix"]);
    command
}

#[apply(test)]
fn what_needs_a_session_uses_it_and_all_else_connects_as_the_backend_does() {
    let source = Database::sqlite().with_schema(Schema::Head);
    let addresses = Addresses::new();
    let tried = |arguments: &[&str], address: &str| {
        let mut command = bare_tarsy_db(source.directory());
        command.env("DATABASE_URL", url(&addresses.pooler)).env("DIRECT_DATABASE_URL", url(&addresses.server));
        looks_for(command.args(arguments), address);
    };
    let file = source.file().display().to_string();
    let migrate = ["migrate-sqlite-to-postgres", "--from", &file];
    let with = |more: &[&'static str]| [&migrate[..], more].concat();
    each(
        [
            vec!["check", "--fix"],
            [&PRUNE[..], &["--vacuum"]].concat(),
            with(&[]),
            with(&["--dry-run"]),
            with(&["--verify-only"]),
            with(&["--append"]),
        ],
        |arguments| tried(&arguments, &addresses.server),
    );
    each([&["init"][..], &["info"], &["check"], &PRUNE], |arguments| tried(arguments, &addresses.pooler));
    tried(&["wait", "--max-attempts", "1"], &addresses.pooler);
}

#[apply(test)]
fn it_comes_from_a_flag_a_variable_the_env_file_or_the_settings_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let (directory, addresses) = (directory.path(), Addresses::new());
    let (pooler, server) = (url(&addresses.pooler), url(&addresses.server));
    let is_from = |command: &mut Command, source: &str| {
        looks_for(command, &addresses.server)
            .tells(&[&format!("INFO the database is {} ({source})", addresses.server)]);
    };
    let file = format!("[database]\nurl = \"{pooler}\"\ndirect_url = \"{server}\"\n");
    write_file(directory, "tarsy-db.toml", file);
    let mut from_settings_file = bare_tarsy_db(directory);
    is_from(from_settings_file.args(["check", "--fix"]), "tarsy-db.toml");
    let named = write_file(directory, "direct", format!("{server}\n"));
    let file = format!("[database]\nurl = \"{pooler}\"\ndirect_url_file = \"{named}\"\n");
    write_file(directory, "tarsy-db.toml", file);
    is_from(&mut from_settings_file, "tarsy-db.toml, database.direct_url_file");
    std::fs::remove_file(directory.join("tarsy-db.toml")).expect("it is there");

    is_from(fix(directory, &addresses).env("DIRECT_DATABASE_URL", &server), "DIRECT_DATABASE_URL");
    is_from(fix(directory, &addresses).env("DIRECT_DATABASE_URL_FILE", &named), "DIRECT_DATABASE_URL_FILE");
    let other = "postgresql://tarsy@192.0.2.1/tarsy";
    let mut flag = fix(directory, &addresses);
    is_from(flag.env("DIRECT_DATABASE_URL", other).args(["--direct-url", &server]), "--direct-url");

    let dotenv = write_file(directory, ".env", format!("DATABASE_URL={pooler}\nDIRECT_DATABASE_URL={server}\n"));
    let source = format!("DIRECT_DATABASE_URL in {dotenv}");
    is_from(bare_tarsy_db(directory).args(["check", "--fix"]), &source);
    // The parts of an address have a pooler as well.
    write_file(directory, ".env", format!("DATABASE_PASSWORD=s3cr3t\nDIRECT_DATABASE_URL={server}\n"));
    is_from(bare_tarsy_db(directory).args(["check", "--fix"]), &source);
}

#[apply(test)]
fn the_flags_of_the_database_and_of_the_target_are_stronger() {
    let source = Database::sqlite().with_schema(Schema::Head);
    let addresses = Addresses::new();
    let (pooler, server) = (url(&addresses.pooler), url(&addresses.server));
    let bare = || {
        let mut command = bare_tarsy_db(source.directory());
        command.env("DIRECT_DATABASE_URL", &server);
        command
    };
    let outcome = looks_for(bare().args(["check", "--fix", "--database-url", &pooler]), &addresses.pooler);
    assert!(!outcome.stderr.contains("WARN"), "{}", outcome.stderr);
    let file = source.file().display().to_string();
    let migrate = ["migrate-sqlite-to-postgres", "--from", &file, "--to", &pooler];
    looks_for(bare().args(migrate), &addresses.pooler);
    // Of two flags one has no effect.
    let both = ["check", "--fix", "--database-url", &pooler, "--direct-url", &server];
    looks_for(bare().args(both), &addresses.pooler).tells(&["WARN `--direct-url` is ignored", "--database-url"]);
}

#[apply(test)]
fn one_that_may_be_of_another_database_is_ignored_with_a_warning() {
    let database = Database::sqlite().with_schema(Schema::Head);
    let (directory, addresses) = (database.directory(), Addresses::new());
    let server = url(&addresses.server);
    let mut on_a_file = bare_tarsy_db(directory);
    let outcome = Outcome::of(on_a_file.env("DIRECT_DATABASE_URL", &server).args(["check", "--fix"])).expect(0);
    outcome.tells(&["WARN `DIRECT_DATABASE_URL` is ignored: the database is ", "history.db"]);
    let file = format!("[database]\nurl = \"{server}\"\ndirect_url = \"{server}\"\n");
    write_file(directory, "tarsy-db.toml", file);
    looks_for(&mut fix(directory, &addresses), &addresses.pooler)
        .tells(&["WARN `database.direct_url` in tarsy-db.toml is ignored", "(DATABASE_URL)"]);
    let dotenv = write_file(directory, ".env", format!("DIRECT_DATABASE_URL={server}\n"));
    looks_for(&mut fix(directory, &addresses), &addresses.pooler)
        .tells(&[&format!("WARN `DIRECT_DATABASE_URL in {dotenv}` is ignored"), "(DATABASE_URL)"]);
}

#[apply(test)]
fn one_of_another_database_is_refused_before_anything_is_changed() {
    let [backends, other] = [(); 2].map(|()| three_old_sessions());
    let prune = |direct: &str| {
        let mut command = bare_tarsy_db(backends.directory());
        command.env("DATABASE_URL", backends.url()).env("DIRECT_DATABASE_URL", direct);
        Outcome::of(command.args([
            "prune",
            "--now",
            NOW,
            "--older-than",
            "90d",
            "--max-share",
            "100%",
            "--yes",
            "--vacuum",
        ]))
    };
    let refused = prune(other.url()).expect(78);
    refused.tells(&["which is not the database of the database URL", other.name(), backends.name()]);
    assert_eq!((backends.count("alert_sessions"), other.count("alert_sessions")), (3, 3));
    prune(backends.url()).expect(0);
    assert_eq!((backends.count("alert_sessions"), other.count("alert_sessions")), (0, 3));
}

#[apply(test)]
fn a_command_that_does_not_use_it_only_warns_of_a_broken_one() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    each(["sqlite:///history.db", "mysql://tarsy:s3cr3t@db/tarsy"], |direct| {
        let mut command = bare_tarsy_db(database.directory());
        command.env("DATABASE_URL", database.url()).env("DIRECT_DATABASE_URL", direct);
        Outcome::of(command.arg("wait")).expect(0).tells(&["WARN", "DIRECT_DATABASE_URL", "it is not used here"]);
    });
}

#[apply(test)]
fn one_that_is_not_a_url_of_postgresql_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let addresses = Addresses::new();
    each(["sqlite:///history.db", "mysql://tarsy:s3cr3t@db/tarsy", "s3cr3t"], |direct| {
        let mut command = fix(directory.path(), &addresses);
        let outcome = Outcome::of(command.env("DIRECT_DATABASE_URL", direct)).expect(78);
        outcome.tells(&["DIRECT_DATABASE_URL"]);
        assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
    });
}

#[apply(test)]
fn info_shows_it_without_its_password() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    let addresses = Addresses::new();
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", database.url()).env("DIRECT_DATABASE_URL", url(&addresses.server));
    let shown = Outcome::of(command.args(["info", "--output", "json"])).expect(0);
    assert!(!shown.stdout.contains("s3cr3t"), "{}", shown.stdout);
    let direct = &shown.json()["settings"]["database.direct_url"];
    assert_eq!((&direct["value"], &direct["source"]), (&addresses.server.into(), &"DIRECT_DATABASE_URL".into()));
}
