//! JSON as PostgreSQL reads it: what `json` and `jsonb` refuse, and when two `jsonb` are the same.
//!
//! Written for this purpose because a general parser hides exactly what matters here: the position
//! of a fault, duplicate keys, numbers beyond a double, lone surrogates, and depth without recursion.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::hazard::{Fault, Reason};

/// How deep arrays and objects may be nested. PostgreSQL's own limit follows from
/// `max_stack_depth`; with the default of 2 MB it refuses about 13,000 levels.
const MAX_DEPTH: usize = 12_000;
/// The longest string, array or object that `jsonb` holds, in bytes; what is shorter as text surely fits.
const MAX_JSONB: usize = 0x0fff_ffff;
/// The decimal digits that `numeric` has before the point, and after it.
const MAX_INTEGER_DIGITS: i64 = 131_072;
const MAX_SCALE: i64 = 16_383;
const MAX_EXPONENT: i64 = i32::MAX as i64 / 2;

/// Which of PostgreSQL's two types the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keeps the text; only the syntax has to be right.
    Json,
    /// Decodes strings and numbers, so these have to be possible.
    Jsonb,
}

/// Says whether PostgreSQL accepts the text.
pub(super) fn check(text: &[u8], kind: Kind) -> Result<(), Fault> {
    if kind == Kind::Jsonb && text.len() > MAX_JSONB {
        return Err(Fault::whole(Reason::TooLarge));
    }
    let mut scanner = Scanner::new(text);
    while let Some(token) = scanner.next()? {
        match token {
            Token::Key(raw) | Token::String(raw) if kind == Kind::Jsonb => {
                decoded(raw.bytes).map_err(|(offset, reason)| Fault::at(raw.offset + offset, reason))?;
            }
            Token::Number(raw) if kind == Kind::Jsonb && !Decimal::parse(raw.bytes).fits_numeric() => {
                return Err(Fault::at(raw.offset, Reason::JsonNumberRange));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A digest that is the same for texts that are the same `jsonb`: keys in any order, the last
/// duplicate counts, strings decoded, numbers as exact decimals.
pub(super) fn jsonb_digest(text: &[u8]) -> Result<[u8; 32], Fault> {
    let mut scanner = Scanner::new(text);
    let mut open: Vec<Container> = Vec::new();
    let mut root = [0; 32];
    while let Some(token) = scanner.next()? {
        let value = match token {
            Token::BeginArray => {
                open.push(Container::Array(Sha256::new_with_prefix(b"[")));
                continue;
            }
            Token::BeginObject => {
                open.push(Container::Object { members: BTreeMap::new(), key: Vec::new() });
                continue;
            }
            Token::Key(raw) => {
                let decoded = string(raw)?;
                if let Some(Container::Object { key, .. }) = open.last_mut() {
                    *key = decoded;
                }
                continue;
            }
            Token::End => open.pop().map(Container::digest).unwrap_or_default(),
            Token::String(raw) => digest(b"s", &string(raw)?),
            Token::Number(raw) => digest(b"n", Decimal::parse(raw.bytes).canonical().as_bytes()),
            Token::Word(word) => digest(b"w", word),
        };
        match open.last_mut() {
            None => root = value,
            Some(Container::Array(hasher)) => hasher.update(value),
            Some(Container::Object { members, key }) => {
                members.insert(std::mem::take(key), value);
            }
        }
    }
    Ok(root)
}

enum Container {
    Array(Sha256),
    Object { members: BTreeMap<Vec<u8>, [u8; 32]>, key: Vec<u8> },
}

impl Container {
    fn digest(self) -> [u8; 32] {
        match self {
            Container::Array(hasher) => hasher.finalize().into(),
            Container::Object { members, .. } => {
                let mut hasher = Sha256::new_with_prefix(b"{");
                for (key, value) in members {
                    hasher.update((key.len() as u64).to_be_bytes());
                    hasher.update(key);
                    hasher.update(value);
                }
                hasher.finalize().into()
            }
        }
    }
}

fn digest(tag: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(tag).chain_update(bytes).finalize().into()
}

fn string(raw: Raw<'_>) -> Result<Vec<u8>, Fault> {
    decoded(raw.bytes).map_err(|(offset, reason)| Fault::at(raw.offset + offset, reason))
}

/// Decodes the inside of a string whose escapes the scanner has found well-formed.
fn decoded(raw: &[u8]) -> Result<Vec<u8>, (usize, Reason)> {
    let mut text = Vec::with_capacity(raw.len());
    let mut position = 0;
    while let Some(&byte) = raw.get(position) {
        if byte != b'\\' {
            text.push(byte);
            position += 1;
            continue;
        }
        let start = position;
        position += 2;
        match raw[start + 1] {
            b'u' => {
                position += 4;
                let mut code = code_unit(raw, start);
                if (0xd800..0xdc00).contains(&code) {
                    let low = if raw[position..].starts_with(b"\\u") { code_unit(raw, position) } else { 0 };
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err((start, Reason::LoneSurrogate));
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    position += 6;
                }
                let character = char::from_u32(code).ok_or((start, Reason::LoneSurrogate))?;
                if character == '\0' {
                    return Err((start, Reason::NulEscape));
                }
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// The number behind `\u` at `position`.
fn code_unit(raw: &[u8], position: usize) -> u32 {
    let digits = raw.get(position + 2..position + 6).unwrap_or_default();
    digits.iter().fold(0, |code, digit| code * 16 + (*digit as char).to_digit(16).unwrap_or(0))
}

/// A JSON number: `0.digits × 10^exponent`, exactly.
struct Decimal<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let (mantissa, exponent) = (&text[..end], text.get(end + 1..).unwrap_or_default());
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        Self {
            negative,
            integer: &mantissa[..point],
            fraction: mantissa.get(point + 1..).unwrap_or_default(),
            exponent: exponent_value(exponent),
        }
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = &u8> + Clone {
        self.integer.iter().chain(self.fraction)
    }

    /// How many digits the number has before its point; negative for zeros right behind it.
    fn integer_digits(&self) -> i64 {
        let zeros = self.digits().take_while(|digit| **digit == b'0').count();
        length(self.integer) - i64::try_from(zeros).unwrap_or(i64::MAX) + self.exponent
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| *digit == b'0')
    }

    fn fits_numeric(&self) -> bool {
        let scale = length(self.fraction).saturating_sub(self.exponent);
        // Beyond the exponent's own limit even zero is refused.
        self.exponent.abs() < MAX_EXPONENT
            && scale <= MAX_SCALE
            && (self.is_zero() || self.integer_digits() <= MAX_INTEGER_DIGITS)
    }

    /// The same text for the same number: no zeros at either end, no sign on zero.
    fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let digits: Vec<u8> = self.digits().copied().collect();
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(0);
        let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}.{}e{}", String::from_utf8_lossy(&digits[first..=last]), self.integer_digits())
    }
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// The exponent, or a bound beyond everything that can be stored.
fn exponent_value(text: &[u8]) -> i64 {
    const BEYOND: i64 = 1 << 40;
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    sign * digits.iter().fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(BEYOND))
}

/// A part of the text, and where it begins.
#[derive(Clone, Copy)]
struct Raw<'a> {
    bytes: &'a [u8],
    offset: usize,
}

enum Token<'a> {
    BeginArray,
    BeginObject,
    /// The end of an array or object.
    End,
    /// The inside of a member's name, escapes as they stand.
    Key(Raw<'a>),
    /// The inside of a string, escapes as they stand.
    String(Raw<'a>),
    Number(Raw<'a>),
    /// `true`, `false` or `null`.
    Word(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    /// The closing bracket of each open container.
    open: Vec<u8>,
    expect: Expect,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, open: Vec::new(), expect: Expect::Value }
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, Fault> {
        loop {
            self.skip_blanks();
            let Some(&byte) = self.text.get(self.position) else {
                return match self.expect {
                    Expect::Nothing => Ok(None),
                    _ if self.text.iter().all(u8::is_ascii_whitespace) => Err(Fault::whole(Reason::EmptyJson)),
                    _ => Err(self.fault(Reason::MalformedJson)),
                };
            };
            match (self.expect, byte) {
                (Expect::CommaOrEnd, b',') => {
                    self.position += 1;
                    let in_object = self.open.last() == Some(&b'}');
                    self.expect = if in_object { Expect::Key } else { Expect::Value };
                }
                (Expect::CommaOrEnd | Expect::ValueOrEnd | Expect::KeyOrEnd, b']' | b'}')
                    if self.open.last() == Some(&byte) =>
                {
                    self.position += 1;
                    self.open.pop();
                    self.value_ended();
                    return Ok(Some(Token::End));
                }
                (Expect::Key | Expect::KeyOrEnd, b'"') => {
                    let key = self.string()?;
                    self.skip_blanks();
                    if self.text.get(self.position) != Some(&b':') {
                        return Err(self.fault(Reason::MalformedJson));
                    }
                    self.position += 1;
                    self.expect = Expect::Value;
                    return Ok(Some(Token::Key(key)));
                }
                (Expect::Value | Expect::ValueOrEnd, _) => return self.value(byte).map(Some),
                _ => return Err(self.fault(Reason::MalformedJson)),
            }
        }
    }

    fn value(&mut self, first: u8) -> Result<Token<'a>, Fault> {
        let token = match first {
            b'[' | b'{' => {
                if self.open.len() == MAX_DEPTH {
                    return Err(self.fault(Reason::TooDeep));
                }
                self.position += 1;
                let (closing, expect, token) = match first {
                    b'[' => (b']', Expect::ValueOrEnd, Token::BeginArray),
                    _ => (b'}', Expect::KeyOrEnd, Token::BeginObject),
                };
                self.open.push(closing);
                self.expect = expect;
                return Ok(token);
            }
            b'"' => Token::String(self.string()?),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            _ => Token::Word(self.word()?),
        };
        self.value_ended();
        Ok(token)
    }

    fn value_ended(&mut self) {
        self.expect = if self.open.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn skip_blanks(&mut self) {
        while matches!(self.text.get(self.position), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn string(&mut self) -> Result<Raw<'a>, Fault> {
        let offset = self.position + 1;
        self.position = offset;
        loop {
            match self.text.get(self.position) {
                Some(b'"') => {
                    let bytes = &self.text[offset..self.position];
                    self.position += 1;
                    return Ok(Raw { bytes, offset });
                }
                Some(b'\\') => match self.text.get(self.position + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.position += 2,
                    Some(b'u') => {
                        let digits = self.text.get(self.position + 2..self.position + 6).unwrap_or_default();
                        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                            return Err(self.fault(Reason::MalformedJson));
                        }
                        self.position += 6;
                    }
                    _ => return Err(self.fault(Reason::MalformedJson)),
                },
                Some(0x20..) => self.position += 1,
                Some(_) | None => return Err(self.fault(Reason::MalformedJson)),
            }
        }
    }

    fn number(&mut self) -> Result<Raw<'a>, Fault> {
        let offset = self.position;
        if self.text[self.position] == b'-' {
            self.position += 1;
            if self.text[self.position..].starts_with(b"Infinity") {
                self.position = offset;
                return Err(self.fault(Reason::NotANumber));
            }
        }
        match self.text.get(self.position) {
            Some(b'0') => self.position += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.position) == Some(&b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.position), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.text.get(self.position), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(Raw { bytes: &self.text[offset..self.position], offset })
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.position;
        while matches!(self.text.get(self.position), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err(self.fault(Reason::MalformedJson)) } else { Ok(()) }
    }

    fn word(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.text[self.position..];
        let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        match &rest[..end] {
            word @ (b"true" | b"false" | b"null") => {
                self.position += end;
                Ok(word)
            }
            b"NaN" | b"Infinity" => Err(self.fault(Reason::NotANumber)),
            _ => Err(self.fault(Reason::MalformedJson)),
        }
    }

    fn fault(&self, reason: Reason) -> Fault {
        Fault::at(self.position, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, kind: Kind) -> Option<(Option<usize>, Reason)> {
        check(text.as_bytes(), kind).err().map(|fault| (fault.offset, fault.reason))
    }

    fn same(a: &str, b: &str) -> bool {
        jsonb_digest(a.as_bytes()).expect(a) == jsonb_digest(b.as_bytes()).expect(b)
    }

    #[test]
    fn both_types_accept_sound_json() {
        for text in [
            "null",
            " [ ] ",
            "{}",
            "-0.0",
            "1e400",
            r#"{"": [1, -2.5E+3, true, "\ud83d\ude80 \\u0000 \" \/"]}"#,
            "[[[]], {\"a\": {}}]",
            "\"\u{7f}\u{ffff}\"",
        ] {
            assert_eq!(refused(text, Kind::Json), None, "{text}");
            assert_eq!(refused(text, Kind::Jsonb), None, "{text}");
        }
    }

    #[test]
    fn malformed_json_is_refused_at_its_offset() {
        for (text, offset) in [
            (r#"{"a": 1,}"#, 8),
            (r#"{"a" 1}"#, 5),
            ("[1 2]", 3),
            ("[1,]", 3),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("[", 1),
            ("[}", 1),
            ("{'a': None}", 1),
            ("{\"a\": 1} x", 9),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 1),
            ("\"\\u12g4\"", 1),
            ("nul", 0),
            ("nulls", 0),
            ("True", 0),
            ("]", 0),
            ("1e", 2),
            ("\u{a0}1", 0),
            ("{1: 2}", 1),
            ("[1],", 3),
        ] {
            assert_eq!(refused(text, Kind::Json), Some((Some(offset), Reason::MalformedJson)), "{text}");
        }
        assert_eq!(refused("", Kind::Json), Some((None, Reason::EmptyJson)));
        assert_eq!(refused("  ", Kind::Json), Some((None, Reason::EmptyJson)));
        for text in ["NaN", "[Infinity]", "-Infinity"] {
            assert!(matches!(refused(text, Kind::Json), Some((_, Reason::NotANumber))), "{text}");
        }
    }

    #[test]
    fn jsonb_alone_refuses_what_it_cannot_decode() {
        for (text, reason) in [
            (r#""a\u0000""#, Reason::NulEscape),
            (r#"{"\u0000": 1}"#, Reason::NulEscape),
            (r#""\ud83dx""#, Reason::LoneSurrogate),
            (r#""\ude80""#, Reason::LoneSurrogate),
            (r#""\ud83d\u0041""#, Reason::LoneSurrogate),
            ("1e131072", Reason::JsonNumberRange),
            ("1e-16384", Reason::JsonNumberRange),
            ("1e99999999999999999999", Reason::JsonNumberRange),
            ("[0e2000000000]", Reason::JsonNumberRange),
        ] {
            assert_eq!(refused(text, Kind::Json), None, "{text}");
            assert!(matches!(refused(text, Kind::Jsonb), Some((_, found)) if found == reason), "{text}");
        }
        // The limits that a real server has.
        assert_eq!(refused("1e131071", Kind::Jsonb), None);
        assert_eq!(refused("1e-16383", Kind::Jsonb), None);
        assert_eq!(refused("0e131072", Kind::Jsonb), None);
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let deep = "[".repeat(20_000) + &"]".repeat(20_000);
        assert_eq!(refused(&deep, Kind::Json), Some((Some(MAX_DEPTH), Reason::TooDeep)));
        let just = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(jsonb_digest(just.as_bytes()).is_ok());
    }

    #[test]
    fn equal_jsonb_have_equal_digests() {
        assert!(same(r#"{"b": 1, "a": [1, 2]}"#, r#" {"a":[1.0,20e-1],"b":1} "#));
        assert!(same(r#"{"a": 1, "a": 2}"#, r#"{"a": 2}"#));
        assert!(same(r#""\u00e9\n\/""#, "\"é\\u000a/\""));
        assert!(same(r#""\ud83d\ude80""#, "\"🚀\""));
        assert!(same("-0", "0.000") && same("1E+2", "100") && same("0.1e1", "1") && same("-1e-2", "-0.01"));
        assert!(same("1e400", &format!("1{}", "0".repeat(400))));
    }

    #[test]
    fn different_jsonb_have_different_digests() {
        for (a, b) in [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("1", "\"1\""),
            ("null", "\"null\""),
            ("[1, 2]", "[2, 1]"),
            ("[]", "{}"),
            ("[[]]", "[]"),
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            (r#"{"a": 1}"#, r#"{"b": 1}"#),
            ("true", "false"),
            ("9007199254740993", "9007199254740992"),
            (r#"{"a": null}"#, "{}"),
            ("[\"ab\"]", "[\"a\", \"b\"]"),
            ("0.1000000000000000055511151231257827", "0.1"),
            (r#"{"a": 2, "a": 1}"#, r#"{"a": 2}"#),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
