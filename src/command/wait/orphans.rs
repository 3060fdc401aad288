//! The orphans of a container, which the kernel gives to its process 1.

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Does the work, and in the meantime reaps the children that this process adopts as process 1: the backend that takes its
/// place does not know them, and would keep them as zombies. Another process adopts none, and its children are left alone.
///
/// # Errors
/// The operating system's, if it cannot be asked for SIGCHLD.
pub(crate) async fn reaped_during<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    if std::process::id() != 1 {
        return Ok(work.await);
    }
    let ended = signal(SignalKind::child())?;
    tokio::select! {
        result = work => {
            reap_ended();
            Ok(result)
        }
        never = reap(ended) => never,
    }
}

async fn reap<T>(mut ended: tokio::signal::unix::Signal) -> T {
    loop {
        // Several that end at the same time are one signal; those before the first were adopted from a shell.
        reap_ended();
        ended.recv().await;
    }
}

/// Takes the exit codes of all children that have ended.
fn reap_ended() {
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
}
