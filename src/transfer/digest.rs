//! Digests of rows and tables, the same on both ends exactly when the values are.

use sha2::{Digest, Sha256};

use super::hazard::Fault;
use super::value::Value;

/// A digest of a table's rows in any order: the SHA-256 of each row, added up lane by lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableDigest([u64; 4]);

impl TableDigest {
    /// Adds a row.
    pub fn add(&mut self, row: RowDigester) {
        for (lane, bytes) in self.0.iter_mut().zip(row.digest().chunks_exact(8)) {
            *lane = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).wrapping_add(*lane);
        }
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let [a, b, c, d] = self.0;
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }
}

/// The digest of one row, value by value in the order of the plan.
#[derive(Default)]
pub struct RowDigester(Sha256);

impl RowDigester {
    /// Adds the next value.
    ///
    /// # Errors
    /// [`Fault`] when JSON cannot be read.
    pub fn add(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        value.digest_into(&mut self.0)
    }

    /// The digest itself.
    #[must_use]
    pub fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
