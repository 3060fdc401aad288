//! The file of an archive, plain or compressed, locked for one run at a time.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::compression::{self, compress, require_same, unpack};
use super::error::ArchiveError;
use super::location::{identity, require_sqlite, resolve};
use crate::database::failure::Verb;
use crate::fs::atomic_file::AtomicFile;
use crate::fs::regular_file;

/// The file of an archive, locked against other runs until it is dropped.
///
/// Drop it after SQLite has closed the file: closing any descriptor of a file drops SQLite's locks on it.
pub(crate) struct ArchiveFile {
    path: PathBuf,
    _lock: File,
}

impl ArchiveFile {
    /// Locks the file, and creates or unpacks it if needed. `pruned` is the SQLite file that is pruned, if there is
    /// one.
    ///
    /// # Errors
    /// [`ArchiveError`]; no existing content is lost.
    pub(crate) fn take(path: &Path, pruned: Option<&Path>) -> Result<Self, ArchiveError> {
        let path = resolve(path, pruned)?;
        loop {
            if let Some(taken) = Self::try_take(&path)? {
                return Ok(taken);
            }
        }
    }

    /// One attempt; `None` if the locked file is no longer the one of that name.
    fn try_take(path: &Path) -> Result<Option<Self>, ArchiveError> {
        let compressed = compression::path_of(path);
        let packed = lock(&compressed, path)?;
        if packed.is_none() {
            create(path)?;
        } else if !path.metadata().is_ok_and(|file| file.len() > 0) {
            // Programs that only looked for the file may leave an empty one.
            unpack(&compressed, path)
                .map_err(|error| ArchiveError::file((Verb::Read, "the compressed archive"), &compressed, error))?;
        }
        let Some(file) = lock(path, path)? else { return Ok(None) };
        if packed.is_some() {
            remove_unpacked(path, &compressed)?;
        } else if compressed.exists() {
            return Ok(None);
        }
        require_sqlite(path)?;
        AtomicFile::clear(path);
        AtomicFile::clear(&compressed);
        Ok(Some(Self { path: path.to_owned(), _lock: file }))
    }

    /// Removes what killed runs have left unfinished, unless another run works with the archive. Returns the path of the
    /// uncompressed file if there is one that no other run uses.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub(crate) fn tidy(path: &Path, pruned: Option<&Path>) -> Result<Option<PathBuf>, ArchiveError> {
        let path = resolve(path, pruned)?;
        let compressed = compression::path_of(&path);
        let locks = lock(&compressed, &path).and_then(|packed| Ok((packed, lock(&path, &path)?)));
        let _locks = match locks {
            Err(ArchiveError::InUse { .. }) => return Ok(None),
            locks => locks?,
        };
        AtomicFile::clear(&path);
        AtomicFile::clear(&compressed);
        Ok(path.metadata().is_ok_and(|file| file.len() > 0).then_some(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Compresses it. Returns the path of the compressed file.
    ///
    /// # Errors
    /// [`ArchiveError::File`]; the file is unchanged.
    pub(crate) fn compress(self) -> Result<PathBuf, ArchiveError> {
        let compressed = compression::path_of(&self.path);
        compress(&self.path, &compressed)
            .map_err(|error| ArchiveError::file((Verb::Compress, "the archive"), &self.path, error))?;
        Ok(compressed)
    }
}

/// Locks the file of that name, if it exists. `path` is the archive's name in messages.
fn lock(name: &Path, path: &Path) -> Result<Option<File>, ArchiveError> {
    let file = match regular_file::open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::file((Verb::Read, "the archive"), name, error)),
    };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(ArchiveError::InUse { path: path.display().to_string() });
    }
    let locked = file.metadata().map_err(|error| ArchiveError::file((Verb::Read, "the archive"), name, error))?;
    // Some file systems do not support locks.
    Ok((identity(name) == Some((locked.dev(), locked.ino()))).then_some(file))
}

