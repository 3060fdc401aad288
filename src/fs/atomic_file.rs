//! A file that appears under its name completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::temporary;

/// The names of open files.
const DESCRIPTORS: &str = "/proc/self/fd";

/// A file that has no name until it is published, so that a killed process leaves nothing of it. Where the file system
/// has no such files it has a temporary name in the same directory (a leading dot, a number at the end), and is removed if
/// it is dropped before it was published.
pub(crate) struct AtomicFile {
    path: PathBuf,
    /// The temporary name, if there is one.
    unfinished: Option<PathBuf>,
    file: File,
}

impl AtomicFile {
    /// Creates the file with these permissions, whatever the process's umask is.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let (unfinished, file) = if let Ok(file) = unnamed(parent(path)) {
            (None, file)
        } else {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            let (name, file) = under_free_name(path, |name| options.open(name))?;
            temporary::remember(&name);
            (Some(name), file)
        };
        let this = Self { path: path.to_owned(), unfinished, file };
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
            // A process id, and the number of an attempt; a longer number may be a date of the operator's.
            let is_number = |part: &[u8]| (1..=7).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
            let parts = |end: &[u8]| end.split(|byte| *byte == b'.').map(is_number).collect::<Vec<_>>();
            end.map(parts).is_some_and(|parts| parts.len() <= 2 && parts.into_iter().all(|is_number| is_number))
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

    /// A path under which it can be read before it is published.
    #[must_use]
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.unfinished.clone().unwrap_or_else(|| descriptor(&self.file))
    }

    /// Gives the file its final name. Its content must be on the disk already. If the rename fails, the complete file is
    /// kept under its temporary name.
    pub(crate) fn publish(mut self) -> io::Result<()> {
        self.place()
    }

    /// Does the same with a file that is still needed.
    pub(crate) fn place(&mut self) -> io::Result<()> {
        let name = match self.unfinished.take() {
            Some(name) => name,
            None => under_free_name(&self.path, |name| link(&self.file, name))?.0,
        };
        temporary::forget(&name);
        std::fs::rename(&name, &self.path).and_then(|()| File::open(parent(&self.path))?.sync_all())
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
        if let Some(name) = &self.unfinished {
            let _ = std::fs::remove_file(name);
            temporary::forget(name);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file without a name. One that cannot be linked later is of no use.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> io::Result<File> {
    std::fs::metadata(DESCRIPTORS)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

/// Gives a file without a name one.
#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    Ok(rustix::fs::linkat(CWD, descriptor(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// The name of an open file.
fn descriptor(file: &File) -> PathBuf {
    Path::new(DESCRIPTORS).join(file.as_raw_fd().to_string())
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Tries temporary names until one is free. Returns it with the result.
fn under_free_name<T>(path: &Path, create: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    let mut attempt = 0_u32;
    loop {
        let name = unfinished(path, attempt);
        match create(&name) {
            Ok(created) => return Ok((name, created)),
            // In containers every process may have the same process id, also a killed one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
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
        let killed = unfinished(&path, 0);
        std::fs::write(&killed, "half").expect("a file");
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
