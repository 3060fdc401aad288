//! Which process has locked a SQLite file. SQLite does not know it, but Linux lists locks by the inode of the file.

use std::path::Path;

use super::failure::{DatabaseCause, ErrorClass};
#[cfg(target_os = "linux")]
use super::sqlite_file::with_suffix;

/// The cause of a failure at a file that another process has locked, with that process.
#[must_use]
pub(crate) fn locked(file: &Path) -> DatabaseCause {
    let name = file.file_name().unwrap_or_default().display();
    let holder = process_holding(file).unwrap_or_else(|| "another process".to_owned());
    DatabaseCause::new(ErrorClass::Busy, format!("{name} is locked by {holder}"))
        .with_remedy("wait until it has finished, or end it")
}

/// The process, other than this one, that holds a lock of a SQLite file.
#[cfg(target_os = "linux")]
#[must_use]
pub(crate) fn process_holding(file: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // In WAL mode the writer's lock is on the shared-memory file.
    let inodes: Vec<u64> = ["", "-shm"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(with_suffix(file, suffix)).ok().map(|metadata| metadata.ino()))
        .collect();
    // The list may miss a held lock while other processes lock and unlock.
    (0..LOOKS).find_map(|_| holder_of_one(&inodes, &std::fs::read_to_string("/proc/locks").ok()?))
}

/// How often the list of locks is read until it has one. With four busy processes one read in thirty missed it.
#[cfg(target_os = "linux")]
const LOOKS: usize = 5;

/// The process that holds a lock on one of these files, if it is another one.
#[cfg(target_os = "linux")]
fn holder_of_one(inodes: &[u64], locks: &str) -> Option<String> {
    let own = std::process::id();
    // `1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 120`
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (&"WRITE", pid, place) = (fields.get(3)?, fields.get(4)?, fields.get(5)?) else { return None };
        let inode: u64 = place.rsplit(':').next()?.parse().ok()?;
        let pid: u32 = pid.parse().ok().filter(|pid| *pid != own)?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        inodes.contains(&inode).then(|| format!("process {pid} ({})", name.trim()))
    })
}

/// Unknown on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub(crate) fn process_holding(_file: &Path) -> Option<String> {
    None
}
