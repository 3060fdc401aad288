//! A private directory for copies of the source: nobody else may look into it, and nothing of it stays.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::yield_now;

use crate::fs::temporary;
use crate::progress::{Amount, Meter};

/// What the directories' names begin with.
const PREFIX: &str = "tarsy-db-source-";
/// The file in it that is locked as long as its owner lives.
const LOCK: &str = "lock";
/// How much is copied before somebody else has a turn.
const CHUNK: u64 = 8 << 20;

/// A directory that only this user may enter. It ends with this value; if the process is killed, with the next run.
pub(crate) struct PrivateCopy {
    path: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

impl PrivateCopy {
    /// Makes the directory, and removes what killed runs left beside it.
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
                    // On a file system without locks nobody sweeps either.
                    let is_lost = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
                    // Another run may have swept it before it was locked.
                    if !is_lost && path.join(LOCK).exists() {
                        return Ok(Self { path, _lock: lock });
                    }
                    temporary::forget(&path);
                }
                // A process of another container may have the same number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Copies a whole file into it, in place of what was there under this name.
    pub(crate) async fn copy(&self, mut from: &File, name: &str, meter: &dyn Meter) -> io::Result<()> {
        let to = self.join(name);
        match std::fs::remove_file(&to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut to = create(&to)?;
        from.seek(SeekFrom::Start(0))?;
        loop {
            // The kernel copies, or only refers to the same blocks, where the file systems allow it.
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

/// Removes this user's directories whose owner is gone. What cannot be removed is not this run's trouble.
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
