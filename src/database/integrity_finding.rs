//! The findings of SQLite's `integrity_check` and `quick_check`: which are about values, and which about damage.

/// What the operator can do about damage.
pub(crate) const RECOVER: &str =
    "restore a backup, or recover the readable rows into a new file (https://www.sqlite.org/recovery.html)";

/// A finding about values that a table does not allow. The file itself is intact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueFinding<'f> {
    /// Two rows with the same key in this unique index.
    Duplicate { index: &'f str },
    /// NULL in a `table.column` that is NOT NULL.
    Null { place: &'f str },
    /// A storage class in `table.column` that does not fit its type.
    StorageClass { place: &'f str },
}

/// The findings in one row of the check: it lists damaged pages as one text of several lines.
pub(crate) fn lines(row: &str) -> impl Iterator<Item = &str> {
    row.lines().filter(|line| *line != "ok" && !line.starts_with("*** in database"))
}

/// Recognises the findings about values: `NULL value in t.c`, `non-INT value in t.c`, `TEXT value in t.c`, `NUMERIC
/// value in t.c`, `non-unique entry in index i`. All others are damage.
pub(crate) fn about_values(finding: &str) -> Option<ValueFinding<'_>> {
    if let Some((_, index)) = finding.split_once("non-unique entry in index ") {
        return Some(ValueFinding::Duplicate { index });
    }
    match finding.split_once(" value in ")? {
        ("NULL", place) => Some(ValueFinding::Null { place }),
        ("TEXT" | "NUMERIC", place) => Some(ValueFinding::StorageClass { place }),
        (what, place) if what.starts_with("non-") => Some(ValueFinding::StorageClass { place }),
        _ => None,
    }
}

/// Whether an index does not match its table, as in `row 7 missing from index i` and `wrong # of entries in index i`.
pub(crate) fn is_about_index(finding: &str) -> bool {
    finding.contains(" missing from index ") || finding.starts_with("wrong # of entries in index ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_row_is_a_finding() {
        let row = "*** in database main ***\nPage 62: never used\nPage 63: never used";
        assert_eq!(lines(row).collect::<Vec<_>>(), ["Page 62: never used", "Page 63: never used"]);
        assert_eq!(lines("ok").count(), 0);
    }

    #[test]
    fn findings_about_values_are_distinguished_from_damage() {
        let place = "chats.chat_id";
        for (finding, expected) in [
            ("NULL value in chats.chat_id", Some(ValueFinding::Null { place })),
            ("non-INT value in chats.chat_id", Some(ValueFinding::StorageClass { place })),
            ("TEXT value in chats.chat_id", Some(ValueFinding::StorageClass { place })),
            ("NUMERIC value in chats.chat_id", Some(ValueFinding::StorageClass { place })),
            ("non-unique entry in index ix", Some(ValueFinding::Duplicate { index: "ix" })),
            ("row 7 missing from index ix", None),
            ("wrong # of entries in index a value in b", None),
            ("ok", None),
        ] {
            assert_eq!(about_values(finding), expected, "{finding}");
        }
    }
}
