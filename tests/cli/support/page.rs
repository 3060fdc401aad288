//! The pages of the manual, README.md and docs/*.md: what they show is what the program prints.
//!
//! A line `$ command` in a block of `console` runs, and what follows it is compared with what the command prints. A
//! comment that begins with `<!-- setup` runs as well and is not shown. All of a page runs in one shell, in an empty
//! directory of its own that the page calls `/srv/tarsy`. What differs from run to run is not compared, and `...` stands
//! for any number of lines. With `UPDATE_GENERATED` the page is rewritten where it differs.
//!
//! A setup has `generate_history`, `sql FILE_OR_URL STATEMENT`, and `$SUPERUSER_URL` where the page uses PostgreSQL.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use regex_lite::Regex;
use tarsy_db::ExitCode;
use tarsy_db::internals::KEYS;

use super::connection::Connection;
use super::document::{directory_of_examples, file_text, pages_in_docs, path_with_binary, project};
use super::server::{Guard, Server, reserve};

/// Where it is set, this program is no run of the tests: it is the `sql` of a page, and runs its argument there.
pub(crate) const RUNS_SQL_AT: &str = "TARSY_DB_TEST_RUNS_SQL_AT";

/// The directory in which a page's commands run, as the page calls it. It is as long as the path that it stands for, so
/// that tables are as wide.
const DIRECTORY: &str = "/srv/tarsy";
/// The server of the pages, whose port is another one in the test, of as many digits.
const SERVER: &str = "localhost:5432";
const PORT: &str = "5432";
/// What a server stores of the password in the pages' URL, with one round of hashing.
const VERIFIER: &str = "SCRAM-SHA-256$1:dGFyc3ktZGIgZG9jcy4uLg==\
    $ber49WzgmJuKHNHf9JDOd2+554KiifWPqI1l4+03Guo=:Pk/oTI1cPGuqpz7mRx8epTiHY3pdfAooooR9P4m9Fsc=";
/// What is between the outputs of two commands.
const END_OF_OUTPUT: &str = "--- end of output ---";
/// A line that stands for any number of lines.
const ELLIPSIS: &str = "...";
/// What is before and after a table that is made of the code.
const GENERATED: (&str, &str) = ("<!-- generated: ", "<!-- end of what is generated -->");

/// What differs from run to run, or from server to server, and its name.
const DIFFERENCES: [(&str, &str); 16] = [
    (r"(?m)^(commit|SQLite|TLS|compiler|target): .+", "$1: <build>"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?)?", "<date>"),
    (r"\b\d\d:\d\d:\d\d(?: UTC)?", "<time>"),
    (r"\b\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|min)\b(?: \d+(?:s|ms|µs|us|ns)\b)*", "<duration>"),
    (r"\b\d+(?:\.\d+)? (?:B|kB|MB|GB|KiB|MiB|GiB)\b", "<size>"),
    (r"\b(PostgreSQL|SQLite) \d+(?:\.\d+)+(?: \([^)]*\))?", "$1 <version>"),
    (r#""server_version": "[^"]*""#, r#""server_version": <version>"#),
    (r#""(\w*(?:bytes|seconds|live_rows|dead_rows))": [\d.]+"#, r#""$1": <figure>"#),
    (r#""(\w+_us)": ?\d+"#, r#""$1": <time>"#),
    (r"\b\d+\.\d\d\b", "<figure>"),
    (r"(?i)\b(process|pid) \d+", "$1 <pid>"),
    (r"\b[0-9a-f]{64}\b", "<digest>"),
    (r"\bfrom (?:127\.0\.0\.1|::1)", "from <address>"),
    (r"\b(attempt) \d+", "$1 <number>"),
    // A table is as wide as what it shows.
    (r" +", " "),
    (r"[─═]+", "─"),
];

/// The pages with something that can be compared.
pub(crate) fn pages() -> Vec<String> {
    let mut paths = pages_in_docs();
    paths.push("README.md".to_owned());
    paths.sort();
    paths.retain(|path| file_text(path).lines().any(|line| line == "```console" || line.starts_with(GENERATED.0)));
    paths
}

/// Compares a page with what the program prints, or rewrites it.
pub(crate) fn compare(path: &str) {
    let text = file_text(path);
    let parts = parts(&text);
    let mut printed = outputs(&text, &parts).into_iter();
    let (mut written, mut differences) = (Vec::new(), Vec::new());
    for part in &parts {
        let (shown, is) = match part {
            Part::Text(line) => {
                written.push((*line).to_owned());
                continue;
            }
            Part::Setup(_) => {
                printed.next();
                continue;
            }
            Part::Command { command, output } => {
                written.extend(command.iter().map(|line| (*line).to_owned()));
                (output, printed.next().expect("each command has an output"))
            }
            Part::Generated { name, lines } => (lines, generated(name)),
        };
        let is: Vec<&str> = is.lines().collect();
        let is_same = matches(&redacted(shown), &redacted(&is));
        let lines = if is_same { shown.clone() } else { shortened(shown, &is) };
        written.extend(lines.iter().map(|line| (*line).to_owned()));
        if !is_same {
            differences.push(format!("{part:#?} should be\n{}", lines.join("\n")));
        }
    }
    let is_up_to_date = differences.is_empty();
    if std::env::var_os("UPDATE_GENERATED").is_none() {
        assert!(is_up_to_date, "{path} is not up to date: run `make generate`\n\n{}", differences.join("\n\n"));
    } else if !is_up_to_date {
        std::fs::write(project().join(path), written.join("\n") + "\n").expect("the page can be written");
    }
}

/// What a page consists of.
#[derive(Debug)]
enum Part<'a> {
    /// A line that says what it says.
    Text(&'a str),
    /// What runs here without being shown.
    Setup(String),
    /// What runs here, with its output.
    Command { command: Vec<&'a str>, output: Vec<&'a str> },
    /// A table that is made of the code.
    Generated { name: &'a str, lines: Vec<&'a str> },
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        parts.push(Part::Text(line));
        if line == "<!-- setup" {
            let script: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| *line != "-->")).collect();
            parts.extend(script.iter().map(|line| Part::Text(line)));
            parts.push(Part::Setup(script.join("\n")));
        } else if line == "```console" {
            while lines.peek().is_some_and(|line| line.starts_with("$ ")) {
                let mut command = vec![lines.next().expect("it was seen")];
                while command.last().is_some_and(|line| line.ends_with('\\')) {
                    command.push(lines.next().expect("a command has an end"));
                }
                let is_output = |line: &&str| !line.starts_with("$ ") && *line != "```";
                let output = std::iter::from_fn(|| lines.next_if(is_output)).collect();
                parts.push(Part::Command { command, output });
            }
            assert_eq!(lines.peek(), Some(&"```"), "a block of `console` begins with `$ command`");
        } else if let Some(name) = line.strip_prefix(GENERATED.0).and_then(|rest| rest.strip_suffix(" -->")) {
            let lines = std::iter::from_fn(|| lines.next_if(|line| *line != GENERATED.1)).collect();
            parts.push(Part::Generated { name, lines });
        }
    }
    parts
}

