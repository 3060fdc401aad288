//! Checks the path of an archive: a SQLite file, an empty file, or a new one; never the database itself.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use crate::database::failure::Verb;
use crate::database::sqlite_file::{MAGIC, SIDECARS, beside};
use crate::fs::regular_file;

/// Checks whether a path can be that of an archive which this user may write, and changes nothing. `pruned` is the SQLite
/// file that is pruned, if there is one.
pub(crate) fn require(path: &Path, pruned: Option<&Path>) -> Result<(), ArchiveError> {
    require_writable(&resolve(path, pruned)?)
}

/// Makes sure that this user may write to the file, and create files in its directory.
fn require_writable(path: &Path) -> Result<(), ArchiveError> {
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(io::Error::from);
    match may_write(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(ArchiveError::file((Verb::Write, "the archive"), path, error));
        }
        Ok(()) | Err(_) => {}
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    may_write(directory).map_err(|source| ArchiveError::Create { path: path.display().to_string(), source })
}

/// Checks whether a path can be that of an archive, and changes nothing. Returns it without symbolic links. `pruned` is
/// the SQLite file that is pruned, if there is one.
pub(super) fn resolve(path: &Path, pruned: Option<&Path>) -> Result<PathBuf, ArchiveError> {
    // If the working directory no longer exists, the path stays relative.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = without_links(path)?;
    if resolved.is_dir() {
        return Err(ArchiveError::foreign(path, "it is a directory"));
    }
    regular_file::refuse_special(&resolved)
        .map_err(|error| ArchiveError::file((Verb::Open, "the archive"), path, error))?;
    if let Some(pruned) = pruned {
        if is_same_file(&resolved, pruned) {
            return Err(ArchiveError::foreign(path, "it is the database itself"));
        }
        if SIDECARS.iter().any(|suffix| beside(pruned, suffix) == resolved) {
            return Err(ArchiveError::foreign(path, "SQLite reserves this name for a file beside the database"));
        }
    }
    require_sqlite(&resolved)?;
    Ok(resolved)
}

/// The path without symbolic links, of an existing file or a new one.
fn without_links(path: &Path) -> Result<PathBuf, ArchiveError> {
    if let Ok(resolved) = path.canonicalize() {
        return Ok(resolved);
    }
    match path.symlink_metadata() {
        Ok(file) if file.is_symlink() => return Err(ArchiveError::foreign(path, "it is a broken symbolic link")),
        // This user may not enter the directory, and so cannot create a file in it either.
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            return Err(ArchiveError::Create { path: path.display().to_string(), source });
        }
        Ok(_) | Err(_) => {}
    }
    let name = path.file_name().ok_or_else(|| ArchiveError::foreign(path, "it is a directory"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize();
    let parent = parent.map_err(|source| ArchiveError::Create { path: path.display().to_string(), source })?;
    Ok(parent.join(name))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Distinguishes a file from another one that has the same name later.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().map(|file| (file.dev(), file.ino())).ok()
}

/// Makes sure that the file is a SQLite file, empty, or missing.
pub(super) fn require_sqlite(path: &Path) -> Result<(), ArchiveError> {
    let mut start = Vec::new();
    let read = match File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut start),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    read.map_err(|error| ArchiveError::file((Verb::Read, "the archive"), path, error))?;
    match start.is_empty() || start == MAGIC {
        true => Ok(()),
        false => Err(ArchiveError::foreign(path, "it is not a SQLite database")),
    }
}

/// Makes sure that no program has the database open: part of its content may be in a file beside it.
pub(super) fn require_closed(path: &Path) -> io::Result<()> {
    match SIDECARS.iter().find(|suffix| beside(path, suffix).exists()) {
        None => Ok(()),
        Some(suffix) => {
            let message = format!("another program has the file open: its `{suffix}` exists");
            Err(io::Error::new(ErrorKind::ResourceBusy, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_archive_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = |name: &str| directory.path().join(name);
        let pruned = inside("history.db");
        std::fs::write(&pruned, MAGIC).expect("the file can be written");
        std::os::unix::fs::symlink(&pruned, inside("link")).expect("a link");
        std::os::unix::fs::symlink(inside("nowhere"), inside("broken")).expect("a link");
        std::fs::hard_link(&pruned, inside("hard")).expect("a link");
        std::fs::write(inside("text"), "to be, or not to be").expect("the file can be written");
        let refused =
            ["link", "hard", "broken", "text", "history.db", "history.db-wal", "history.db-journal"].map(inside);
        for path in refused.into_iter().chain([directory.path().to_owned()]) {
            let resolved = resolve(&path, Some(&pruned));
            assert!(matches!(resolved, Err(ArchiveError::Foreign { .. })), "{}", path.display());
        }
        assert!(matches!(resolve(Path::new("/dev/null"), Some(&pruned)), Err(ArchiveError::File { .. })));
        let missing = resolve(&inside("no/archive.db"), Some(&pruned));
        assert!(matches!(missing, Err(ArchiveError::Create { .. })));
        assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 5);
    }

    #[test]
    fn a_path_may_lead_to_a_file_or_to_a_place_for_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("it exists");
        std::fs::write(root.join("empty.db"), "").expect("the file can be written");
        std::fs::write(root.join("archive.db"), MAGIC).expect("the file can be written");
        std::os::unix::fs::symlink(root.join("archive.db"), root.join("link")).expect("a link");
        for (name, resolved) in
            [("empty.db", "empty.db"), ("new.db", "new.db"), ("archive.db", "archive.db"), ("link", "archive.db")]
        {
            let path = resolve(&root.join(name), Some(&root.join("history.db")));
            assert_eq!(path.expect("it can be an archive"), root.join(resolved), "{name}");
        }
    }
}
