//! The working directory, in which the `.env` and the default settings file are.

use std::io::ErrorKind;
use std::path::Path;

/// The warning for a directory that this system user may not search, so that no file in it can be looked up: that of another
/// user from which `sudo` was called.
pub(crate) fn warning_if_closed() -> Option<String> {
    let error = Path::new(".env").symlink_metadata().err()?;
    let directory = std::env::current_dir().map_or_else(|_| ".".to_owned(), |path| path.display().to_string());
    let what = "no `.env` and no `tarsy-db.toml` is looked up there";
    (error.kind() == ErrorKind::PermissionDenied)
        .then(|| format!("this system user may not search the working directory {directory}: {what}"))
}
