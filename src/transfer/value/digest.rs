//! Digests of rows and tables, which are equal on both sides exactly if the values are.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::hazard::Fault;
use super::jsonb;
use super::pg_value::PgValue;

/// The number of buckets of a table's digest: a difference is then searched for in few rows.
pub(crate) const BUCKETS: usize = 4096;

/// The tag of `jsonb` in a row's digest.
pub(crate) const JSONB_TAG: u8 = 2;

/// The size of a value's head in a row's digest: the tag of its type and its length.
const HEAD: usize = 1 + size_of::<u64>();
/// The longest value that is hashed in one call with its head.
const SHORT: usize = 55;

/// A digest of a table's rows in any order: in each bucket, the sum of the rows' SHA-256 as four 64-bit lanes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TableDigest(Box<[[u64; 4]]>);

impl Default for TableDigest {
    fn default() -> Self {
        Self(vec![[0; 4]; BUCKETS].into_boxed_slice())
    }
}

impl std::fmt::Debug for TableDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableDigest({})", self.hex())
    }
}

impl TableDigest {
    /// Adds a row to the bucket of its key: see [`bucket`].
    pub(crate) fn add(&mut self, bucket: usize, row: RowDigester) {
        let digest = row.digest();
        let (lanes, _) = digest.as_chunks::<8>();
        let row = std::array::from_fn(|lane| u64::from_be_bytes(lanes[lane]));
        add(&mut self.0[bucket % BUCKETS], row);
    }

    /// The buckets whose rows differ.
    #[must_use]
    pub(crate) fn differing_buckets(&self, other: &Self) -> Vec<usize> {
        (0..BUCKETS).filter(|&bucket| self.0[bucket] != other.0[bucket]).collect()
    }

    /// The sum over all buckets as 64 hexadecimal digits.
    #[must_use]
    pub(crate) fn hex(&self) -> String {
        let mut sum = [0; 4];
        for lanes in &self.0 {
            add(&mut sum, *lanes);
        }
        sum.map(|lane| format!("{lane:016x}")).concat()
    }
}

fn add(sum: &mut [u64; 4], lanes: [u64; 4]) {
    for (sum, lane) in sum.iter_mut().zip(lanes) {
        *sum = sum.wrapping_add(lane);
    }
}

/// The bucket of a row by the values of its primary key, the same on both ends.
#[must_use]
pub(crate) fn bucket<'v, 'b: 'v>(primary_key: impl IntoIterator<Item = &'v PgValue<'b>>) -> usize {
    // FNV-1a: colliding keys only make the search for a difference slower, so no cryptographic hash is needed.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for value in primary_key {
        match value {
            PgValue::Bytes(bytes) => add(bytes),
            PgValue::BigInt(number) | PgValue::Timestamp(number) => add(&number.to_be_bytes()),
            PgValue::Integer(number) => add(&number.to_be_bytes()),
            PgValue::Boolean(truth) => add(&[u8::from(*truth)]),
            PgValue::Double(number) => add(&number.to_be_bytes()),
            // Its text differs between both sides, but no primary key has this type.
            PgValue::Null | PgValue::Jsonb(_) => add(&[0]),
        }
        add(&[0xff]);
    }
    // The upper bits are mixed better than the lower ones.
    usize::try_from(hash >> 40).map_or(0, |hash| hash % BUCKETS)
}

/// The digest of one row, value by value in the order of the plan.
#[derive(Default)]
pub struct RowDigester(Sha256);

impl RowDigester {
    /// Adds the next value, as it is read back from the target.
    ///
    /// # Errors
    /// [`Fault`] if `jsonb` cannot be parsed, which no server sends.
    pub fn add(&mut self, value: &PgValue<'_>) -> Result<(), Fault> {
        match value {
            PgValue::Null => self.add_bytes(0, &[]),
            PgValue::Bytes(bytes) => self.add_bytes(1, bytes),
            PgValue::Jsonb(bytes) => {
                // No limit: the server accepted its depth.
                let read = jsonb::read(bytes, usize::MAX).map_err(|defect| Fault::from(&defect))?;
                self.add_bytes(JSONB_TAG, &read.encoding);
            }
            PgValue::BigInt(number) => self.add_bytes(3, &number.to_be_bytes()),
            PgValue::Integer(number) => self.add_bytes(4, &number.to_be_bytes()),
            PgValue::Boolean(truth) => self.add_bytes(5, &[u8::from(*truth)]),
            PgValue::Double(number) => self.add_bytes(6, &number.to_bits().to_be_bytes()),
            PgValue::Timestamp(number) => self.add_bytes(7, &number.to_be_bytes()),
        }
        Ok(())
    }

