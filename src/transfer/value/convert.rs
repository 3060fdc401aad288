//! Converts a stored value to its column's type, applies policies, and digests the result.

use std::borrow::Cow;

use super::column::ColumnPlan;
use super::column_type::ColumnType;
use super::digest::{JSONB_TAG, RowDigester};
use super::hazard::{Beyond, Fault, JsonKind, Reason};
use super::json::{self, MAX_DEPTH, Verdict};
use super::jsonb;
use super::normalization::Normalizations;
use super::pg_value::PgValue;
use super::policy::{Class, Policies, Policy};
use super::repair::{self, TextOrigin};
use super::scalar::{Conversion, real};
use crate::database::sqlite_value::SqliteValue;

/// The longest value that a PostgreSQL field holds, in bytes.
const MAX_FIELD: usize = 0x3fff_ff00;
/// The longest string, array or object that `jsonb` holds, in bytes.
const MAX_JSONB: usize = 0x0fff_ffff;

/// The result of a conversion.
#[derive(Debug, PartialEq)]
pub struct Converted<'a> {
    /// The value for PostgreSQL; meaningless if there are faults.
    pub value: PgValue<'a>,
    /// The first fault of each class that no policy handles.
    pub faults: Vec<Fault>,
    /// The classes for which a policy changed the value; empty if there are faults.
    pub changes: Vec<(Class, Policy)>,
    /// The differences to what `jsonb` will print.
    pub normalizations: Normalizations,
}

/// Converts a stored value to its column's type: exactly, or changed by policies, or not at all. All classes of faults
/// are found: after a fault the value is repaired tentatively. Offsets are those of the stored bytes. A value without
/// faults is added to the digest in the form in which the target will send it back.
///
/// # Panics
/// Never: only `jsonb` must be parsed for the digest, and it was parsed before.
pub fn convert<'a>(
    stored: SqliteValue<'a>,
    column: &ColumnPlan,
    policies: &Policies,
    digester: &mut RowDigester,
) -> Converted<'a> {
    if let Some(value) = exact(stored, column)
        && digester.add(&value).is_ok()
    {
        return Converted { value, faults: Vec::new(), changes: Vec::new(), normalizations: Normalizations::default() };
    }
    let mut converter = Converter::new(column, policies);
    let mut read = None;
    let value = match (column.target, stored) {
        (_, SqliteValue::Null) => converter.null(),
        (ColumnType::Text(limit), _) => match converter.text_of(stored) {
            Some(text) => PgValue::Bytes(converter.text(text, limit)),
            None => PgValue::Null,
        },
        (ColumnType::Json, _) => PgValue::Bytes(converter.json(stored, JsonKind::Json, &mut read)),
        (ColumnType::Jsonb, _) => PgValue::Jsonb(converter.json(stored, JsonKind::Jsonb, &mut read)),
        _ => converter.scalar(stored),
    };
    let Converter { faults, mut changes, .. } = converter;
    let normalizations = read.as_ref().map(|read: &jsonb::Jsonb| read.normalizations).unwrap_or_default();
    match read {
        _ if !faults.is_empty() => changes.clear(),
        Some(read) => digester.add_bytes(JSONB_TAG, &read.encoding),
        None => digester.add(&value).expect("only `jsonb` is parsed"),
    }
    Converted { value, faults, changes, normalizations }
}

/// The fast path for a value that needs no change, as nearly all do. JSON must be parsed first, so it is not handled
/// here.
fn exact<'a>(stored: SqliteValue<'a>, column: &ColumnPlan) -> Option<PgValue<'a>> {
    match (column.target, stored) {
        (_, SqliteValue::Null) if column.nullable => Some(PgValue::Null),
        (ColumnType::Text(limit), SqliteValue::Text(bytes))
            if bytes.len() <= limit.unwrap_or(MAX_FIELD).min(MAX_FIELD) && is_text(bytes) =>
        {
            Some(PgValue::Bytes(Cow::Borrowed(bytes)))
        }
        (ColumnType::Text(_) | ColumnType::Json | ColumnType::Jsonb, _) => None,
        _ => match Conversion::of(stored, column.target) {
            Conversion::Exact(value) => Some(value),
            _ => None,
        },
    }
}

