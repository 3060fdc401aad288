//! Prints a report as tables and lines, or as one JSON document.

use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use serde::Serialize;
use serde_json::{Value, json};

use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::{format, visible};

/// What a command found or did, as JSON and as text.
#[derive(Debug)]
pub(crate) struct Report {
    /// The document of `--output json`.
    pub document: Value,
    /// The tables and lines of `--output table`.
    pub blocks: Vec<Block>,
    /// The exit code of the process.
    pub exit_code: ExitCode,
    /// Why the command ended early; the rest of the report is what it did until then.
    pub error: Option<Error>,
    /// What the command has committed, in a phrase.
    pub committed: Option<String>,
}

impl Report {
    /// The report of a success.
    ///
    /// # Panics
    /// Never: every summary is a plain structure, which serializes to JSON.
    #[must_use]
    pub(crate) fn new(summary: &impl Serialize, blocks: Vec<Block>) -> Self {
        let document = serde_json::to_value(summary).expect("summaries serialize to JSON");
        Self { document, blocks, exit_code: ExitCode::Done, error: None, committed: None }
    }
}

/// A part of a report as text.
#[derive(Debug)]
pub(crate) enum Block {
    Line(String),
    Lines(Vec<String>),
    /// A script to run: control characters are escaped on a terminal only.
    Script(String),
    Table {
        title: &'static str,
        /// Empty for a table of names and values.
        header: Vec<&'static str>,
        rows: Vec<Vec<Field>>,
    },
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    Text(String),
    /// Left-aligned, one item a line.
    Lines(Vec<String>),
    Number(String),
    /// The result of a check, coloured where colour is used.
    Status(Status),
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Field::Text(text.to_owned())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Field::Text(text)
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    /// Information; nothing to do.
    Note,
    /// Should be repaired; the exit code is not affected.
    Warning,
    Failed,
    /// Could not be checked.
    Skipped,
}

impl Status {
    fn word_and_color(self) -> (&'static str, comfy_table::Color) {
        match self {
            Status::Ok => ("ok", comfy_table::Color::Green),
            Status::Note => ("note", comfy_table::Color::Cyan),
            Status::Warning => ("warning", comfy_table::Color::Yellow),
            Status::Failed => ("FAILED", comfy_table::Color::Red),
            Status::Skipped => ("skipped", comfy_table::Color::DarkGrey),
        }
    }
}

/// The style of the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Whether to print one JSON document instead of tables.
    pub json: bool,
    /// Whether colour is used.
    pub color: bool,
    /// The width of the terminal in characters; `None` if standard output is no terminal.
    pub width: Option<u16>,
}

/// Prints the report of a command to standard output.
///
/// # Errors
/// [`Error::Output`], except for a broken pipe.
pub(crate) fn print(report: &Report, style: Style, command: &str) -> Result<(), Error> {
    let text = if style.json { report_document(report, command) } else { report_text(report, style) };
    write_out(&text).map_err(|source| Error::Output { committed: report.committed.clone(), source })
}

fn report_document(report: &Report, command: &str) -> String {
    let mut document = report.document.clone();
    if let Some(error) = &report.error {
        document["outcome"] = FAILED.into();
        document["error"] = failure_document(error);
    }
    document_text(Some(command), document)
}

fn report_text(report: &Report, style: Style) -> String {
    report.blocks.iter().map(|block| rendered(block, style)).collect::<Vec<_>>().join("\n")
}

/// Prints the JSON document of a command that failed. As text an error goes to standard error only.
///
/// # Errors
/// [`Error::Output`].
pub(crate) fn print_failure(error: &Error, command: Option<&str>) -> Result<(), Error> {
    write_alone(&document_text(command, json!({ "outcome": FAILED, "error": failure_document(error) })))
}

/// The `outcome` of a document with an `error`.
const FAILED: &str = "failed";

/// A document with the fields that all of them have.
fn document_text(command: Option<&str>, mut document: Value) -> String {
    let outcome = document.as_object_mut().and_then(|fields| fields.shift_remove("outcome"));
    let outcome = outcome.unwrap_or_else(|| "done".into());
    let mut whole = json!({ "command": command, "version": env!("CARGO_PKG_VERSION"), "outcome": outcome });
    if let (Value::Object(whole), Value::Object(fields)) = (&mut whole, document) {
        whole.extend(fields);
    }
    visible::json(&format!("{whole:#}\n")).into_owned()
}

fn failure_document(error: &Error) -> Value {
    let details = error.details();
    let mut document = json!({
        "class": error.class(),
        "message": error.to_string(),
        "causes": error.causes(),
        "hint": error.hint(),
        "exit_code": error.exit_code(),
        "details": details.document,
    });
    if let Some(server) = error.server() {
        document["server"] = json!(server);
    }
    if let Some(counts) = details.counts {
        document["total"] = counts.total().into();
        document["counts"] = json!(counts);
    }
    document
}

/// Prints the JSON document of a usage error: the first paragraph of clap's text is the message, the rest the hint.
///
/// # Errors
/// [`Error::Output`].
pub(crate) fn print_usage_failure(text: &str) -> Result<(), Error> {
    let text = text.trim().trim_start_matches("error: ");
    let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
    let error = json!({
        "class": ExitCode::Usage.name(),
        "message": message,
        "causes": [],
        "hint": (!hint.is_empty()).then_some(hint),
        "exit_code": ExitCode::Usage,
        "details": null,
    });
    write_alone(&document_text(None, json!({ "outcome": FAILED, "error": error })))
}

