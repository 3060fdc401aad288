//! The binary while it runs: several at once, or one that is watched by the test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Database, Outcome};

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A process of the binary that has been started.
pub(crate) struct Running {
    child: Child,
    stderr: Receiver<String>,
    /// What came so far.
    heard: String,
}

impl Running {
    /// Starts the binary against a database of the test's own.
    pub(crate) fn start(database: &Database, arguments: &[&str]) -> Self {
        Self::start_at(database.url(), database.directory(), arguments)
    }

    /// Starts the binary against any URL.
    pub(crate) fn start_at(url: &str, directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tarsy-db"));
        command.env_clear().env("DATABASE_URL", url).current_dir(directory).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let (sender, stderr) = channel();
        let lines = BufReader::new(child.stderr.take().expect("standard error is a pipe")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line + "\n")));
        Self { child, stderr, heard: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line on standard error has `text`.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard += &line,
                Err(RecvTimeoutError::Timeout) => panic!("it never said `{text}`:\n{}", self.heard),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before it said `{text}`:\n{}", self.heard),
            }
            if self.heard.lines().last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("standard output is a pipe");
        pipe.read_to_string(&mut stdout).expect("the output is UTF-8");
        let status = self.child.wait().expect("the process can be waited for");
        self.heard.extend(self.stderr.iter());
        Outcome { code: status.code(), stdout, stderr: self.heard }
    }

    /// Ends the process as `kill -9` does. It may have ended before.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process can be waited for");
    }
}