/// The longest beginning of a UTF-8 text that has at most so many bytes and ends between two characters.
#[must_use]
pub(crate) fn truncated(text: &[u8], bytes: usize) -> &[u8] {
    // All bytes of a character but the first begin with the bits 10.
    let is_first = |index: &usize| text[*index] & 0xc0 != 0x80;
    if text.len() <= bytes { text } else { &text[..(0..=bytes).rev().find(is_first).unwrap_or(0)] }
}

struct Converter<'p> {
    policies: &'p Policies,
    target: ColumnType,
    nullable: bool,
    faults: Vec<Fault>,
    changes: Vec<(Class, Policy)>,
    /// Maps offsets of the repaired text back to the stored one, one for each repair.
    origins: Vec<TextOrigin>,
}

impl<'p> Converter<'p> {
    fn new(column: &ColumnPlan, policies: &'p Policies) -> Self {
        let ColumnPlan { target, nullable, .. } = *column;
        Self { policies, target, nullable, faults: Vec::new(), changes: Vec::new(), origins: Vec::new() }
    }

    /// Returns the policy for a fault; without one the fault is recorded.
    fn decide(&mut self, fault: Fault) -> Policy {
        let class = fault.class();
        let policies = match class {
            // In a JSON column the policy `null` gives JSON null, which NOT NULL allows.
            _ if self.nullable || matches!(self.target, ColumnType::Json | ColumnType::Jsonb) => fault.policies,
            Class::IntegerRange => &[Policy::Clamp],
            Class::Inexact => &[],
            _ => fault.policies,
        };
        let policy = self.policies.of(class);
        if policies.contains(&policy) {
            if !self.changes.contains(&(class, policy)) {
                self.changes.push((class, policy));
            }
            return policy;
        }
        let mut origins = self.origins.iter().rev();
        let offset = fault.offset.and_then(|offset| origins.try_fold(offset, |at, origin| origin.of(at)));
        let fault = Fault { offset, policies, ..fault };
        match self.faults.iter_mut().find(|known| known.class() == class) {
            None => self.faults.push(fault),
            Some(known) if offset < known.offset && offset.is_some() => *known = fault,
            Some(_) => {}
        }
        Policy::Fail
    }

    fn null<'a>(&mut self) -> PgValue<'a> {
        if !self.nullable {
            self.decide(Fault::whole(Reason::Null));
        }
        PgValue::Null
    }

