//! How many files this process may have open.

use std::io::{self, Error};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, dup};

/// How many a command has open at the same time, with room to spare: those of the runtime, of a SQLite database and of an
/// archive, and the connections to a server.
const NEEDED: usize = 24;

/// What the operator can do.
pub(crate) const HINT: &str = "raise the limit of open files (`ulimit -n`, `LimitNOFILE=` in a systemd unit), or that of the \
     system (`sysctl fs.file-max`), then run the same command again";

/// Makes sure that a command can open what it needs. The runtime and SQLite do not say why they could not.
///
/// # Errors
/// One for which [`are_too_many`] is true.
pub(crate) fn require_spare() -> io::Result<()> {
    let opened: Result<Vec<OwnedFd>, Errno> = (0..NEEDED).map(|_| dup(io::stderr())).collect();
    match opened.map_err(Error::from) {
        Err(error) if are_too_many(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether this process, or all processes of the system together, may open no more files.
#[must_use]
pub(crate) fn are_too_many(error: &Error) -> bool {
    [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
}
