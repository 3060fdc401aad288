//! One value on its way: SQLite storage class × PostgreSQL type = a value, or the reason why not.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::hazard::{Fault, Reason};
use super::json;
use super::moment;
use super::target::Target;

/// The longest value that a PostgreSQL field holds, in bytes.
const MAX_FIELD: usize = 0x3fff_ff00;

/// A value as SQLite stores it, whatever its column was declared as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stored<'a> {
    /// SQL NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT; nothing makes sure that it is UTF-8.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

impl Stored<'_> {
    /// How many bytes the value has.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Stored::Null => 0,
            Stored::Integer(_) | Stored::Real(_) => 8,
            Stored::Text(bytes) | Stored::Blob(bytes) => bytes.len(),
        }
    }

    /// The value as people read it; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Stored::Null => "NULL".into(),
            Stored::Integer(number) => number.to_string().into(),
            Stored::Real(number) => number.to_string().into(),
            Stored::Text(bytes) | Stored::Blob(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Stored::Null => "NULL",
            Stored::Integer(_) => "INTEGER",
            Stored::Real(_) => "REAL",
            Stored::Text(_) => "TEXT",
            Stored::Blob(_) => "BLOB",
        }
    }
}

/// A value that PostgreSQL can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// The bytes of `character varying` or `json`.
    Bytes(Cow<'a, [u8]>),
    /// The text of `jsonb`.
    Jsonb(Cow<'a, [u8]>),
    /// `bigint`.
    BigInt(i64),
    /// `integer`.
    Integer(i32),
    /// `boolean`.
    Boolean(bool),
    /// `double precision`.
    Double(f64),
    /// `timestamp without time zone`, in microseconds since 2000-01-01.
    Timestamp(i64),
}

pub struct Carried<'a> { pub value: Value<'a>, pub faults: Vec<Fault>, pub changes: Vec<(super::policy::Class, super::policy::Policy)> }
pub fn carry<'a>(stored: Stored<'a>, column: &super::plan::ColumnPlan, _p: &super::policy::Policies, digester: &mut super::digest::RowDigester) -> Carried<'a> {
    let r = convert(stored, column.target).and_then(|value| { check(&value, column.target, column.nullable)?; digester.add(&value)?; Ok(value) });
    match r { Ok(value) => Carried { value, faults: vec![], changes: vec![] }, Err(f) => Carried { value: Value::Null, faults: vec![f], changes: vec![] } }
}

/// Converts a stored value for a column, exactly or not at all. JSON is taken as it is: see [`check`].
///
/// # Errors
/// [`Fault`] with what is in the way.
pub fn convert(stored: Stored<'_>, target: Target) -> Result<Value<'_>, Fault> {
    let misplaced = Err(Fault::whole(Reason::StorageClass(stored.class(), target)));
    Ok(match (target, stored) {
        (_, Stored::Null) => Value::Null,
        (Target::Text(_) | Target::Json, Stored::Text(bytes)) => Value::Bytes(Cow::Borrowed(bytes)),
        (Target::Jsonb, Stored::Text(bytes)) => Value::Jsonb(Cow::Borrowed(bytes)),
        // SQLite stores JSON `1` as INTEGER and `1.5` as REAL: a column declared JSON has NUMERIC affinity.
        (Target::Json | Target::Jsonb, Stored::Integer(number)) => json_number(number.to_string(), target),
        (Target::Json | Target::Jsonb, Stored::Real(number)) if number.is_finite() => {
            json_number(format!("{number:?}"), target)
        }
        (Target::Json | Target::Jsonb, Stored::Real(_)) => return Err(Fault::whole(Reason::Infinite)),
        (Target::BigInt, Stored::Integer(number)) => Value::BigInt(number),
        (Target::Integer, Stored::Integer(number)) => {
            Value::Integer(i32::try_from(number).map_err(|_| Fault::whole(Reason::IntegerRange))?)
        }
        (Target::Boolean, Stored::Integer(number @ (0 | 1))) => Value::Boolean(number == 1),
        (Target::Boolean, Stored::Integer(_)) => return Err(Fault::whole(Reason::NotBoolean)),
        (Target::Double, Stored::Real(number)) => Value::Double(number),
        (Target::Double, Stored::Integer(number)) => Value::Double(exact_double(number)?),
        (Target::Timestamp, Stored::Text(bytes)) => {
            Value::Timestamp(moment::parse(bytes).ok_or(Fault::whole(Reason::NotAMoment))?)
        }
        _ => return misplaced,
    })
}

fn json_number(text: String, target: Target) -> Value<'static> {
    let bytes = Cow::Owned(text.into_bytes());
    if target == Target::Jsonb { Value::Jsonb(bytes) } else { Value::Bytes(bytes) }
}

