//! One value on its way: judged, mended where a policy says so, and digested.

use std::borrow::Cow;

use super::digest::RowDigester;
use super::hazard::{Beyond, Fault, Kind, Reason};
use super::json::{self, MAX_DEPTH, Verdict};
use super::mend::{self, Origin};
use super::normalised::Normalised;
use super::plan::ColumnPlan;
use super::policy::{Class, Policies, Policy};
use super::target::Target;
use super::value::{JSONB_TAG, Stored, Value};
use super::{jsonb, moment, number};

/// The longest value that a PostgreSQL field holds, in bytes.
const MAX_FIELD: usize = 0x3fff_ff00;
/// The longest string, array or object that `jsonb` holds, in bytes.
const MAX_JSONB: usize = 0x0fff_ffff;

/// What has become of one value.
#[derive(Debug, PartialEq)]
pub struct Carried<'a> {
    /// What PostgreSQL is sent; of no use if there are faults.
    pub value: Value<'a>,
    /// What is wrong and not allowed by a policy: the first of each class.
    pub faults: Vec<Fault>,
    /// What was changed, and by which policy; empty if there are faults.
    pub changes: Vec<(Class, Policy)>,
    /// What `jsonb` will print differently.
    pub normalised: Normalised,
}

/// Carries a stored value over into a column, exactly, or changed as the policies say, or not at all. Then every
/// class of trouble is found: behind one that fails the value is mended tentatively. Offsets are those of the stored
/// bytes. A value without faults is added to the digest, as the target is to send it back.
///
/// # Panics
/// Never: `jsonb` is digested from what was read of it, and nothing else has to be read.
pub fn carry<'a>(
    stored: Stored<'a>,
    column: &ColumnPlan,
    policies: &Policies,
    digester: &mut RowDigester,
) -> Carried<'a> {
    let mut judge = Judge::new(column, policies);
    let mut read = None;
    let value = match (column.target, stored) {
        (_, Stored::Null) => judge.null(),
        (Target::Text(limit), _) => match judge.text_of(stored) {
            Some(text) => Value::Bytes(judge.text(text, limit)),
            None => Value::Null,
        },
        (Target::Json, _) => Value::Bytes(judge.json(stored, Kind::Json, &mut read)),
        (Target::Jsonb, _) => Value::Jsonb(judge.json(stored, Kind::Jsonb, &mut read)),
        _ => judge.scalar(stored),
    };
    let Judge { faults, mut changes, .. } = judge;
    let normalised = read.as_ref().map(|read: &jsonb::Jsonb| read.normalised).unwrap_or_default();
    match read {
        _ if !faults.is_empty() => changes.clear(),
        Some(read) => digester.add_bytes(JSONB_TAG, &read.encoding),
        None => value.digest_into(digester).expect("only `jsonb` has to be read"),
    }
    Carried { value, faults, changes, normalised }
}

/// The longest beginning of a text in UTF-8 that has at most so many bytes and ends with a character.
#[must_use]
pub fn truncated(text: &[u8], bytes: usize) -> &[u8] {
    // The bytes behind the first of a character all begin with the bits 10.
    let is_first = |index: &usize| text[*index] & 0xc0 != 0x80;
    if text.len() <= bytes { text } else { &text[..(0..=bytes).rev().find(is_first).unwrap_or(0)] }
}

struct Judge<'p> {
    policies: &'p Policies,
    target: Target,
    nullable: bool,
    faults: Vec<Fault>,
    changes: Vec<(Class, Policy)>,
    /// How the text so far came out of the stored one.
    origins: Vec<Origin>,
}

impl<'p> Judge<'p> {
    fn new(column: &ColumnPlan, policies: &'p Policies) -> Self {
        let ColumnPlan { target, nullable, .. } = *column;
        Self { policies, target, nullable, faults: Vec::new(), changes: Vec::new(), origins: Vec::new() }
    }

