//! Replaces what differs between runs or machines by names.

use std::path::Path;

use super::Database;

/// The borders between the cells of a table's row.
const BORDERS: [char; 2] = ['│', '┆'];
/// The JSON fields with measured values, and the version, which a release changes.
const FIGURES: [&str; 7] =
    ["seconds", "opened_seconds", "round_trip_seconds", "batches", "longest_batch_seconds", "started", "version"];
/// The JSON fields that depend on the server's statistics, sessions or version.
const FIGURES_OF_A_SERVER: [&str; 9] = [
    "live_rows",
    "dead_rows",
    "reclaimable_bytes",
    "reusable_bytes",
    "bytes_after",
    "free",
    "used",
    "replicas",
    "major",
];
/// A line that depends on the server's statistics.
const LINE_OF_A_SERVER: &str = " in the tables: autovacuum makes this space reusable";
/// Endings of lines that depend on other sessions or on the server's statistics.
const ENDINGS: [&str; 2] = ["; the longest batch took ", ", about "];
/// The text before the time since when a session is idle.
const IDLE: &str = "idle in transaction since ";
/// The texts before a measured time.
const MEASURED: [&str; 4] = ["1 attempt and ", "1 attempt, ", " in ", " takes "];
/// The units in which a time is measured.
const UNITS: [&str; 4] = ["us", "ms", "s", "m"];

/// Texts with their names.
#[derive(Default)]
pub(crate) struct Redaction {
    texts: Vec<(String, String)>,
    has_server: bool,
}

impl Redaction {
    /// Has a name for a text.
    pub(crate) fn text(mut self, text: &str, name: &str) -> Self {
        self.texts.push((text.to_owned(), name.to_owned()));
        self.texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        self
    }

    /// Has a name for a directory, as long as its path: a table breaks both in the same place.
    pub(crate) fn directory(self, directory: &Path, name: &str) -> Self {
        let path = directory.display().to_string();
        assert!(path.starts_with("/tmp/.tmp"), "{path} may be longer elsewhere");
        let filled = format!("/{name:-<width$}", width = path.len() - 1);
        self.text(&path, &filled)
    }

    /// Has names for what a database and its server are called, and for their version.
    pub(crate) fn database(self, database: &Database) -> Self {
        let sql = if database.is_sqlite() { "SELECT sqlite_version()" } else { "SHOW server_version" };
        let version = database.texts(sql).remove(0).expect("a version");
        let backend = if database.is_sqlite() { "SQLite" } else { "PostgreSQL" };
        let named = self.text(&format!("{backend} {version}"), &format!("{backend} <version>"));
        let named = named.text(&format!("\"{version}\""), "\"<version>\"");
        if database.is_sqlite() {
            return named;
        }
        let filled = format!("{:-<width$}", "tarsy_test", width = database.name().len());
        let port = database.port();
        let named = named.text(database.name(), &filled).text(&format!(":{port}/"), ":-----/");
        Self { has_server: true, ..named }
    }

