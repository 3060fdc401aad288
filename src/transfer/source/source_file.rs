//! A SQLite file as it looks from outside SQLite: what its header says, what lies beside it, who has it open.
//!
//! POSIX locks belong to a process and a file, and whoever closes any descriptor of that file gives up all of them,
//! SQLite's own too. What is opened here must therefore stay open for as long as SQLite reads the same file.
//! <https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use crate::database::failure::{DatabaseCause, ErrorClass, io_message};
use crate::database::sqlite_file::{HEADER_LENGTH, MAGIC, says_wal, with_suffix};
use crate::format;
use crate::fs::free_space;

/// How often somebody else's lock is looked at again.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a file cannot be read.
#[derive(Debug)]
pub(crate) struct FileFault {
    /// The failure and its words.
    pub(crate) cause: DatabaseCause,
    /// What to do, where the failure alone does not tell.
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

/// The class of a file's error.
pub(crate) fn error_class(error: &io::Error) -> ErrorClass {
    match error.kind() {
        ErrorKind::NotFound => ErrorClass::NoSuchDatabase,
        ErrorKind::PermissionDenied => ErrorClass::Privilege,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ErrorClass::DiskFull,
        _ => ErrorClass::InputOutput,
    }
}

/// A SQLite file, open for reading.
pub(crate) struct SqliteFile {
    /// Where it really is: SQLite's other files are there, not beside a link.
    pub(crate) path: PathBuf,
    file: File,
}

impl SqliteFile {
    /// Opens a file that can be one.
    pub(crate) fn open(path: &Path) -> Result<Self, FileFault> {
        let shown = path.display();
        let fault = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => FileFault::new(
                ErrorClass::NoSuchDatabase,
                free_space::nothing_at(path),
                Some(
                    "is the path right? `--from` takes a path, or a URL: sqlite:////absolute/path, sqlite:///relative",
                ),
            ),
            ErrorKind::PermissionDenied => FileFault::new(
                ErrorClass::Privilege,
                format!("this user may not read {shown}"),
                Some("run as the user whom TARSy's backend runs as, or give this one the right to read the file"),
            ),
            _ => error.into(),
        };
        let real = path.canonicalize().map_err(fault)?;
        // A FIFO would not even open until somebody writes to it.
        let metadata = real.metadata().map_err(fault)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "a device, a pipe or a socket" };
            let message = format!("{shown} is {what}, not a file");
            return Err(FileFault::new(
                ErrorClass::CannotOpen,
                message,
                Some("name the file, as in `--from data/history.db`"),
            ));
        }
        Ok(Self { file: File::open(&real).map_err(fault)?, path: real })
    }

    /// Keeps everybody from beginning to write to the file, and makes sure that nobody is in the middle of it.
    ///
    /// A backend in WAL mode writes to its `-wal` all the same, but cannot leave without a trace.
    pub(crate) async fn lock(&self, limit: Duration) -> Result<(), FileFault> {
        let started = Instant::now();
        loop {
            match fcntl_lock(&self.file, FlockOperation::NonBlockingLockShared) {
                // Where there are no locks there is nobody to wait for, and looking twice has to do.
                Ok(()) => return Ok(()),
                Err(error) if has_no_locks(error) => return Ok(()),
                Err(Errno::AGAIN | Errno::ACCESS) if started.elapsed() < limit => tokio::time::sleep(PAUSE).await,
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    let holder = fcntl_getlk(&self.file, &Flock::from(FlockType::ReadLock)).ok().flatten();
                    let holder = holder.and_then(|lock| lock.pid).map(Pid::as_raw_nonzero);
                    let holder = holder.map_or("somebody".to_owned(), |pid| format!("process {pid}"));
                    return Err(FileFault::new(
                        ErrorClass::Busy,
                        format!("{holder} is writing to it, and has been for {}", format::duration(limit)),
                        Some("wait for it to finish, or raise `--lock-timeout`"),
                    ));
                }
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Lets others write again.
    pub(crate) fn unlock(&self) -> Result<(), FileFault> {
        match fcntl_lock(&self.file, FlockOperation::Unlock) {
            Err(error) if !has_no_locks(error) => Err(io::Error::from(error).into()),
            _ => Ok(()),
        }
    }

    /// The file itself, to be read from its beginning.
    pub(crate) fn content(&self) -> &File {
        &self.file
    }

    /// The file beside it with this suffix.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.path, suffix)
    }

    /// Looks at the file and at what is beside it.
    pub(crate) fn look(&self) -> io::Result<FileState> {
        let mut header = [0; HEADER_LENGTH];
        let length = read_at_most(&self.file, &mut header)?;
        let journal = Stamp::of(&self.beside("-journal"))?;
        let is_hot = match &journal {
            None | Some(Stamp { length: 0, .. }) => false,
            // A journal that is kept for the next transaction is ended by zeros.
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

    /// The index of the write-ahead log, if somebody else is using it: whoever has the file open in WAL mode
    /// holds a lock there.
    pub(crate) fn index_in_use(&self) -> io::Result<Option<WalIndex>> {
        match File::open(self.beside("-shm")) {
            Ok(file) => {
                let index = WalIndex(file);
                Ok(index.is_in_use()?.then_some(index))
            }
            // Without it SQLite cannot use it either.
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

/// What tells whether a file was written to. A file that replaced it is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its length in bytes.
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

/// What a SQLite file and the files beside it looked like.
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

    /// The bytes in the `-wal`, which belong to the database.
    pub(crate) fn wal_length(&self) -> u64 {
        self.wal.as_ref().map_or(0, |stamp| stamp.length)
    }

    /// The bytes in the `-journal` of a writer that crashed. Only meaningful while the file is locked.
    pub(crate) fn journal_length(&self) -> u64 {
        self.journal.as_ref().filter(|_| self.is_hot).map_or(0, |stamp| stamp.length)
    }

    /// Says why the file cannot be read, in better words than SQLite has, where the header tells.
    pub(crate) fn require_readable(&self) -> Result<(), FileFault> {
        let damaged = |message: String| Err(FileFault::new(ErrorClass::Corrupt, message, None));
        if self.file.length == 0 {
            let hint = "is this the right path? TARSy's backend creates an empty file where there was none";
            return Err(FileFault::new(ErrorClass::Corrupt, "the file is empty", Some(hint)));
        }
        if !self.header.starts_with(MAGIC) {
            let (what, hint) = what_else(&self.header);
            return Err(FileFault::new(ErrorClass::Corrupt, format!("it is not a SQLite database{what}"), hint));
        }
        if self.header.len() < HEADER_LENGTH {
            return damaged(format!("the file is truncated: it ends after {} bytes", self.file.length));
        }
        let (version, format) = (self.header[19], self.number(44));
        if version > 2 || format > 4 {
            let message = format!("it is written in a newer format (version {version}, schema format {format})");
            let hint = "convert it with a SQLite that knows the format: `VACUUM INTO`, or `.dump` and load again";
            return Err(FileFault::new(ErrorClass::Corrupt, message, Some(hint)));
        }
        let page_size = match u64::from(u16::from_be_bytes([self.header[16], self.header[17]])) {
            1 => 65536,
            size => size,
        };
        if !page_size.is_power_of_two() || page_size < 512 {
            return damaged(format!("its header is damaged: it gives a page size of {page_size}"));
        }
        // The count is only kept by versions of SQLite that also note for which change it stands. What is in a `-wal`
        // or a `-journal` counts more.
        let pages = u64::from(self.number(28));
        let is_counted = pages > 0 && self.number(24) == self.number(92);
        if is_counted && self.wal_length() + self.journal_length() == 0 && self.file.length < pages * page_size {
            return damaged(format!(
                "the file is truncated: its header counts {pages} pages of {page_size} bytes, together {}, but it has {}",
                pages * page_size,
                self.file.length
            ));
        }
        Ok(())
    }

    fn number(&self, offset: usize) -> u32 {
        self.header[offset..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// Whether the file system has no locks at all.
fn has_no_locks(error: Errno) -> bool {
    [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::INVAL].contains(&error)
}

/// What a file that is not SQLite's may be instead, and what to do then.
fn what_else(header: &[u8]) -> (&'static str, Option<&'static str>) {
    const COMPRESSED: [&[u8]; 5] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"PK\x03\x04", b"BZh"];
    let is_text = header.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    match header {
        _ if COMPRESSED.iter().any(|magic| header.starts_with(magic)) => (", but compressed", Some("unpack it first")),
        _ if header.iter().all(|byte| *byte == 0) => (": it begins with zeros", None),
        _ if is_text => {
            (", but text", Some("a dump has to be loaded into a database first: `sqlite3 history.db < dump.sql`"))
        }
        _ => (
            ", or encrypted",
            Some(
                "an encrypted one has to be decrypted first, for SQLCipher with `sqlcipher_export`; otherwise restore a backup",
            ),
        ),
    }
}

/// Reads from the beginning, less where the file is shorter.
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
