//! A value as SQLite stores it.

use std::borrow::Cow;
use std::fmt::{self, Write};

use rusqlite::types::ValueRef;

/// How many characters of a literal are shown.
pub(crate) const SHOWN_CHARACTERS: usize = 200;
/// The bytes of a text of which so many characters are shown, each with up to four bytes.
const SHOWN_BYTES: usize = 4 * SHOWN_CHARACTERS;

/// A value as SQLite stores it, whatever type its column was declared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SqliteValue<'a> {
    /// The absence of a value.
    Null,
    /// At most 64 bits, signed.
    Integer(i64),
    /// A double, never NaN.
    Real(f64),
    /// Text, which is not guaranteed to be UTF-8.
    Text(&'a [u8]),
    /// Bytes, stored as they are.
    Blob(&'a [u8]),
}

impl<'a> From<ValueRef<'a>> for SqliteValue<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(bytes),
            ValueRef::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

impl SqliteValue<'_> {
    /// The value for messages. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            SqliteValue::Null => "NULL".into(),
            SqliteValue::Integer(number) => number.to_string().into(),
            SqliteValue::Real(number) => number.to_string().into(),
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The SQL literal that SQLite reads as exactly this value, in a database in UTF-8. It has no carriage return, because
    /// the `sqlite3` shell drops one before a line feed.
    #[must_use]
    pub(crate) fn literal(&self) -> String {
        match self {
            SqliteValue::Null | SqliteValue::Integer(_) => self.shown().into_owned(),
            SqliteValue::Real(number) => real(*number),
            SqliteValue::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains(['\0', '\r']) => quoted_text(text),
                _ => format!("CAST({} AS TEXT)", blob(bytes)),
            },
            SqliteValue::Blob(bytes) => blob(bytes),
        }
    }

    /// The beginning of the SQL literal, for messages. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub(crate) fn shown_literal(&self) -> String {
        let literal = match self {
            SqliteValue::Text(bytes) => quoted_text(&String::from_utf8_lossy(beginning(bytes))),
            SqliteValue::Blob(bytes) => blob(beginning(bytes)),
            number => number.literal(),
        };
        literal.chars().take(SHOWN_CHARACTERS).collect()
    }

    /// The length in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            SqliteValue::Null => 0,
            SqliteValue::Integer(_) | SqliteValue::Real(_) => 8,
            SqliteValue::Text(bytes) | SqliteValue::Blob(bytes) => bytes.len(),
        }
    }

    #[must_use]
    pub(crate) fn class(&self) -> StorageClass {
        match self {
            SqliteValue::Null => StorageClass::Null,
            SqliteValue::Integer(_) => StorageClass::Integer,
            SqliteValue::Real(_) => StorageClass::Real,
            SqliteValue::Text(_) => StorageClass::Text,
            SqliteValue::Blob(_) => StorageClass::Blob,
        }
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(SHOWN_BYTES)]
}

fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A number as decimal text if SQLite is sure to read that exactly, otherwise as a whole number by which powers of two
/// are multiplied or divided: it reads long decimals and large exponents inexactly.
fn real(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    let decimal = format!("{number:?}");
    let digits = decimal.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    if number == 0.0 || (digits <= 15 && (1e-7..1e15).contains(&number.abs())) {
        return decimal;
    }
    let (fraction, biased) = (number.to_bits() & ((1 << 52) - 1), (number.to_bits() >> 52) & 0x7ff);
    // A number that is nearly zero has no leading bit.
    let whole = if biased == 0 { fraction } else { fraction | (1 << 52) };
    let exponent = i32::try_from(biased.max(1)).unwrap_or(0) - 1075;
    let mut expression = format!("{}CAST({whole} AS REAL)", if number < 0.0 { "-" } else { "" });
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        let step = left.min(62);
        let _ = write!(expression, " {} {}", if exponent < 0 { '/' } else { '*' }, 1_u64 << step);
        left -= step;
    }
    expression
}

fn blob(bytes: &[u8]) -> String {
    let mut literal = String::with_capacity(2 * bytes.len() + 3);
    literal.push_str("X'");
    for byte in bytes {
        let _ = write!(literal, "{byte:02X}");
    }
    literal.push('\'');
    literal
}

/// SQLite's storage classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StorageClass::Null => "NULL",
            StorageClass::Integer => "INTEGER",
            StorageClass::Real => "REAL",
            StorageClass::Text => "TEXT",
            StorageClass::Blob => "BLOB",
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// What SQLite reads in a literal, written once more.
    fn read_back(connection: &Connection, literal: &str) -> String {
        let read = |row: &rusqlite::Row<'_>| Ok(SqliteValue::from(row.get_ref(0)?).literal());
        connection.query_row(&format!("SELECT {literal}"), [], read).expect("a literal")
    }

    #[test]
    fn sqlite_reads_a_literal_as_the_same_value() {
        let connection = Connection::open_in_memory().expect("a database");
        let texts: [&[u8]; 7] = [b"", b"it's", b"a\0b", b"\xff'", "\u{202e}\u{e9}\n".as_bytes(), b"\0", b"a\r\nb"];
        let values = texts.into_iter().flat_map(|bytes| [SqliteValue::Text(bytes), SqliteValue::Blob(bytes)]);
        let integers = [0, -1, i64::MAX, i64::MIN].map(SqliteValue::Integer);
        for value in values.chain(integers).chain([SqliteValue::Null]) {
            assert_eq!(read_back(&connection, &value.literal()), value.literal());
            assert!(!value.literal().contains('\r'), "the shell of SQLite drops it");
        }
    }

    #[test]
    fn sqlite_reads_a_real_to_the_last_bit() {
        let connection = Connection::open_in_memory().expect("a database");
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let drawn = (0..20_000).map(|_| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(bits ^ bits >> 29)
        });
        let decimals = (0..20_000_u32).map(|number| f64::from(number * 7919) / 10_000.0);
        let fixed =
            [0.1, 0.1 + 0.2, 1e23, 5e-324, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, 2.5, 1e16];
        for number in fixed.into_iter().chain(decimals).chain(drawn).filter(|number| !number.is_nan()) {
            let literal = SqliteValue::Real(number).literal();
            assert_eq!(read_back(&connection, &literal), literal);
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_literal_is_shown() {
        let (long, bytes) = ("\u{e9}'".repeat(1000), [0xff; 1000]);
        let text = SqliteValue::Text(long.as_bytes()).shown_literal();
        assert_eq!((text.chars().count(), &*text.chars().take(5).collect::<String>()), (200, "'\u{e9}''\u{e9}"));
        assert_eq!(SqliteValue::Blob(&bytes).shown_literal(), format!("X'{}", "FF".repeat(99)));
        assert_eq!(SqliteValue::Text(b"a\0b").shown_literal(), "'a\0b'");
    }
}
