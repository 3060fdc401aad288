//! What happened to each table.

use std::time::Duration;

use super::value::digest::TableDigest;
use super::value::hazard::Hazard;
use super::value::normalization::NormalizationCounts;
use crate::progress::Amount;

/// What a pass over one table found.
#[derive(Debug, Default)]
pub(crate) struct TableRead {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// What the target has to match.
    pub digest: TableDigest,
    /// The values that the target cannot hold.
    pub hazards: Vec<Hazard>,
    /// How many values `jsonb` prints differently.
    pub normalizations: NormalizationCounts,
}

/// What happened to one table.
#[derive(Debug, Clone)]
pub(crate) struct TableLoad {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// How long it took to copy and to read back.
    pub duration: Duration,
    /// The digest that both ends have, if every value was compared.
    pub digest: Option<TableDigest>,
    /// How many values `jsonb` prints differently.
    pub normalizations: NormalizationCounts,
    /// How many of the rows were there already.
    pub present: u64,
}

impl TableLoad {
    /// What was read, and nothing known of the target.
    pub(crate) fn new(read: &TableRead, duration: Duration) -> Self {
        Self { amount: read.amount, duration, digest: None, normalizations: read.normalizations, present: 0 }
    }
}