    /// Adds a value under the tag of its type. Equal values and no others give the same bytes.
    pub(crate) fn add_bytes(&mut self, tag: u8, bytes: &[u8]) {
        // Most values are short, and separate calls would take longer than the hashing.
        let mut piece = [0; HEAD + SHORT];
        piece[0] = tag;
        piece[1..HEAD].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        if let Some(place) = piece.get_mut(HEAD..HEAD + bytes.len()) {
            place.copy_from_slice(bytes);
            self.0.update(&piece[..HEAD + bytes.len()]);
        } else {
            self.0.update(&piece[..HEAD]);
            self.0.update(bytes);
        }
    }

    /// The digest itself.
    #[must_use]
    pub fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// By primary key: a short digest of each value.
pub(crate) type RowDigests = BTreeMap<Vec<u8>, Vec<[u8; 8]>>;

/// The primary key as text, the same on both sides.
pub(crate) fn key_of<'v>(values: impl IntoIterator<Item = impl Borrow<PgValue<'v>>>) -> Vec<u8> {
    let parts = values.into_iter().map(|value| match value.borrow() {
        PgValue::Bytes(bytes) => bytes.to_vec(),
        PgValue::Integer(number) => number.to_string().into_bytes(),
        PgValue::BigInt(number) => number.to_string().into_bytes(),
        other => format!("{other:?}").into_bytes(),
    });
    parts.collect::<Vec<_>>().join(b", ".as_slice())
}

/// A short digest to find which values of a row differ.
pub(crate) fn short_digest(value: &PgValue<'_>) -> [u8; 8] {
    let mut row = RowDigester::default();
    // A value that fails on one side only then differs, which is correct.
    let _ = row.add(value);
    let mut short = [0; 8];
    short.copy_from_slice(&row.digest()[..8]);
    short
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn row(number: i64) -> RowDigester {
        let mut row = RowDigester::default();
        row.add(&PgValue::BigInt(number)).expect("a number");
        row
    }

    #[test]
    fn rows_in_any_order_have_one_digest() {
        let [mut up, mut down] = [(); 2].map(|()| TableDigest::default());
        for number in 0..1000_i64 {
            up.add(bucket([&PgValue::BigInt(number)]), row(number));
            down.add(bucket([&PgValue::BigInt(999 - number)]), row(999 - number));
        }
        assert_eq!(up, down);
        assert_eq!(up.hex(), down.hex());
        assert_eq!(up.hex().len(), 64);
        down.add(bucket([&PgValue::BigInt(0)]), row(0));
        assert_ne!(up, down);
    }

    #[test]
    fn a_difference_is_in_the_bucket_of_its_row() {
        let [mut a, mut b] = [(); 2].map(|()| TableDigest::default());
        for number in 0..1000_i64 {
            let bucket = bucket([&PgValue::BigInt(number)]);
            a.add(bucket, row(number));
            b.add(bucket, row(if number == 500 { 0 } else { number }));
        }
        assert_eq!(a.differing_buckets(&b), [bucket([&PgValue::BigInt(500)])]);
        assert_eq!(a.differing_buckets(&a), Vec::<usize>::new());
    }

    #[test]
    fn keys_are_spread_over_the_buckets() {
        let text = |number: u32| PgValue::Bytes(Cow::Owned(format!("session-{number}").into_bytes()));
        let mut counts = vec![0_u32; BUCKETS];
        for number in 0..40_960 {
            counts[bucket([&text(number), &PgValue::Integer(1)])] += 1;
        }
        assert!(counts.iter().all(|count| (1..40).contains(count)), "{:?}", counts.iter().max());
    }

    #[test]
    fn keys_are_shown_as_the_database_shows_them() {
        let values = [PgValue::Integer(-5), PgValue::Bytes(Cow::Borrowed(b"sessions"))];
        assert_eq!(key_of(&values), b"-5, sessions");
    }
}
