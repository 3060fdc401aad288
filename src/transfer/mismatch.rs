//! Rows that are not the same on both ends.

use serde::Serialize;

use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::format::{counted, number};

/// The rows of one table that are not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mismatch {
    /// The table.
    pub table: String,
    /// The rows of the source.
    pub source_rows: u64,
    /// The rows of the target.
    pub target_rows: u64,
    /// The first differences: `primary key: columns`, a missing or an additional row.
    pub differences: Vec<String>,
}

impl Mismatch {
    /// What differs, one difference a line.
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

/// Why a comparison ended a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MismatchError {
    /// What was read back is not what was sent.
    #[error("the target does not hold what the source holds in {}; rolled back", tables(.0))]
    OfLoad(Vec<Mismatch>),
    /// A target that was filled earlier does not hold what the source holds.
    #[error("the target does not hold what the source holds in {}", tables(.0))]
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
            Self::OfLoad(_) => "look for triggers and rules on the target's tables that change rows".into(),
            Self::OfFilledTarget(_) => {
                "what TARSy wrote to the target since it was moved is only there; values that a policy changed need the \
                 same `--on` as then"
                    .into()
            }
        })
    }

    fn details(&self) -> Details {
        let (Self::OfLoad(mismatches) | Self::OfFilledTarget(mismatches)) = self;
        Details { lines: mismatches.iter().flat_map(Mismatch::lines).collect(), document: document(mismatches) }
    }
}
