//! What people see, as files to compare with: `tests/cli/seen/snapshots`. What differs from run to run, or from machine
//! to machine, has a name in its place. `make snapshots` writes them anew.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::require;
use super::redaction::Redaction;
use super::{Database, Outcome, bare_tarsy_db};

/// Another database of the same kind.
pub(crate) fn another(database: &Database) -> Database {
    if database.is_sqlite() { file() } else { target() }
}

/// A SQLite database whose path is as long on every machine.
pub(crate) fn file() -> Database {
    Database::sqlite_in(Path::new("/tmp"))
}

/// A PostgreSQL database whose URL is as long on every machine.
pub(crate) fn target() -> Database {
    require("TEST_POSTGRESQL_URL", "a PostgreSQL server of the run's own");
    Database::postgresql()
}

/// The name of a snapshot of one backend.
pub(crate) fn name_of(kind: &str, scenario: &str, database: &Database) -> String {
    let backend = if database.is_sqlite() { "sqlite" } else { "postgresql" };
    format!("{kind}-{scenario}-{backend}")
}

/// Where the snapshots are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/seen/snapshots")
}

/// Compares a text with the snapshot of this name.
#[track_caller]
pub(crate) fn assert_seen(name: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A directory whose path is as long on every machine: a table is as wide as what it shows.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/tmp").expect("a temporary directory")
}

/// Where command lines run, and with which variables.
pub(crate) struct Scene {
    directory: PathBuf,
    /// One that ends with the scene.
    _own: Option<TempDir>,
    variables: Vec<(String, String)>,
    redaction: Redaction,
}

impl Scene {
    /// Beside the file of a database, or for PostgreSQL in a directory of its own. DATABASE_URL names the database.
    pub(crate) fn of(database: &Database) -> Self {
        let own = (!database.is_sqlite()).then(directory);
        let scene = Self::bare(own.as_ref().map_or(database.directory(), TempDir::path));
        let redaction = scene.redaction.database(database);
        Self { _own: own, redaction, ..scene }.with("DATABASE_URL", database.url())
    }

    /// In a directory, with no variable at all.
    pub(crate) fn bare(directory: &Path) -> Self {
        let redaction = Redaction::default().directory(directory, "directory");
        Self { directory: directory.to_owned(), _own: None, variables: Vec::new(), redaction }
    }

    /// In another directory, which has a name as well.
    pub(crate) fn at(mut self, directory: &Path, name: &str) -> Self {
        directory.clone_into(&mut self.directory);
        self.beside(directory, name)
    }

    /// Has a name for another directory.
    pub(crate) fn beside(mut self, directory: &Path, name: &str) -> Self {
        self.redaction = self.redaction.directory(directory, name);
        self
    }

    /// Has a name for any text.
    pub(crate) fn hiding(mut self, text: &str, name: &str) -> Self {
        self.redaction = self.redaction.text(text, name);
        self
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let mut command = bare_tarsy_db(&self.directory);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Outcome::of(command.args(words))
    }

    /// What a command line shows where there is no terminal.
    pub(crate) fn shown(&self, words: &[&str]) -> String {
        self.outcome(words, &self.run(words))
    }

    /// What a command line that fails shows as text, and as a document.
    #[track_caller]
    pub(crate) fn failure(&self, words: &[&str]) -> String {
        let as_document = [words, &["--output", "json"]].concat();
        let (text, mut document) = (self.failed(words), self.failed(&as_document));
        document.json();
        if self.redaction.apply(&document.stderr) == self.redaction.apply(&text.stderr) {
            "(the same)".clone_into(&mut document.stderr);
        }
        [self.outcome(words, &text), self.outcome(&as_document, &document)].join("\n")
    }

    /// What it shows as text alone.
    #[track_caller]
    pub(crate) fn failure_as_text(&self, words: &[&str]) -> String {
        self.outcome(words, &self.failed(words))
    }

    #[track_caller]
    fn failed(&self, words: &[&str]) -> Outcome {
        let outcome = self.run(words);
        assert_ne!(outcome.code, Some(0), "{words:?}:\n{}", outcome.stdout);
        outcome
    }

    /// What a run has shown.
    pub(crate) fn outcome(&self, words: &[&str], outcome: &Outcome) -> String {
        self.told(&format!("$ tarsy-db {}\n", words.join(" ")), outcome)
    }

    /// A text with names in the place of what differs.
    pub(crate) fn named(&self, text: &str) -> String {
        self.redaction.apply(text)
    }

    fn told(&self, heading: &str, outcome: &Outcome) -> String {
        let code = outcome.code.map_or("none".to_owned(), |code| code.to_string());
        let written = [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)].into_iter();
        let written =
            written.filter(|(_, text)| !text.is_empty()).map(|(stream, text)| format!("--- {stream}\n{text}"));
        let text: String = std::iter::once(format!("{heading}exit code {code}\n")).chain(written).collect();
        self.redaction.apply(&text)
    }

    /// The same with a document for its result.
    pub(crate) fn document(&self, words: &[&str]) -> String {
        self.shown(&[words, &["--output", "json"]].concat())
    }

    /// What a command line shows on a terminal of so many columns; what goes to standard error is left out. `script`
    /// lends the terminal.
    pub(crate) fn on_terminal(&self, columns: u16, words: &[&str]) -> String {
        let binary = env!("CARGO_BIN_EXE_tarsy-db");
        let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let run = format!("stty cols {columns} rows 50; exec '{binary}' {} 2>/dev/null", quoted.join(" "));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &run, "/dev/null"]);
        script.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "dumb");
        script.envs(self.variables.iter().map(|(name, value)| (name, value)));
        script.current_dir(&self.directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = script.spawn().expect("`script` of util-linux runs");
        let mut screen = terminal.stdout.take().expect("a screen");
        let mut stdout = Vec::new();
        screen.read_to_end(&mut stdout).expect("the terminal can be read");
        // Its keyboard stays there until then.
        let code = terminal.wait().expect("the process has ended").code();
        let stdout = String::from_utf8(stdout).expect("the output is UTF-8").replace("\r\n", "\n");
        let heading = format!("$ tarsy-db {}\n{columns} columns, ", words.join(" "));
        self.told(&heading, &Outcome { code, stdout, stderr: String::new() })
    }
}
