//! What the tests share: the binary, a real PostgreSQL, and one fresh database for each test.

pub(crate) mod database;
pub(crate) mod history;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod role;
pub(crate) mod server;

use assert_cmd::Command;

pub(crate) use database::Database;
pub(crate) use process::Running;
pub(crate) use role::Role;

/// Whether the tests that mount a disk or make a process 1 were switched off; otherwise they fail where they
/// cannot run.
pub(crate) fn without_root() -> bool {
    std::env::var_os("TARSY_DB_TEST_WITHOUT_ROOT").is_some()
}

/// The binary with nothing from this process's environment, in the database's own directory.
pub(crate) fn tarsy_db(database: &Database) -> Command {
    let mut command = bare_tarsy_db(database.directory());
    command.env("DATABASE_URL", database.url());
    command
}

/// The binary with nothing from this process's environment, not even a database.
pub(crate) fn bare_tarsy_db(directory: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
    command.env_clear().current_dir(directory);
    command
}

/// What a command left behind: exit code, standard output, standard error.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Runs the command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the binary runs"))
    }

    /// Makes sure of the exit code, showing everything if it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines of standard error that are more than information.
    pub(crate) fn worries(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.starts_with(" INFO ")).collect()
    }

    /// Standard output as the one JSON document it has to be.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

impl From<std::process::Output> for Outcome {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs one body as two tests, one for each backend.
macro_rules! on_both_backends {
    ($(fn $name:ident($database:ident: &Database) $body:block)+) => {
        mod on_sqlite {
            #[allow(unused_imports, reason = "bodies differ in what they use")]
            use super::*;
            $(#[test] fn $name() { super::$name(&crate::support::Database::sqlite()); })+
        }
        mod on_postgresql {
            #[allow(unused_imports, reason = "bodies differ in what they use")]
            use super::*;
            $(#[test] fn $name() {
                if let Some(database) = crate::support::Database::postgresql() { super::$name(&database); }
            })+
        }
        $(fn $name($database: &Database) $body)+
    };
}
pub(crate) use on_both_backends;
