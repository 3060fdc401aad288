//! Where libpq's files are.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::environment::Environment;

/// The home directory.
pub(super) fn home(environment: &Environment) -> Option<PathBuf> {
    let home = environment.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    home.or_else(std::env::home_dir)
}

/// A file in `~/.postgresql`, if it exists.
pub(super) fn in_home(environment: &Environment, name: &str) -> Option<PathBuf> {
    Some(home(environment)?.join(".postgresql").join(name)).filter(|path| path.exists())
}

/// The same, also if this user may not look: libpq then refuses TLS.
pub(super) fn not_missing_in_home(environment: &Environment, name: &str) -> Option<PathBuf> {
    let path = home(environment)?.join(".postgresql").join(name);
    match std::fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Ok(_) | Err(_) => Some(path),
    }
}