    /// What is to be done about a fault, which is noted if nothing is.
    fn decide(&mut self, fault: Fault) -> Policy {
        let class = fault.class();
        let policies = match class {
            // JSON has a null of its own.
            _ if self.nullable || matches!(self.target, Target::Json | Target::Jsonb) => fault.policies,
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

    fn null<'a>(&mut self) -> Value<'a> {
        if !self.nullable {
            self.decide(Fault::whole(Reason::Null));
        }
        Value::Null
    }

    /// A value as text, or `None` if there is no exact one.
    fn text_of<'a>(&mut self, stored: Stored<'a>) -> Option<Cow<'a, [u8]>> {
        let convertible = Fault::whole(Reason::Convertible(stored.class(), self.target));
        let text: Cow<'a, [u8]> = match stored {
            Stored::Text(bytes) => return Some(Cow::Borrowed(bytes)),
            Stored::Blob(bytes) if is_text(bytes) => Cow::Borrowed(bytes),
            Stored::Blob(_) | Stored::Null => {
                self.decide(Fault::whole(Reason::Misplaced(stored.class(), self.target)));
                return None;
            }
            Stored::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Stored::Real(number) => Cow::Owned(real(number).into_bytes()),
        };
        self.decide(convertible);
        Some(text)
    }

    fn text<'a>(&mut self, text: Cow<'a, [u8]>, limit: Option<usize>) -> Cow<'a, [u8]> {
        if self.is_too_large(&text) {
            return text;
        }
        // Tentatively each U+0000 is a character, as long as nobody has said otherwise.
        let text = self.characters(text, Policy::Replace);
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

    /// Makes sure that a text is UTF-8 and without U+0000.
    fn characters<'a>(&mut self, text: Cow<'a, [u8]>, tentative: Policy) -> Cow<'a, [u8]> {
        let mut text = text;
        if let Err(error) = std::str::from_utf8(&text) {
            self.decide(Fault::at(error.valid_up_to(), Reason::Utf8));
            let (mended, origin) = mend::utf8(&text);
            self.origins.push(origin);
            text = Cow::Owned(mended);
        }
        if text.contains(&0) {
            let first = text.iter().position(|byte| *byte == 0).unwrap_or_default();
            let policy = match self.decide(Fault::at(first, Reason::Nul)) {
                Policy::Fail => tentative,
                policy => policy,
            };
            let (mended, origin) = mend::nul(&text, policy);
            self.origins.push(origin);
            text = Cow::Owned(mended);
        }
        text
    }

    fn json<'a>(&mut self, stored: Stored<'a>, kind: Kind, read: &mut Option<jsonb::Jsonb>) -> Cow<'a, [u8]> {
        let text = match stored {
            // SQLite stores JSON `1` as INTEGER and `1.5` as REAL: a column declared JSON has NUMERIC affinity.
            Stored::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Stored::Real(number) if number.is_finite() => Cow::Owned(real(number).into_bytes()),
            Stored::Real(number) => match self.decide(Fault::whole(Reason::Infinite)) {
                Policy::String => Cow::Owned(mend::json_string(real(number).as_bytes())),
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
        let text = self.mended_json(text, kind);
        if !self.is_too_large(&text) && self.faults.iter().all(|fault| !ends_reading(fault.class())) {
            self.is_json(&text, kind, read);
        }
        text
    }

    /// Whether PostgreSQL reads a text in UTF-8 without having to be told of it; for `jsonb` the result is kept.
    fn is_json(&mut self, text: &[u8], kind: Kind, read: &mut Option<jsonb::Jsonb>) -> bool {
        match kind {
            Kind::Json => json::read(text, kind, MAX_DEPTH, &mut Verdict).is_ok(),
            Kind::Jsonb => {
                *read = jsonb::read(text, MAX_DEPTH).ok();
                if let Some(offset) = read.as_ref().and_then(|read| read.duplicate) {
                    self.decide(Fault::at(offset, Reason::DuplicateKey));
                }
                read.is_some()
            }
        }
    }

    /// Replaces what is wrong in a JSON text, or else the text.
    fn mended_json<'a>(&mut self, text: Cow<'a, [u8]>, kind: Kind) -> Cow<'a, [u8]> {
        let text = self.characters(text, Policy::Strip);
        let mended = mend::json(&text, kind, self.policies);
        let depth = mended.faults.iter().find(|fault| fault.class() == Class::Depth);
        if let Some(whole) = mended.unreadable.as_ref().or(depth) {
            match self.decide(*whole) {
                Policy::Null => return Cow::Borrowed(b"null"),
                Policy::String => return Cow::Owned(mend::json_string(&text)),
                _ => {}
            }
        }
        for fault in mended.faults {
            self.decide(fault);
        }
        self.origins.push(mended.origin);
        Cow::Owned(mended.text)
    }

    fn is_too_large(&mut self, text: &[u8]) -> bool {
        let limit = if self.target == Target::Jsonb { MAX_JSONB } else { MAX_FIELD };
        let is_too_large = text.len() > limit;
        if is_too_large {
            self.decide(Fault::whole(Reason::TooLarge));
        }
        is_too_large
    }

    fn scalar<'a>(&mut self, stored: Stored<'a>) -> Value<'a> {
        let (class, target) = (stored.class(), self.target);
        let convertible = Fault::whole(Reason::Convertible(class, target));
        match Fit::of(stored, target) {
            Fit::As(value) => value,
            Fit::Converted(value) => {
                self.decide(convertible);
                value
            }
            Fit::Beyond { nearest, converted } => {
                if converted {
                    self.decide(convertible);
                }
                match self.decide(Fault::whole(Reason::IntegerRange(target))) {
                    Policy::Null => Value::Null,
                    _ => nearest,
                }
            }
            Fit::Not(reason) => {
                self.decide(Fault::whole(reason));
                Value::Null
            }
        }
    }
}

/// Whether nothing can be said about what is behind such a fault.
fn ends_reading(class: Class) -> bool {
    matches!(class, Class::InvalidJson | Class::Depth)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

/// The shortest text that is read back as the same number.
fn real(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{number:?}"),
    }
}

