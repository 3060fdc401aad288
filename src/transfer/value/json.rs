//! Parses JSON as PostgreSQL does, in one pass, and reports each token to a listener.
//!
//! A general parser hides what matters here: the position of a fault, duplicate keys, numbers beyond a double, lone
//! surrogates, depth without recursion, and what `jsonb` will print differently.

use std::ops::Range;

use super::decimal::Decimal;
use super::hazard::{Fault, JsonKind, Reason};
use super::normalization::{Normalization, Normalizations};

/// How deep arrays and objects may be nested. PostgreSQL's own limit follows from
/// `max_stack_depth`; with the default of 2 MB it refuses about 13,000 levels.
pub(crate) const MAX_DEPTH: usize = 12_000;
/// A number shorter than this and without an exponent fits `numeric`.
const SURELY_NUMERIC: usize = 16_000;

/// A part of a text that PostgreSQL would reject, with its range of bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Defect {
    pub(crate) reason: Reason,
    pub(crate) bytes: Range<usize>,
}

impl From<&Defect> for Fault {
    fn from(defect: &Defect) -> Self {
        match defect.reason {
            reason @ (Reason::EmptyJson | Reason::TooLarge) => Self::whole(reason),
            reason => Self::at(defect.bytes.start, reason),
        }
    }
}