    /// The value as text; `None` if it has no exact text form.
    fn text_of<'a>(&mut self, stored: SqliteValue<'a>) -> Option<Cow<'a, [u8]>> {
        let text: Cow<'a, [u8]> = match stored {
            SqliteValue::Text(bytes) => return Some(Cow::Borrowed(bytes)),
            SqliteValue::Blob(bytes) if is_text(bytes) => Cow::Borrowed(bytes),
            SqliteValue::Blob(_) | SqliteValue::Null => {
                self.decide(Fault::whole(Reason::Misplaced(stored.class(), self.target)));
                return None;
            }
            SqliteValue::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            SqliteValue::Real(number) => Cow::Owned(real(number).into_bytes()),
        };
        self.decide(Fault::whole(Reason::Convertible(stored.class(), self.target)));
        Some(text)
    }

    fn text<'a>(&mut self, text: Cow<'a, [u8]>, limit: Option<usize>) -> Cow<'a, [u8]> {
        if self.is_too_large(&text) {
            return text;
        }
        let text = self.characters(text);
        match limit.and_then(|limit| Some((limit, end_of_characters(&text, limit)?))) {
            None => text,
            Some((limit, end)) => {
                let is_blank = text[end..].iter().all(|byte| *byte == b' ');
                let beyond = if is_blank { Beyond::Blanks } else { Beyond::Text };
                self.decide(Fault::at(end, Reason::TooLong(limit, beyond)));
                match text {
                    Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
                    Cow::Owned(mut text) => {
                        text.truncate(end);
                        Cow::Owned(text)
                    }
                }
            }
        }
    }

    /// Repairs a text that is not UTF-8 or contains U+0000.
    fn characters<'a>(&mut self, text: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let mut text = text;
        if let Err(error) = std::str::from_utf8(&text) {
            self.decide(Fault::at(error.valid_up_to(), Reason::Utf8));
            let (repaired, origin) = repair::utf8(&text);
            self.origins.push(origin);
            text = Cow::Owned(repaired);
        }
        if text.contains(&0) {
            let first = text.iter().position(|byte| *byte == 0).unwrap_or_default();
            let policy = self.decide(Fault::at(first, Reason::Nul));
            let (repaired, origin) = repair::nul(&text, policy);
            self.origins.push(origin);
            text = Cow::Owned(repaired);
        }
        text
    }

    fn json<'a>(&mut self, stored: SqliteValue<'a>, kind: JsonKind, read: &mut Option<jsonb::Jsonb>) -> Cow<'a, [u8]> {
        let text = match stored {
            // SQLite stores JSON `1` as INTEGER and `1.5` as REAL: a column declared JSON has NUMERIC affinity.
            SqliteValue::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            SqliteValue::Real(number) if number.is_finite() => Cow::Owned(real(number).into_bytes()),
            SqliteValue::Real(number) => match self.decide(Fault::whole(Reason::Infinite)) {
                Policy::String => Cow::Owned(repair::json_string(real(number).as_bytes())),
                _ => Cow::Borrowed(b"null".as_slice()),
            },
            _ => self.text_of(stored).unwrap_or(Cow::Borrowed(b"null")),
        };
        if self.is_too_large(&text) {
            return text;
        }
        let is_sound = std::str::from_utf8(&text).is_ok() && self.is_json(&text, kind, read);
        if is_sound {
            return text;
        }
        let text = self.repaired_json(text, kind);
        if !self.is_too_large(&text) && self.faults.iter().all(|fault| !ends_reading(fault.class())) {
            self.is_json(&text, kind, read);
        }
        text
    }

    /// Whether PostgreSQL accepts a UTF-8 text as JSON. For `jsonb`, `read` receives the result.
    fn is_json(&mut self, text: &[u8], kind: JsonKind, read: &mut Option<jsonb::Jsonb>) -> bool {
        match kind {
            JsonKind::Json => json::read(text, kind, MAX_DEPTH, &mut Verdict).is_ok(),
            JsonKind::Jsonb => {
                *read = jsonb::read(text, MAX_DEPTH).ok();
                if let Some(offset) = read.as_ref().and_then(|read| read.duplicate) {
                    self.decide(Fault::at(offset, Reason::DuplicateKey));
                }
                read.is_some()
            }
        }
    }

    /// Repairs the faults inside a JSON text, or replaces the whole text.
    fn repaired_json<'a>(&mut self, text: Cow<'a, [u8]>, kind: JsonKind) -> Cow<'a, [u8]> {
        let text = self.characters(text);
        let repaired = repair::json(&text, kind, self.policies);
        let depth = repaired.faults.iter().find(|fault| fault.class() == Class::Depth);
        if let Some(whole) = repaired.unreadable.as_ref().or(depth) {
            match self.decide(*whole) {
                Policy::Null => return Cow::Borrowed(b"null"),
                Policy::String => return Cow::Owned(repair::json_string(&text)),
                _ => {}
            }
        }
        for fault in repaired.faults {
            self.decide(fault);
        }
        self.origins.push(repaired.origin);
        Cow::Owned(repaired.text)
    }

    fn is_too_large(&mut self, text: &[u8]) -> bool {
        let limit = if self.target == ColumnType::Jsonb { MAX_JSONB } else { MAX_FIELD };
        let is_too_large = text.len() > limit;
        if is_too_large {
            self.decide(Fault::whole(Reason::TooLarge));
        }
        is_too_large
    }

    fn scalar<'a>(&mut self, stored: SqliteValue<'a>) -> PgValue<'a> {
        let target = self.target;
        let convertible = || Fault::whole(Reason::Convertible(stored.class(), target));
        match Conversion::of(stored, target) {
            Conversion::Exact(value) => value,
            Conversion::Converted(value) => {
                self.decide(convertible());
                value
            }
            Conversion::OutOfRange { nearest, converted } => {
                if converted {
                    self.decide(convertible());
                }
                match self.decide(Fault::whole(Reason::IntegerRange(target))) {
                    Policy::Null => PgValue::Null,
                    _ => nearest,
                }
            }
            Conversion::Impossible(reason) => {
                self.decide(Fault::whole(reason));
                PgValue::Null
            }
        }
    }
}

