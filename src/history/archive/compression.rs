//! Compresses an archive: `FILE.zst` replaces `FILE` after it was read back and compared.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::location::require_closed;
use crate::fs::atomic_file::AtomicFile;

/// zstd's default: higher levels save little space for much time.
const LEVEL: i32 = 3;

/// The form of an archive after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// A SQLite file.
    None,
    /// A zstd frame with a checksum.
    Zstd,
}

pub(super) fn path_of(archive: &Path) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(".zst");
    name.into()
}

/// Compresses a file, reads the result back, and removes the file.
///
/// # Errors
/// The file is unchanged.
pub(super) fn compress(path: &Path, compressed: &Path) -> io::Result<()> {
    require_closed(path)?;
    let mut encoder = zstd::Encoder::new(AtomicFile::create(compressed, 0o600)?, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut File::open(path)?, &mut encoder)?;
    let target = encoder.finish()?;
    target.file().sync_all()?;
    require_same(path, &target.unfinished())?;
    require_closed(path)?;
    target.publish()?;
    std::fs::remove_file(path)
}

pub(super) fn unpack(compressed: &Path, path: &Path) -> io::Result<()> {
    let mut target = AtomicFile::create(path, 0o600)?;
    io::copy(&mut zstd::Decoder::new(File::open(compressed)?)?, &mut target)?;
    target.file().sync_all()?;
    target.publish()
}

/// Compares a file with the content of a compressed one.
///
/// # Errors
/// `InvalidData` or `UnexpectedEof` if they differ.
pub(super) fn require_same(path: &Path, compressed: &Path) -> io::Result<()> {
    let mut original = BufReader::new(File::open(path)?);
    let mut restored = BufReader::new(zstd::Decoder::new(File::open(compressed)?)?);
    let (mut expected, mut found) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = original.read(&mut expected)?;
        // A shorter content is an error.
        restored.read_exact(&mut found[..length])?;
        if expected[..length] != found[..length] || (length == 0 && restored.read(&mut found)? > 0) {
            return Err(io::Error::new(ErrorKind::InvalidData, "the compressed content differs from the file"));
        }
        if length == 0 {
            return Ok(());
        }
    }
}
