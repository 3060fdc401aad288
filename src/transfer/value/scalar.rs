//! Values in columns that are neither text nor JSON.

use super::column_type::ColumnType;
use super::hazard::{JsonKind, Reason};
use super::json::{self, Verdict};
use super::pg_value::PgValue;
use super::{decimal, timestamp};
use crate::database::sqlite_value::SqliteValue;

/// The result of converting a value for such a column.
pub(crate) enum Conversion<'a> {
    /// The same value.
    Exact(PgValue<'a>),
    /// The same value, stored as another class.
    Converted(PgValue<'a>),
    /// An integer out of range, with the nearest value of the type.
    OutOfRange { nearest: PgValue<'a>, converted: bool },
    /// The type has no exact value for it.
    Impossible(Reason),
}

impl<'a> Conversion<'a> {
    pub(crate) fn of(stored: SqliteValue<'a>, target: ColumnType) -> Self {
        let SqliteValue::Blob(bytes) = stored else { return Self::of_number_or_text(stored, target) };
        match Self::of_number_or_text(SqliteValue::Text(bytes), target) {
            Conversion::Exact(value) => Conversion::Converted(value),
            Conversion::Impossible(_) => Conversion::Impossible(Reason::Misplaced(stored.class(), target)),
            other => other,
        }
    }

    fn of_number_or_text(stored: SqliteValue<'a>, target: ColumnType) -> Self {
        let misplaced = || Conversion::Impossible(Reason::Misplaced(stored.class(), target));
        match (target, stored) {
            (ColumnType::BigInt | ColumnType::Integer, _) => match whole(stored) {
                Some(number) => Self::of_whole(number, target, !matches!(stored, SqliteValue::Integer(_))),
                None => match stored {
                    SqliteValue::Real(number) => Conversion::Impossible(Reason::NotWhole(number)),
                    _ => misplaced(),
                },
            },
            (ColumnType::Boolean, SqliteValue::Integer(number @ (0 | 1))) => {
                Conversion::Exact(PgValue::Boolean(number == 1))
            }
            (ColumnType::Boolean, SqliteValue::Integer(_)) => Conversion::Impossible(Reason::NotBoolean),
            (ColumnType::Boolean, _) => {
                truth(stored).map_or_else(misplaced, |truth| Conversion::Converted(PgValue::Boolean(truth)))
            }
            (ColumnType::Double, SqliteValue::Real(number)) => Conversion::Exact(PgValue::Double(number)),
            (ColumnType::Double, SqliteValue::Integer(number)) => exact_double(number)
                .map_or(Conversion::Impossible(Reason::NotDouble), |double| Conversion::Exact(PgValue::Double(double))),
            (ColumnType::Double, SqliteValue::Text(text)) => {
                written_double(text).map_or_else(misplaced, |number| Conversion::Converted(PgValue::Double(number)))
            }
            (ColumnType::Timestamp, SqliteValue::Text(text)) => timestamp::parse(text)
                .map_or(Conversion::Impossible(Reason::NotATimestamp), |time| {
                    Conversion::Exact(PgValue::Timestamp(time))
                }),
            _ => misplaced(),
        }
    }

    fn of_whole(number: i128, target: ColumnType, converted: bool) -> Self {
        let (value, exact) = if target == ColumnType::Integer {
            let nearest = number.clamp(i32::MIN.into(), i32::MAX.into());
            (i32::try_from(nearest).ok().map(PgValue::Integer), nearest == number)
        } else {
            let nearest = number.clamp(i64::MIN.into(), i64::MAX.into());
            (i64::try_from(nearest).ok().map(PgValue::BigInt), nearest == number)
        };
        let nearest = value.expect("the number was clamped");
        match (exact, converted) {
            (true, false) => Conversion::Exact(nearest),
            (true, true) => Conversion::Converted(nearest),
            (false, converted) => Conversion::OutOfRange { nearest, converted },
        }
    }
}

/// The integer value; for one too large, the largest of its sign.
fn whole(stored: SqliteValue<'_>) -> Option<i128> {
    match stored {
        SqliteValue::Integer(number) => Some(number.into()),
        #[expect(clippy::cast_possible_truncation, reason = "what is beyond 128 bits is beyond 64 bits as well")]
        SqliteValue::Real(number) => (number.is_finite() && number.fract() == 0.0).then_some(number as i128),
        SqliteValue::Text(text) => written_whole(text),
        SqliteValue::Null | SqliteValue::Blob(_) => None,
    }
}

/// Parses an integer in canonical form: a plus, blanks or leading zeros would be lost in a number.
fn written_whole(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    let is_written_so = match digits {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty() && !negative,
        _ => digits.iter().all(u8::is_ascii_digit),
    };
    let beyond = if negative { i128::MIN } else { i128::MAX };
    is_written_so.then(|| std::str::from_utf8(text).ok()?.parse().ok()).map(|number| number.unwrap_or(beyond))
}

fn truth(stored: SqliteValue<'_>) -> Option<bool> {
    match stored {
        SqliteValue::Real(0.0) => Some(false),
        SqliteValue::Real(1.0) => Some(true),
        SqliteValue::Text(text) if text == b"1" || text.eq_ignore_ascii_case(b"true") => Some(true),
        SqliteValue::Text(text) if text == b"0" || text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

fn exact_double(number: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line checks for it")]
    let double = number as f64;
    (whole(SqliteValue::Real(double)) == Some(number.into())).then_some(double)
}

/// Parses a number that its double represents exactly when printed.
fn written_double(text: &[u8]) -> Option<f64> {
    match text {
        b"Infinity" => return Some(f64::INFINITY),
        b"-Infinity" => return Some(f64::NEG_INFINITY),
        b"NaN" => return Some(f64::NAN),
        _ => {}
    }
    let is_number = matches!(text.first(), Some(b'-' | b'0'..=b'9'))
        && json::read(text, JsonKind::Json, 0, &mut Verdict).is_ok()
        && !text.last().is_some_and(u8::is_ascii_whitespace);
    let double: f64 = if is_number { std::str::from_utf8(text).ok()?.parse().ok()? } else { return None };
    (double.is_finite() && decimal::equal(text, real(double).as_bytes())).then_some(double)
}

/// The shortest text that is read back as the same number.
pub(crate) fn real(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{number:?}"),
    }
}
