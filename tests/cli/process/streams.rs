//! What every command has in common: its streams, its colours, its exit code, its end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW_US, OLD_US, insert_session, insert_whole_sessions};
use crate::support::process::{signal, wait_until};
use crate::support::server::closed_port;
use crate::support::terminal::{outcome_on_a_terminal, shown_on_a_terminal};
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, require_root, tarsy_db, test};

const BINARY: &str = env!("CARGO_BIN_EXE_tarsy-db");
const COMMANDS: [&[&str]; 6] = [
    &["init"],
    &["wait", "--max-attempts", "1"],
    &["check"],
    &["info"],
    &["prune", "--max-share", "100%", "--yes", "--retry-for", "0s"],
    &["migrate-sqlite-to-postgres"],
];

/// The control sequence with which a terminal erases a line.
const ERASE_LINE: &str = "\u{1b}[2K";

/// Two hours after that session started.
const LATER: &str = "2026-02-01T02:00:00Z";

fn database_with_a_session() -> Database {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    insert_session(&database, "one", "completed", Some(NOW_US));
    database
}

#[apply(test)]
fn every_failure_is_one_json_document_with_the_exit_code() {
    let database = database_with_a_session();
    let (_socket, port) = closed_port();
    let unreachable = format!("postgresql://tarsy@127.0.0.1:{port}/tarsy");
    each([(unreachable.as_str(), 69), ("postgresql://a:b:c@h/d", 78), ("mysql://h/d", 78)], |(url, code)| {
        for arguments in COMMANDS {
            let mut command = bare_tarsy_db(database.directory());
            command.env("DATABASE_URL", url).args(["--output", "json"]).args(arguments);
            let outcome = Outcome::of(&mut command).expect(code);
            let error = &outcome.json()["error"];
            assert_eq!(error["exit_code"], code, "{arguments:?}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{arguments:?}: {error}");
            assert!(outcome.stderr.contains("error: "), "{arguments:?}: {}", outcome.stderr);
        }
    });
}