/// Runs all of a page, and gives what each setup and each command printed.
fn outputs(text: &str, parts: &[Part<'_>]) -> Vec<String> {
    let steps = parts.iter().filter_map(|part| match part {
        Part::Setup(script) => Some(format!("set -e\n{script}\nset +e")),
        Part::Command { command, .. } => Some(command.join("\n").split_off("$ ".len())),
        Part::Text(_) | Part::Generated { .. } => None,
    });
    // `$?` is the command's own for the one that follows.
    let end = format!("{{ code=$?; printf '\\n%s\\n' '{END_OF_OUTPUT}'; (exit $code); }}");
    let script: Vec<String> = steps.map(|step| format!("{step}\n{end}\n")).collect();
    if script.is_empty() {
        return Vec::new();
    }

    let server = text.contains(SERVER).then(server);
    let port = server.as_ref().map_or_else(|| PORT.to_owned(), |server| server.port.to_string());
    let directory = directory();
    let hidden = tempfile::tempdir().expect("a directory for what the page does not show");
    let printed = hidden.path().join("printed");
    let file = File::create(&printed).expect("the output can be written");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script.concat().replace(PORT, &port)])
        .env_clear()
        .env("PATH", path(hidden.path()))
        .env("HOME", &directory.path)
        .current_dir(&directory.path)
        .stdin(Stdio::null())
        .stderr(file.try_clone().expect("a second handle"))
        .stdout(file)
        .process_group(0);
    if let Some(server) = &server {
        shell.env("SUPERUSER_URL", server.url("tarsy"));
    }
    let mut shell = shell.spawn().expect("a shell runs");
    let group = shell.id();
    shell.wait().expect("the shell ends");
    // What the page has left in the background.
    let _ = Command::new("kill").arg("--").arg(format!("-{group}")).stderr(Stdio::null()).status();

    let printed = std::fs::read(printed).expect("the output can be read");
    let printed = String::from_utf8(printed).expect("the output is text");
    let printed = printed.replace(&directory.path.display().to_string(), DIRECTORY);
    // Where a page gives a name to this machine.
    let printed = printed.replace("(127.0.0.1):", ":");
    // Not where a digest has the same digits.
    let port = Regex::new(&format!(r"\b{port}\b")).expect("a sound pattern");
    let printed = port.replace_all(&printed, PORT);
    let mut outputs: Vec<String> = printed.split(&format!("\n{END_OF_OUTPUT}\n")).map(str::to_owned).collect();
    let rest = outputs.pop().expect("there is something after each end");
    assert_eq!(outputs.len(), script.len(), "a setup failed:\n{rest}");
    outputs
}

/// A directory whose path is as long as the one that the pages show.
struct Directory {
    path: PathBuf,
    _guard: Guard,
}

