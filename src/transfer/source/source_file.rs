//! The file, its `-wal` and its `-shm`, read without SQLite: the header, the files beside it, and its locks.
//!
//! POSIX locks belong to a process and a file: closing any descriptor of that file releases all of them, SQLite's own
//! too. What is opened here must therefore stay open for as long as SQLite reads the same file.
//! <https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::sqlite_file::{
    HEADER_LENGTH, MAGIC, newer_format, number, says_wal, special_beside, unreadable_beside, with_suffix,
};
use crate::format::{self, io_message};
use crate::fs::{free_space, regular_file};

const GIVE_PERMISSION: &str = "run as the user of TARSy's backend, or give this user read permission for the file";

/// The interval at which a lock is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a file cannot be read.
#[derive(Debug)]
pub(crate) struct FileFault {
    /// The class and the message.
    pub(crate) cause: DatabaseCause,
    /// A more specific hint than that of the cause.
    pub(crate) hint: Option<&'static str>,
}

impl FileFault {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>, hint: Option<&'static str>) -> Self {
        Self { cause: DatabaseCause::new(class, message), hint }
    }
}

impl From<DatabaseCause> for FileFault {
    fn from(cause: DatabaseCause) -> Self {
        Self { cause, hint: None }
    }
}

impl From<sqlx::Error> for FileFault {
    fn from(error: sqlx::Error) -> Self {
        DatabaseCause::from(error).into()
    }
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        Self::new(error_class(&error), io_message(&error), None)
    }
}

/// Classifies an I/O error of a file.
pub(crate) fn error_class(error: &io::Error) -> ErrorClass {
    match error.kind() {
        ErrorKind::NotFound => ErrorClass::NoSuchFile,
        ErrorKind::PermissionDenied => ErrorClass::FilePermission,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ErrorClass::DiskFull,
        _ => ErrorClass::InputOutput,
    }
}

/// A SQLite file, open for reading.
pub(crate) struct SqliteFile {
    /// The canonical path: SQLite's other files are beside it, not beside a symbolic link.
    pub(crate) path: PathBuf,
    file: File,
}

