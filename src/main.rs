//! Parse, run, print the error, exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use tarsy_db::{Cli, Color, Context, Error, LogFormat, OutputFormat, Style};
use tracing::field::Field;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How many items of a list an error shows to people.
const SHOWN_DETAILS: usize = 100;

fn main() -> ExitCode {
    tell_of_panics(false, LogFormat::Text);
    let environment: BTreeMap<String, OsString> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let plain = environment.contains_key("NO_COLOR") || environment.get("TERM").is_some_and(|term| term == "dumb");
    let cli = match parse(plain) {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code,
    };
    let allows = |terminal: bool| match cli.global.color {
        Color::Auto => terminal && !plain,
        Color::Always => true,
        Color::Never => false,
    };
    let style = Style {
        json: cli.global.output == OutputFormat::Json,
        color: allows(std::io::stdout().is_terminal()),
        width: std::io::stdout().is_terminal().then(terminal_width).flatten(),
    };
    start_logging(&cli, allows(std::io::stderr().is_terminal()));
    tell_of_panics(style.json, cli.global.log_format);
    let context = Context {
        environment,
        now: chrono::Utc::now(),
        progress: tarsy_db::progress_for_standard_error(
            cli.global.quiet,
            plain || cli.global.log_format == LogFormat::Json,
        ),
    };
    let log_format = cli.global.log_format;
    let exit_code = match tarsy_db::run(cli, &context) {
        Ok(report) => {
            // A run that ended early has a summary and an error.
            report.error.iter().for_each(|error| tell(error, log_format));
            tarsy_db::print(&report, style).map(|()| report.exit_code)
        }
        Err(error) => {
            tell(&error, log_format);
            if style.json { tarsy_db::print_failure(&error).map(|()| error.exit_code()) } else { Ok(error.exit_code()) }
        }
    };
    ExitCode::from(exit_code.unwrap_or_else(|error| {
        tell(&error, log_format);
        error.exit_code()
    }))
}

/// Parses the command line. Help and version are no errors, and go to standard output.
fn parse(plain: bool) -> Result<Cli, ExitCode> {
    let choice = if plain { ColorChoice::Never } else { ColorChoice::Auto };
    parse_words(choice, std::env::args_os()).map_err(|error| {
        if !error.use_stderr() {
            // Help and version; where they cannot be written nobody is reading.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        // Once more with words that can be shown: the message quotes them between lines of its own.
        let words = std::env::args_os().map(|word| tarsy_db::visible_line(&word.to_string_lossy()).into_owned());
        let words: Vec<String> = words.collect();
        let error = parse_words(choice, words.iter().map(OsString::from)).err().unwrap_or(error);
        let message = without_urls(&tarsy_db::visible_lines(&error.render().to_string()), &words);
        let _ = std::io::stderr().write_all(message.as_bytes());
        let wants_json = words.windows(2).any(|pair| pair == ["--output", "json"] || pair[1] == "--output=json");
        if wants_json && tarsy_db::print_usage_failure(message.trim()).is_err() {
            return ExitCode::from(74);
        }
        ExitCode::from(2)
    })
}

fn parse_words(choice: ColorChoice, words: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::command().color(choice).try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches))
}

/// Takes URLs out of a usage error: a misplaced one may hold a password.
fn without_urls(message: &str, words: &[String]) -> String {
    // `--flag=URL` is quoted by its value alone.
    let values = words.iter().flat_map(|word| [Some(word.as_str()), word.split_once('=').map(|(_, value)| value)]);
    let urls = values.flatten().filter(|value| tarsy_db::is_url(value));
    urls.fold(message.to_owned(), |message, url| message.replace(url, "<URL>"))
}

fn terminal_width() -> Option<u16> {
    console::Term::stdout().size_checked().map(|(_, columns)| columns)
}

fn start_logging(cli: &Cli, color: bool) {
    let level = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Libraries stay silent: their lines may quote what a connection string holds.
    let ours = Targets::new().with_target("tarsy_db", level);
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(color);
    let registry = tracing_subscriber::registry().with(ours);
    match cli.global.log_format {
        LogFormat::Text => {
            let lines = lines.with_writer(std::io::stderr).without_time();
            registry.with(lines.fmt_fields(debug_fn(write_field))).init();
        }
        LogFormat::Json => registry.with(lines.with_writer(|| JsonLines(std::io::stderr())).json()).init(),
    }
}

/// Writes a part of a log line for people.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => writer.write_str(&tarsy_db::visible_line(&value)),
        name => write!(writer, " {name}={}", tarsy_db::visible_line(&value)),
    }
}

/// Escapes in log lines for machines what the serializer leaves. It is given one line at a time, as a whole.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(tarsy_db::visible_json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Has a panic told as an error is, in one line, and end the process with an exit code: nothing is dropped, whether the
/// profile unwinds or not. What must not stay is removed before.
fn tell_of_panics(json: bool, log_format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let error = Error::of_panic(panic, tarsy_db::remove_temporary_files());
        tell(&error, log_format);
        if json {
            // Where standard output is closed as well nothing can be said.
            let _ = tarsy_db::print_failure(&error);
        }
        #[expect(clippy::exit, reason = "what would come next is an abort")]
        std::process::exit(error.exit_code().into());
    }));
}

/// Tells of a failure on standard error.
fn tell(error: &Error, log_format: LogFormat) {
    match log_format {
        LogFormat::Json => {
            let (causes, hint, details) = (error.causes(), error.hint(), error.details().lines);
            tracing::error!(?causes, hint, ?details, exit_code = error.exit_code(), "{error}");
        }
        LogFormat::Text => {
            // Where standard error is closed nothing can be said.
            let _ = std::io::stderr().write_all(failure_text(error).as_bytes());
        }
    }
}

fn failure_text(error: &Error) -> String {
    let mut lines = vec![format!("error: {error}")];
    lines.extend(error.causes().iter().map(|cause| format!("  because: {cause}")));
    let details = error.details().lines;
    lines.extend(details.iter().take(SHOWN_DETAILS).map(|detail| format!("  - {detail}")));
    if details.len() > SHOWN_DETAILS {
        lines.push(format!("  - and {} more: `--output json` lists them all", details.len() - SHOWN_DETAILS));
    }
    lines.extend(error.hint().map(|hint| format!("  hint: {hint}")));
    let lines = lines.iter().map(|line| tarsy_db::visible_line(line));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
