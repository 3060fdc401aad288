//! The process: arguments, environment, streams and exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use chrono::SecondsFormat;
use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use indicatif::MultiProgress;
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::cli::global::{Color, LogFormat, OutputFormat};
use crate::command::context::Context;
use crate::database::url;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::fs::temporary;
use crate::output::{self, Style};
use crate::{command, logging, name_service, progress, version, visible};

/// How many items of a list the text of an error shows.
const SHOWN_DETAILS: usize = 100;

/// How failures are reported on standard error.
#[derive(Debug, Clone, Copy)]
struct FailureStyle {
    log_format: LogFormat,
    color: bool,
}

/// Parses the command line, runs the command, prints the report or the error, and returns the exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    name_service::use_files_and_dns();
    report_panics(None, FailureStyle { log_format: LogFormat::Text, color: false });
    let environment: BTreeMap<String, OsString> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    // As https://no-color.org defines it: an empty variable is none.
    let is_plain = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let plain = is_plain || environment.get("TERM").is_some_and(|term| term == "dumb");
    let cli = match parse(plain) {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code.into(),
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
    let command = cli.command.name();
    let failures = FailureStyle { log_format: cli.global.log_format, color: allows(std::io::stderr().is_terminal()) };
    let bars = MultiProgress::new();
    logging::start(&cli, failures.color, bars.clone());
    report_panics(style.json.then_some(command), failures);
    let context = Context {
        environment,
        now: chrono::Utc::now(),
        progress: progress::for_standard_error(
            cli.global.quiet,
            plain || cli.global.log_format == LogFormat::Json,
            bars,
        ),
    };
    let exit_code = match command::run(cli, &context) {
        Ok(report) => {
            // A run that ended early has both a summary and an error.
            report.error.iter().for_each(|error| report_failure(error, failures));
            output::print(&report, style, command).map(|()| report.exit_code)
        }
        Err(error) => {
            report_failure(&error, failures);
            let printed = if style.json { output::print_failure(&error, Some(command)) } else { Ok(()) };
            printed.map(|()| error.exit_code())
        }
    };
    let exit_code = exit_code.unwrap_or_else(|error| {
        report_failure(&error, failures);
        error.exit_code()
    });
    exit_code.into()
}

/// Parses the command line. Prints help and version to standard output, and a usage error to standard error.
fn parse(plain: bool) -> Result<Cli, ExitCode> {
    let choice = if plain { ColorChoice::Never } else { ColorChoice::Auto };
    let words = with_joined_negatives(std::env::args_os());
    parse_words(choice, &words).map_err(|error| {
        if !error.use_stderr() {
            let printed = if error.kind() == ErrorKind::DisplayVersion && asks_for_details(std::env::args_os()) {
                std::io::stdout().write_all(version::details().as_bytes())
            } else {
                error.print()
            };
            let printed = output::printed_alone(printed.and_then(|()| std::io::stdout().flush()));
            return printed.err().map_or(ExitCode::Done, |error| {
                report_failure(&error, FailureStyle { log_format: LogFormat::Text, color: false });
                error.exit_code()
            });
        }
        // Once more with control characters escaped, because clap's message quotes the words.
        let words: Vec<_> = words.iter().map(|word| visible::line(&word.to_string_lossy()).into_owned()).collect();
        let error = parse_words(choice, &words).err().unwrap_or(error);
        let message = without_urls(&visible::lines(&error.render().to_string()), &words);
        let wants = |flag: &str, value: &str| {
            words.windows(2).any(|pair| pair == [flag, value] || pair[1] == format!("{flag}={value}"))
        };
        let is_terminal = !plain && std::io::stderr().is_terminal();
        let is_colored = wants("--color", "always") || (is_terminal && !wants("--color", "never"));
        let shown = if is_colored { with_colored_labels(&message) } else { message.clone() };
        let _ = std::io::stderr().write_all(shown.as_bytes());
        if wants("--output", "json") && output::print_usage_failure(&message).is_err() {
            return ExitCode::InputOutput;
        }
        ExitCode::Usage
    })
}