/// Receives the tokens of a text.
pub(crate) trait Listener {
    /// A defect that can be repaired. `Ok` continues, `Err` ends the parsing.
    fn defect(&mut self, defect: Defect) -> Result<(), Defect>;
    /// `[` or `{`.
    fn open(&mut self, _bracket: u8) {}
    /// The end of an array or object.
    fn close(&mut self) {}
    /// A member's name begins at this byte; its characters follow.
    fn begin_key(&mut self, _offset: usize) {}
    /// The member's name is complete.
    fn end_key(&mut self) {}
    /// A string begins; its characters follow.
    fn begin_string(&mut self) {}
    /// The string is complete.
    fn end_string(&mut self) {}
    /// The next characters, unescaped in the text.
    fn characters(&mut self, _text: &[u8]) {}
    /// The next character, escaped in the text.
    fn character(&mut self, _character: char) {}
    /// A number that `numeric` can hold. Only for `jsonb`.
    fn number(&mut self, _number: &Decimal<'_>) {}
    /// `true`, `false` or `null`.
    fn word(&mut self, _word: &[u8]) {}
}

/// Ends at the first defect.
pub(crate) struct Verdict;

impl Listener for Verdict {
    fn defect(&mut self, defect: Defect) -> Result<(), Defect> {
        Err(defect)
    }
}

/// Parses a UTF-8 text. Returns what `jsonb` changes in it.
pub(crate) fn read(
    text: &[u8],
    kind: JsonKind,
    max_depth: usize,
    listener: &mut impl Listener,
) -> Result<Normalizations, Defect> {
    let normalizations = Normalizations::default();
    Scanner { text, kind, max_depth, listener, position: 0, open: Vec::new(), normalizations }.read()
}

struct Scanner<'t, 'l, L> {
    text: &'t [u8],
    kind: JsonKind,
    max_depth: usize,
    listener: &'l mut L,
    position: usize,
    /// The closing bracket of each open container.
    open: Vec<u8>,
    normalizations: Normalizations,
}

impl<L: Listener> Scanner<'_, '_, L> {
    fn read(mut self) -> Result<Normalizations, Defect> {
        self.blanks(b"");
        loop {
            if self.value()? {
                continue;
            }
            // The value is complete, and perhaps the containers that end with it.
            loop {
                self.blanks(b"");
                let next = self.text.get(self.position).copied();
                match (self.open.last().copied(), next) {
                    (None, None) => return Ok(self.normalizations),
                    (Some(closing), Some(byte)) if byte == closing => self.close(),
                    (Some(closing), Some(b',')) => {
                        self.position += 1;
                        self.blanks(b" ");
                        if closing == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return Err(self.malformed()),
                }
            }
        }
    }

    /// Reads a value. Returns true at the beginning of a container that is not empty: a value follows.
    fn value(&mut self) -> Result<bool, Defect> {
        let Some(&first) = self.text.get(self.position) else {
            let nothing = self.text.iter().all(|byte| is_blank(*byte));
            return Err(match nothing {
                true => Defect { reason: Reason::EmptyJson, bytes: 0..0 },
                false => self.malformed(),
            });
        };
        match first {
            b'"' => {
                self.listener.begin_string();
                self.string()?;
                self.listener.end_string();
            }
            b'[' | b'{' => return self.open(first),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        }
        Ok(false)
    }

    fn open(&mut self, bracket: u8) -> Result<bool, Defect> {
        if self.open.len() == self.max_depth {
            self.listener.defect(self.defect(Reason::TooDeep, 1))?;
        }
        // Only the level after the limit is a defect, so that it is reported once.
        self.position += 1;
        let closing = if bracket == b'[' { b']' } else { b'}' };
        self.open.push(closing);
        self.listener.open(bracket);
        self.blanks(b"");
        if self.text.get(self.position) == Some(&closing) {
            self.close();
            return Ok(false);
        }
        if bracket == b'{' {
            self.key()?;
        }
        Ok(true)
    }

    fn close(&mut self) {
        self.position += 1;
        self.open.pop();
        self.listener.close();
    }

    fn key(&mut self) -> Result<(), Defect> {
        if self.text.get(self.position) != Some(&b'"') {
            return Err(self.malformed());
        }
        self.listener.begin_key(self.position);
        self.string()?;
        self.listener.end_key();
        self.blanks(b"");
        if self.text.get(self.position) != Some(&b':') {
            return Err(self.malformed());
        }
        self.position += 1;
        self.blanks(b" ");
        Ok(())
    }

    /// Skips white space, and compares it with what `jsonb` prints.
    #[inline]
    fn blanks(&mut self, printed: &[u8]) {
        let start = self.position;
        while self.text.get(self.position).is_some_and(|byte| is_blank(*byte)) {
            self.position += 1;
        }
        if self.text[start..self.position] != *printed {
            self.normalizations.insert(Normalization::Spacing);
        }
    }

    fn string(&mut self) -> Result<(), Defect> {
        self.position += 1;
        loop {
            let rest = &self.text[self.position..];
            let (plain, rest) = rest.split_at(plain_length(rest));
            self.position += plain.len();
            if !plain.is_empty() {
                self.listener.characters(plain);
            }
            match rest {
                [b'"', ..] => {
                    self.position += 1;
                    return Ok(());
                }
                [b'\\', b'u', ..] => self.unicode_escape()?,
                [b'\\', letter, ..] => {
                    let character = simple_escape(*letter).ok_or_else(|| self.malformed())?;
                    if character == '/' {
                        self.normalizations.insert(Normalization::Escapes);
                    }
                    self.position += 2;
                    self.listener.character(character);
                }
                _ => return Err(self.malformed()),
            }
        }
    }

    fn unicode_escape(&mut self) -> Result<(), Defect> {
        let code = self.code_unit(self.position).ok_or_else(|| self.malformed())?;
        let (code, length) = match (code, self.code_unit(self.position + 6)) {
            (high @ 0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            _ => (code, 6),
        };
        match char::from_u32(code) {
            None => self.listener.defect(self.defect(Reason::LoneSurrogate(self.kind), length))?,
            Some('\0') => self.listener.defect(self.defect(Reason::NulEscape(self.kind), length))?,
            Some(character) => {
                if !self.is_printed_as_written(character) {
                    self.normalizations.insert(Normalization::Escapes);
                }
                self.listener.character(character);
            }
        }
        self.position += length;
        Ok(())
    }

    /// Whether `jsonb` prints a character exactly as the escape at the current position.
    fn is_printed_as_written(&self, character: char) -> bool {
        let digits = &self.text[self.position + 2..self.position + 6];
        character < ' '
            && !matches!(character, '\u{8}' | '\u{c}' | '\n' | '\r' | '\t')
            && !digits.iter().any(u8::is_ascii_uppercase)
    }

    /// The code unit of a `\u` escape at a position.
    fn code_unit(&self, position: usize) -> Option<u32> {
        let digits = self.text.get(position..position + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
    }

    fn number(&mut self) -> Result<(), Defect> {
        let start = self.position;
        if self.text[start] == b'-' {
            if self.text[start..].starts_with(b"-Infinity") {
                return self.not_a_number(b"-Infinity".len());
            }
            self.position += 1;
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
        if self.kind == JsonKind::Json {
            return Ok(());
        }
        let number = Decimal::parse(&self.text[start..self.position]);
        if !number.is_printed_as_written() {
            self.normalizations.insert(Normalization::NumberForm);
        }
        let is_short = self.position - start < SURELY_NUMERIC && number.is_printed_as_written();
        if is_short || number.fits_numeric() {
            self.listener.number(&number);
            return Ok(());
        }
        self.listener.defect(Defect { reason: Reason::JsonNumberRange, bytes: start..self.position })
    }

    fn digits(&mut self) -> Result<(), Defect> {
        let rest = &self.text[self.position..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.position += count;
        if count == 0 { Err(self.malformed()) } else { Ok(()) }
    }

    fn word(&mut self) -> Result<(), Defect> {
        let rest = &self.text[self.position..];
        let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        match &rest[..end] {
            word @ (b"true" | b"false" | b"null") => {
                self.listener.word(word);
                self.position += end;
                Ok(())
            }
            b"NaN" | b"Infinity" => self.not_a_number(end),
            _ => Err(self.malformed()),
        }
    }

    fn not_a_number(&mut self, length: usize) -> Result<(), Defect> {
        self.listener.defect(self.defect(Reason::NotANumber, length))?;
        self.position += length;
        Ok(())
    }

    fn malformed(&self) -> Defect {
        self.defect(Reason::MalformedJson, 0)
    }

    fn defect(&self, reason: Reason, length: usize) -> Defect {
        Defect { reason, bytes: self.position..self.position + length }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn simple_escape(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' | b'\\' | b'/' => char::from(letter),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The number of bytes before the first quote, backslash or control character.
fn plain_length(text: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest high bit that is set marks the first such byte, because a borrow affects only higher bytes.
        let zero = |word: u64| word.wrapping_sub(EACH) & !word;
        let below_blank = word.wrapping_sub(EACH * 0x20) & !word;
        let found =
            (below_blank | zero(word ^ (EACH * u64::from(b'"'))) | zero(word ^ (EACH * u64::from(b'\\')))) & HIGH;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    text.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, kind: JsonKind) -> Option<(usize, Reason)> {
        let read = read(text.as_bytes(), kind, MAX_DEPTH, &mut Verdict);
        read.err().map(|defect| (defect.bytes.start, defect.reason))
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
            "\"\u{7f}\u{2028}é\"",
            "\t\r\n1 ",
        ] {
            assert_eq!(refused(text, JsonKind::Json), None, "{text}");
            assert_eq!(refused(text, JsonKind::Jsonb), None, "{text}");
        }
    }

    #[test]
    fn malformed_json_is_refused_at_its_first_wrong_byte() {
        for (text, offset) in [
            (r#"{"a": 1,}"#, 8),
            (r#"{"a": "cut"#, 10),
            ("{'a': None}", 1),
            (r#"{"a": 1} x"#, 9),
            ("\"a\nb\"", 2),
            ("[", 1),
            ("[1 2]", 3),
            ("[,]", 1),
            ("{\"a\" 1}", 5),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("-NaN", 1),
            (r#""\x""#, 1),
            (r#""\u12g4""#, 1),
            ("{]", 1),
            ("True", 0),
            ("]", 0),
            ("1e", 2),
            ("\u{a0}1", 0),
            ("{1: 2}", 1),
            ("[1],", 3),
            ("\"\u{1}\"", 1),
            ("nul", 0),
        ] {
            assert_eq!(refused(text, JsonKind::Json), Some((offset, Reason::MalformedJson)), "{text}");
        }
        for (text, offset) in [("NaN", 0), ("[Infinity]", 1), ("-Infinity", 0)] {
            assert_eq!(refused(text, JsonKind::Json), Some((offset, Reason::NotANumber)), "{text}");
        }
        assert_eq!(refused(" \n", JsonKind::Json), Some((0, Reason::EmptyJson)));
    }

    #[test]
    fn strings_have_to_be_characters_in_both_types() {
        for (text, reason) in [
            (r#""a\u0000""#, Reason::NulEscape as fn(JsonKind) -> Reason),
            (r#"{"\u0000": 1}"#, Reason::NulEscape),
            (r#""\ud83dx""#, Reason::LoneSurrogate),
            (r#""\ude80""#, Reason::LoneSurrogate),
            (r#""\ud83d\u0041""#, Reason::LoneSurrogate),
            (r#""\ud83d\ud83d\ude80""#, Reason::LoneSurrogate),
        ] {
            for kind in [JsonKind::Json, JsonKind::Jsonb] {
                assert_eq!(refused(text, kind).map(|(_, found)| found), Some(reason(kind)), "{text}");
            }
        }
    }

    #[test]
    fn numbers_have_limits_in_jsonb() {
        // As PostgreSQL 15 has them.
        for text in ["1e131072", "1e-16384", "1e99999999999999999999", "[0e2000000000]"] {
            assert_eq!(refused(text, JsonKind::Json), None, "{text}");
            assert!(matches!(refused(text, JsonKind::Jsonb), Some((_, Reason::JsonNumberRange))), "{text}");
        }
        for text in ["1e131071", "1e-16383", "0e131072"] {
            assert_eq!(refused(text, JsonKind::Jsonb), None, "{text}");
        }
        assert_eq!(refused(&"9".repeat(131_072), JsonKind::Jsonb), None);
        assert!(refused(&"9".repeat(131_073), JsonKind::Jsonb).is_some());
        assert_eq!(refused(&format!("0.{}", "9".repeat(16_383)), JsonKind::Jsonb), None);
        assert!(refused(&format!("0.{}", "9".repeat(16_384)), JsonKind::Jsonb).is_some());
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(refused(&deep(20_000), JsonKind::Json), Some((MAX_DEPTH, Reason::TooDeep)));
        assert_eq!(refused(&deep(MAX_DEPTH), JsonKind::Jsonb), None);
    }

    #[test]
    fn plain_text_ends_at_every_special_byte() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                let mut text = vec![b' '; length];
                text.extend([special, b'!', b'"', 0xff, b'#', b'[', b']', 0x7f, 0x80, b' ']);
                assert_eq!(plain_length(&text), length, "{special}");
            }
            let text = [b' ', b'!', b'#', 0x7f, 0x80, 0xff, 0xa2, 0xdc, 0x9f].repeat(length);
            assert_eq!(plain_length(&text), text.len());
        }
    }
}
