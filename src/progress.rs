//! Progress of long work: bars on a terminal, a log line every ten seconds elsewhere, or nothing.

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::format::{self, counted, duration};
use crate::mutex::lock;
use crate::visible;

/// How often a log line reports the progress.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// On a narrower terminal only the share, the rate and the time left stand beside a bar.
const ROOM_FOR_NUMBERS: u16 = 110;
/// On a narrower terminal there is no room for a bar.
const ROOM_FOR_BARS: u16 = 64;
/// How often a bar is redrawn without progress.
const TICK: Duration = Duration::from_millis(200);

/// A number of rows and the size of their values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// The rows, or the items that the phase counts.
    pub rows: u64,
    /// The size of the values in bytes.
    pub bytes: u64,
}

impl Amount {
    /// The part that some of the rows make up, if all rows have the same size.
    #[must_use]
    pub fn part(&self, rows: u64) -> Self {
        let bytes = u128::from(self.bytes) * u128::from(rows) / u128::from(self.rows.max(1));
        Self { rows, bytes: u64::try_from(bytes).unwrap_or(self.bytes) }
    }
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

/// What is being done to what: `copying events`, `indexing events (idx_events_created_at)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// `copying`.
    pub verb: &'static str,
    /// Mostly a table. The phases of one subject share a bar.
    pub subject: String,
    /// A part of the subject, such as an index.
    pub part: Option<String>,
}

impl Phase {
    /// A phase of the whole subject.
    #[must_use]
    pub fn new(verb: &'static str, subject: &str) -> Self {
        Self { verb, subject: subject.to_owned(), part: None }
    }

    /// The text beside a bar, which shows the subject itself.
    fn shown_phase(&self) -> String {
        self.part.as_ref().map_or(self.verb.to_owned(), |part| format!("{} ({})", self.verb, visible::line(part)))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.subject)?;
        self.part.as_ref().map_or(Ok(()), |part| write!(f, " ({part})"))
    }
}

/// Receives the progress of the work.
pub trait Progress: Send + Sync {
    /// A phase begins; `total` is zero if it is unknown. Several phases may run at the same time. A phase whose meter is
    /// dropped without [`Meter::finish`] has failed.
    fn begin(&self, phase: Phase, total: Amount) -> Box<dyn Meter + '_>;

    /// Removes the bars, at the end of the work.
    fn clear(&self) {}
}

/// Receives the progress of one phase.
pub trait Meter: Send + Sync {
    /// Adds what was done since the last call.
    fn advance(&self, done: Amount);
    /// The phase is over.
    fn finish(&self);
}

/// Bars if standard error is a terminal, otherwise log lines; nothing with `--quiet`.
#[must_use]
pub(crate) fn for_standard_error(quiet: bool, plain: bool, bars: MultiProgress) -> Box<dyn Progress> {
    match (quiet, std::io::stderr().is_terminal() && !plain) {
        (true, _) => Box::new(Silence),
        (false, true) => Box::new(Bars { all: Mutex::default(), drawn: bars }),
        (false, false) => Box::new(Lines::default()),
    }
}

/// Reports nothing.
pub struct Silence;

impl Progress for Silence {
    fn begin(&self, _stage: Phase, _total: Amount) -> Box<dyn Meter + '_> {
        Box::new(Self)
    }
}

impl Meter for Silence {
    fn advance(&self, _done: Amount) {}
    fn finish(&self) {}
}

/// The progress of one phase.
struct Gauge {
    phase: Phase,
    total: Amount,
    done: Mutex<Amount>,
    started: Instant,
}

impl Gauge {
    fn new(phase: Phase, total: Amount) -> Self {
        Self { phase, total, done: Mutex::default(), started: Instant::now() }
    }

    fn advance(&self, more: Amount) {
        *lock(&self.done) += more;
    }

    fn done(&self) -> Amount {
        *lock(&self.done)
    }

    /// `12,345 of 20,000 rows, 210.0 MiB of 520.0 MiB, 52.0 MiB/s, 6s left`, as far as that is known.
    fn text(&self) -> String {
        let done = self.done();
        if done == Amount::default() {
            return format!("for {}", seconds(self.started.elapsed()));
        }
        let Amount { rows, bytes } = self.total;
        let rows = match rows {
            0 => counted(done.rows, "row"),
            rows => format!("{} of {}", format::number(done.rows), counted(rows, "row")),
        };
        let size = match bytes {
            0 => format::size(done.bytes),
            bytes => format!("{} of {}", format::size(done.bytes), format::size(bytes)),
        };
        format!("{rows}, {size}, {}", self.pace())
    }

    /// `61 %, 52.0 MiB/s, 6s left`, for a narrow terminal.
    fn short_text(&self) -> String {
        let (done, total) = (self.done(), self.total.bytes);
        match (u128::from(done.bytes) * 100).checked_div(total.into()) {
            Some(percent) if done != Amount::default() => {
                format!("{} %, {}", percent.min(100), self.pace())
            }
            _ => self.text(),
        }
    }

    /// `52.0 MiB/s, 6s left`.
    fn pace(&self) -> String {
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let done = self.done().bytes;
        let rate = done.saturating_mul(1000) / milliseconds;
        let left = self.total.bytes.saturating_sub(done).checked_div(rate).filter(|left| *left > 0);
        let left = left.map_or(String::new(), |left| format!(", {} left", seconds(Duration::from_secs(left))));
        format!("{}/s{left}", format::size(rate))
    }
}

/// A duration in whole seconds.
fn seconds(duration: Duration) -> String {
    format::duration(Duration::from_secs(duration.as_secs()))
}

/// A bar for each subject, which shows its current phase.
struct Bars {
    all: Mutex<Vec<Bar>>,
    drawn: MultiProgress,
}