fn exact_double(number: i64) -> Result<f64, Fault> {
    // Every integer up to 2^53 has a double of its own.
    const LIMIT: i64 = 1 << 53;
    if (-LIMIT..=LIMIT).contains(&number) {
        #[expect(clippy::cast_precision_loss, reason = "the range was just checked")]
        return Ok(number as f64);
    }
    Err(Fault::whole(Reason::Inexact))
}

/// Checks what [`convert`] takes on trust: the bytes of text and JSON, and NULL.
///
/// # Errors
/// [`Fault`] with what PostgreSQL would refuse.
pub fn check(value: &Value<'_>, target: Target, nullable: bool) -> Result<(), Fault> {
    let bytes = match value {
        Value::Null if nullable => return Ok(()),
        Value::Null => return Err(Fault::whole(Reason::Null)),
        Value::Bytes(bytes) | Value::Jsonb(bytes) => bytes.as_ref(),
        _ => return Ok(()),
    };
    if bytes.len() > MAX_FIELD {
        return Err(Fault::whole(Reason::TooLarge));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Fault::at(error.valid_up_to(), Reason::Utf8))?;
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Fault::at(offset, Reason::Nul));
    }
    match target {
        Target::Json => json::check(bytes, json::Kind::Json),
        Target::Jsonb => json::check(bytes, json::Kind::Jsonb),
        Target::Text(Some(limit)) if text.chars().count() > limit => Err(Fault::whole(Reason::TooLong)),
        _ => Ok(()),
    }
}

impl<'a> Value<'a> {
    /// Appends the value as a field of PostgreSQL's binary COPY format: a length and the bytes that
    /// the type's `receive` function reads.
    ///
    /// # Panics
    /// When the value is longer than a field can be, which [`check`] has excluded.
    pub fn write_field(&self, buffer: &mut Vec<u8>) {
        let mut field = |bytes: &[&[u8]]| {
            let length: usize = bytes.iter().map(|part| part.len()).sum();
            buffer.extend_from_slice(&i32::try_from(length).expect("fields are shorter than 1 GB").to_be_bytes());
            for part in bytes {
                buffer.extend_from_slice(part);
            }
        };
        match self {
            Value::Null => buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
            Value::Bytes(bytes) => field(&[bytes]),
            // The one version of jsonb's binary format there is.
            Value::Jsonb(bytes) => field(&[&[1], bytes]),
            Value::BigInt(number) | Value::Timestamp(number) => field(&[&number.to_be_bytes()]),
            Value::Integer(number) => field(&[&number.to_be_bytes()]),
            Value::Boolean(truth) => field(&[&[u8::from(*truth)]]),
            Value::Double(number) => field(&[&number.to_be_bytes()]),
        }
    }