/// The words with `--timeout -5m` as `--timeout=-5m`, up to the command of `wait -- COMMAND`. clap would take a word that
/// begins with a hyphen for a flag, and if it is told otherwise, the next flag for a value that was forgotten.
fn with_joined_negatives(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_flag = |word: &OsString| matches!(word.as_encoded_bytes(), [b'-', b'-', first, ..] if *first != b'-');
    let has_value = |word: &OsString| word.as_encoded_bytes().contains(&b'=');
    let is_negative = |word: &OsString| matches!(word.as_encoded_bytes(), [b'-', digit, ..] if digit.is_ascii_digit());
    let mut joined: Vec<OsString> = Vec::new();
    let mut is_over = false;
    for word in words {
        is_over |= word == "--";
        match joined.last_mut() {
            Some(last) if !is_over && is_negative(&word) && is_flag(last) && !has_value(last) => {
                last.push("=");
                last.push(&word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

fn parse_words(choice: ColorChoice, words: &[impl Into<OsString> + Clone]) -> Result<Cli, clap::Error> {
    Cli::command()
        .color(choice)
        .try_get_matches_from(words.iter().cloned())
        .and_then(|matches| Cli::from_arg_matches(&matches))
}

/// clap ends at `-V`, before it has seen the words behind it.
fn asks_for_details(words: impl Iterator<Item = OsString>) -> bool {
    let is_verbose = |word: &str| {
        let letters = word.strip_prefix('-').filter(|letters| letters.chars().all(char::is_alphabetic));
        word == "--verbose" || letters.is_some_and(|letters| letters.contains('v'))
    };
    words.map(|word| word.to_string_lossy().into_owned()).take_while(|word| word != "--").any(|word| is_verbose(&word))
}

/// Replaces URLs in a usage error: a misplaced one may hold a password.
fn without_urls(message: &str, words: &[String]) -> String {
    // clap quotes only the value of `--flag=URL`.
    let values = words.iter().flat_map(|word| [Some(word.as_str()), word.split_once('=').map(|(_, value)| value)]);
    let urls = values.flatten().filter(|value| url::is_url(value));
    urls.fold(message.to_owned(), |message, url| message.replace(url, "<URL>"))
}

fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(size.ws_col)
}

/// Reports a panic as an error in one line, removes temporary files and ends the process with an exit code.
/// `json_of` is the command of the JSON document, if one is wanted.
fn report_panics(json_of: Option<&'static str>, failures: FailureStyle) {
    std::panic::set_hook(Box::new(move |panic| {
        let error = Error::of_panic(panic, temporary::remove_all());
        report_failure(&error, failures);
        if json_of.is_some() {
            // If standard output is closed as well, nothing can be reported.
            let _ = output::print_failure(&error, json_of);
        }
        #[expect(clippy::exit, reason = "the alternative is an abort")]
        std::process::exit(error.exit_code().number().into());
    }));
}

/// Reports a failure on standard error.
fn report_failure(error: &Error, style: FailureStyle) {
    match style.log_format {
        LogFormat::Json => {
            let line = visible::json(&format!("{}\n", failure_line(error))).into_owned();
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        LogFormat::Text => {
            // If standard error is closed, nothing can be reported.
            let text = failure_text(error);
            let text = if style.color { with_colored_labels(&text) } else { text };
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// A log line as those of [`logging`], which cannot hold lists.
fn failure_line(error: &Error) -> Value {
    json!({
        "timestamp": chrono::Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        "level": "ERROR",
        "fields": {
            "message": error.to_string(),
            "class": error.class(),
            "causes": error.causes(),
            "hint": error.hint(),
            "details": error.details().first_lines(usize::MAX),
            "exit_code": error.exit_code(),
        },
    })
}

fn failure_text(error: &Error) -> String {
    let mut lines = vec![format!("error: {error}")];
    lines.extend(error.causes().iter().map(|cause| format!("  because: {cause}")));
    let details = error.details().first_lines(SHOWN_DETAILS);
    lines.extend(details.iter().map(|detail| format!("  - {detail}")));
    lines.extend(error.hint().map(|hint| format!("  hint: {hint}")));
    let lines = lines.iter().map(|line| visible::line(line));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Colours the words at the beginning of lines that say what a line is.
fn with_colored_labels(text: &str) -> String {
    const RED: &str = "\u{1b}[1;31m";
    const CYAN: &str = "\u{1b}[1;36m";
    const BOLD: &str = "\u{1b}[1m";
    let labels = [("error:", RED), ("  hint:", CYAN), ("  tip:", CYAN), ("  because:", BOLD), ("Usage:", BOLD)];
    let colored = |line: &str| {
        let found = labels.iter().find_map(|(label, color)| Some((label, color, line.strip_prefix(label)?)));
        found.map(|(label, color, rest)| format!("{color}{label}\u{1b}[0m{rest}"))
    };
    text.split_inclusive('\n').map(|line| colored(line).unwrap_or_else(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_number_is_the_value_of_the_flag_before_it() {
        let joined = |words: &[&str]| with_joined_negatives(words.iter().map(OsString::from));
        assert_eq!(joined(&["init", "--wait", "-5m", "--strict"]), ["init", "--wait=-5m", "--strict"]);
        for words in [
            ["init", "--wait", "--strict"],
            ["init", "--wait", "-v"],
            ["--wait", "5m", "-5m"],
            ["--wait=5m", "-5m", "-1"],
            ["--", "--wait", "-5m"],
        ] {
            assert_eq!(joined(&words), words);
        }
    }

    #[test]
    fn only_labels_are_coloured() {
        let text = "error: no\n  because: error: x\n  hint: y\n";
        let expected =
            "\u{1b}[1;31merror:\u{1b}[0m no\n\u{1b}[1m  because:\u{1b}[0m error: x\n\u{1b}[1;36m  hint:\u{1b}[0m y\n";
        assert_eq!(with_colored_labels(text), expected);
    }
}
