//! A private directory for copies of the source: only this user can read it, and it is deleted after use.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::yield_now;

use crate::fs::temporary;
use crate::progress::{Amount, Meter};

/// The prefix of the directories' names.
const PREFIX: &str = "tarsy-db-source-";
/// The file in the directory that its process keeps locked.
const LOCK: &str = "lock";
/// How many bytes are copied before other tasks may run.
const CHUNK: u64 = 8 << 20;

/// A directory with mode 0700. Dropping this value deletes it; if the process is killed, the next run does.
pub(crate) struct PrivateCopy {
    path: PathBuf,
    /// Closing it releases the lock.
    _lock: File,
}

impl PrivateCopy {
    /// Creates the directory, and deletes those that killed runs left in `parent`.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(parent);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    temporary::remember(&path);
                    let lock = create(&path.join(LOCK)).inspect_err(|_| remove(&path))?;
                    // On a file system without locks no run deletes directories of others either.
                    let is_lost = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
                    // Another run may have deleted it before it was locked.
                    if !is_lost && path.join(LOCK).exists() {
                        return Ok(Self { path, _lock: lock });
                    }
                    temporary::forget(&path);
                }
                // A process in another container may have the same ID.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Copies a file into the directory, and replaces an existing one of this name.
    pub(crate) async fn copy(&self, mut from: &File, name: &str, meter: &dyn Meter) -> io::Result<()> {
        let to = self.join(name);
        match std::fs::remove_file(&to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut to = create(&to)?;
        from.seek(SeekFrom::Start(0))?;
        loop {
            // On Linux the kernel copies, or shares the blocks if the file system supports it.
            let bytes = io::copy(&mut from.take(CHUNK), &mut to)?;
            if bytes == 0 {
                return Ok(());
            }
            meter.advance(Amount { rows: 0, bytes });
            yield_now().await;
        }
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
    temporary::forget(path);
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Deletes this user's directories whose process has ended. Errors are ignored: a later run tries again.
fn sweep(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        let lock = is_ours.then(|| File::open(entry.path().join(LOCK)));
        if let Some(Ok(lock)) = lock
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
