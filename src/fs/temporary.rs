//! Files that are removed even if a panic aborts the process, when no destructors run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::mutex::lock;

/// What happens to a file after a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Removed,
    Kept,
}

type Paths = BTreeMap<PathBuf, Fate>;

static PATHS: Mutex<Paths> = Mutex::new(Paths::new());

/// Registers a file or a directory to be removed by [`remove_all`].
pub(crate) fn remember(path: &Path) {
    lock(&PATHS).insert(path.to_owned(), Fate::Removed);
}

/// Registers a file that [`remove_all`] keeps and returns.
pub(crate) fn keep(path: &Path) {
    lock(&PATHS).insert(path.to_owned(), Fate::Kept);
}

/// Unregisters it, after it was removed or renamed.
pub(crate) fn forget(path: &Path) {
    lock(&PATHS).remove(path);
}

/// Removes the registered files, and returns those to be kept. The panic hook calls it, in any state of the process.
pub(crate) fn remove_all() -> Vec<PathBuf> {
    // The panicking thread may hold the lock.
    PATHS.try_lock().map(|paths| removed(&paths)).unwrap_or_default()
}

fn removed(paths: &Paths) -> Vec<PathBuf> {
    let mut kept = Vec::new();
    for (path, fate) in paths {
        // The process is ending: a file that cannot be removed remains.
        let _ = match fate {
            Fate::Kept => {
                kept.push(path.clone());
                Ok(())
            }
            Fate::Removed if path.is_dir() => std::fs::remove_dir_all(path),
            Fate::Removed => std::fs::remove_file(path),
        };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complete_is_kept_and_the_rest_removed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [file, inside, kept] = ["file", "inside", "kept"].map(|name| directory.path().join(name));
        std::fs::create_dir(&inside).expect("a directory");
        for path in [&file, &inside.join("copy"), &kept] {
            std::fs::write(path, "x").expect("it can be written");
        }
        let gone = directory.path().join("gone");
        let fates = [&file, &inside, &gone].map(|path| (path.clone(), Fate::Removed));
        let paths = fates.into_iter().chain([(kept.clone(), Fate::Kept)]).collect();
        assert_eq!(removed(&paths), std::slice::from_ref(&kept));
        assert!(!file.exists() && !inside.exists() && kept.exists());
    }
}