    /// Puts the names in their places.
    pub(crate) fn apply(&self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(LINE_OF_A_SERVER)).collect();
        let pieces = lines.chunk_by(|one, other| is_row(one) && widths(one) == widths(other));
        let lines = pieces.flat_map(|piece| match is_row(piece[0]) {
            true => self.rows(piece),
            false => piece.iter().map(|line| self.without_figure(&self.line(line))).collect(),
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }

    fn line(&self, line: &str) -> String {
        let line = ENDINGS.iter().fold(line, |line, ending| line.split_once(ending).map_or(line, |(line, _)| line));
        let named = self.texts.iter().fold(line.to_owned(), |line, (text, name)| line.replace(text, name));
        let named = without_use(&named);
        MEASURED.iter().fold(without_idle_time(&named), |line, before| without_times(&line, before))
    }

    /// A line of a document with a name in the place of a figure that differs.
    fn without_figure(&self, line: &str) -> String {
        let Some((name, value)) = line.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\": ")) else {
            return line.to_owned();
        };
        let value = value.trim_end_matches(',');
        let is_large = name == "bytes" && value.len() > 6;
        let is_of_server = self.has_server && (FIGURES_OF_A_SERVER.contains(&name) || is_large);
        let differs = value != "{" && value != "[" && (FIGURES.contains(&name) || is_of_server);
        if differs { line.replacen(value, &format!("<{name}>"), 1) } else { line.to_owned() }
    }

    /// Rows of a table that are as wide as they were.
    fn rows(&self, rows: &[&str]) -> Vec<String> {
        let mut cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.split(BORDERS).map(str::to_owned).collect()).collect();
        for column in 0..cells[0].len() {
            for (text, name) in self.texts.iter().filter(|(text, name)| text.len() == name.len()) {
                replace_in_column(&mut cells, column, text, name);
            }
        }
        let borders = |row: &str| row.chars().filter(|character| BORDERS.contains(character)).collect::<Vec<_>>();
        let row = |(row, cells): (&&str, &Vec<String>)| {
            let borders = borders(row).into_iter().map(String::from).chain([String::new()]);
            cells.iter().zip(borders).map(|(cell, border)| self.cell(cell) + &border).collect()
        };
        rows.iter().zip(&cells).map(row).collect()
    }

    fn cell(&self, cell: &str) -> String {
        let (width, content) = (cell.chars().count().saturating_sub(1), cell.trim());
        let named = match content {
            _ if is_measured(content) => "<time>".to_owned(),
            // That of a whole database.
            _ if self.has_server && content.ends_with(" MiB") => "<size>".to_owned(),
            _ => self.line(content),
        };
        match cell.starts_with("  ") {
            _ if named == content => cell.to_owned(),
            true => format!("{named:>width$} "),
            false => format!(" {named:<width$}"),
        }
    }
}

fn is_row(line: &str) -> bool {
    line.starts_with(BORDERS[0])
}

fn widths(row: &str) -> Vec<usize> {
    row.split(BORDERS).map(|cell| cell.chars().count()).collect()
}

/// Replaces a text by one of the same length, also where the column holds it in several lines.
fn replace_in_column(cells: &mut [Vec<String>], column: usize, text: &str, name: &str) {
    let joined: String = cells.iter().map(|row| row[column].trim()).collect();
    let joined = joined.replace(text, name);
    let mut characters = joined.chars();
    for row in cells {
        let content = row[column].trim().to_owned();
        let part: String = characters.by_ref().take(content.chars().count()).collect();
        row[column] = row[column].replacen(&content, &part, 1);
    }
}

/// Whether this is what a column of seconds holds: `0.02`.
fn is_measured(content: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    content.split_once('.').is_some_and(|(whole, part)| digits(whole) && digits(part) && part.len() == 2)
}

/// A line with a name in the place of the time since when a session is idle.
fn without_idle_time(line: &str) -> String {
    let Some((before, time)) = line.split_once(IDLE) else { return line.to_owned() };
    let behind = time.trim_start_matches(|character: char| character.is_ascii_digit() || "-T:Z".contains(character));
    format!("{before}{IDLE}<time>{behind}")
}

/// A line with `N` in the place of the connections that other tests use, and of those that are left.
fn without_use(line: &str) -> String {
    let is_digit = |character: char| character.is_ascii_digit();
    let line = match line.split_once("room for ") {
        Some((before, behind)) if behind.starts_with(is_digit) => {
            format!("{before}room for N{}", behind.trim_start_matches(is_digit))
        }
        _ => line.to_owned(),
    };
    match line.split_once(" in use") {
        Some((before, behind)) if before.ends_with(is_digit) => {
            format!("{}N in use{behind}", before.trim_end_matches(is_digit))
        }
        _ => line,
    }
}

/// A line with a name in the place of each measured time that is behind a text: `1s 203ms`.
fn without_times(line: &str, before: &str) -> String {
    let named = |part: &str| match behind_time(part) {
        behind if behind.len() < part.len() => format!("<time>{behind}"),
        _ => part.to_owned(),
    };
    let mut parts = line.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    std::iter::once(first).chain(parts.map(named)).collect::<Vec<_>>().join(before)
}

/// What is behind the time that a text begins with, if it does.
fn behind_time(text: &str) -> &str {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let behind = unit.trim_start_matches(|character: char| character.is_ascii_alphabetic());
    if unit.len() == text.len() || !UNITS.contains(&&unit[..unit.len() - behind.len()]) {
        return text;
    }
    match behind.strip_prefix(' ').map(|next| (next, behind_time(next))) {
        Some((next, rest)) if rest.len() < next.len() => rest,
        _ => behind,
    }
}
