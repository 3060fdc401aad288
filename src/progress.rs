//! Work reports how far it is and never knows who draws: bars on a terminal, log lines elsewhere,
//! or nothing.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a log line tells how far the work is.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How much of something there is, or was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Rows, or whatever the stage counts.
    pub rows: u64,
    /// Bytes of values.
    pub bytes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

/// Is told how far the work is.
pub trait Progress: Send + Sync {
    /// A stage begins; `total` is all zero when nobody knows.
    fn start(&self, stage: &str, total: Amount);
    /// So much was done since the last call.
    fn advance(&self, done: Amount);
    /// The stage is over.
    fn finish(&self);
}

/// Chooses what fits standard error.
#[must_use]
pub fn for_standard_error(quiet: bool, plain: bool) -> Box<dyn Progress> {
    match (quiet, std::io::stderr().is_terminal() && !plain) {
        (true, _) => Box::new(Silence),
        (false, true) => Box::new(Bar(Mutex::new(None))),
        (false, false) => Box::new(LogLines(Mutex::new(None))),
    }
}

/// Says nothing.
pub struct Silence;

impl Progress for Silence {
    fn start(&self, _stage: &str, _total: Amount) {}
    fn advance(&self, _done: Amount) {}
    fn finish(&self) {}
}

struct Stage {
    name: String,
    total: Amount,
    done: Amount,
    started: Instant,
    logged: Instant,
    bar: ProgressBar,
}

impl Stage {
    fn new(name: &str, total: Amount, bar: ProgressBar) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), total, done: Amount::default(), started: now, logged: now, bar }
    }

    fn advance(&mut self, done: Amount) {
        self.done += done;
    }

    /// `12,345 of 20,000 rows`, or without the total where nobody knows it.
    fn rows(&self) -> String {
        match self.total.rows {
            0 => format!("{} rows", HumanCount(self.done.rows)),
            total => format!("{} of {} rows", HumanCount(self.done.rows), HumanCount(total)),
        }
    }

    /// Bytes per second since the stage began.
    fn rate(&self) -> u64 {
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done.bytes.saturating_mul(1000) / milliseconds
    }
}

struct Bar(Mutex<Option<Stage>>);

impl Progress for Bar {
    fn start(&self, name: &str, total: Amount) {
        let bar = ProgressBar::with_draw_target(Some(total.bytes), ProgressDrawTarget::stderr());
        let template = if total.bytes == 0 {
            "{prefix:28} {spinner} {msg}, {bytes}, {elapsed}"
        } else {
            "{prefix:28} {wide_bar} {msg}, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are sound"));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *lock(&self.0) = Some(Stage::new(name, total, bar));
    }

    fn advance(&self, done: Amount) {
        if let Some(stage) = lock(&self.0).as_mut() {
            stage.advance(done);
            stage.bar.set_message(stage.rows());
            stage.bar.set_position(stage.done.bytes);
        }
    }

    fn finish(&self) {
        if let Some(stage) = lock(&self.0).take() {
            stage.bar.finish_and_clear();
        }
    }
}

struct LogLines(Mutex<Option<Stage>>);

impl Progress for LogLines {
    fn start(&self, name: &str, total: Amount) {
        *lock(&self.0) = Some(Stage::new(name, total, ProgressBar::hidden()));
    }

    fn advance(&self, done: Amount) {
        let mut stage = lock(&self.0);
        let Some(stage) = stage.as_mut() else { return };
        stage.advance(done);
        if stage.logged.elapsed() >= LOG_INTERVAL {
            stage.logged = Instant::now();
            let (bytes, rate) = (HumanBytes(stage.done.bytes), HumanBytes(stage.rate()));
            tracing::info!("{}: {}, {bytes}, {rate}/s", stage.name, stage.rows());
        }
    }

    fn finish(&self) {
        if let Some(stage) = lock(&self.0).take() {
            tracing::debug!("{}: {} in {:.1?}", stage.name, stage.rows(), stage.started.elapsed());
        }
    }
}

/// A panic elsewhere does not make what was counted wrong.
fn lock(stage: &Mutex<Option<Stage>>) -> std::sync::MutexGuard<'_, Option<Stage>> {
    stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