/// Where the first characters of a text end, if there are more of them than these.
fn end_of_characters(text: &[u8], count: usize) -> Option<usize> {
    if text.len() <= count {
        return None;
    }
    let mut firsts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
    firsts.nth(count).map(|(index, _)| index)
}

/// What a value is in a column that is neither text nor JSON.
enum Fit<'a> {
    /// The same.
    As(Value<'a>),
    /// The same, but stored as something else.
    Converted(Value<'a>),
    /// An integer out of range.
    Beyond { nearest: Value<'a>, converted: bool },
    /// Nothing.
    Not(Reason),
}

impl<'a> Fit<'a> {
    fn of(stored: Stored<'a>, target: Target) -> Self {
        let Stored::Blob(bytes) = stored else { return Self::of_number_or_text(stored, target) };
        match Self::of_number_or_text(Stored::Text(bytes), target) {
            Fit::As(value) => Fit::Converted(value),
            Fit::Not(_) => Fit::Not(Reason::Misplaced(stored.class(), target)),
            other => other,
        }
    }

    fn of_number_or_text(stored: Stored<'a>, target: Target) -> Self {
        let misplaced = Fit::Not(Reason::Misplaced(stored.class(), target));
        match (target, stored) {
            (Target::BigInt | Target::Integer, _) => match whole(stored) {
                Some(number) => Self::of_whole(number, target, !matches!(stored, Stored::Integer(_))),
                None => match stored {
                    Stored::Real(number) => Fit::Not(Reason::NotWhole(number)),
                    _ => misplaced,
                },
            },
            (Target::Boolean, Stored::Integer(number @ (0 | 1))) => Fit::As(Value::Boolean(number == 1)),
            (Target::Boolean, Stored::Integer(_)) => Fit::Not(Reason::NotBoolean),
            (Target::Boolean, _) => truth(stored).map_or(misplaced, |truth| Fit::Converted(Value::Boolean(truth))),
            (Target::Double, Stored::Real(number)) => Fit::As(Value::Double(number)),
            (Target::Double, Stored::Integer(number)) => {
                exact_double(number).map_or(Fit::Not(Reason::NotDouble), |double| Fit::As(Value::Double(double)))
            }
            (Target::Double, Stored::Text(text)) => {
                written_double(text).map_or(misplaced, |number| Fit::Converted(Value::Double(number)))
            }
            (Target::Timestamp, Stored::Text(text)) => {
                moment::parse(text).map_or(Fit::Not(Reason::NotAMoment), |moment| Fit::As(Value::Timestamp(moment)))
            }
            _ => misplaced,
        }
    }

    fn of_whole(number: i128, target: Target, converted: bool) -> Self {
        let (value, exact) = if target == Target::Integer {
            let nearest = number.clamp(i32::MIN.into(), i32::MAX.into());
            (i32::try_from(nearest).ok().map(Value::Integer), nearest == number)
        } else {
            let nearest = number.clamp(i64::MIN.into(), i64::MAX.into());
            (i64::try_from(nearest).ok().map(Value::BigInt), nearest == number)
        };
        let nearest = value.expect("the number was clamped");
        match (exact, converted) {
            (true, false) => Fit::As(nearest),
            (true, true) => Fit::Converted(nearest),
            (false, converted) => Fit::Beyond { nearest, converted },
        }
    }
}

/// The integer that a value is, or one beyond all types in its direction.
fn whole(stored: Stored<'_>) -> Option<i128> {
    match stored {
        Stored::Integer(number) => Some(number.into()),
        #[expect(clippy::cast_possible_truncation, reason = "what is beyond 128 bits is beyond 64 bits as well")]
        Stored::Real(number) => (number.is_finite() && number.fract() == 0.0).then_some(number as i128),
        Stored::Text(text) => written_whole(text),
        Stored::Null | Stored::Blob(_) => None,
    }
}

/// An integer as it would be written: without a plus, blanks, or zeros in front, which a number would not keep.
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

fn truth(stored: Stored<'_>) -> Option<bool> {
    match stored {
        Stored::Real(0.0) => Some(false),
        Stored::Real(1.0) => Some(true),
        Stored::Text(text) if text == b"1" || text.eq_ignore_ascii_case(b"true") => Some(true),
        Stored::Text(text) if text == b"0" || text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

fn exact_double(number: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line looks for it")]
    let double = number as f64;
    (whole(Stored::Real(double)) == Some(number.into())).then_some(double)
}

/// A number whose double is printed as the same number.
fn written_double(text: &[u8]) -> Option<f64> {
    match text {
        b"Infinity" => return Some(f64::INFINITY),
        b"-Infinity" => return Some(f64::NEG_INFINITY),
        b"NaN" => return Some(f64::NAN),
        _ => {}
    }
    let is_number = matches!(text.first(), Some(b'-' | b'0'..=b'9'))
        && json::read(text, Kind::Json, 0, &mut Verdict).is_ok()
        && !text.last().is_some_and(u8::is_ascii_whitespace);
    let double: f64 = if is_number { std::str::from_utf8(text).ok()?.parse().ok()? } else { return None };
    (double.is_finite() && number::equal(text, real(double).as_bytes())).then_some(double)
}
