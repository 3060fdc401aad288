//! Free space, devices and permissions of file systems.

use std::io;
use std::path::Path;

use crate::format::io_message;

/// The bytes that this user may still write in the path's file system.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether the path's file system says how large it is: some in user space do not.
#[must_use]
pub(crate) fn has_known_size(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_blocks > 0)
}

/// The attribute of `chattr` that protects a file or a directory from changes: its letter and its name. The permissions do
/// not show it.
#[cfg(target_os = "linux")]
#[must_use]
pub(crate) fn protecting_attribute(path: &Path) -> Option<(char, &'static str)> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let attributes = statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).ok()?.stx_attributes;
    match attributes {
        _ if attributes.contains(StatxAttributes::IMMUTABLE) => Some(('i', "immutable")),
        _ if attributes.contains(StatxAttributes::APPEND) => Some(('a', "append-only")),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub(crate) fn protecting_attribute(_path: &Path) -> Option<(char, &'static str)> {
    None
}

/// Why this user cannot create a missing directory, as far as that is known.
#[must_use]
pub(crate) fn obstacle_to_directory(directory: &Path) -> Option<String> {
    let nearest = directory.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let shown = nearest.display();
    if !nearest.is_dir() {
        return Some(format!("{shown} is not a directory"));
    }
    let access = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    if let Err(error) = access {
        return Some(format!("no directory can be created in {shown}: {}", io_message(&error.into())));
    }
    has_no_files(nearest)
        .then(|| format!("no directory can be created in {shown}, which shows the state of the system"))
}

/// Why this user cannot create a file in an existing directory, if that is so.
#[must_use]
pub(crate) fn obstacle_to_file(directory: &Path) -> Option<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let error = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).err()?;
    Some(format!("no file can be created in {}: {}", directory.display(), io_message(&error.into())))
}

/// Whether files are of the system alone, below /proc or /sys, where the permissions of the superuser do not help.
#[cfg(target_os = "linux")]
fn has_no_files(path: &Path) -> bool {
    const SYSFS: rustix::fs::FsWord = 0x6265_6572;
    rustix::fs::statfs(path).is_ok_and(|found| [rustix::fs::PROC_SUPER_MAGIC, SYSFS].contains(&found.f_type))
}

#[cfg(not(target_os = "linux"))]
fn has_no_files(_path: &Path) -> bool {
    false
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