impl SqliteFile {
    /// Opens a regular file for reading.
    pub(crate) fn open(path: &Path) -> Result<Self, FileFault> {
        let shown = path.display();
        let fault = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => FileFault::new(
                ErrorClass::NoSuchFile,
                free_space::nothing_at(path),
                Some("check the path: `--from` takes a path or a URL (sqlite:////absolute/path, sqlite:///relative)"),
            ),
            ErrorKind::PermissionDenied => FileFault::new(
                ErrorClass::FilePermission,
                format!("permission denied: this user may not read {shown}"),
                Some(GIVE_PERMISSION),
            ),
            _ => error.into(),
        };
        let real = path.canonicalize().map_err(fault)?;
        let no_file = |class, what: String| {
            let hint = "name the database file, such as `--from data/history.db`";
            FileFault::new(class, format!("{shown} is {what}"), Some(hint))
        };
        if real.is_dir() {
            return Err(no_file(ErrorClass::CannotOpen, "a directory, not a file".to_owned()));
        }
        let opened = regular_file::open(&real).map_err(|error| match regular_file::is_special(&error) {
            true => no_file(ErrorClass::InputOutput, error.to_string()),
            false => fault(error),
        });
        let file = opened?;
        if let Some(special) = special_beside(&real) {
            return Err(special.into());
        }
        match unreadable_beside(&real) {
            Some(obstacle) => Err(FileFault::new(ErrorClass::FilePermission, obstacle, Some(GIVE_PERMISSION))),
            None => Ok(Self { file, path: real }),
        }
    }

    /// Waits up to `limit` for writers, and prevents new writes to the file.
    ///
    /// A process in WAL mode can still write to the `-wal`, but cannot checkpoint and close unnoticed.
    pub(crate) async fn lock(&self, limit: Duration) -> Result<(), FileFault> {
        let started = Instant::now();
        loop {
            match fcntl_lock(&self.file, FlockOperation::NonBlockingLockShared) {
                // On a file system without locks, comparing the file's state before and after must be enough.
                Ok(()) => return Ok(()),
                Err(error) if has_no_locks(error) => return Ok(()),
                Err(Errno::AGAIN | Errno::ACCESS) if started.elapsed() < limit => tokio::time::sleep(PAUSE).await,
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    let holder = fcntl_getlk(&self.file, &Flock::from(FlockType::ReadLock)).ok().flatten();
                    let holder = holder.and_then(|lock| lock.pid).map(Pid::as_raw_nonzero);
                    let holder = holder.map_or("another process".to_owned(), |pid| format!("process {pid}"));
                    return Err(FileFault::new(
                        ErrorClass::Busy,
                        format!("{holder} has locked the file for writing for longer than {}", format::duration(limit)),
                        Some("wait for it to finish, or increase `--lock-timeout`"),
                    ));
                }
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Allows writes again.
    pub(crate) fn unlock(&self) -> Result<(), FileFault> {
        match fcntl_lock(&self.file, FlockOperation::Unlock) {
            Err(error) if !has_no_locks(error) => Err(io::Error::from(error).into()),
            _ => Ok(()),
        }
    }

    /// The open file.
    pub(crate) fn content(&self) -> &File {
        &self.file
    }

    /// The path with this suffix.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.path, suffix)
    }

    /// Reads the state of the file and of the files beside it.
    pub(crate) fn look(&self) -> io::Result<FileState> {
        let mut header = [0; HEADER_LENGTH];
        let length = read_at_most(&self.file, &mut header)?;
        let journal = Stamp::of(&self.beside("-journal"))?;
        let is_hot = match &journal {
            None | Some(Stamp { length: 0, .. }) => false,
            // A journal that is kept for the next transaction begins with zeros.
            Some(_) => {
                let mut first = [0];
                File::open(self.beside("-journal")).and_then(|file| read_at_most(&file, &mut first))?;
                first != [0]
            }
        };
        Ok(FileState {
            header: header[..length].to_vec(),
            file: Stamp::from(self.file.metadata()?)?,
            wal: Stamp::of(&self.beside("-wal"))?,
            journal,
            is_hot,
        })
    }

    /// The `-shm`, if another process uses it: a process that has the file open in WAL mode holds a lock there.
    pub(crate) fn index_in_use(&self) -> io::Result<Option<WalIndex>> {
        match File::open(self.beside("-shm")) {
            Ok(file) => {
                let index = WalIndex(file);
                Ok(index.is_in_use()?.then_some(index))
            }
            // SQLite cannot use the `-wal` without it either.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The `-shm` of a file in use.
pub(crate) struct WalIndex(File);

impl WalIndex {
    /// Whether another process has the file open in WAL mode.
    pub(crate) fn is_in_use(&self) -> io::Result<bool> {
        match fcntl_getlk(&self.0, &Flock::from(FlockType::WriteLock)) {
            Ok(lock) => Ok(lock.is_some()),
            Err(error) if has_no_locks(error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Length, modification time and inode of a file, which show whether it was written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// In bytes.
    pub(crate) length: u64,
    modified: SystemTime,
    inode: (u64, u64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match path.metadata() {
            Ok(metadata) => Self::from(metadata).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is made for this")]
    fn from(metadata: Metadata) -> io::Result<Self> {
        Ok(Self { length: metadata.len(), modified: metadata.modified()?, inode: (metadata.dev(), metadata.ino()) })
    }
}

/// The state of a SQLite file and of the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState {
    header: Vec<u8>,
    pub(crate) file: Stamp,
    wal: Option<Stamp>,
    journal: Option<Stamp>,
    is_hot: bool,
}

impl FileState {
    pub(crate) fn is_in_wal_mode(&self) -> bool {
        says_wal(&self.header)
    }

    /// Whether the file itself is as it was, whatever is beside it. Another process that only reads creates an empty
    /// `-wal`, and one that writes leaves the file alone until a checkpoint.
    pub(crate) fn has_pages_of(&self, before: &Self) -> bool {
        (&self.header, &self.file) == (&before.header, &before.file)
    }

    /// Whether rows were written since, to the file or beside it.
    pub(crate) fn was_written_since(&self, before: &Self) -> bool {
        let beside = |state: &Self| {
            let journal = state.journal.clone().filter(|_| state.is_hot);
            (state.wal.clone().filter(|wal| wal.length > 0), journal)
        };
        !self.has_pages_of(before) || beside(self) != beside(before)
    }

    /// The length of the `-wal` in bytes, which belongs to the database.
    pub(crate) fn wal_length(&self) -> u64 {
        self.wal.as_ref().map_or(0, |stamp| stamp.length)
    }

    /// The length in bytes of the `-journal` of a crashed writer, otherwise 0. Valid only while the file is locked.
    pub(crate) fn journal_length(&self) -> u64 {
        self.journal.as_ref().filter(|_| self.is_hot).map_or(0, |stamp| stamp.length)
    }

    /// Refuses a file whose header shows that SQLite cannot read it, with a clearer message than SQLite's.
    pub(crate) fn require_readable(&self) -> Result<(), FileFault> {
        let damaged = |message: String| Err(FileFault::new(ErrorClass::Corrupt, message, None));
        if self.file.length == 0 {
            let hint = "check the path: TARSy's backend creates an empty file at a wrong one";
            return Err(FileFault::new(ErrorClass::Corrupt, "the file is empty", Some(hint)));
        }
        if !self.header.starts_with(MAGIC) {
            let (what, hint) = what_else(&self.header);
            return Err(FileFault::new(ErrorClass::Corrupt, format!("it is not a SQLite database{what}"), hint));
        }
        if self.header.len() < HEADER_LENGTH {
            return damaged(format!("the file is truncated: it ends after {} bytes", self.file.length));
        }
        if let Some(newer) = newer_format(&self.header) {
            return Err(newer.into());
        }
        let page_size = match u64::from(u16::from_be_bytes([self.header[16], self.header[17]])) {
            1 => 65536,
            size => size,
        };
        if !page_size.is_power_of_two() || page_size < 512 {
            return damaged(format!("its header is damaged: the page size is {page_size}"));
        }
        // The page count is valid only if the change counter beside it matches, which old versions of SQLite do not
        // write. A `-wal` or `-journal` may change the count.
        let number = |offset| number(&self.header, offset);
        let pages = u64::from(number(28));
        let is_counted = pages > 0 && number(24) == number(92);
        if is_counted && self.wal_length() + self.journal_length() == 0 && self.file.length < pages * page_size {
            return damaged(format!(
                "the file is truncated: its header counts {pages} pages of {page_size} bytes, {} bytes in all, but it has {}",
                pages * page_size,
                self.file.length
            ));
        }
        Ok(())
    }
}

/// Whether the file system does not support locks.
fn has_no_locks(error: Errno) -> bool {
    [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::INVAL].contains(&error)
}

/// Guesses the format of a file that is not a SQLite database, with a hint.
fn what_else(header: &[u8]) -> (&'static str, Option<&'static str>) {
    const COMPRESSED: [&[u8]; 5] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"PK\x03\x04", b"BZh"];
    let is_text = header.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    match header {
        _ if COMPRESSED.iter().any(|magic| header.starts_with(magic)) => {
            (", but compressed", Some("decompress it first"))
        }
        _ if header.iter().all(|byte| *byte == 0) => (": it begins with zeros", None),
        _ if is_text => {
            (", but text", Some("if it is a dump, load it into a database first: `sqlite3 history.db < dump.sql`"))
        }
        _ => (
            ", or encrypted",
            Some("if it is encrypted, decrypt it first (SQLCipher: `sqlcipher_export`); otherwise restore a backup"),
        ),
    }
}

/// Reads from the beginning up to the length of the buffer or of the file.
fn read_at_most(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
