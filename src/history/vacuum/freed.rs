//! The result of a vacuum, in figures and sentences.

use serde::Serialize;

use crate::format::{counted, size};

/// The result of a vacuum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Each vacuumed table of PostgreSQL, or the SQLite file.
    pub parts: Vec<FreedPart>,
    /// Tables that this role may not vacuum.
    pub not_permitted: Vec<String>,
    /// Tables that were vacuumed, and keep their old statistics, each with the reason: mostly a function of an index that has
    /// no search path of its own.
    pub not_analyzed: Vec<String>,
    /// Whether a reader still uses the old state of the SQLite file, so that the file shrinks later.
    pub is_held_up: bool,
}

/// The result for a table or a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreedPart {
    /// The table, or `file`.
    pub name: String,
    /// The size before in bytes; a table's with indexes and TOAST.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// The bytes that remain in the file and will be reused; for a table an estimate of what the vacuum added.
    pub reusable_bytes: u64,
    /// Dead rows that an open transaction may still see.
    pub dead_rows_kept: u64,
}

impl Freed {
    /// The bytes that were returned to the operating system.
    #[must_use]
    pub fn returned_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes_before.saturating_sub(part.bytes_after)).sum()
    }

    /// The bytes that remain and will be reused.
    #[must_use]
    pub fn reusable_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.reusable_bytes).sum()
    }

    /// The result in sentences.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let reusable = match self.reusable_bytes() {
            0 => String::new(),
            bytes => format!(", about {} stay and are used again", size(bytes)),
        };
        let mut lines = Vec::new();
        if !self.parts.is_empty() {
            lines.push(format!("vacuum: {} went back to the operating system{reusable}", size(self.returned_bytes())));
        }
        if self.is_held_up {
            lines.push(
                "another program still reads the old state of the file; it shrinks when that has finished".to_owned(),
            );
        }
        let kept = self.parts.iter().filter(|part| part.dead_rows_kept > 0);
        lines.extend(kept.map(|part| {
            format!(
                "{} of {} stay: an open transaction may see them",
                counted(part.dead_rows_kept, "dead row"),
                part.name
            )
        }));
        if !self.not_permitted.is_empty() {
            let tables = self.not_permitted.join(", ");
            lines.push(format!("not vacuumed, because this role does not own them: {tables}"));
        }
        lines.extend(
            self.not_analyzed.iter().map(|table| format!("not analyzed, so that the statistics are old: {table}")),
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_report_returned_space_kept_rows_and_skipped_tables() {
        let part = FreedPart {
            name: "events".to_owned(),
            bytes_before: 3 << 20,
            bytes_after: 1 << 20,
            reusable_bytes: 1 << 19,
            dead_rows_kept: 7,
        };
        let freed = Freed {
            parts: vec![part],
            not_permitted: vec!["chats".to_owned()],
            not_analyzed: vec!["events: no such function".to_owned()],
            is_held_up: false,
        };
        let expected = [
            "vacuum: 2.0 MiB went back to the operating system, about 512.0 KiB stay and are used again",
            "7 dead rows of events stay: an open transaction may see them",
            "not vacuumed, because this role does not own them: chats",
            "not analyzed, so that the statistics are old: events: no such function",
        ];
        assert_eq!(freed.lines(), expected);
    }
}
