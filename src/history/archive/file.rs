//! The file of an archive: one run at a time has it, as it is or compressed, with `FILE.zst` in the place of `FILE`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use crate::database::connection::beside;
use crate::fs::atomic_file::AtomicFile;

/// zstd's own default: what is left to gain is small, the time it takes is not.
const LEVEL: i32 = 3;

/// What SQLite keeps beside a file while somebody has it open.
const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How each file of SQLite's begins. <https://www.sqlite.org/fileformat.html#the_database_header>
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The file of an archive, which nobody else archives to until this is dropped.
///
/// It has to be dropped after SQLite has closed the file: closing any descriptor of a file drops SQLite's locks on it.
pub(crate) struct ArchiveFile {
    path: PathBuf,
    _lock: File,
}

impl ArchiveFile {
    /// Takes the file, which is created, or unpacked, if need be. `pruned` is SQLite's file that is pruned.
    ///
    /// # Errors
    /// [`ArchiveError`]; nothing that is there is lost.
    pub(crate) fn take(path: &Path, pruned: Option<&Path>) -> Result<Self, ArchiveError> {
        let path = look(path, pruned)?;
        let compressed = compressed(&path);
        // What is locked may be another file by then than the one of that name.
        loop {
            let packed = lock(&compressed, &path)?;
            if packed.is_none() {
                create(&path)?;
            } else if !path.metadata().is_ok_and(|file| file.len() > 0) {
                // An empty file is what programs leave that only looked for one.
                unpack(&compressed, &path)?;
            }
            let Some(file) = lock(&path, &path)? else { continue };
            if packed.is_some() {
                make_sure_of_same(&path, &compressed).map_err(|error| match error.kind() {
                    ErrorKind::InvalidData | ErrorKind::UnexpectedEof => ArchiveError::Ambiguous {
                        path: path.display().to_string(),
                        compressed: compressed.display().to_string(),
                    },
                    _ => failed("read the compressed archive", &compressed, error),
                })?;
                std::fs::remove_file(&compressed)
                    .map_err(|error| failed("replace the compressed archive", &compressed, error))?;
            } else if compressed.exists() {
                continue;
            }
            make_sure_of_format(&path)?;
            AtomicFile::clear(&path);
            AtomicFile::clear(&compressed);
            return Ok(Self { path, _lock: file });
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Compresses it, makes sure that it can be read back, and puts that in its place. Returns the name of the compressed
    /// one.
    ///
    /// # Errors
    /// [`ArchiveError::Compress`]; the file is as it was.
    pub(crate) fn compress(self) -> Result<PathBuf, ArchiveError> {
        let path = &self.path;
        let compressed = compressed(path);
        let done = make_sure_of_whole(path).and_then(|()| AtomicFile::create(&compressed, 0o600)).and_then(|target| {
            let mut encoder = zstd::Encoder::new(target, LEVEL)?;
            encoder.include_checksum(true)?;
            io::copy(&mut File::open(path)?, &mut encoder)?;
            let target = encoder.finish()?;
            target.file().sync_all()?;
            make_sure_of_same(path, target.unfinished())?;
            make_sure_of_whole(path)?;
            target.publish()?;
            std::fs::remove_file(path)
        });
        done.map_err(|source| failed("compress", path, source))?;
        Ok(compressed)
    }
}

/// Looks whether a path can be that of an archive, and changes nothing. Returns it without links.
///
/// # Errors
/// [`ArchiveError`].
pub(crate) fn look(path: &Path, pruned: Option<&Path>) -> Result<PathBuf, ArchiveError> {
    let foreign = |why: &str| ArchiveError::Foreign { path: path.display().to_string(), why: why.to_owned() };
    let is_link = path.symlink_metadata().is_ok_and(|file| file.is_symlink());
    let resolved = match path.canonicalize() {
        Ok(resolved) => resolved,
        Err(_) if is_link => return Err(foreign("it is a link that leads nowhere")),
        Err(_) => {
            let name = path.file_name().ok_or_else(|| foreign("it is a directory"))?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let parent = parent.canonicalize();
            let parent = parent.map_err(|source| ArchiveError::Create { path: path.display().to_string(), source })?;
            parent.join(name)
        }
    };
    match resolved.metadata() {
        Ok(file) if file.is_dir() => return Err(foreign("it is a directory")),
        Ok(file) if !file.is_file() => return Err(foreign("it is no file")),
        Ok(_) | Err(_) => {}
    }
    if let Some(pruned) = pruned {
        if is_same_file(&resolved, pruned) {
            return Err(foreign("it is the database itself"));
        }
        if SIDECARS.iter().any(|suffix| beside(pruned, suffix) == resolved) {
            return Err(foreign("SQLite has a use of its own for a file of that name"));
        }
    }
    make_sure_of_format(&resolved)?;
    Ok(resolved)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().map(|file| (file.dev(), file.ino())).ok()
}

/// Locks the file of that name, if there is one. `path` is how people call the archive.
fn lock(name: &Path, path: &Path) -> Result<Option<File>, ArchiveError> {
    let file = match File::open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read the archive", name, error)),
    };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(ArchiveError::InUse { path: path.display().to_string() });
    }
    let locked = file.metadata().map_err(|error| failed("read the archive", name, error))?;
    // Where a file system has no such locks, there is none.
    Ok((identity(name) == Some((locked.dev(), locked.ino()))).then_some(file))
}

/// Creates the file, for its owner alone, unless it is there.
fn create(path: &Path) -> Result<(), ArchiveError> {
    let created = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => File::open(path.parent().unwrap_or(Path::new("/"))).and_then(|directory| directory.sync_all()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    created.map_err(|source| ArchiveError::Create { path: path.display().to_string(), source })
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".zst");
    name.into()
}

