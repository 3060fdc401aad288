//! A file that appears under its name completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::temporary;

/// A file that is written under a temporary name in the same directory (a leading dot, a number at the end). It is
/// removed if it is dropped before it was published.
pub(crate) struct AtomicFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    /// Whether the file is kept.
    stays: bool,
}

impl AtomicFile {
    /// Creates the temporary file with these permissions, whatever the process's umask is.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut attempt = 0_u32;
        let (unfinished, file) = loop {
            let unfinished = unfinished(path, attempt);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished) {
                Ok(file) => break (unfinished, file),
                // In containers every process may have the same process id, also a killed one.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        temporary::remember(&unfinished);
        let this = Self { path: path.to_owned(), unfinished, file, stays: false };
        this.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(this)
    }

    /// Removes the temporary files of killed processes. No other process may be writing to this path.
    pub(crate) fn clear(path: &Path) {
        let mut start = OsString::from(".");
        start.push(path.file_name().unwrap_or_default());
        start.push(".");
        let is_left_over = |name: &OsStr| {
            let end = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
            end.is_some_and(|end| !end.is_empty() && end.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
        };
        let entries = std::fs::read_dir(parent(path)).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_left_over(&entry.file_name())) {
            // A remaining file wastes space, but does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }

    #[must_use]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    #[must_use]
    pub(crate) fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Marks the file as complete. If a panic ends the process now, it is kept under its temporary name; if it is
    /// dropped it is removed.
    pub(crate) fn keep(&self) {
        temporary::keep(&self.unfinished);
    }

    /// Renames the file to its final name. Its content must be on the disk already. If the rename fails, the complete
    /// file is kept under its temporary name.
    pub(crate) fn publish(mut self) -> io::Result<()> {
        self.stays = true;
        temporary::forget(&self.unfinished);
        std::fs::rename(&self.unfinished, &self.path).and_then(|()| File::open(parent(&self.path))?.sync_all())
    }

    /// Keeps the file under its temporary name, which is returned.
    #[must_use]
    pub(crate) fn leave(mut self) -> PathBuf {
        self.stays = true;
        temporary::forget(&self.unfinished);
        self.unfinished.clone()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.stays {
            let _ = std::fs::remove_file(&self.unfinished);
            temporary::forget(&self.unfinished);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unfinished(path: &Path, attempt: u32) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    if attempt > 0 {
        name.push(format!(".{attempt}"));
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name()).collect()
    }

    #[test]
    fn a_file_appears_completely_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.prom");
        std::fs::write(&path, "before").expect("the file can be written");

        let mut dropped = AtomicFile::create(&path, 0o644).expect("a file");
        dropped.write_all(b"half").expect("the file can be written");
        drop(dropped);
        assert_eq!(names(directory.path()), ["a.prom"]);
        assert_eq!(std::fs::read(&path).expect("the file exists"), b"before");

        // A killed process of the same process id left this one.
        let killed = AtomicFile::create(&path, 0o644).expect("a file").leave();
        let mut file = AtomicFile::create(&path, 0o644).expect("a file");
        file.write_all(b"after").expect("the file can be written");
        file.publish().expect("it can be put in its place");
        assert_eq!(std::fs::read(&path).expect("the file exists"), b"after");
        let mode = std::fs::metadata(&path).expect("the file exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        std::fs::remove_file(killed).expect("it was left");
        assert_eq!(names(directory.path()), ["a.prom"]);
    }
}
