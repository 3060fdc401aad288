//! Counts, digests and durations by table.

use std::time::Duration;

use super::value::digest::TableDigest;
use super::value::normalization::NormalizationCounts;
use crate::progress::Amount;

/// The result of one pass over a table of the source.
#[derive(Debug, Default)]
pub(crate) struct TableRead {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// The digest that the target must have.
    pub digest: TableDigest,
    /// Whether there are values that the target cannot hold.
    pub has_hazards: bool,
    /// How many values `jsonb` prints differently.
    pub normalizations: NormalizationCounts,
}

/// The result of one table's load.
#[derive(Debug, Clone)]
pub(crate) struct TableLoad {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// The time to copy and to read back.
    pub duration: Duration,
    /// The digest on both sides; `None` if not every value was compared.
    pub digest: Option<TableDigest>,
    /// How many values `jsonb` prints differently.
    pub normalizations: NormalizationCounts,
    /// How many of the rows already existed on the target.
    pub present: u64,
}

impl TableLoad {
    /// A table that was read and not yet compared.
    pub(crate) fn new(read: &TableRead, duration: Duration) -> Self {
        Self { amount: read.amount, duration, digest: None, normalizations: read.normalizations, present: 0 }
    }
}
