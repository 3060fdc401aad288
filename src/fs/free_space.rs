//! What is in file systems, and what they have room for.

use std::io;
use std::path::Path;

/// The bytes that are free for this user where a path is.
///
/// # Errors
/// Whatever the operating system answers.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether this user may write to a database's file, and beside it, as SQLite has to.
#[must_use]
pub(crate) fn may_be_written(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    may_write(&path) && path.parent().is_none_or(may_write)
}

/// Says that there is no file of that name, and where it may have gone: archives are compressed.
#[must_use]
pub(crate) fn nothing_at(path: &Path) -> String {
    let mut compressed = path.as_os_str().to_owned();
    compressed.push(".zst");
    let hint = match Path::new(&compressed).is_file() {
        true => format!(", but a compressed one: `zstd -d {}` unpacks it", compressed.display()),
        false => String::new(),
    };
    format!("there is no file {}{hint}", path.display())
}

/// Whether both paths share one device, and with it the room that is free; not where that cannot be told.
#[must_use]
pub(crate) fn is_same_device(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    device(a).is_some_and(|a| device(b) == Some(a))
}
