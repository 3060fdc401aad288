//! An archive in compressed form: `FILE.zst` in the place of `FILE`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::archive::ArchiveError;
use crate::atomic_file::AtomicFile;
use crate::connection::beside;

/// zstd's own default: what is left to gain is small, the time it takes is not.
const LEVEL: i32 = 3;

/// Compresses a file, makes sure that it can be read back, and takes its place. Returns the name of the compressed one.
///
/// # Errors
/// [`ArchiveError::Compress`]; the file is as it was.
pub fn compress(path: &Path) -> Result<PathBuf, ArchiveError> {
    let compressed = compressed(path);
    let done = make_sure_of_whole(path).and_then(|()| AtomicFile::create(&compressed, 0o600)).and_then(|target| {
        let mut encoder = zstd::Encoder::new(target, LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut File::open(path)?, &mut encoder)?;
        let target = encoder.finish()?;
        target.file().sync_all()?;
        make_sure_of_same(path, target.unfinished())?;
        target.publish()?;
        std::fs::remove_file(path)
    });
    done.map_err(|source| failed("compress", path, source))?;
    Ok(compressed)
}

/// Brings a compressed file back, which takes its place, if there is one. A crash may have left both, which are the same
/// then; an empty file is what programs leave that only looked for one.
///
/// # Errors
/// [`ArchiveError::Compress`], and [`ArchiveError::Ambiguous`] where both are there; they are as they were.
pub fn restore(path: &Path) -> Result<(), ArchiveError> {
    let compressed = compressed(path);
    if !compressed.exists() {
        return Ok(());
    }
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        make_sure_of_same(path, &compressed).map_err(|_| ArchiveError::Ambiguous {
            path: path.display().to_string(),
            compressed: compressed.display().to_string(),
        })?;
    } else {
        let done = AtomicFile::create(path, 0o600).and_then(|mut target| {
            io::copy(&mut zstd::Decoder::new(File::open(&compressed)?)?, &mut target)?;
            target.file().sync_all()?;
            target.publish()
        });
        done.map_err(|source| failed("read the compressed archive", &compressed, source))?;
    }
    std::fs::remove_file(&compressed).map_err(|source| failed("replace the compressed archive", &compressed, source))
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".zst");
    name.into()
}

/// Looks whether a part of the database is still in a file beside it.
fn make_sure_of_whole(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-journal"] {
        if beside(path, suffix).metadata().is_ok_and(|log| log.len() > 0) {
            let message = format!("somebody else has it open: a part of it is in `{suffix}`");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
    }
    Ok(())
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
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what was compressed cannot be read back"));
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

    #[test]
    fn what_was_compressed_comes_back_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.db");
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &content).expect("the file can be written");
        let compressed = compress(&path).expect("it can be compressed");
        assert!(!path.exists() && compressed.metadata().expect("it is there").len() < 800_000);
        restore(&path).expect("it can be restored");
        assert!(std::fs::read(&path).expect("it is there") == content);
        assert!(!compressed.exists());
        assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 1);
    }

    #[test]
    fn what_others_left_beside_a_compressed_file_does_not_take_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.db");
        let is_whole = || std::fs::read(&path).is_ok_and(|content| content == b"all of it");
        std::fs::write(&path, "all of it").expect("the file can be written");
        let compressed = compress(&path).expect("it can be compressed");

        std::fs::write(&path, "").expect("the file can be written");
        restore(&path).expect("what is empty is nothing");
        assert!(is_whole());

        // As a crash leaves both.
        let kept = directory.path().join("kept");
        std::fs::rename(compress(&path).expect("it can be compressed"), &kept).expect("it can be moved");
        for (content, is_same) in [("another", false), ("all of it and more", false), ("all of it", true)] {
            std::fs::write(&path, content).expect("the file can be written");
            std::fs::copy(&kept, &compressed).expect("it can be copied");
            let restored = restore(&path);
            assert_eq!(restored.is_ok(), is_same, "{content}");
            assert!(is_same || matches!(restored, Err(ArchiveError::Ambiguous { .. })), "{content}");
            assert_eq!((std::fs::read(&path).expect("it is there"), compressed.exists()), (content.into(), !is_same));
        }
    }

    #[test]
    fn what_is_partly_in_a_write_ahead_log_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.db");
        std::fs::write(&path, "a part").expect("the file can be written");
        std::fs::write(beside(&path, "-wal"), "the rest").expect("the file can be written");
        let error = compress(&path).expect_err("it is refused");
        assert!(matches!(error, ArchiveError::Compress { source, .. } if source.kind() == io::ErrorKind::ResourceBusy));
        assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 2);
    }

    #[test]
    fn a_damaged_file_is_not_restored() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.db");
        std::fs::write(&path, vec![7; 100_000]).expect("the file can be written");
        let compressed = compress(&path).expect("it can be compressed");
        let mut bytes = std::fs::read(&compressed).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&compressed, bytes).expect("the file can be written");
        assert!(restore(&path).is_err() && !path.exists());
        assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 1);
    }
}