fn unpack(compressed: &Path, path: &Path) -> Result<(), ArchiveError> {
    let unpacked = AtomicFile::create(path, 0o600).and_then(|mut target| {
        io::copy(&mut zstd::Decoder::new(File::open(compressed)?)?, &mut target)?;
        target.file().sync_all()?;
        target.publish()
    });
    unpacked.map_err(|source| failed("read the compressed archive", compressed, source))
}

/// Looks whether a file is one of SQLite's, empty, or not there.
fn make_sure_of_format(path: &Path) -> Result<(), ArchiveError> {
    let mut start = Vec::new();
    let read = match File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut start),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    read.map_err(|error| failed("read the archive", path, error))?;
    match start.is_empty() || start == MAGIC {
        true => Ok(()),
        false => {
            Err(ArchiveError::Foreign { path: path.display().to_string(), why: "it is no SQLite database".to_owned() })
        }
    }
}

/// Looks whether somebody else has the database open: a part of it may be in a file beside it.
fn make_sure_of_whole(path: &Path) -> io::Result<()> {
    match SIDECARS.iter().find(|suffix| beside(path, suffix).exists()) {
        None => Ok(()),
        Some(suffix) => {
            let message = format!("somebody else has it open: its `{suffix}` is there");
            Err(io::Error::new(ErrorKind::ResourceBusy, message))
        }
    }
}

/// Reads both and compares them.
fn make_sure_of_same(path: &Path, compressed: &Path) -> io::Result<()> {
    let mut original = BufReader::new(File::open(path)?);
    let mut restored = BufReader::new(zstd::Decoder::new(File::open(compressed)?)?);
    let (mut expected, mut found) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = original.read(&mut expected)?;
        // What is shorter ends too early, which is an error.
        restored.read_exact(&mut found[..length])?;
        if expected[..length] != found[..length] || (length == 0 && restored.read(&mut found)? > 0) {
            return Err(io::Error::new(ErrorKind::InvalidData, "what was compressed cannot be read back"));
        }
        if length == 0 {
            return Ok(());
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Compress { action, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory, and the file of an archive in it that holds `content`.
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
        assert!(!path.exists() && compressed.metadata().expect("it is there").len() < 800_000);
        take(&path).expect("it can be unpacked");
        assert!(std::fs::read(&path).expect("it is there")[MAGIC.len()..] == content);
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
        let mut bytes = std::fs::read(&compressed).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&compressed, bytes).expect("the file can be written");
        assert!(matches!(take(&path), Err(ArchiveError::Compress { .. })) && !path.exists());
        assert_eq!(files(&directory), 1);
    }

    #[test]
    fn what_others_left_beside_a_compressed_file_does_not_take_its_place() {
        let (_directory, path) = archive(b"all of it");
        let whole = std::fs::read(&path).expect("it is there");
        let compressed = compress(&path);
        std::fs::write(&path, "").expect("the file can be written");
        take(&path).expect("what is empty is nothing");
        assert_eq!(std::fs::read(&path).expect("it is there"), whole);

        let packed = std::fs::read(compress(&path)).expect("it is there");
        for (content, is_same) in
            [(&whole[..whole.len() - 1], false), (&[&whole[..], b" and more"].concat(), false), (&whole, true)]
        {
            // A crash leaves both, which are the same then.
            std::fs::write(&path, content).expect("the file can be written");
            std::fs::write(&compressed, &packed).expect("the file can be written");
            let taken = take(&path);
            assert!(taken.is_ok() == is_same, "{content:?}");
            assert!(is_same || matches!(taken, Err(ArchiveError::Ambiguous { .. })), "{content:?}");
            assert_eq!((std::fs::read(&path).expect("it is there"), compressed.exists()), (content.to_vec(), !is_same));
        }
    }

    #[test]
    fn what_others_have_open_is_not_compressed() {
        for suffix in SIDECARS {
            let (directory, path) = archive(b"a part");
            std::fs::write(beside(&path, suffix), "").expect("the file can be written");
            let refused = take(&path).and_then(ArchiveFile::compress);
            let is_busy = |error: &io::Error| error.kind() == ErrorKind::ResourceBusy;
            assert!(matches!(refused, Err(ArchiveError::Compress { source, .. }) if is_busy(&source)), "{suffix}");
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
        let lock = File::open(&compressed).expect("it is there");
        lock.lock().expect("it is free");
        assert!(matches!(take(&path), Err(ArchiveError::InUse { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_an_archive_is_refused() {
        let (directory, pruned) = archive(b"history");
        let inside = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink(&pruned, inside("link")).expect("a link");
        std::os::unix::fs::symlink(inside("nowhere"), inside("broken")).expect("a link");
        std::fs::hard_link(&pruned, inside("hard")).expect("a link");
        std::fs::write(inside("text"), "to be, or not to be").expect("the file can be written");
        let refused =
            ["link", "hard", "broken", "text", "archive.db", "archive.db-wal", "archive.db-journal"].map(inside);
        for path in refused.into_iter().chain([directory.path().to_owned(), "/dev/null".into()]) {
            let before = files(&directory);
            let taken = ArchiveFile::take(&path, Some(&pruned));
            assert!(matches!(taken, Err(ArchiveError::Foreign { .. })), "{}", path.display());
            assert_eq!(files(&directory), before);
        }
        let missing = ArchiveFile::take(&inside("no/archive.db"), Some(&pruned));
        assert!(matches!(missing, Err(ArchiveError::Create { .. })));
    }
}
