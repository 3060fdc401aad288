//! A SQLite file seen without SQLite: its header and the files beside it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::format::{io_message, shell_word, size};
use crate::fs::free_space::{self, obstacle_to_file};
use crate::fs::regular_file;

/// The first bytes of every SQLite file. <https://www.sqlite.org/fileformat.html#the_database_header>
pub(crate) const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// In bytes.
pub(crate) const HEADER_LENGTH: usize = 100;

/// The newest versions of the file format and of the schema format that SQLite knows.
const NEWEST_FORMAT: u8 = 2;
const NEWEST_SCHEMA_FORMAT: u32 = 4;

/// The bytes that the disk must have free for a row: those of a `-shm`, and of some pages in the `-wal` or the `-journal`.
const ROOM: u64 = 64 << 10;

/// The suffixes of the files that SQLite keeps beside an open database.
pub(crate) const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether a SQLite file is in WAL mode and no process has it open.
///
/// A reader of a WAL file leaves `-wal` and `-shm` behind, and cannot open it at all in a directory where it may not
/// create them. Such a file can be opened as immutable instead, unless it has a `-wal`, whose content would be missing.
#[must_use]
pub(crate) fn is_at_rest(path: &Path) -> bool {
    is_in_wal_mode(path) && !wal_of(path).exists() && !beside(path, "-journal").exists()
}

/// Whether a file does not exist; false if this user may not search its directory.
#[must_use]
pub(crate) fn is_missing(path: &Path) -> bool {
    path.try_exists().map_or_else(|error| error.kind() != ErrorKind::PermissionDenied, |exists| !exists)
}

/// Why a file, or a directory, cannot be changed although its permissions allow it.
#[must_use]
pub(crate) fn protection(path: &Path) -> Option<DatabaseCause> {
    let (letter, name) = free_space::protecting_attribute(path)?;
    let message = format!("{} has the attribute `{letter}` ({name})", path.display());
    let remedy = format!("as root run `chattr -{letter} {}`", shell_word(&path.to_string_lossy()));
    Some(DatabaseCause::new(ErrorClass::InputOutput, message).with_remedy(remedy))
}

/// Why SQLite cannot write what it keeps beside a file that this user may write, if it cannot. Changes nothing.
///
/// In WAL mode it needs the `-wal` and the `-shm`, which it creates if they are missing. Otherwise it creates a
/// `-journal` for each transaction, and removes it.
#[must_use]
pub(crate) fn obstacle_beside(path: &Path) -> Option<DatabaseCause> {
    let is_in_wal_mode = is_in_wal_mode(path);
    let suffixes = sidecars_in(is_in_wal_mode);
    let needed = suffixes.iter().map(|suffix| beside(path, suffix));
    let (existing, missing): (Vec<_>, Vec<_>) = needed.partition(|file| file.exists());
    let denied = |obstacle: String| DatabaseCause::new(ErrorClass::FilePermission, obstacle);
    let refused = existing.iter().find_map(|file| {
        protection(file).or_else(|| refusal(file, "write to", Access::READ_OK | Access::WRITE_OK).map(denied))
    });
    if refused.is_some() {
        return refused;
    }
    if is_in_wal_mode && missing.is_empty() {
        return None;
    }
    let shown = suffixes.first()?;
    let file = beside(path, shown);
    let directory = file.parent()?;
    // A file can be created in an append-only directory, but the `-journal` cannot be removed.
    let protection = if is_in_wal_mode { None } else { protection(directory) };
    let needs = |obstacle| denied(format!("{obstacle}, and SQLite needs a `{shown}` there to write"));
    protection.or_else(|| obstacle_to_file(directory).map(needs))
}

/// Makes sure that the disk of a file has room for a row, so far as the file system tells.
///
/// # Errors
/// [`ErrorClass::DiskFull`].
pub(crate) fn require_room(path: &Path) -> Result<(), DatabaseCause> {
    match free_space::free(path) {
        Ok(free) if free < ROOM && free_space::has_known_size(path) => {
            let (free, needed) = (size(free), size(ROOM));
            let message = format!("its disk has {free} free for this user, and SQLite needs {needed} to write a row");
            Err(DatabaseCause::new(ErrorClass::DiskFull, message))
        }
        _ => Ok(()),
    }
}

/// Which file this user may not read of those that SQLite reads beside a file, and why.
#[must_use]
pub(crate) fn unreadable_beside(path: &Path) -> Option<String> {
    let files = sidecars_in(is_in_wal_mode(path)).iter().map(|suffix| beside(path, suffix));
    // SQLite does not read an empty one.
    let mut files = files.filter(|file| file.metadata().map_or(true, |metadata| metadata.len() > 0));
    files.find_map(|file| refusal(&file, "read", Access::READ_OK))
}