/// Whether the text after such a fault cannot be parsed.
fn ends_reading(class: Class) -> bool {
    matches!(class, Class::InvalidJson | Class::Depth)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

/// The offset after the first `count` characters; `None` if there are no more than these.
fn end_of_characters(text: &[u8], count: usize) -> Option<usize> {
    if text.len() <= count {
        return None;
    }
    let mut firsts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
    firsts.nth(count).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::copy_format::read_field;

    fn column(target: ColumnType) -> ColumnPlan {
        ColumnPlan { name: "column".to_owned(), target, nullable: true }
    }

    fn converted<'a>(stored: SqliteValue<'a>, target: ColumnType, choices: &[&str]) -> Converted<'a> {
        let choices: Vec<_> = choices.iter().map(|text| text.parse().expect("a choice")).collect();
        let policies = Policies::new(&choices).expect("policies");
        convert(stored, &column(target), &policies, &mut RowDigester::default())
    }

    fn text(bytes: &str) -> SqliteValue<'_> {
        SqliteValue::Text(bytes.as_bytes())
    }

    /// The classes and offsets of all faults.
    fn faults(stored: SqliteValue<'_>, target: ColumnType, choices: &[&str]) -> Vec<(&'static str, Option<usize>)> {
        let faults = converted(stored, target, choices).faults;
        faults.iter().map(|fault| (fault.class().name(), fault.offset)).collect()
    }

    /// The value for PostgreSQL after a policy repaired it.
    #[track_caller]
    fn repaired(stored: SqliteValue<'_>, target: ColumnType, choices: &[&str]) -> PgValue<'static> {
        let converted = converted(stored, target, choices);
        assert_eq!(converted.faults, [], "{choices:?}");
        let changes: Vec<_> = converted.changes.iter().map(|(class, policy)| format!("{class}={policy}")).collect();
        assert_eq!(changes, choices);
        match converted.value {
            PgValue::Bytes(bytes) => PgValue::Bytes(Cow::Owned(bytes.into_owned())),
            PgValue::Jsonb(bytes) => PgValue::Jsonb(Cow::Owned(bytes.into_owned())),
            PgValue::Null => PgValue::Null,
            PgValue::BigInt(number) => PgValue::BigInt(number),
            PgValue::Integer(number) => PgValue::Integer(number),
            PgValue::Boolean(truth) => PgValue::Boolean(truth),
            PgValue::Double(number) => PgValue::Double(number),
            PgValue::Timestamp(time) => PgValue::Timestamp(time),
        }
    }

    fn bytes(text: &str) -> PgValue<'_> {
        PgValue::Bytes(Cow::Borrowed(text.as_bytes()))
    }

    fn jsonb(text: &str) -> PgValue<'_> {
        PgValue::Jsonb(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn values_that_fit_are_converted_exactly() {
        let integers = PgValue::Double(9_007_199_254_740_992.0);
        for (stored, target, expected) in [
            (text("x"), ColumnType::Text(None), bytes("x")),
            (text("éé"), ColumnType::Text(Some(2)), bytes("éé")),
            (SqliteValue::Integer(i64::MIN), ColumnType::BigInt, PgValue::BigInt(i64::MIN)),
            (SqliteValue::Integer(-1 << 31), ColumnType::Integer, PgValue::Integer(i32::MIN)),
            (SqliteValue::Integer(1), ColumnType::Boolean, PgValue::Boolean(true)),
            (SqliteValue::Integer(1 << 53), ColumnType::Double, integers),
            (SqliteValue::Integer((1 << 53) + 2), ColumnType::Double, PgValue::Double(9_007_199_254_740_994.0)),
            (SqliteValue::Real(f64::INFINITY), ColumnType::Double, PgValue::Double(f64::INFINITY)),
            (SqliteValue::Real(1.5), ColumnType::Json, bytes("1.5")),
            (SqliteValue::Real(1e300), ColumnType::Jsonb, jsonb("1e300")),
            (SqliteValue::Integer(7), ColumnType::Jsonb, jsonb("7")),
            (SqliteValue::Null, ColumnType::Json, PgValue::Null),
            (text("2000-01-01 00:00:01"), ColumnType::Timestamp, PgValue::Timestamp(1_000_000)),
            (
                text(r#"{"b":"\\u0000 \ud83d\ude80","b": 1e999999}"#),
                ColumnType::Json,
                bytes(r#"{"b":"\\u0000 \ud83d\ude80","b": 1e999999}"#),
            ),
        ] {
            let converted = converted(stored, target, &[]);
            assert_eq!((converted.value, converted.faults), (expected, vec![]), "{stored:?} {target}");
            assert_eq!(converted.changes, []);
        }
    }

    #[test]
    fn values_that_do_not_fit_have_a_fault_of_their_class() {
        let varchar = ColumnType::Text(Some(1));
        for (stored, target, class, offset) in [
            (text("a\0b"), ColumnType::Text(None), "nul", Some(1)),
            (SqliteValue::Text(b"ab\xc3\x28"), ColumnType::Text(None), "invalid-utf8", Some(2)),
            (text("éé"), varchar, "too-long", Some(2)),
            (text("é "), varchar, "too-long", Some(2)),
            (SqliteValue::Blob(b"x"), ColumnType::Text(None), "storage-class", None),
            (SqliteValue::Blob(b"\0\x01\xfe\xff"), ColumnType::Text(None), "inexact", None),
            (SqliteValue::Blob(b"{}"), ColumnType::Json, "storage-class", None),
            (SqliteValue::Integer(1), ColumnType::Text(None), "storage-class", None),
            (text("fast"), ColumnType::Integer, "inexact", None),
            (text(""), ColumnType::Integer, "inexact", None),
            (text("007"), ColumnType::Integer, "inexact", None),
            (text("-12"), ColumnType::Integer, "storage-class", None),
            (SqliteValue::Real(1.5), ColumnType::BigInt, "inexact", None),
            (SqliteValue::Real(f64::INFINITY), ColumnType::BigInt, "inexact", None),
            (SqliteValue::Real(12.0), ColumnType::BigInt, "storage-class", None),
            (SqliteValue::Integer(1 << 31), ColumnType::Integer, "integer-range", None),
            (SqliteValue::Integer(2), ColumnType::Boolean, "inexact", None),
            (text("true"), ColumnType::Boolean, "storage-class", None),
            (text("yes-ish"), ColumnType::Boolean, "inexact", None),
            (SqliteValue::Real(0.5), ColumnType::Boolean, "inexact", None),
            (SqliteValue::Integer((1 << 53) + 1), ColumnType::Double, "inexact", None),
            (text("hot"), ColumnType::Double, "inexact", None),
            (text("0.10"), ColumnType::Double, "storage-class", None),
            (text("0.1000000000000000055511151231257827"), ColumnType::Double, "inexact", None),
            (text("[1]"), ColumnType::Double, "inexact", None),
            (SqliteValue::Real(f64::INFINITY), ColumnType::Json, "non-finite", None),
            (text("yesterday"), ColumnType::Timestamp, "inexact", None),
            (SqliteValue::Integer(0), ColumnType::Timestamp, "inexact", None),
            (SqliteValue::Blob(b"2000-01-01 00:00:01"), ColumnType::Timestamp, "storage-class", None),
            (text(r#"["\u0000"]"#), ColumnType::Json, "nul", Some(2)),
            (text(r#"["\u0000"]"#), ColumnType::Jsonb, "nul", Some(2)),
            (text(r#"["\ud83d"]"#), ColumnType::Json, "lone-surrogate", Some(2)),
            (text(r#"{"a": 1, "a": 2}"#), ColumnType::Jsonb, "duplicate-key", Some(9)),
            (text("[1e131072]"), ColumnType::Jsonb, "number-range", Some(1)),
            (text("[NaN]"), ColumnType::Json, "non-finite", Some(1)),
            (text("[1,]"), ColumnType::Json, "invalid-json", Some(3)),
            (text(" "), ColumnType::Json, "invalid-json", None),
        ] {
            assert_eq!(faults(stored, target, &[]), [(class, offset)], "{stored:?} {target}");
        }
        let required = ColumnPlan { nullable: false, ..column(ColumnType::Json) };
        let converted = convert(SqliteValue::Null, &required, &Policies::default(), &mut RowDigester::default());
        assert_eq!(converted.faults, [Fault::whole(Reason::Null)]);
    }

    #[test]
    fn all_classes_of_one_value_are_found_at_their_bytes() {
        let stored = SqliteValue::Text(b"[\"\xff\0\", \"\\u0000 \\ud83d\", NaN, 1e131072, {\"k\": 1, \"\\u006b\": 2}]");
        let expected = [
            ("invalid-utf8", Some(2)),
            ("nul", Some(3)),
            ("lone-surrogate", Some(15)),
            ("non-finite", Some(24)),
            ("number-range", Some(29)),
            ("duplicate-key", Some(48)),
        ];
        assert_eq!(faults(stored, ColumnType::Jsonb, &[]), expected);
        // A policy removes only its own class from the faults.
        let expected: Vec<_> = expected.into_iter().filter(|(class, _)| *class != "nul").collect();
        assert_eq!(faults(stored, ColumnType::Jsonb, &["nul=strip"]), expected);
        assert_eq!(converted(stored, ColumnType::Jsonb, &["nul=strip"]).changes, []);
        let all =
            ["invalid-utf8=replace", "nul=strip", "lone-surrogate=strip", "non-finite=string", "number-range=null"];
        let all = [&all[..], &["duplicate-key=last"]].concat();
        let expected = "[\"\u{fffd}\", \" \", \"NaN\", null, {\"k\": 1, \"\\u006b\": 2}]";
        assert_eq!(repaired(stored, ColumnType::Jsonb, &all), jsonb(expected));
        let long = SqliteValue::Text(b"ab\0\xffcd");
        let expected = [("invalid-utf8", Some(3)), ("nul", Some(2)), ("too-long", Some(4))];
        assert_eq!(faults(long, ColumnType::Text(Some(4)), &[]), expected);
        let far = SqliteValue::Text(b"99999999999");
        assert_eq!(faults(far, ColumnType::Integer, &[]), [("storage-class", None), ("integer-range", None)]);
        assert_eq!(
            faults(text("[NaN, }"), ColumnType::Json, &[]),
            [("invalid-json", Some(6)), ("non-finite", Some(1))]
        );
    }

    #[test]
    fn policies_change_only_the_faults() {
        let varchar = ColumnType::Text(Some(3));
        for (stored, target, choice, expected) in [
            (text("a\0b\0"), ColumnType::Text(None), "nul=replace", bytes("a\u{fffd}b\u{fffd}")),
            (text("a\0b\0"), ColumnType::Text(None), "nul=strip", bytes("ab")),
            (text("{ \"a\\u0000\" :1e5}"), ColumnType::Json, "nul=replace", bytes("{ \"a\\ufffd\" :1e5}")),
            (text("{ \"a\\u0000\" :1e5}"), ColumnType::Jsonb, "nul=strip", jsonb("{ \"a\" :1e5}")),
            (text("[\"\0\"]\0"), ColumnType::Json, "nul=strip", bytes("[\"\"]")),
            (
                text(r#"["\ud83d\ud83d\ude80\ude80"]"#),
                ColumnType::Json,
                "lone-surrogate=strip",
                bytes(r#"["\ud83d\ude80"]"#),
            ),
            (text(r#"["\ude80x"]"#), ColumnType::Jsonb, "lone-surrogate=replace", jsonb(r#"["\ufffdx"]"#)),
            (text("[ NaN,-Infinity ]"), ColumnType::Json, "non-finite=null", bytes("[ null,null ]")),
            (text("[ NaN,-Infinity ]"), ColumnType::Json, "non-finite=string", bytes(r#"[ "NaN","-Infinity" ]"#)),
            (SqliteValue::Real(f64::NEG_INFINITY), ColumnType::Json, "non-finite=string", bytes("\"-Infinity\"")),
            (SqliteValue::Real(f64::INFINITY), ColumnType::Jsonb, "non-finite=null", jsonb("null")),
            (text("[1e131072]"), ColumnType::Jsonb, "number-range=string", jsonb("[\"1e131072\"]")),
            (SqliteValue::Integer(1 << 40), ColumnType::Integer, "integer-range=clamp", PgValue::Integer(i32::MAX)),
            (SqliteValue::Integer(-(1 << 40)), ColumnType::Integer, "integer-range=clamp", PgValue::Integer(i32::MIN)),
            (SqliteValue::Integer(1 << 40), ColumnType::Integer, "integer-range=null", PgValue::Null),
            (SqliteValue::Text(b"\xf0\x9f\x9a"), ColumnType::Text(None), "invalid-utf8=replace", bytes("\u{fffd}")),
            (SqliteValue::Blob(b"x"), ColumnType::Text(None), "storage-class=convert", bytes("x")),
            (SqliteValue::Blob(b"{}"), ColumnType::Jsonb, "storage-class=convert", jsonb("{}")),
            (SqliteValue::Real(1.5), ColumnType::Text(None), "storage-class=convert", bytes("1.5")),
            (text("12"), ColumnType::BigInt, "storage-class=convert", PgValue::BigInt(12)),
            (text("True"), ColumnType::Boolean, "storage-class=convert", PgValue::Boolean(true)),
            (text("1.5e1"), ColumnType::Double, "storage-class=convert", PgValue::Double(15.0)),
            (text("fast"), ColumnType::Integer, "inexact=null", PgValue::Null),
            (SqliteValue::Blob(b"\xff"), ColumnType::Json, "inexact=null", bytes("null")),
            (text("{'a': None}\n"), ColumnType::Json, "invalid-json=string", bytes("\"{'a': None}\\n\"")),
            (text("[\"\\u0000\""), ColumnType::Jsonb, "invalid-json=string", jsonb(r#""[\"\\u0000\"""#)),
            (text(""), ColumnType::Jsonb, "invalid-json=null", jsonb("null")),
            (text("éééé"), varchar, "too-long=truncate", bytes("ééé")),
            (text(r#"{"a":1,"a":2}"#), ColumnType::Jsonb, "duplicate-key=last", jsonb(r#"{"a":1,"a":2}"#)),
        ] {
            assert_eq!(repaired(stored, target, &[choice]), expected, "{stored:?} {choice}");
        }
        let deep = format!("[\"\\u0000\", {}{}]", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let class = |name, offset| (name, Some(offset));
        assert_eq!(faults(text(&deep), ColumnType::Json, &[]), [class("depth", MAX_DEPTH + 10), class("nul", 2)]);
        assert_eq!(repaired(text(&deep), ColumnType::Jsonb, &["depth=null"]), jsonb("null"));
        let string = repaired(text(&deep), ColumnType::Json, &["depth=string"]);
        assert_eq!(string, bytes(&format!("\"{}\"", deep.replace('\\', "\\\\").replace('"', "\\\""))));
    }

    #[test]
    fn a_not_null_column_has_no_policy_null() {
        let choices = ["integer-range=null", "inexact=null"].map(|text| text.parse().expect("a choice"));
        let policies = Policies::new(&choices).expect("policies");
        let required = |target| ColumnPlan { nullable: false, ..column(target) };
        let mut digester = RowDigester::default();
        let beyond = convert(SqliteValue::Integer(1 << 40), &required(ColumnType::Integer), &policies, &mut digester);
        assert_eq!(beyond.faults[0].policies, [Policy::Clamp]);
        let fast = convert(text("fast"), &required(ColumnType::Integer), &policies, &mut digester);
        assert_eq!(fast.faults[0].policies, []);
        // In a JSON column the policy `null` gives JSON null.
        let blob = convert(SqliteValue::Blob(b"\xff"), &required(ColumnType::Json), &policies, &mut digester);
        assert_eq!(blob.value, bytes("null"));
    }

    #[test]
    fn both_sides_have_the_same_digest() {
        for (stored, target, sent_back) in [
            (
                text(r#" {"b":1.0,"a":"\u00e9"} "#),
                ColumnType::Jsonb,
                Some(&b"\x01{\"a\": \"\xc3\xa9\", \"b\": 1.0}"[..]),
            ),
            (text("[1]"), ColumnType::Json, Some(b"[1]")),
            (SqliteValue::Null, ColumnType::Jsonb, None),
            (SqliteValue::Integer(5), ColumnType::Integer, Some(b"\0\0\0\x05")),
        ] {
            let [mut source, mut read_back] = [RowDigester::default(), RowDigester::default()];
            assert_eq!(convert(stored, &column(target), &Policies::default(), &mut source).faults, []);
            read_back.add(&read_field(sent_back, target).expect("a field")).expect("a value");
            assert_eq!(source.digest(), read_back.digest(), "{stored:?}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(truncated("aéx".as_bytes(), 2), b"a");
        assert_eq!(truncated("aéx".as_bytes(), 3), "aé".as_bytes());
        assert_eq!(truncated("aé".as_bytes(), 3), "aé".as_bytes());
        assert_eq!(truncated("é".as_bytes(), 1), b"");
    }
}