    /// Reads a field of the binary COPY format, or `None` if it is not what the type sends.
    #[must_use]
    pub fn read_field(field: Option<&'a [u8]>, target: Target) -> Option<Self> {
        let Some(bytes) = field else { return Some(Value::Null) };
        Some(match target {
            Target::Text(_) | Target::Json => Value::Bytes(Cow::Borrowed(bytes)),
            Target::Jsonb => Value::Jsonb(Cow::Borrowed(bytes.strip_prefix(&[1])?)),
            Target::BigInt => Value::BigInt(i64::from_be_bytes(bytes.try_into().ok()?)),
            Target::Integer => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?)),
            Target::Boolean => Value::Boolean(*bytes.first()? != 0),
            Target::Double => Value::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
            Target::Timestamp => Value::Timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
        })
    }

    /// Adds the value to a row's digest: equal values and no others give the same digest.
    ///
    /// # Errors
    /// [`Fault`] when `jsonb` cannot be read, which [`check`] has excluded on the source's side.
    pub fn digest_into(&self, hasher: &mut Sha256) -> Result<(), Fault> {
        let mut add = |tag: u8, bytes: &[u8]| {
            hasher.update([tag]);
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        match self {
            Value::Null => add(0, &[]),
            Value::Bytes(bytes) => add(1, bytes),
            Value::Jsonb(bytes) => add(2, &json::jsonb_digest(bytes)?),
            Value::BigInt(number) => add(3, &number.to_be_bytes()),
            Value::Integer(number) => add(4, &number.to_be_bytes()),
            Value::Boolean(truth) => add(5, &[u8::from(*truth)]),
            Value::Double(number) => add(6, &number.to_bits().to_be_bytes()),
            Value::Timestamp(number) => add(7, &number.to_be_bytes()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(stored: Stored<'_>, target: Target) -> Option<Reason> {
        let checked = convert(stored, target).and_then(|value| check(&value, target, true));
        checked.err().map(|fault| fault.reason)
    }

    #[test]
    fn what_fits_is_carried_over_exactly() {
        let text = Value::Bytes(Cow::Borrowed(b"x".as_slice()));
        assert_eq!(convert(Stored::Text(b"x"), Target::Text(None)), Ok(text));
        assert_eq!(convert(Stored::Integer(i64::MIN), Target::BigInt), Ok(Value::BigInt(i64::MIN)));
        assert_eq!(convert(Stored::Integer(1), Target::Boolean), Ok(Value::Boolean(true)));
        assert_eq!(convert(Stored::Integer(1 << 53), Target::Double), Ok(Value::Double(9_007_199_254_740_992.0)));
        assert_eq!(convert(Stored::Real(1.5), Target::Json), Ok(Value::Bytes(Cow::Borrowed(b"1.5"))));
        assert_eq!(convert(Stored::Real(1e300), Target::Jsonb), Ok(Value::Jsonb(Cow::Borrowed(b"1e300"))));
        assert_eq!(convert(Stored::Null, Target::Json), Ok(Value::Null));
        let second = Stored::Text(b"2000-01-01 00:00:01");
        assert_eq!(convert(second, Target::Timestamp), Ok(Value::Timestamp(1_000_000)));
    }

    #[test]
    fn what_does_not_fit_is_a_fault() {
        assert_eq!(reason(Stored::Text(b"a\0b"), Target::Text(None)), Some(Reason::Nul));
        assert_eq!(reason(Stored::Text(b"\xc3\x28"), Target::Text(None)), Some(Reason::Utf8));
        assert_eq!(reason(Stored::Text("éé".as_bytes()), Target::Text(Some(1))), Some(Reason::TooLong));
        assert_eq!(reason(Stored::Text("éé".as_bytes()), Target::Text(Some(2))), None);
        assert_eq!(
            reason(Stored::Blob(b"x"), Target::Text(None)),
            Some(Reason::StorageClass("BLOB", Target::Text(None)))
        );
        assert_eq!(reason(Stored::Text(b"fast"), Target::Integer), Some(Reason::StorageClass("TEXT", Target::Integer)));
        assert_eq!(reason(Stored::Real(1.5), Target::BigInt), Some(Reason::StorageClass("REAL", Target::BigInt)));
        assert_eq!(reason(Stored::Integer(1 << 31), Target::Integer), Some(Reason::IntegerRange));
        assert_eq!(reason(Stored::Integer(2), Target::Boolean), Some(Reason::NotBoolean));
        assert_eq!(reason(Stored::Integer((1 << 53) + 1), Target::Double), Some(Reason::Inexact));
        assert_eq!(reason(Stored::Real(f64::INFINITY), Target::Json), Some(Reason::Infinite));
        assert_eq!(reason(Stored::Real(f64::INFINITY), Target::Double), None);
        assert_eq!(reason(Stored::Text(b"yesterday"), Target::Timestamp), Some(Reason::NotAMoment));
        for (stored, class) in [
            (Stored::Integer(0), "INTEGER"),
            (Stored::Real(2_460_000.5), "REAL"),
            (Stored::Blob(b"2000-01-01 00:00:01"), "BLOB"),
        ] {
            assert_eq!(reason(stored, Target::Timestamp), Some(Reason::StorageClass(class, Target::Timestamp)));
        }
        assert!(check(&Value::Null, Target::Json, false).is_err());
    }

    #[test]
    fn fields_are_what_postgresql_reads() {
        // As `COPY (SELECT 1::int, 'x'::varchar, NULL::json, '{}'::jsonb, true, timestamp '2026-01-31 12:00:00')
        // TO STDOUT (FORMAT binary)` prints them.
        let mut buffer = Vec::new();
        Value::Integer(1).write_field(&mut buffer);
        Value::Bytes(Cow::Borrowed(b"x")).write_field(&mut buffer);
        Value::Null.write_field(&mut buffer);
        Value::Jsonb(Cow::Borrowed(b"{}")).write_field(&mut buffer);
        Value::Boolean(true).write_field(&mut buffer);
        assert_eq!(buffer, b"\0\0\0\x04\0\0\0\x01\0\0\0\x01x\xff\xff\xff\xff\0\0\0\x03\x01{}\0\0\0\x01\x01");
        buffer.clear();
        let moment = convert(Stored::Text(b"2026-01-31 12:00:00"), Target::Timestamp).expect("a moment");
        moment.write_field(&mut buffer);
        assert_eq!(buffer, b"\0\0\0\x08\0\x02\xec\xac\x99\x11\x50\0");
        assert_eq!(Value::read_field(Some(&buffer[4..]), Target::Timestamp), Some(moment));
    }
}
