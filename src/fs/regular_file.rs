//! Regular files. Opening a FIFO waits for another program, and a device accepts and returns anything.

use std::fs::{File, Metadata};
use std::io::{Error, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What is at the path instead of a file.
#[derive(Debug, thiserror::Error)]
#[error("{0}, not a regular file")]
struct NotRegular(&'static str);

/// Opens a file for reading.
///
/// # Errors
/// As [`refuse_special`], or the operating system's error.
pub(crate) fn open(path: &Path) -> Result<File> {
    refuse_special(path)?;
    File::open(path)
}

/// Refuses a FIFO, a device or a socket. A directory, or nothing, is left to the caller.
///
/// # Errors
/// One of which [`is_special`] is true.
pub(crate) fn refuse_special(path: &Path) -> Result<()> {
    match path.metadata().ok().as_ref().and_then(special) {
        Some(what) => Err(Error::other(NotRegular(what))),
        None => Ok(()),
    }
}

fn special(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match kind {
        _ if kind.is_fifo() => Some("a FIFO"),
        _ if kind.is_socket() => Some("a socket"),
        _ if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        _ => None,
    }
}

/// Whether the path leads to a FIFO, a device or a socket.
#[must_use]
pub(crate) fn is_special(error: &Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<NotRegular>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_and_a_socket_are_named_and_the_rest_is_left_to_the_caller() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        for (path, what) in [(socket.as_path(), "a socket"), (Path::new("/dev/zero"), "a device")] {
            let refused = open(path).expect_err("it is no file");
            assert!(is_special(&refused));
            assert_eq!(refused.to_string(), format!("{what}, not a regular file"));
        }
        for path in [directory.path(), &directory.path().join("missing")] {
            assert!(refuse_special(path).is_ok());
        }
        assert!(!is_special(&open(&directory.path().join("missing")).expect_err("there is none")));
    }
}