#[apply(test)]
fn usage_errors_are_one_json_document_too() {
    let database = Database::sqlite();
    let wrong: [&[&str]; 7] = [
        &["info", "--output", "json", "--bogus"],
        &["--output=json", "no-such-command"],
        &["completions", "no-such-shell", "--output", "json"],
        &["prune", "--older-than", "soon", "--output", "json"],
        &["prune", "--before", "yesterday", "--output", "json"],
        &["prune", "--before", "2026-01-01T00:00:00Z", "--older-than", "1d", "--output", "json"],
        &["--output", "json"],
    ];
    each(wrong, |arguments| {
        let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(arguments)).expect(2);
        assert_eq!(outcome.json()["error"]["exit_code"], 2, "{arguments:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    });
    let for_people = Outcome::of(bare_tarsy_db(database.directory()).args(["info", "--bogus"])).expect(2);
    assert_eq!(for_people.stdout, "");
    let json_logs = ["info", "--log-format", "json", "--bogus"];
    let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(json_logs)).expect(2);
    assert_eq!(outcome.stdout, "", "logs as JSON are no result as JSON");
}

#[apply(test)]
fn an_argument_that_is_not_utf_8_is_a_usage_error_and_no_crash() {
    let database = Database::sqlite();
    each([vec!["--bogus\u{ff}"], vec!["info", "--output", "json"], vec!["prune", "--before"]], |arguments| {
        let mut command = bare_tarsy_db(database.directory());
        command.args(arguments).arg(OsStr::from_bytes(b"\xff"));
        let outcome = Outcome::of(&mut command).expect(2);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    });
}

#[apply(test)]
fn an_environment_that_is_not_utf_8_is_no_crash() {
    let database = database_with_a_session();
    let mut command = tarsy_db(&database);
    command.env(OsStr::from_bytes(b"OTHER\xff"), "x").env("ANOTHER", OsStr::from_bytes(b"\xff"));
    Outcome::of(command.arg("check")).expect(0);
    // A setting that matters is not ignored as if it were not set.
    each(["HISTORY_RETENTION_DAYS", "DATABASE_URL"], |name| {
        let mut command = tarsy_db(&database);
        command.env(name, OsStr::from_bytes(b"postgresql://u:\xff@h/d"));
        Outcome::of(command.args(["prune", "--max-share", "100%", "--yes", "--now", "2026-02-01T00:00:00Z"]))
            .expect(78);
    });
}

/// Runs a line of shell with the binary as `$0`.
fn shell(database: &Database, line: &str) -> Outcome {
    let mut command = Command::new("bash");
    command.args(["-c", line, BINARY]).env("DATABASE_URL", database.url()).current_dir(database.directory());
    Outcome::from(command.output().expect("bash runs"))
}

#[apply(test)]
fn a_reader_that_goes_away_is_no_error() {
    let database = database_with_a_session();
    each(["\"$0\" info | head -c 8", "\"$0\" completions bash | head -c 8", "\"$0\" --help | head -c 8"], |line| {
        let outcome = shell(&database, &format!("set -o pipefail; {line}")).expect(0);
        assert_eq!((outcome.stdout.len(), outcome.stderr.as_str()), (8, ""), "{line}");
    });
    // Standard error is closed.
    let outcome =
        shell(&database, "\"$0\" wait --database-url postgresql://127.0.0.1:1/x --timeout 1s 2> >(exec true)");
    assert_eq!(outcome.expect(124).stderr, "");
    // A full disk is not a reader that went away.
    assert_eq!(shell(&database, "\"$0\" info > /dev/full").expect(74).stdout, "");
}

#[apply(test)]
fn a_help_or_a_version_that_cannot_be_written_is_74() {
    let database = database_with_a_session();
    let arguments =
        ["--help", "-h", "--version", "--version --verbose", "prune --help", "help prune", "completions bash"];
    each(arguments, |arguments| {
        let full = shell(&database, &format!("\"$0\" {arguments} > /dev/full")).expect(74);
        full.tells(&["error: cannot write to standard output\n", "because: no space left on device"]);
        shell(&database, &format!("\"$0\" {arguments} | exec true; exit \"${{PIPESTATUS[0]}}\"")).expect(0);
    });
}

#[apply(test)]
fn what_was_committed_is_said_where_the_summary_cannot_be_written(database: &Database) {
    let full = |arguments: &str| shell(database, &format!("\"$0\" {arguments} > /dev/full")).expect(74).stderr;
    assert!(
        full("init --to head")
            .contains("cannot write to standard output; the changes are committed: created the schema in ")
    );
    assert!(!full("init --to head").contains("committed"));
    database.execute("DROP INDEX ix_alert_sessions_status");
    let told = full("check --fix");
    assert!(told.contains("the changes are committed: created index ix_alert_sessions_status"), "{told}");
    assert!(!full("check --fix").contains("committed"));
    for output in ["table", "json"] {
        insert_whole_sessions(database, 2, OLD_US);
        let told = full(&format!("prune --older-than 90d --max-share 100% --yes --output {output}"));
        let removed = "the changes are committed: removed 2 sessions (14 rows in all) from ";
        assert!(told.contains(removed) && told.contains("  because: "), "{told}");
    }
}

#[apply(test)]
fn a_move_whose_summary_cannot_be_written_is_said_to_be_committed() {
    let (source, target) = (Database::sqlite().with_schema(Schema::Head), Database::postgresql());
    let line = format!("\"$0\" migrate-sqlite-to-postgres --from '{}' > /dev/full", source.file().display());
    let told = shell(&target, &line).expect(74).stderr;
    assert!(told.contains("cannot write to standard output; the changes are committed: moved "), "{told}");
}

#[apply(test)]
fn colour_follows_the_flag_and_the_environment() {
    let database = database_with_a_session();
    let check = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = tarsy_db(&database);
        command.args(["check"]).args(arguments).envs(variable);
        Outcome::of(&mut command).expect(0).stdout
    };
    assert!(!check(&[], None).contains('\u{1b}'), "no terminal, no colour");
    assert!(!check(&["--color", "never"], None).contains('\u{1b}'));
    each([None, Some(("NO_COLOR", "1"))], |variable| {
        let always = check(&["--color", "always"], variable);
        assert!(always.contains('\u{1b}'), "{always}");
        // The result of a check is what colour is for.
        let line = always.lines().find(|line| line.contains("revision")).expect("a line for each check");
        assert!(line.contains('\u{1b}'), "{line}");
    });
}

#[apply(test)]
fn colour_of_a_usage_error_follows_the_flag() {
    let database = Database::sqlite();
    each([&["--color", "always"][..], &["--color=always"]], |flag| {
        let colored = Outcome::of(tarsy_db(&database).args(flag).args(["info", "--bogus"])).expect(2).stderr;
        assert!(colored.starts_with("\u{1b}[1;31merror:\u{1b}[0m "), "{colored}");
        let after = Outcome::of(tarsy_db(&database).args(["info", "--bogus"]).args(flag)).expect(2).stderr;
        assert!(after.contains('\u{1b}'), "{after}");
    });
    let plain = Outcome::of(tarsy_db(&database).args(["info", "--bogus"])).expect(2).stderr;
    assert!(!plain.contains('\u{1b}'), "no terminal, no colour: {plain}");
    let terminal = ("TERM", "xterm");
    let shown = |arguments: &str| outcome_on_a_terminal(&database, terminal, arguments).expect(2).stdout;
    assert!(shown("info --bogus").contains("\u{1b}[1;31merror:"));
    for flag in ["--color never", "--color=never"] {
        let shown = shown(&format!("{flag} info --bogus"));
        assert!(!shown.contains('\u{1b}'), "{flag}: {shown}");
    }
}