fn directory() -> Directory {
    let named = tempfile::Builder::new().prefix("").rand_bytes(DIRECTORY.len() - "/tmp/".len()).tempdir_in("/tmp");
    let path = named.expect("a directory").keep();
    let guard = Guard::with(&format!("rm -rf {}", path.display()));
    Directory { path, _guard: guard }
}

/// A server with the role and the empty database of the pages' URL.
fn server() -> Server {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 6000 + u16::try_from(std::process::id() % 2000).expect("it is small");
    let mut ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
    let port = ports.find_map(|port| reserve(port).ok()).expect("some port is free");
    let server = Server::start_at(port, &["listen_addresses = 'localhost'"]);
    let mut superuser = Connection::open(&server.url("postgres"));
    superuser.execute(&format!("CREATE ROLE tarsy LOGIN PASSWORD '{VERIFIER}'"));
    superuser.execute("CREATE DATABASE tarsy OWNER tarsy");
    superuser.close();
    server
}

/// The PATH of a page: the binary, the example's, and `sql`.
fn path(hidden: &Path) -> std::ffi::OsString {
    let tests = std::env::current_exe().expect("the path of the tests");
    let sql = hidden.join("sql");
    let script = format!("#!/bin/sh\n{RUNS_SQL_AT}=\"$1\" exec '{}' \"$2\"\n", tests.display());
    std::fs::write(&sql, script).expect("a script can be written");
    std::fs::set_permissions(&sql, PermissionsExt::from_mode(0o755)).expect("it is ours");
    let inherited = path_with_binary();
    let folders = [directory_of_examples(), hidden.to_owned()].into_iter().chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).expect("a sound PATH")
}

/// What `sql` does.
pub(crate) fn run_sql(database: &str) {
    let statement = std::env::args().nth(1).expect("usage: sql FILE_OR_URL STATEMENT");
    let url = if database.contains("://") { database.to_owned() } else { format!("sqlite:{database}?mode=rwc") };
    let mut connection = Connection::open(&url);
    connection.execute(&statement);
    connection.close();
}

/// A table that is made of the code.
fn generated(name: &str) -> String {
    match name {
        "exit codes" => {
            let rows = ExitCode::ALL.map(|code| format!("| {code} | {} |\n", code.meaning()));
            format!("| code | meaning |\n|---|---|\n{}", rows.concat())
        }
        "settings" => {
            let rows = KEYS.map(|key| {
                let [default, flag] = [key.default, key.flag].map(|text| match text {
                    "" => String::new(),
                    _ => format!("`{text}`"),
                });
                // A secret may be in a file of its own.
                let [variable, path] = match key.environment {
                    "DATABASE_URL" | "DIRECT_DATABASE_URL" | "DATABASE_PASSWORD" => {
                        [format!("`{0}`, `{0}_FILE`", key.environment), format!("`{0}`, `{0}_file`", key.path)]
                    }
                    _ => [key.environment, key.path].map(|name| format!("`{name}`")),
                };
                format!("| {variable} | {path} | {default} | {} | {} | {flag} |\n", key.unit, key.meaning)
            });
            let header = "| environment | file | default | unit | meaning | flag |\n|---|---|---|---|---|---|\n";
            format!("{header}{}", rows.concat())
        }
        _ => panic!("nothing generates `{name}`"),
    }
}

/// Lines with names in the place of what differs.
fn redacted(lines: &[&str]) -> Vec<String> {
    static COMPILED: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        DIFFERENCES.iter().map(|(pattern, name)| (Regex::new(pattern).expect("a sound pattern"), *name)).collect()
    });
    let redacted = lines.iter().map(|line| {
        let names = compiled.iter();
        names.fold((*line).to_owned(), |line, (pattern, name)| pattern.replace_all(&line, *name).into_owned())
    });
    redacted.map(|line| line.trim_end().to_owned()).collect()
}

/// Whether these are the lines that a page shows.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == ELLIPSIS => (0..=printed.len()).any(|skip| matches(rest, &printed[skip..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| line == first && matches(rest, others))
        }
    }
}

/// What was printed, without what the page has left out: as many lines as it has before, between and after.
fn shortened<'a>(shown: &[&'a str], printed: &[&'a str]) -> Vec<&'a str> {
    let chunks: Vec<&[&str]> = shown.split(|line| *line == ELLIPSIS).collect();
    let Some((last, others)) = chunks.split_last().filter(|(_, others)| !others.is_empty()) else {
        return printed.to_vec();
    };
    let (mut lines, mut place) = (Vec::new(), 0);
    for (number, chunk) in others.iter().enumerate() {
        let begins = |line: &&str| redacted(&[line]) == redacted(&chunk[..1]);
        let start = if number == 0 { Some(0) } else { printed[place..].iter().position(begins).map(|at| place + at) };
        let start = start.unwrap_or_else(|| panic!("write this output by hand, shortened:\n{}", printed.join("\n")));
        place = printed.len().min(start + chunk.len());
        lines.extend(&printed[start..place]);
        lines.push(ELLIPSIS);
    }
    lines.extend(&printed[place.max(printed.len().saturating_sub(last.len()))..]);
    lines
}
