//! A file that is in its place completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::temporary;

/// A file that is being written, beside the place where it will be, under a name that begins with a dot and ends with
/// a number. Dropped before it was published, it is gone.
pub(crate) struct AtomicFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    /// Whether the file stays, in its place or beside it.
    stays: bool,
}

impl AtomicFile {
    /// Begins a file with these permissions, whatever the process's mask says.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut attempt = 0_u32;
        let (unfinished, file) = loop {
            let unfinished = unfinished(path, attempt);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished) {
                Ok(file) => break (unfinished, file),
                // In containers every process may have the same number, also one that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        temporary::remember(&unfinished);
        let this = Self { path: path.to_owned(), unfinished, file, stays: false };
        this.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(this)
    }

    /// Removes what others left unfinished when they were killed. Nobody else may be at work on this path.
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
            // It takes room, and nothing else.
            let _ = std::fs::remove_file(entry.path());
        }
    }

    /// What is written to.
    #[must_use]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is until then.
    #[must_use]
    pub(crate) fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Says that it is complete: from now on it outlives a defect that ends the process, beside its place. Dropped it
    /// is gone all the same.
    pub(crate) fn keep(&self) {
        temporary::keep(&self.unfinished);
    }

    /// Puts it in its place. What was written has to be on the disk by then. Where that fails it stays beside it: it
    /// is complete.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub(crate) fn publish(mut self) -> io::Result<()> {
        self.stays = true;
        temporary::forget(&self.unfinished);
        std::fs::rename(&self.unfinished, &self.path).and_then(|()| File::open(parent(&self.path))?.sync_all())
    }

    /// Leaves it under its other name, which is given.
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
    fn a_file_is_there_completely_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.prom");
        std::fs::write(&path, "before").expect("the file can be written");

        let mut dropped = AtomicFile::create(&path, 0o644).expect("a file");
        dropped.write_all(b"half").expect("the file can be written");
        drop(dropped);
        assert_eq!(names(directory.path()), ["a.prom"]);
        assert_eq!(std::fs::read(&path).expect("the file is there"), b"before");

        // As a process of that number left it that was killed.
        let killed = AtomicFile::create(&path, 0o644).expect("a file").leave();
        let mut file = AtomicFile::create(&path, 0o644).expect("a file");
        file.write_all(b"after").expect("the file can be written");
        file.publish().expect("it can be put in its place");
        assert_eq!(std::fs::read(&path).expect("the file is there"), b"after");
        let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        std::fs::remove_file(killed).expect("it was left");
        assert_eq!(names(directory.path()), ["a.prom"]);
    }
}
