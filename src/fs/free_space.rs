//! Free space, devices and permissions of file systems.

use std::io;
use std::path::Path;

/// The bytes that this user may still write in the path's file system.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether this user may write to a database file and to its directory, as SQLite requires.
#[must_use]
pub(crate) fn may_be_written(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    may_write(&path) && path.parent().is_none_or(may_write)
}

/// The message for a missing file. It points to a compressed archive if there is one.
#[must_use]
pub(crate) fn nothing_at(path: &Path) -> String {
    let mut compressed = path.as_os_str().to_owned();
    compressed.push(".zst");
    let hint = match Path::new(&compressed).is_file() {
        true => format!("; `zstd -d {}` unpacks the compressed one", compressed.display()),
        false => String::new(),
    };
    format!("there is no file {}{hint}", path.display())
}

/// Whether both paths are on one device and share its free space; false if that cannot be determined.
#[must_use]
pub(crate) fn is_same_device(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    device(a).is_some_and(|a| device(b) == Some(a))
}