struct Bar {
    subject: String,
    drawn: ProgressBar,
    in_use: bool,
}

impl Bars {
    /// The bar of a subject and its number; a new bar if that one is in use.
    fn take(&self, subject: &str) -> (usize, ProgressBar) {
        let mut all = lock(&self.all);
        let number = all.iter().position(|bar| !bar.in_use && bar.subject == subject).unwrap_or(all.len());
        if number == all.len() {
            let drawn = self.drawn.add(ProgressBar::no_length().with_style(style("{prefix:18}")));
            drawn.set_prefix(subject.to_owned());
            all.push(Bar { subject: subject.to_owned(), drawn, in_use: false });
        }
        all[number].in_use = true;
        all[number].drawn.reset();
        all[number].drawn.enable_steady_tick(TICK);
        (number, all[number].drawn.clone())
    }

    /// Releases a bar. The first bar of each subject stays visible.
    fn give_back(&self, number: usize) {
        let mut all = lock(&self.all);
        let Some(bar) = all.get_mut(number) else { return };
        bar.in_use = false;
        let drawn = bar.drawn.clone();
        let subject = bar.subject.clone();
        if all.iter().position(|bar| bar.subject == subject) == Some(number) {
            drawn.disable_steady_tick();
        } else {
            drawn.finish_and_clear();
        }
    }
}

impl Progress for Bars {
    fn begin(&self, phase: Phase, total: Amount) -> Box<dyn Meter + '_> {
        let (number, drawn) = self.take(&visible::line(&phase.subject));
        let template = match total.bytes > 0 {
            false => "{prefix:18} {spinner} {wide_msg}",
            true if is_narrower_than(ROOM_FOR_BARS) => "{prefix:18} {wide_msg}",
            true => "{prefix:18} {wide_bar} {msg}",
        };
        drawn.set_style(style(template));
        drawn.set_length(total.bytes);
        drawn.set_message(phase.shown_phase());
        Box::new(BarMeter { bars: self, gauge: Gauge::new(phase, total), number, drawn })
    }

    fn clear(&self) {
        lock(&self.all).drain(..).for_each(|bar| bar.drawn.finish_and_clear());
    }
}

struct BarMeter<'b> {
    bars: &'b Bars,
    gauge: Gauge,
    number: usize,
    drawn: ProgressBar,
}

impl Meter for BarMeter<'_> {
    fn advance(&self, done: Amount) {
        self.gauge.advance(done);
        let is_narrow = is_narrower_than(ROOM_FOR_NUMBERS);
        let text = if is_narrow { self.gauge.short_text() } else { self.gauge.text() };
        self.drawn.set_message(format!("{} {text}", self.gauge.phase.shown_phase()));
        self.drawn.set_position(self.gauge.done().bytes);
    }

    fn finish(&self) {
        let took = duration(self.gauge.started.elapsed());
        self.drawn.set_style(style("{prefix:18} ✓ {msg}"));
        self.drawn.set_message(format!("{} done in {took}", self.gauge.phase.shown_phase()));
    }
}

impl Drop for BarMeter<'_> {
    fn drop(&mut self) {
        self.bars.give_back(self.number);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are valid")
}

/// Whether standard error is a terminal with fewer columns.
fn is_narrower_than(columns: u16) -> bool {
    rustix::termios::tcgetwinsize(std::io::stderr()).is_ok_and(|size| (1..columns).contains(&size.ws_col))
}

/// A log line for each running phase, every ten seconds.
#[derive(Default)]
struct Lines {
    phases: Arc<Mutex<Vec<Weak<Gauge>>>>,
}

impl Progress for Lines {
    fn begin(&self, phase: Phase, total: Amount) -> Box<dyn Meter + '_> {
        let gauge = Arc::new(Gauge::new(phase, total));
        let mut phases = lock(&self.phases);
        if phases.capacity() == 0 {
            let phases = Arc::downgrade(&self.phases);
            std::thread::spawn(move || log_progress(&phases));
        }
        phases.retain(|phase| phase.strong_count() > 0);
        phases.push(Arc::downgrade(&gauge));
        Box::new(gauge)
    }
}

impl Meter for Arc<Gauge> {
    fn advance(&self, done: Amount) {
        Gauge::advance(self, done);
    }

    fn finish(&self) {
        let (rows, took) = (counted(self.done().rows, "row"), duration(self.started.elapsed()));
        tracing::debug!("{}: {rows} in {took}", self.phase);
    }
}

/// Logs the running phases until the list is dropped.
fn log_progress(phases: &Weak<Mutex<Vec<Weak<Gauge>>>>) {
    loop {
        std::thread::sleep(LOG_INTERVAL);
        let Some(phases) = phases.upgrade() else { return };
        let running: Vec<_> = lock(&phases).iter().filter_map(Weak::upgrade).collect();
        for gauge in running {
            tracing::info!("{}: {}", gauge.phase, gauge.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_what_is_known() {
        let gauge = |total| Gauge::new(Phase::new("copying", "events"), total);
        assert_eq!(gauge(Amount::default()).text(), "for 0s");
        let known = gauge(Amount { rows: 20_000, bytes: 2048 });
        known.advance(Amount { rows: 12_345, bytes: 1024 });
        assert!(known.text().starts_with("12,345 of 20,000 rows, 1.0 KiB of 2.0 KiB, "), "{}", known.text());
        assert!(known.short_text().starts_with("50 %, "), "{}", known.short_text());
        let unknown = gauge(Amount::default());
        unknown.advance(Amount { rows: 1, bytes: 1024 });
        assert!(unknown.text().starts_with("1 row, 1.0 KiB, "), "{}", unknown.text());
        assert!(unknown.short_text().starts_with("1 row, 1.0 KiB, "), "{}", unknown.short_text());
    }
}