#[apply(test)]
fn a_terminal_gets_colour_unless_the_environment_says_no() {
    let database = database_with_a_session();
    assert!(shown_on_a_terminal(&database, ("TERM", "xterm"), "check").contains('\u{1b}'));
    each([("NO_COLOR", "1"), ("TERM", "dumb")], |variable| {
        for arguments in ["check", "info", "--help", "--color auto info"] {
            let shown = shown_on_a_terminal(&database, variable, arguments);
            assert!(!shown.contains('\u{1b}'), "{variable:?} {arguments}: {shown}");
        }
    });
    assert!(!shown_on_a_terminal(&database, ("TERM", "xterm"), "--color never check").contains('\u{1b}'));
}

#[apply(test)]
fn quiet_leaves_standard_error_empty_when_all_is_well() {
    let target = Database::postgresql();
    let database = database_with_a_session();
    let url = target.url();
    let commands: [&[&str]; 7] = [
        &["init"],
        &["wait"],
        &["check", "--deep"],
        &["info"],
        &["prune", "--max-share", "100%", "--yes", "--older-than", "1h", "--now", LATER, "--dry-run"],
        &["migrate-sqlite-to-postgres", "--to", url],
        &["prune", "--max-share", "100%", "--yes", "--older-than", "1h", "--now", LATER],
    ];
    each(commands, |arguments| {
        let outcome = Outcome::of(tarsy_db(&database).arg("-q").args(arguments)).expect(0);
        assert_eq!(outcome.stderr, "", "{arguments:?}");
        assert!(!outcome.stdout.is_empty(), "{arguments:?}");
    });
    let failed = Outcome::of(tarsy_db(&database).args(["-q", "check", "--database-url", "mysql://x"])).expect(78);
    assert!(failed.stderr.contains("mysql"), "an error is told even so");
}

#[apply(test)]
fn logs_as_json_are_one_object_a_line() {
    let database = Database::sqlite();
    let (_socket, port) = closed_port();
    let url = format!("postgresql://127.0.0.1:{port}/x");
    let arguments = ["-v", "--log-format", "json", "wait", "--timeout", "500ms", "--database-url", &url];
    let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(arguments)).expect(124);
    let lines: Vec<serde_json::Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let error = lines.iter().find(|line| line["level"] == "ERROR").expect("an error");
    let fields = &error["fields"];
    assert_eq!((&fields["class"], &fields["exit_code"]), (&"connection_refused".into(), &124.into()), "{error:#}");
    assert!(fields["causes"].as_array().is_some_and(|causes| causes.len() == 2), "{error:#}");
    assert!(fields["details"].as_array().is_some_and(Vec::is_empty), "{error:#}");
    assert!(error["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{error:#}");
}

#[apply(test)]
fn there_are_completions_for_each_shell() {
    let directory = Database::sqlite();
    each(["bash", "elvish", "fish", "powershell", "zsh"], |shell| {
        let outcome = Outcome::of(bare_tarsy_db(directory.directory()).args(["completions", shell])).expect(0);
        assert!(outcome.stdout.contains("migrate-sqlite-to-postgres"), "{shell}");
        assert_eq!(outcome.stderr, "", "{shell}");
    });
}

#[apply(test)]
fn help_and_version_answer_on_standard_output_and_show_no_value_of_the_environment() {
    let database = Database::sqlite();
    let run = |arguments: &[&str]| {
        let mut command = bare_tarsy_db(database.directory());
        for name in ["DATABASE_URL", "DATABASE_PASSWORD", "DATABASE_URL_FILE", "DATABASE_USER", "TARSY_DB_CONFIG"] {
            command.env(name, "s3cr3t-m4rker");
        }
        let outcome = Outcome::of(command.args(arguments)).expect(0);
        assert_eq!(outcome.stderr, "", "{arguments:?}");
        assert!(!outcome.stdout.contains("s3cr3t-m4rker"), "{arguments:?}");
        outcome.stdout
    };
    assert_eq!(run(&["--version"]).trim(), concat!("tarsy-db ", env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&["prune", "-V"]).split_whitespace().last(), Some(env!("CARGO_PKG_VERSION")));
    let all = run(&["--help"]);
    each(["init", "wait", "check", "info", "prune", "migrate-sqlite-to-postgres", "completions"], |command| {
        assert!(all.contains(command), "{command}");
        for flag in ["--help", "-h"] {
            let help = run(&[command, flag]);
            let example =
                help.lines().any(|line| line.contains("    ") && line.contains(&format!("tarsy-db {command}")));
            assert!(help.contains("Example") && example, "{command} {flag} shows no example:\n{help}");
        }
    });
}

