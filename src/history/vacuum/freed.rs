//! What a vacuum did, in figures and sentences.

use serde::Serialize;

use crate::format::{counted, size};

/// What a vacuum did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Each table of PostgreSQL that was vacuumed, or SQLite's file.
    pub parts: Vec<FreedPart>,
    /// Tables that this role may not vacuum.
    pub not_permitted: Vec<String>,
    /// Whether somebody still reads the SQLite file as it was, so that it shrinks only afterwards.
    pub is_held_up: bool,
}

/// What the vacuum of a table or of a file did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreedPart {
    /// The table, or `file`.
    pub name: String,
    /// Its size before, in bytes; that of a table with indexes and TOAST.
    pub bytes_before: u64,
    /// Its size afterwards.
    pub bytes_after: u64,
    /// What stays inside and can be used again, in bytes; for a table an estimate of what the vacuum added.
    pub reusable_bytes: u64,
    /// Dead rows that some transaction may still have to see.
    pub dead_rows_kept: u64,
}

impl Freed {
    /// What went back to the operating system, in bytes.
    #[must_use]
    pub fn returned_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes_before.saturating_sub(part.bytes_after)).sum()
    }

    /// What stays inside and can be used again, in bytes.
    #[must_use]
    pub fn reusable_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.reusable_bytes).sum()
    }

    /// What happened, in sentences for people.
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
            lines.push("somebody reads the file as it was before: it shrinks when that is over".to_owned());
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
            lines.push(format!("not vacuumed, because only the owner may, and this role does not own them: {tables}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_tell_what_left_what_stays_and_what_was_not_done() {
        let part = FreedPart {
            name: "events".to_owned(),
            bytes_before: 3 << 20,
            bytes_after: 1 << 20,
            reusable_bytes: 1 << 19,
            dead_rows_kept: 7,
        };
        let freed = Freed { parts: vec![part], not_permitted: vec!["chats".to_owned()], is_held_up: false };
        let expected = [
            "vacuum: 2.0 MiB went back to the operating system, about 512.0 KiB stay and are used again",
            "7 dead rows of events stay: an open transaction may see them",
            "not vacuumed, because only the owner may, and this role does not own them: chats",
        ];
        assert_eq!(freed.lines(), expected);
    }
}
