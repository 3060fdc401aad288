//! Log lines on standard error, as text or as JSON.

use std::borrow::Cow;
use std::io::Write;

use indicatif::MultiProgress;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
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
    // Only tarsy-db's own lines, and the driver's about statements: others may quote a connection string.
    let statements = if level >= LevelFilter::DEBUG { LevelFilter::DEBUG } else { LevelFilter::OFF };
    let ours = Targets::new().with_target("tarsy_db", level).with_target(STATEMENTS, statements);
    let shown = ShownStatements { all: level == LevelFilter::TRACE };
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(color);
    let registry = tracing_subscriber::registry().with(ours).with(shown);
    match cli.global.log_format {
        LogFormat::Text => {
            let lines = lines.with_writer(move || AboveBars(bars.clone())).without_time();
            registry.with(lines.fmt_fields(debug_fn(write_field))).init();
        }
        LogFormat::Json => registry.with(lines.with_writer(|| JsonLines(std::io::stderr())).json()).init(),
    }
}

/// The target of the driver's lines, one for each statement, without the values that are bound to it.
const STATEMENTS: &str = "sqlx::query";

/// Chooses the statements that are logged: those that change something, or all.
struct ShownStatements {
    all: bool,
}

impl<S: Subscriber> Layer<S> for ShownStatements {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if self.all || event.metadata().target() != STATEMENTS {
            return true;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        statement.changes_something()
    }
}

/// The text of a statement: the driver has the whole text in one field, and only the first words of it in the other.
#[derive(Default)]
struct Statement {
    beginning: String,
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.beginning),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Statement {
    /// Whether one of its statements changes data or definitions, locks or commits.
    fn changes_something(&self) -> bool {
        const CHANGES: [&str; 19] = [
            "alter", "analyze", "comment", "commit", "copy", "create", "delete", "do", "drop", "grant", "insert",
            "lock", "merge", "refresh", "reindex", "revoke", "truncate", "update", "vacuum",
        ];
        let text = if self.whole.is_empty() { &self.beginning } else { &self.whole };
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let is_change = |word: &str| CHANGES.iter().any(|change| word.eq_ignore_ascii_case(change));
        code.join("\n").split(';').any(|statement| {
            let words = statement.split(|c: char| !c.is_alphanumeric() && c != '_');
            let mut words = words.filter(|word| !word.is_empty());
            match words.next() {
                // `WITH removed AS (DELETE ...) SELECT ...`
                Some(first) if first.eq_ignore_ascii_case("with") => words.any(is_change),
                // A lock that only keeps the table from being replaced while it is read.
                Some(first) if first.eq_ignore_ascii_case("lock") => !statement.contains("ACCESS SHARE MODE"),
                Some(first) if first.eq_ignore_ascii_case("select") => words.any(|word| word == "setval"),
                Some(first) => is_change(first),
                None => false,
            }
        })
    }
}

/// Writes a field of a log line as text. That of a statement becomes `UPDATE chats SET ... rows_affected=3 elapsed=1ms`.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => writer.write_str(&visible::line(&value)),
        // Of a long statement there is the whole text as well.
        "summary" if value.ends_with("…\"") => Ok(()),
        "summary" | "db.statement" => {
            let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&value);
            let text = text.replace("\\n", " ").replace("\\\"", "\"");
            writer.write_str(&visible::line(&one_line(&text)))
        }
        "elapsed_secs" => Ok(()),
        "rows_affected" | "rows_returned" if value == "0" => Ok(()),
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

/// Escapes control characters in JSON log lines, and gives the driver's lines a message. Each call of `write` gets one
/// whole line.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let line_text = String::from_utf8_lossy(line);
        let line_text = with_message(&line_text).map_or(line_text, Cow::Owned);
        self.0.write_all(visible::json(&line_text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// The line of a statement with its text as the message; `None` if the line has one.
fn with_message(line: &str) -> Option<String> {
    let mut document: Value = serde_json::from_str(line).ok()?;
    let fields = document.get_mut("fields")?.as_object_mut()?;
    if fields.contains_key("message") {
        return None;
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = one_line(text("db.statement").or_else(|| text("summary")).unwrap_or_default());
    fields.shift_insert(0, "message".to_owned(), message.into());
    Some(format!("{document}\n"))
}

/// A statement in one line.
fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_statement_is_its_text() {
        let line = |fields: &str| format!(r#"{{"level":"DEBUG","fields":{fields}}}"#);
        let short = line(r#"{"summary":"SELECT 1","db.statement":"","rows_returned":1}"#);
        let expected =
            line(r#"{"message":"SELECT 1","summary":"SELECT 1","db.statement":"","rows_returned":1}"#) + "\n";
        assert_eq!(with_message(&short), Some(expected));
        let long = line(r#"{"summary":"SELECT a …","db.statement":"\n\nSELECT a\n  FROM t\n"}"#);
        assert!(with_message(&long).is_some_and(|line| line.contains(r#"{"message":"SELECT a FROM t","#)));
        assert_eq!(with_message(&line(r#"{"message":"done"}"#)), None);
    }

    #[test]
    fn statements_that_change_something_are_recognised() {
        let changes = |text: &str| Statement { whole: text.to_owned(), ..Statement::default() }.changes_something();
        for text in [
            "INSERT INTO t VALUES (1)",
            "\n\ncreate table t (a int)\n",
            "WITH gone AS (DELETE FROM t RETURNING a) SELECT count(*) FROM gone",
            "SET LOCAL search_path = x; ALTER TABLE t ADD b int",
            "-- Why.\nUPDATE t SET a = 1",
            "COMMIT",
            "LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE",
            "SELECT setval('s', 7)",
        ] {
            assert!(changes(text), "{text}");
        }
        for text in [
            "SELECT 1",
            "WITH a AS (SELECT 1) TABLE a",
            "BEGIN",
            "ROLLBACK",
            "SELECT updated FROM t",
            "-- DROP\nSELECT 1",
            "LOCK TABLE ONLY public.t IN ACCESS SHARE MODE",
            "",
        ] {
            assert!(!changes(text), "{text}");
        }
    }
}