/// Which file beside this one is a FIFO, a device, a socket or a directory, and which of these: SQLite would wait for a FIFO for
/// ever, and gives no reason why it cannot open the others.
#[must_use]
pub(crate) fn special_beside(path: &Path) -> Option<DatabaseCause> {
    ["-journal", "-wal", "-shm"].iter().map(|suffix| beside(path, suffix)).find_map(|file| {
        let what = match regular_file::refuse_special(&file) {
            Err(error) => error.to_string(),
            Ok(()) if file.is_dir() => "a directory, not a regular file".to_owned(),
            Ok(()) => return None,
        };
        let remedy = "move it elsewhere, because SQLite keeps a file of this name beside the database";
        let message = format!("{} is {what}", file.display());
        Some(DatabaseCause::new(ErrorClass::InputOutput, message).with_remedy(remedy))
    })
}

/// The files that SQLite needs beside one in this mode.
fn sidecars_in(is_in_wal_mode: bool) -> &'static [&'static str] {
    if is_in_wal_mode { &["-wal", "-shm"] } else { &["-journal"] }
}

/// Why an existing file cannot be used. One that another process has removed meanwhile is no obstacle.
fn refusal(file: &Path, verb: &str, access: Access) -> Option<String> {
    let error = rustix::fs::access(file, access).map_err(std::io::Error::from).err()?;
    let is_missing = error.kind() == ErrorKind::NotFound;
    (!is_missing).then(|| format!("cannot {verb} {}: {}", file.display(), io_message(&error)))
}

/// The lengths of the `-wal` and of its file in bytes, if the `-wal` is the larger one.
#[must_use]
pub(crate) fn larger_wal(path: &Path) -> Option<[u64; 2]> {
    let [log, file] = [wal_of(path).metadata().ok()?.len(), path.metadata().ok()?.len()];
    (log > file).then_some([log, file])
}

/// The write-ahead log of a SQLite file in WAL mode.
#[must_use]
pub(crate) fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The file beside a SQLite file with this suffix. SQLite resolves symbolic links first.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), suffix)
}

/// As [`beside`], for a path without symbolic links.
pub(crate) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

fn is_in_wal_mode(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| says_wal(&header(&file)))
}

/// The header of an open file; less of it, or nothing, if the file is shorter or cannot be read.
#[must_use]
pub(crate) fn header(file: &File) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LENGTH);
    match file.take(HEADER_LENGTH as u64).read_to_end(&mut header) {
        Ok(_) => header,
        Err(_) => Vec::new(),
    }
}

/// Whether a header is that of a file in WAL mode: the file format's read version, byte 19, is 2.
#[must_use]
pub(crate) fn says_wal(header: &[u8]) -> bool {
    header.get(19) == Some(&2)
}

/// Why SQLite cannot read a file with this header: its format is a later one.
#[must_use]
pub(crate) fn newer_format(header: &[u8]) -> Option<DatabaseCause> {
    let (version, schema_format) = (*header.get(19)?, number(header, 44));
    let is_known = version <= NEWEST_FORMAT && schema_format <= NEWEST_SCHEMA_FORMAT;
    if is_known || !header.starts_with(MAGIC) {
        return None;
    }
    let message = format!("the file has a newer format (version {version}, schema format {schema_format})");
    let remedy = "convert it with a SQLite that reads this format: with `VACUUM INTO`, or with `.dump` and a reload";
    Some(DatabaseCause::new(ErrorClass::InputOutput, message).with_remedy(remedy))
}

/// A number of the header; 0 if the header ends before it.
#[must_use]
pub(crate) fn number(header: &[u8], offset: usize) -> u32 {
    header.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Why SQLite cannot write to a file with this header although it reads it: the write version, byte 18, is a later one.
#[must_use]
pub(crate) fn newer_write_version(header: &[u8]) -> Option<DatabaseCause> {
    let version = header.get(18).filter(|version| header.starts_with(MAGIC) && **version > NEWEST_FORMAT)?;
    let message =
        format!("the file has a newer format (write version {version}): SQLite reads it, and cannot write to it");
    let remedy = "copy it with `VACUUM INTO`, which writes the format that SQLite knows, and use the copy";
    Some(DatabaseCause::new(ErrorClass::InputOutput, message).with_remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_version_shows_wal_mode() {
        let mut header = [0; HEADER_LENGTH];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        assert!(!says_wal(&header));
        header[19] = 2;
        assert!(says_wal(&header));
        assert!(!says_wal(&header[..19]));
    }

    #[test]
    fn suffixes_come_behind_the_whole_name() {
        assert_eq!(with_suffix(Path::new("data/history.db"), "-wal"), Path::new("data/history.db-wal"));
    }
}
