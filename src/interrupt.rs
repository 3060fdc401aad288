//! SIGINT and SIGTERM, as something that work asks for and waits for.
//!
//! Installing handlers also makes them arrive at all where the process is PID 1 of a container.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The signals that end the work in an orderly way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM, as from a container runtime.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
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
#[derive(Debug, Clone)]
pub struct Interrupt {
    receiver: watch::Receiver<Option<Signal>>,
    held: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen; needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let received = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
            // The receiver may be gone: then the work is done anyway.
            let _ = sender.send(Some(received));
            sender.closed().await;
        });
        Ok(Self { receiver, held: Arc::default() })
    }

    /// Says that from now on a signal comes too late: a commit is on its way, and has to be heard out.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Runs `work` until it ends or a signal comes; then the work is dropped, and with it its transaction.
    ///
    /// # Errors
    /// The signal.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        // A server that answers at once leaves the runtime no pause in which to hear a signal.
        tokio::task::yield_now().await;
        let mut receiver = self.receiver.clone();
        let mut work = std::pin::pin!(work);
        let signal = tokio::select! {
            result = &mut work => return Ok(result),
            signal = receiver.wait_for(Option::is_some) => signal.ok().and_then(|signal| *signal),
        };
        match self.held.load(Ordering::Relaxed) {
            true => Ok(work.await),
            false => Err(signal.unwrap_or(Signal::Interrupt)),
        }
    }
}
