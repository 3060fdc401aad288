//! SIGINT and SIGTERM, as something that work asks for and waits for.
//!
//! Installing handlers also makes them arrive at all where the process is PID 1 of a container.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::exit_code::ExitCode;

/// The signals that end the work in an orderly way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM, as from a container runtime.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
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

/// Tells whether the process was told to stop.
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
    /// Begins to listen; needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when the handlers cannot be installed.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let streams =
            Streams { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok(Self { streams: Mutex::new(streams), held: AtomicBool::new(false) })
    }

    /// Says that from now on a signal comes too late: a commit is on its way, and has to be heard out.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Runs `work` until it ends or a signal comes; then the work is dropped, and with it its transaction.
    /// A signal that came before, while nobody listened, counts.
    ///
    /// # Errors
    /// The signal.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        let mut streams = self.streams.lock().await;
        // Lets the runtime look for signals: with a server that answers at once nothing else would.
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
