//! What a report tells of.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Moved,
    Appended,
    /// A dry run.
    Planned,
    /// `--check-only`.
    Checked,
    /// `--verify-only`.
    Compared,
    /// Nothing was changed, and the report says why.
    Refused,
}
