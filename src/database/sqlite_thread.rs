//! Work on a thread of its own with SQLite's handle: a row takes 1 to 2 µs, in the driver's stream of rows 7 to 9 µs.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use sqlx::sqlite::LockedSqliteHandle;
use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::failure::{DatabaseCause, ErrorClass};

/// How many steps SQLite runs before it checks for an interruption: about 50 rows, or 1000 pages of a check.
const STEPS: i32 = 1000;

/// Running work, which ends with the connection that it was given. If this is dropped, SQLite is interrupted soon after,
/// and the connection is dropped.
pub(crate) struct Work<C, T> {
    thread: JoinHandle<(C, Result<T, DatabaseCause>)>,
    abandoned: Arc<AtomicBool>,
}

impl<C, T> Work<C, T>
where
    C: DerefMut<Target = SqliteConnection> + Send + 'static,
    T: Send + 'static,
{
    /// Starts work with the handle of a connection.
    pub(crate) fn start(
        mut connection: C,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseCause> + Send + 'static,
    ) -> Self {
        let (runtime, abandoned) = (Handle::current(), Arc::<AtomicBool>::default());
        let is_abandoned = Arc::clone(&abandoned);
        let thread = tokio::task::spawn_blocking(move || {
            let result = with_handle(&runtime, &mut connection, is_abandoned, work);
            (connection, result)
        });
        Self { thread, abandoned }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The thread panicked.
    pub(crate) async fn finish(mut self) -> Result<(C, Result<T, DatabaseCause>), DatabaseCause> {
        (&mut self.thread).await.map_err(|error| DatabaseCause::new(ErrorClass::Other, error.to_string()))
    }
}

impl<C, T> Drop for Work<C, T> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

fn with_handle<T>(
    runtime: &Handle,
    connection: &mut SqliteConnection,
    is_abandoned: Arc<AtomicBool>,
    work: impl FnOnce(&Connection) -> Result<T, DatabaseCause>,
) -> Result<T, DatabaseCause> {
    let mut handle = runtime.block_on(async {
        // The driver's own thread may not have noticed that the last handle came back. Without an answer its queue of
        // commands fills up, and at last it waits for the handle while this thread waits for room in the queue.
        connection.ping().await?;
        connection.lock_handle().await
    })?;
    handle.set_progress_handler(STEPS, move || !is_abandoned.load(Ordering::Relaxed));
    let result = on_handle(&mut handle, work);
    handle.remove_progress_handler();
    result
}

/// Runs work with the handle of a locked connection, on this thread.
///
/// # Errors
/// SQLite's error, or that of `work`.
pub(crate) fn on_handle<T>(
    handle: &mut LockedSqliteHandle<'_>,
    work: impl FnOnce(&Connection) -> Result<T, DatabaseCause>,
) -> Result<T, DatabaseCause> {
    // SAFETY: the handle is open and locked for this thread until `handle` is dropped, which is after `connection`;
    // a connection made from a handle does not close it.
    #[expect(unsafe_code, reason = "there is no safe way to the handle behind the driver")]
    let connection = unsafe { Connection::from_handle(handle.as_raw_handle().as_ptr()) }?;
    work(&connection)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, SqliteConnection};

    use super::*;

    struct Owned(SqliteConnection);

    impl std::ops::Deref for Owned {
        type Target = SqliteConnection;
        fn deref(&self) -> &SqliteConnection {
            &self.0
        }
    }

    impl DerefMut for Owned {
        fn deref_mut(&mut self) -> &mut SqliteConnection {
            &mut self.0
        }
    }

    #[test]
    fn any_number_of_works_follow_each_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // With the usual queue of 50 commands the two threads waited for each other after hundreds of thousands.
        let options = SqliteConnectOptions::new().in_memory(true).command_buffer_size(1);
        let stuck = runtime.block_on(async {
            let mut connection = Owned(options.connect().await.expect("memory"));
            for number in 0..20_000 {
                let work = Work::start(connection, move |_| Ok(number)).finish();
                let Ok(finished) = tokio::time::timeout(std::time::Duration::from_secs(20), work).await else {
                    return Some(number);
                };
                let (same, result) = finished.expect("a thread");
                assert_eq!(result.expect("a number"), number);
                connection = same;
            }
            None
        });
        // A runtime that is dropped waits for its threads.
        runtime.shutdown_background();
        assert_eq!(stuck, None, "this work does not end");
    }
}