#[apply(test)]
fn a_verbose_version_says_what_the_program_was_built_from() {
    let database = Database::sqlite();
    let run = |words: &str| {
        let outcome = Outcome::of(bare_tarsy_db(database.directory()).args(words.split(' '))).expect(0);
        assert_eq!(outcome.stderr, "", "{words}");
        outcome.stdout
    };
    each(["-V -v", "-Vv", "-vV", "-v -V", "-V -vv", "--version --verbose", "prune -V --verbose"], |words| {
        let shown = run(words);
        let lines: Vec<_> = shown.lines().map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
        let names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
        let release = concat!("tarsy-db ", env!("CARGO_PKG_VERSION"));
        assert_eq!(names, [release, "commit", "revisions", "SQLite", "TLS", "compiler", "target"]);
        let value = |name: &str| lines.iter().find(|(found, _)| *found == name).expect("a line").1;
        let commit = option_env!("TARSY_DB_COMMIT").filter(|commit| !commit.is_empty());
        assert_eq!(value("commit"), commit.unwrap_or("unknown"));
        assert_eq!(value("revisions"), "23, ae85467a75d2 to b67c135119d7");
        assert!(value("SQLite").starts_with("3."), "{shown}");
        assert!(value("TLS").starts_with("OpenSSL 3."), "{shown}");
        assert!(value("compiler").starts_with("rustc 1."), "{shown}");
        assert!(value("target").ends_with("(dynamic)") || value("target").ends_with("(static)"), "{shown}");
    });
    // These words are the program's that `wait` would start.
    each(["-V", "wait -V -- program -v", "-V --config=-v"], |words| {
        assert_eq!(run(words).lines().count(), 1, "{words}");
    });
}

fn require_process_1() {
    require_root();
    let possible = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    assert!(
        possible.is_ok_and(|output| output.status.success()),
        "`unshare --pid` needs root: TARSY_DB_TEST_WITHOUT_ROOT=1 make test leaves this test out"
    );
}

/// The children of a process, with those that have ended and were not reaped.
fn children(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("/proc");
    children.split_whitespace().map(|child| child.parse().expect("a number")).collect()
}

fn only_child(process: u32) -> u32 {
    children(process).first().copied().expect("one child")
}

#[apply(test)]
fn as_process_1_of_a_container_it_still_ends_on_a_signal() {
    require_process_1();
    let database = Database::sqlite();
    let (_socket, port) = closed_port();
    let url = format!("postgresql://127.0.0.1:{port}/x");
    each([("TERM", 143), ("INT", 130)], |(name, code)| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", BINARY, "wait", "--database-url", &url]);
        let run = Running::of(command.current_dir(database.directory()));
        wait_until("it waits", || run.stderr().contains("waiting for"));
        signal(only_child(run.pid()), name);
        run.finish().expect(code);
    });
}

#[apply(test)]
fn as_process_1_of_a_container_it_leaves_no_zombie_to_the_backend() {
    require_process_1();
    let database = Database::sqlite();
    // One orphan ends before the wait or in it, the other when the test says so.
    let entrypoint = r#"(true &); (sleep infinity &); exec "$@" wait --for schema --max-interval 1s -- sleep infinity"#;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", entrypoint, "sh", BINARY]);
    let mut run = Running::of(command.env("DATABASE_URL", database.url()).current_dir(database.directory()));
    run.says("waiting for");
    let process_1 = only_child(run.pid());
    wait_until("only one orphan is left", || children(process_1).len() == 1);
    signal(only_child(process_1), "KILL");
    wait_until("the orphan that ends is reaped", || children(process_1).is_empty());
    tarsy_db(&database).arg("init").assert().success();
    let name = || std::fs::read_to_string(format!("/proc/{process_1}/comm")).expect("/proc");
    wait_until("the backend takes its place", || name() == "sleep\n");
    assert_eq!(children(process_1), Vec::<u32>::new());
    signal(process_1, "KILL");
    run.kill();
}

#[apply(test)]
fn a_log_line_does_not_leave_an_old_bar_above_itself() {
    let target = Database::postgresql();
    let database = database_with_a_session();
    let arguments = format!("--color never migrate-sqlite-to-postgres --to {}", target.url());
    let shown = shown_on_a_terminal(&database, ("TERM", "xterm"), &arguments);
    // The bar of the source is drawn by then.
    let (before, _) = shown.split_once(" INFO moving ").expect("the log line");
    let (_, since_the_bar) = before.rsplit_once("checking").expect("the bar");
    assert!(since_the_bar.contains(ERASE_LINE), "{shown:?}");
}
