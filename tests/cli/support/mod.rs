//! What the tests share: the binary, a real PostgreSQL, and a new database for each test. Each file is named after what it
//! provides; what only one module of tests needs is in that module.

pub(crate) mod activity;
pub(crate) mod alteration;
pub(crate) mod append;
pub(crate) mod archive;
pub(crate) mod baseline;
pub(crate) mod birth;
pub(crate) mod campaign;
pub(crate) mod cases;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod column;
pub(crate) mod connection;
pub(crate) mod database;
pub(crate) mod document;
pub(crate) mod event;
pub(crate) mod fake_server;
pub(crate) mod halt;
pub(crate) mod harness;
pub(crate) mod history;
pub(crate) mod info;
pub(crate) mod json_schema;
pub(crate) mod migration;
pub(crate) mod obstacle;
pub(crate) mod other_user;
pub(crate) mod page;
pub(crate) mod patroni;
pub(crate) mod pgbouncer;
pub(crate) mod pooler;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod prune;
pub(crate) mod random;
pub(crate) mod random_text;
pub(crate) mod redaction;
pub(crate) mod revision;
pub(crate) mod role;
pub(crate) mod server;
pub(crate) mod small_disk;
pub(crate) mod snapshot;
pub(crate) mod sqlite_file;
pub(crate) mod terminal;
pub(crate) mod writer;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use tempfile::TempDir;

pub(crate) use database::{Database, Schema};
pub(crate) use harness::{campaign, patroni, pgbouncer, test};
pub(crate) use macro_rules_attribute::apply;
pub(crate) use process::Running;
pub(crate) use role::Role;
use server::Guard;

/// Leaves the test out where what takes root was switched off: to mount a disk, to make a process 1. Otherwise it fails
/// where it cannot run.
pub(crate) fn require_root() {
    harness::require("TARSY_DB_TEST_WITHOUT_ROOT", "root");
}

/// A directory in memory, where there is room for what the tests write, or wherever temporary files go.
pub(crate) fn temporary_directory(prefix: &str) -> TempDir {
    let mut named = tempfile::Builder::new();
    named.prefix(prefix);
    let created = match has_room(MEMORY) {
        true => named.tempdir_in(MEMORY),
        false => named.tempdir(),
    };
    created.expect("a temporary directory")
}

/// A directory for one test. It ends with the test, or with this process where that is killed: memory is not to fill
/// up.
pub(crate) fn test_directory() -> TempDir {
    static OF_THE_RUN: OnceLock<(PathBuf, Guard)> = OnceLock::new();
    let (of_the_run, _) = OF_THE_RUN.get_or_init(|| {
        let directory = temporary_directory("tarsy-db-tests-").keep();
        // Some tests run the binary as another user.
        std::fs::set_permissions(&directory, Permissions::from_mode(0o711)).expect("it is ours");
        let guard = Guard::with(&format!("rm -rf {}", directory.display()));
        (directory, guard)
    });
    tempfile::tempdir_in(of_the_run).expect("a temporary directory")
}

/// Linux keeps what is here in memory.
const MEMORY: &str = "/dev/shm";
/// More than the tests take at any time.
const ROOM: u64 = 4 << 30;

fn has_room(directory: &str) -> bool {
    static HAS_ROOM: OnceLock<bool> = OnceLock::new();
    *HAS_ROOM
        .get_or_init(|| rustix::fs::statvfs(directory).is_ok_and(|system| system.f_bavail * system.f_frsize > ROOM))
}

/// The binary with nothing from this process's environment, in the database's own directory.
pub(crate) fn tarsy_db(database: &Database) -> Command {
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", database.url());
    command
}

/// The binary with nothing from this process's environment, not even a database.
pub(crate) fn bare_tarsy_db(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    command.env_clear().current_dir(directory);
    command
}

/// Runs the binary at any URL, from an empty directory.
pub(crate) fn run_at(url: &str, arguments: &[&str]) -> Outcome {
    let directory = test_directory();
    Outcome::of(bare_tarsy_db(directory.path()).env("DATABASE_URL", url).args(arguments))
}

/// Writes a file into a directory, and gives its path.
pub(crate) fn write_file(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path.to_str().expect("UTF-8").to_owned()
}

/// The outcome of a command: exit code, standard output, standard error.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Runs the command and waits for its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the binary runs"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error contains all these parts.
    #[track_caller]
    pub(crate) fn tells(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in {}", self.stderr);
        }
    }

    /// Asserts that the command failed with one JSON document whose error contains all these parts.
    #[track_caller]
    pub(crate) fn fails_with(&self, parts: &[&str]) {
        let document = self.json();
        let error = &document["error"];
        assert_eq!(error["exit_code"].as_i64(), self.code.map(i64::from));
        for part in parts {
            assert!(error.to_string().contains(part), "no `{part}` in {error:#}");
        }
    }

    /// The warnings and errors on standard error.
    pub(crate) fn worries(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.starts_with(" INFO ")).collect()
    }

    /// Standard output as the one JSON document it has to be, which conforms to the published schema.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let document = serde_json::from_str(&self.stdout);
        let document = document.unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout));
        json_schema::conforms(&document);
        document
    }
}

impl From<std::process::Output> for Outcome {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
