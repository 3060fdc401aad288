//! Digests of rows and tables, the same on both ends exactly when the values are.

use sha2::{Digest, Sha256};

use super::hazard::Fault;
use super::value::Value;

/// Which part of a table's digest a row counts for, by its primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    pub const COUNT: u64 = 4096;
    pub fn of(key: &[u8]) -> Self {
        let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self(((hash >> 32) % Self::COUNT) as u16)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest(Vec<[u64; 4]>);
impl Default for TableDigest { fn default() -> Self { Self(vec![[0; 4]; Bucket::COUNT as usize]) } }

impl TableDigest {
    /// Adds a row.
    pub fn add(&mut self, bucket: Bucket, row: RowDigester) {
        for (lane, bytes) in self.0[bucket.0 as usize].iter_mut().zip(row.digest().chunks_exact(8)) {
            *lane = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).wrapping_add(*lane);
        }
    }
    pub fn differing_buckets(&self, other: &Self) -> impl Iterator<Item = Bucket> {
        self.0.iter().zip(&other.0).enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| Bucket(i as u16)).collect::<Vec<_>>().into_iter()
    }
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) { for (a, b) in a.iter_mut().zip(b) { *a = a.wrapping_add(*b); } }
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut s = [0u64; 4];
        for b in &self.0 { for (a, b) in s.iter_mut().zip(b) { *a = a.wrapping_add(*b); } }
        let [a, b, c, d] = s;
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
