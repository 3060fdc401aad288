//! Rows that differ between the source and the target.

use serde::Serialize;

use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::format::{counted, number};

/// How one table differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mismatch {
    pub table: String,
    /// How many rows the source has.
    pub source_rows: u64,
    /// How many rows the target has.
    pub target_rows: u64,
    /// The first differences: `primary key: columns`, or a row that only one side has.
    pub differences: Vec<String>,
}

impl Mismatch {
    /// One line for the row counts and one for each difference.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        let counts = format!(
            "{}: {} in the source, {} in the target",
            self.table,
            counted(self.source_rows, "row"),
            number(self.target_rows)
        );
        let rows = self.differences.iter().map(|difference| format!("{} {difference}", self.table));
        std::iter::once(counts).chain(rows).collect()
    }
}

/// A comparison found differences.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MismatchError {
    /// Before the commit of a move or an append.
    #[error("after copying, rows of {} differ between the source and the target; rolled back", tables(.0))]
    OfLoad(Vec<Mismatch>),
    /// `--verify-only`.
    #[error("rows of {} differ between the source and the target", tables(.0))]
    OfFilledTarget(Vec<Mismatch>),
}

fn tables(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| mismatch.table.as_str()).collect::<Vec<_>>().join(", ")
}

impl Diagnostic for MismatchError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Mismatch
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OfLoad(_) => "check the target's tables for triggers and rules that change rows".into(),
            Self::OfFilledTarget(_) => {
                "rows that TARSy wrote to the target after the move are expected to differ; if the move used `--on`, \
                 repeat the same `--on` here"
                    .into()
            }
        })
    }

    fn details(&self) -> Details {
        let (Self::OfLoad(mismatches) | Self::OfFilledTarget(mismatches)) = self;
        let lines = mismatches.iter().flat_map(Mismatch::lines).collect();
        Details { lines, document: document(mismatches), counts: None }
    }
}