/// Writes the text of a command that has committed nothing.
fn write_alone(text: &str) -> Result<(), Error> {
    printed_alone(write_out(text))
}

/// The result of writing to standard output where nothing is committed.
///
/// # Errors
/// [`Error::Output`], except for a broken pipe.
pub(crate) fn printed_alone(printed: io::Result<()>) -> Result<(), Error> {
    but_for_broken_pipe(printed).map_err(|source| Error::Output { committed: None, source })
}

/// Writes text to standard output. A broken pipe is no error.
fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    but_for_broken_pipe(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// The same result; a reader that ended early is no error.
fn but_for_broken_pipe(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn rendered(block: &Block, style: Style) -> String {
    match block {
        Block::Line(text) => format!("{}\n", visible::line(text)),
        Block::Lines(lines) => format!("{}\n", seen(lines)),
        Block::Script(text) if style.width.is_some() => format!("{}\n", visible::lines(text)),
        Block::Script(text) => format!("{text}\n"),
        Block::Table { title, header, rows } => rendered_table(title, header, rows, style),
    }
}

/// The width of a table that is not shown on a terminal.
const UNLIMITED: u16 = 200;

fn rendered_table(title: &str, header: &[&str], rows: &[Vec<Field>], style: Style) -> String {
    let mut table = Table::new();
    if style.color {
        table.enforce_styling();
    }
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(style.width.unwrap_or(UNLIMITED));
    if !header.is_empty() {
        table.set_header(header.iter().map(|text| bold(text, style)));
    }
    for row in rows {
        table.add_row(row.iter().map(|field| cell(field, style)));
    }
    // Names stand in the first column, and are not cut unless the others would have no room.
    let most = style.width.unwrap_or(UNLIMITED) / 2;
    let longest = table.column_max_content_widths().first().copied().unwrap_or_default();
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(match longest <= most {
            true => ColumnConstraint::ContentWidth,
            false => ColumnConstraint::UpperBoundary(Width::Fixed(most)),
        });
    }
    let title = if style.color { format!("\u{1b}[1m{title}\u{1b}[0m") } else { title.to_owned() };
    format!("{title}\n{table}\n")
}

/// Joins lines, with control characters escaped in each.
fn seen(lines: &[String]) -> String {
    lines.iter().map(|line| visible::line(line)).collect::<Vec<_>>().join("\n")
}

fn bold(text: &str, style: Style) -> Cell {
    let cell = Cell::new(text);
    if style.color { cell.add_attribute(Attribute::Bold) } else { cell }
}

fn cell(field: &Field, style: Style) -> Cell {
    match field {
        Field::Text(text) => Cell::new(visible::line(text)),
        Field::Lines(lines) => Cell::new(seen(lines)),
        Field::Number(text) => Cell::new(visible::line(text)).set_alignment(CellAlignment::Right),
        Field::Status(status) => {
            let (word, color) = status.word_and_color();
            if style.color { Cell::new(word).fg(color) } else { Cell::new(word) }
        }
    }
}

/// A cell with a count.
#[must_use]
pub(crate) fn count(number: u64) -> Field {
    Field::Number(format::number(number))
}

/// A cell with a size in bytes.
#[must_use]
pub(crate) fn bytes(number: u64) -> Field {
    Field::Number(format::size(number))
}

/// Microseconds since the epoch as a time in UTC, or a dash.
#[must_use]
pub(crate) fn time(microseconds: Option<i64>) -> String {
    microseconds.and_then(format::time).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Style {
        Style { json: false, color: false, width: Some(80) }
    }

    fn table(rows: Vec<Vec<Field>>) -> Block {
        Block::Table { title: "checks", header: vec!["check", "result"], rows }
    }

    #[test]
    fn colour_repeats_what_the_words_say() {
        let block = table(vec![vec!["schema".into(), Field::Status(Status::Failed)]]);
        let without = rendered(&block, plain());
        assert!(without.starts_with("checks\n") && without.contains("FAILED"), "{without}");
        assert!(!without.contains('\u{1b}'), "{without:?}");
        let with = rendered(&block, Style { color: true, ..plain() });
        assert!(with.starts_with("\u{1b}[1mchecks\u{1b}[0m\n") && with.contains("FAILED"), "{with:?}");
    }

    #[test]
    fn a_long_name_leaves_room_for_the_other_columns() {
        let reason = "the archive has another `status` in this row";
        let block = |name: &str| rendered(&table(vec![vec![name.into(), reason.into()]]), plain());
        let (long, short) = (block(&"s".repeat(90)), block("a-short-name"));
        assert!(short.contains("a-short-name") && short.contains(reason), "{short}");
        assert!(long.contains("the archive has another"), "{long}");
        assert!(long.lines().all(|line| line.chars().count() <= 80), "{long}");
    }

    #[test]
    fn no_value_forges_a_line_and_a_script_is_exact_beside_a_terminal() {
        let lines = Block::Lines(vec!["one\ntwo".to_owned(), "three".to_owned()]);
        assert_eq!(rendered(&lines, plain()), "one\\ntwo\nthree\n");
        let script = Block::Script("SELECT '\u{1b}[2J';".to_owned());
        assert!(!rendered(&script, plain()).contains('\u{1b}'));
        assert_eq!(rendered(&script, Style { width: None, ..plain() }), "SELECT '\u{1b}[2J';\n");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        assert_eq!((time(None), time(Some(0))), ("-".to_owned(), "1970-01-01T00:00:00Z".to_owned()));
    }
}
