//! The binary as a system user who may do less with a file than the one who runs the tests.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use tempfile::TempDir;

use super::{Database, Outcome, test_directory};

/// Runs the binary at the database's file, as another user if this one is root.
pub(crate) fn as_other_user(database: &Database, arguments: &[&str]) -> Outcome {
    as_other_user_in(Path::new("/"), database, arguments)
}

/// The same in a working directory.
pub(crate) fn as_other_user_in(directory: &Path, database: &Database, arguments: &[&str]) -> Outcome {
    let script = r#"if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; fi
        exec "$@""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(binary()).args(arguments).env_clear();
    shell
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DATABASE_URL", format!("sqlite:///{}", database.file().display()));
    Outcome::of(shell.env("HISTORY_RETENTION_DAYS", "3650").current_dir(directory))
}

/// Sets the permissions of a file or a directory.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// A copy of the binary that every user may run: the build directory may be closed to others.
fn binary() -> PathBuf {
    static COPY: OnceLock<TempDir> = OnceLock::new();
    let directory = COPY.get_or_init(|| {
        let directory = test_directory();
        set_mode(directory.path(), 0o755);
        std::fs::copy(env!("CARGO_BIN_EXE_tarsy-db"), directory.path().join("tarsy-db")).expect("there is room");
        directory
    });
    directory.path().join("tarsy-db")
}