/// Creates the file, readable by its owner only, unless it exists. An empty file counts as new.
fn create(path: &Path) -> Result<(), ArchiveError> {
    let is_empty = || path.metadata().is_ok_and(|file| file.len() == 0);
    let created = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => File::open(path.parent().unwrap_or(Path::new("/"))).and_then(|directory| directory.sync_all()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_empty() => {
            match std::fs::set_permissions(path, Permissions::from_mode(0o600)) {
                // Its owner is another user, who has given it the permissions that it has.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                changed => changed,
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    created.map_err(|source| ArchiveError::Create { path: path.display().to_string(), source })
}

/// Removes the compressed file, whose content `path` has.
fn remove_unpacked(path: &Path, compressed: &Path) -> Result<(), ArchiveError> {
    require_same(path, compressed).map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            ArchiveError::Ambiguous { path: path.display().to_string(), compressed: compressed.display().to_string() }
        }
        _ => ArchiveError::file((Verb::Read, "the compressed archive"), compressed, error),
    })?;
    std::fs::remove_file(compressed)
        .map_err(|error| ArchiveError::file((Verb::Remove, "the compressed archive"), compressed, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::sqlite_file::{MAGIC, SIDECARS, beside};

    /// A directory, and an archive's file in it with this content.
    fn archive(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.db");
        std::fs::write(&path, [MAGIC, content].concat()).expect("the file can be written");
        (directory, path)
    }

    fn take(path: &Path) -> Result<ArchiveFile, ArchiveError> {
        ArchiveFile::take(path, None)
    }

    fn compress(path: &Path) -> PathBuf {
        take(path).and_then(ArchiveFile::compress).expect("it can be compressed")
    }

    fn files(directory: &tempfile::TempDir) -> usize {
        std::fs::read_dir(directory.path()).expect("the directory").count()
    }

    #[test]
    fn what_was_compressed_comes_back_as_it_was() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let (directory, path) = archive(&content);
        let compressed = compress(&path);
        assert!(!path.exists() && compressed.metadata().expect("it exists").len() < 800_000);
        take(&path).expect("it can be unpacked");
        assert!(std::fs::read(&path).expect("it exists")[MAGIC.len()..] == content);
        assert_eq!(files(&directory), 1);
    }

    #[test]
    fn what_a_kill_left_unfinished_is_removed() {
        let (directory, path) = archive(b"all of it");
        let inside = |name: &str| directory.path().join(name);
        let left = [".archive.db.17", ".archive.db.17.2", ".archive.db.zst.17"].map(inside);
        let others = ["archive.db.17", ".archive.db.bak", ".archive.dbx.17", ".archive.db.zst.17.keep"].map(inside);
        for path in left.iter().chain(&others) {
            std::fs::write(path, "").expect("the file can be written");
        }
        take(&path).expect("it is free");
        assert!(left.iter().all(|path| !path.exists()) && others.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_damaged_file_is_not_unpacked() {
        let (directory, path) = archive(&vec![7; 100_000]);
        let compressed = compress(&path);
        let mut bytes = std::fs::read(&compressed).expect("it exists");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&compressed, bytes).expect("the file can be written");
        assert!(matches!(take(&path), Err(ArchiveError::File { .. })) && !path.exists());
        assert_eq!(files(&directory), 1);
    }

    #[test]
    fn what_others_left_beside_a_compressed_file_does_not_take_its_place() {
        let (_directory, path) = archive(b"all of it");
        let whole = std::fs::read(&path).expect("it exists");
        let compressed = compress(&path);
        std::fs::write(&path, "").expect("the file can be written");
        take(&path).expect("an empty file is replaced");
        assert_eq!(std::fs::read(&path).expect("it exists"), whole);

        let packed = std::fs::read(compress(&path)).expect("it exists");
        for (content, is_same) in
            [(&whole[..whole.len() - 1], false), (&[&whole[..], b" and more"].concat(), false), (&whole, true)]
        {
            // A crash leaves both, with the same content.
            std::fs::write(&path, content).expect("the file can be written");
            std::fs::write(&compressed, &packed).expect("the file can be written");
            let taken = take(&path);
            assert!(taken.is_ok() == is_same, "{content:?}");
            assert!(is_same || matches!(taken, Err(ArchiveError::Ambiguous { .. })), "{content:?}");
            assert_eq!((std::fs::read(&path).expect("it exists"), compressed.exists()), (content.to_vec(), !is_same));
        }
    }

    #[test]
    fn what_others_have_open_is_not_compressed() {
        for suffix in SIDECARS {
            let (directory, path) = archive(b"a part");
            std::fs::write(beside(&path, suffix), "").expect("the file can be written");
            let refused = take(&path).and_then(ArchiveFile::compress);
            let is_busy = |error: &std::io::Error| error.kind() == ErrorKind::ResourceBusy;
            assert!(matches!(refused, Err(ArchiveError::File { source, .. }) if is_busy(&source)), "{suffix}");
            assert_eq!(files(&directory), 2);
        }
    }

    #[test]
    fn one_run_has_it_at_a_time() {
        let (_directory, path) = archive(b"all of it");
        let taken = take(&path).expect("it is free");
        assert!(matches!(take(&path), Err(ArchiveError::InUse { .. })));
        drop(taken);
        let compressed = compress(&path);
        let lock = File::open(&compressed).expect("it exists");
        lock.lock().expect("it is free");
        assert!(matches!(take(&path), Err(ArchiveError::InUse { .. })));
        assert!(!path.exists());
    }
}
