//! The binary while it runs, and an open transaction of another session.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::{Database, Outcome};

/// How long to wait for a condition before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The running binary. It is killed at the end of the test.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<()>>,
    written: Arc<Mutex<[Vec<u8>; 2]>>,
    /// How much of standard error [`Running::says`] has looked through.
    read_to: usize,
}

impl Running {
    /// Starts a command; its output is collected.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let written = Arc::<Mutex<[Vec<u8>; 2]>>::default();
        let stdout = child.stdout.take().map(|stream| collect(stream, &written, 0));
        let stderr = child.stderr.take().map(|stream| collect(stream, &written, 1));
        Self { child, stdout, stderr, written, read_to: 0 }
    }

    /// Starts the binary on a database.
    pub(crate) fn start(database: &Database, arguments: &[&str]) -> Self {
        Self::start_at(database.url(), database.directory(), arguments)
    }

    /// Starts the binary on any URL.
    pub(crate) fn start_at(url: &str, directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
        command.env_clear().current_dir(directory).env("DATABASE_URL", url);
        Self::of(command.args(arguments))
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// What it wrote to standard error until now.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("readers do not panic")[1]).into_owned()
    }

    /// Waits until a line on standard error has `text`, behind what was waited for before.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        wait_until(&format!("it says `{text}`"), || {
            let stderr = self.stderr();
            let found = stderr[self.read_to..].find(text).map(|place| self.read_to + place);
            self.read_to =
                found.map_or(self.read_to, |place| stderr[place..].find('\n').map_or(stderr.len(), |end| place + end));
            assert!(found.is_some() || !self.is_over(), "it ended before it said `{text}`:\n{stderr}");
            found.is_some()
        });
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_some()
    }

    /// Waits for its end. The exit code is `None` after a signal that it did not handle.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        wait_until("the process ends", || self.is_over());
        let status = self.child.wait().expect("the process has ended");
        for reader in [self.stdout.take(), self.stderr.take()].into_iter().flatten() {
            reader.join().expect("readers do not panic");
        }
        let [stdout, stderr] = std::mem::take(&mut *self.written.lock().expect("readers do not panic"));
        std::process::Output { status, stdout, stderr }.into()
    }
}

impl Running {
    /// Ends the process as `kill -9` does. It may have ended before.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the binary on a database by another program, which becomes it.
pub(crate) fn running_by(program: &[&str], database: &Database, arguments: &[&str]) -> Running {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_tarsy-db")).args(arguments);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    Running::of(command.current_dir(database.directory()).env("DATABASE_URL", database.url()))
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {process}");
}

fn collect(mut stream: impl Read + Send + 'static, written: &Arc<Mutex<[Vec<u8>; 2]>>, place: usize) -> JoinHandle<()> {
    let written = Arc::clone(written);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            written.lock().expect("readers do not panic")[place].extend_from_slice(&chunk[..length]);
        }
    })
}

/// Another session, with a transaction that stays open until it is released.
pub(crate) struct Held {
    connection: Connection,
}

impl Held {
    /// Connects without beginning anything.
    pub(crate) fn connect(database: &Database) -> Self {
        Self { connection: Connection::open(&database.driver_url()) }
    }

    /// Begins a transaction with these statements.
    pub(crate) fn begin(database: &Database, sql: &str) -> Self {
        let mut held = Self::connect(database);
        let begin = if database.is_sqlite() { "BEGIN IMMEDIATE" } else { "BEGIN" };
        held.execute(&format!("{begin}; {sql}"));
        held
    }

    /// Runs statements on this connection.
    #[track_caller]
    pub(crate) fn execute(&mut self, sql: &str) {
        self.connection.execute(sql);
    }

    /// Ends the connection, and with it its transaction.
    pub(crate) fn close(self) {
        self.connection.close();
    }
}
