//! SIGINT and SIGTERM.
//!
//! The handlers are also needed because PID 1 of a container ignores both signals without them.

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
}

impl Signal {
    /// 128 plus the signal's number, as in shells.
    #[must_use]
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Signal::Interrupt => ExitCode::Interrupted,
            Signal::Terminate => ExitCode::Terminated,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
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
}

impl Streams {
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

impl Interrupt {
    /// Installs the handlers; needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when the handlers cannot be installed.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let streams =
            Streams { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok(Self { streams: Mutex::new(streams), held: AtomicBool::new(false) })
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
