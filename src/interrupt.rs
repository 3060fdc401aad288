//! SIGINT, SIGTERM and SIGHUP, and SIGXFSZ, which must not end the process.
//!
//! The handlers are also needed because PID 1 of a container ignores these signals without them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::exit_code::ExitCode;

/// The signals that stop a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT, sent by Ctrl-C.
    Interrupt,
    /// SIGTERM, sent by a container runtime.
    Terminate,
    /// SIGHUP, sent when the terminal is closed or its connection is lost.
    Hangup,
}

impl Signal {
    /// 128 plus the signal's number, as in shells.
    #[must_use]
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Signal::Interrupt => ExitCode::Interrupted,
            Signal::Terminate => ExitCode::Terminated,
            Signal::Hangup => ExitCode::HungUp,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
        })
    }
}

/// Receives the signals of the process.
pub(crate) struct Interrupt {
    streams: Mutex<Streams>,
    held: AtomicBool,
}

struct Streams {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` if it is ignored, or after the first one.
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Streams {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if may_hang_up() { Some(signal(SignalKind::hangup())?) } else { None },
        })
    }

    async fn next(&mut self) -> Signal {
        let Self { interrupt, terminate, hangup } = self;
        let first_hangup = async {
            match hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
            _ = first_hangup => {
                // The shell and the kernel each send one when a terminal is closed.
                self.hangup = None;
                Signal::Hangup
            }
        }
    }
}

/// Whether SIGHUP stops the process: `nohup` starts it with the signal ignored. Where there is no such file, the process
/// keeps what it was started with.
fn may_hang_up() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| !ignores_hangup(&status))
}

/// Whether the status of a process shows that it ignores SIGHUP, whose number is 1.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

impl Interrupt {
    /// Installs the handlers; needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when the handlers cannot be installed.
    pub(crate) fn listen() -> std::io::Result<Self> {
        // Where a file has reached its limit (`ulimit -f`) the system sends this signal, which ends a process that does
        // not handle it. With a handler, which lasts as long as the process, the write fails instead.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self { streams: Mutex::new(Streams::listen()?), held: AtomicBool::new(false) })
    }

    /// From now on a signal no longer stops the work: a COMMIT was sent, and its outcome must be awaited.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Runs `work` until it ends or a signal arrives; then the work is dropped, and with it its transaction. A signal
    /// that arrived between two calls counts.
    ///
    /// # Errors
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        let mut streams = self.streams.lock().await;
        // Lets the runtime poll for signals: a server that always answers at once would prevent that.
        tokio::task::yield_now().await;
        let mut work = std::pin::pin!(work);
        let signal = tokio::select! {
            biased;
            signal = streams.next() => signal,
            result = &mut work => return Ok(result),
        };
        match self.held.load(Ordering::Relaxed) {
            true => Ok(work.await),
            false => Err(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_in_the_status() {
        let status = |ignored: &str| format!("Name:\ttarsy-db\nSigBlk:\t0001\nSigIgn:\t{ignored}\nSigCgt:\t0001\n");
        assert!(ignores_hangup(&status("0000000000000001")) && ignores_hangup(&status("0000000000001003")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        // What is unknown is left as it is.
        assert!(ignores_hangup("Name:\ttarsy-db\n") && ignores_hangup(&status("?")));
    }
}
