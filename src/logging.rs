//! Log lines on standard error, as text or as JSON.

use std::io::Write;

use indicatif::MultiProgress;
use tracing::field::Field;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Cli;
use crate::cli::global::LogFormat;
use crate::visible;

/// Starts logging to standard error, with the level and format of the command line. Lines appear above `bars`.
pub(crate) fn start(cli: &Cli, color: bool, bars: MultiProgress) {
    let level = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Only tarsy-db's own lines: those of libraries may quote a connection string.
    let ours = Targets::new().with_target("tarsy_db", level);
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(color);
    let registry = tracing_subscriber::registry().with(ours);
    match cli.global.log_format {
        LogFormat::Text => {
            let lines = lines.with_writer(move || AboveBars(bars.clone())).without_time();
            registry.with(lines.fmt_fields(debug_fn(write_field))).init();
        }
        LogFormat::Json => registry.with(lines.with_writer(|| JsonLines(std::io::stderr())).json()).init(),
    }
}

/// Writes a field of a log line as text.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => writer.write_str(&visible::line(&value)),
        name => write!(writer, " {name}={}", visible::line(&value)),
    }
}

/// Writes lines above the progress bars, which are cleared before each line and drawn again after it.
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Escapes control characters in JSON log lines. Each call of `write` gets one whole line.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(visible::json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
