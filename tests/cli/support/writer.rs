//! A writer in another process: POSIX locks are between processes.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Database;
use super::database::block_on;
use super::process::wait_until;

/// Where it is set, this program is no run of the tests: it is what [`Writer`] starts, and writes to the file at this
/// URL.
pub(crate) const WRITES_TO: &str = "TARSY_DB_TEST_WRITES_TO";

/// Writes until standard input closes.
pub(crate) fn write_to(url: &str) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            is_over.store(true, Ordering::Relaxed);
        });
        block_on(async {
            use sqlx::{Connection, Executor};
            let mut connection = sqlx::SqliteConnection::connect(url).await.expect("the file is there");
            while !is_over.load(Ordering::Relaxed) {
                let both = "BEGIN IMMEDIATE; UPDATE first SET n = n + 1; UPDATE last SET n = n + 1; COMMIT";
                connection.execute(both).await.expect("a reader does not lock a writer out");
            }
            connection.close().await.expect("the connection closes");
        });
    });
}

/// A process that raises the number in the first page of a file and the number in its last one, again and again, both
/// in one transaction.
pub(crate) struct Writer(Child);

impl Writer {
    pub(crate) fn start(source: &Database, journal_mode: &str, megabytes: u32) -> Self {
        source.execute(&format!(
            "PRAGMA journal_mode = {journal_mode};
             CREATE TABLE first (n INTEGER); INSERT INTO first VALUES (0);
             CREATE TABLE middle (filling BLOB);
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {megabytes})
             INSERT INTO middle SELECT zeroblob(1000000) FROM numbers;
             CREATE TABLE last (n INTEGER); INSERT INTO last VALUES (0)"
        ));
        let mut command = Command::new(std::env::current_exe().expect("the path of the tests"));
        command.env(WRITES_TO, source.driver_url());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the tests run");
        let writer = Self(child);
        let path = source.directory().join("history.db-wal");
        match journal_mode {
            // To look into the file would lock the writer out for a moment, and give up this process's locks.
            "WAL" => {
                wait_until("it has begun to write", || std::fs::metadata(&path).is_ok_and(|file| file.len() > 100_000));
            }
            _ => wait_until("it has begun to write", || source.number("SELECT n FROM first") > 10),
        }
        writer
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("it ends");
    }

    /// Ends it, and makes sure that it could always write.
    pub(crate) fn finish(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it ends").success(), "the writer failed");
    }
}
