//! What threads share and a panic does not make wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also where a thread panicked while it had the lock.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
