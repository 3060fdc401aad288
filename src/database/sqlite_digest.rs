//! Digests of many rows as functions of SQLite's, which compare an index with its table without looking up a row.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// The digest of rows in any order.
pub(crate) const DIGEST: &str = "tarsy_db_digest";

/// The same digest of rows that are in ascending order, as an index has them; NULL if they are not.
pub(crate) const ORDERED_DIGEST: &str = "tarsy_db_ordered_digest";

/// Adds the functions to a connection. Their arguments are the values of a row.
pub(crate) fn define(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_aggregate_function(DIGEST, -1, flags, Digest(Order::Any))?;
    connection.create_aggregate_function(ORDERED_DIGEST, -1, flags, Digest(Order::Ascending))
}

/// Which order the rows must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Any,
    Ascending,
}

struct Digest(Order);

/// What is known about the rows so far.
#[derive(Default)]
struct Rows {
    count: u64,
    /// The sum of a hash of each row, which does not depend on their order.
    sum: u64,
    last: Vec<Value>,
    are_in_order: bool,
}

/// A value of the row before.
#[derive(Debug, PartialEq)]
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Aggregate<Rows, Option<String>> for Digest {
    fn init(&self, _: &mut Context<'_>) -> Result<Rows> {
        Ok(Rows { are_in_order: true, ..Rows::default() })
    }

    fn step(&self, row: &mut Context<'_>, rows: &mut Rows) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        for index in 0..row.len() {
            hash(row.get_raw(index), &mut hasher);
        }
        rows.count += 1;
        rows.sum = rows.sum.wrapping_add(hasher.finish());
        if self.0 == Order::Ascending {
            rows.follow(row);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, rows: Option<Rows>) -> Result<Option<String>> {
        let rows = rows.unwrap_or(Rows { are_in_order: true, ..Rows::default() });
        Ok(rows.are_in_order.then(|| format!("{} {:016x}", rows.count, rows.sum)))
    }
}

impl Rows {
    /// Compares a row with the one before it.
    fn follow(&mut self, row: &Context<'_>) {
        let values = || (0..row.len()).map(|index| row.get_raw(index));
        let compared = self.last.iter().zip(values()).map(|(last, value)| order(last, value));
        let is_later = self.last.is_empty() || compared.fold(Ordering::Equal, Ordering::then) == Ordering::Less;
        self.are_in_order &= is_later;
        self.last.clear();
        self.last.extend(values().map(Value::of));
    }
}

impl Value {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

fn hash(value: ValueRef<'_>, hasher: &mut DefaultHasher) {
    match value {
        ValueRef::Null => 0_u8.hash(hasher),
        ValueRef::Integer(number) => (1_u8, number).hash(hasher),
        ValueRef::Real(number) => (2_u8, number.to_bits()).hash(hasher),
        ValueRef::Text(bytes) => (3_u8, bytes).hash(hasher),
        ValueRef::Blob(bytes) => (4_u8, bytes).hash(hasher),
    }
}

/// The order of two values in an index: NULL, numbers, texts by their bytes, BLOBs.
fn order(last: &Value, value: ValueRef<'_>) -> Ordering {
    #[expect(clippy::cast_precision_loss, reason = "numbers that look equal by it count as out of order at worst")]
    let as_real = |number: i64| number as f64;
    match (last, value) {
        (Value::Integer(last), ValueRef::Integer(number)) => last.cmp(&number),
        (Value::Integer(last), ValueRef::Real(number)) => as_real(*last).total_cmp(&number),
        (Value::Real(last), ValueRef::Integer(number)) => last.total_cmp(&as_real(number)),
        (Value::Real(last), ValueRef::Real(number)) => last.total_cmp(&number),
        (Value::Text(last), ValueRef::Text(bytes)) | (Value::Blob(last), ValueRef::Blob(bytes)) => {
            last.as_slice().cmp(bytes)
        }
        (last, value) => rank(last).cmp(&rank_of(value)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

fn rank_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the functions give for rows of VALUES.
    fn digests(rows: &str) -> [Option<String>; 2] {
        let connection = Connection::open_in_memory().expect("a database");
        define(&connection).expect("functions");
        [DIGEST, ORDERED_DIGEST].map(|function| {
            let sql = format!("SELECT {function}(column1, column2) FROM (VALUES {rows})");
            connection.query_row(&sql, [], |row| row.get(0)).expect("a digest")
        })
    }

    #[test]
    fn rows_in_the_order_of_an_index_have_the_same_digest_as_in_any_other() {
        let ascending =
            "(NULL, 1), (NULL, 2), (-1, 9), (0.5, 1), (1, 1), ('', 1), ('B', 2), ('a', 1), (x'', 1), (x'00', 0)";
        let [any, ordered] = digests(ascending);
        assert!(any.is_some() && any == ordered, "{any:?} {ordered:?}");
        let reversed: Vec<_> = ascending.split("), ").map(|row| format!("{})", row.trim_end_matches(')'))).collect();
        let reversed = reversed.iter().rev().map(String::as_str).collect::<Vec<_>>().join(", ");
        assert_eq!(digests(&reversed), [any, None]);
    }

    #[test]
    fn another_value_row_or_storage_class_gives_another_digest() {
        let [digest, _] = digests("('a', 1), ('b', 2)");
        for other in ["('a', 1)", "('a', 1), ('b', 3)", "('a', 1), (x'62', 2)", "('a', 1), ('b', 2), ('b', 2)"] {
            assert_ne!(digests(other)[0], digest, "{other}");
        }
        // The same entries twice are no index.
        assert_eq!(digests("('a', 1), ('a', 1)")[1], None);
    }

    #[test]
    fn no_rows_have_a_digest() {
        let connection = Connection::open_in_memory().expect("a database");
        define(&connection).expect("functions");
        let sql = format!("SELECT {ORDERED_DIGEST}(column1) FROM (VALUES (1)) WHERE FALSE");
        let digest: String = connection.query_row(&sql, [], |row| row.get(0)).expect("a digest");
        assert_eq!(digest, "0 0000000000000000");
    }
}
