//! A short encoding of a JSON value: two texts have the same encoding exactly if they are the same `jsonb`.
//!
//! Keys are sorted, strings decoded, numbers exact decimals. Longer content is replaced by its SHA-256, so that a text
//! is neither in memory twice nor hashed token by token.

use sha2::{Digest, Sha256};

use super::decimal::Decimal;
use super::hazard::JsonKind;
use super::json::{self, Defect, Listener};
use super::normalization::{Normalization, Normalizations};

/// Longer content, in bytes, is replaced by its digest.
const INLINE: usize = 64;
/// How many bytes are collected before they are hashed.
const BUFFER: usize = 4096;
/// The size of the head of content: a tag and a length.
const HEAD: usize = 2;

/// A text that `jsonb` accepts.
pub(crate) struct Jsonb {
    /// Equal for equal values.
    pub(crate) encoding: Vec<u8>,
    /// The differences to what the server will print.
    pub(crate) normalizations: Normalizations,
    /// The offset of the first duplicate key.
    pub(crate) duplicate: Option<usize>,
}

/// Parses a text for `jsonb`. Of several values for a key the last one counts.
pub(crate) fn read(text: &[u8], max_depth: usize) -> Result<Jsonb, Defect> {
    let mut encoder = Encoder::default();
    let mut normalizations = json::read(text, JsonKind::Jsonb, max_depth, &mut encoder)?;
    if encoder.reordered {
        normalizations.insert(Normalization::KeyOrder);
    }
    if encoder.duplicate.is_some() {
        normalizations.insert(Normalization::DuplicateKeys);
    }
    Ok(Jsonb { encoding: encoder.bytes, normalizations, duplicate: encoder.duplicate })
}

/// Encodes containers from the inside out: at its end each is replaced by its short form.
#[derive(Default)]
struct Encoder {
    bytes: Vec<u8>,
    open: Vec<Part>,
    /// The members of all open objects.
    members: Vec<Member>,
    in_key: bool,
    reordered: bool,
    duplicate: Option<usize>,
}

/// A string, array or object that is being encoded.
struct Part {
    tag: u8,
    /// The position of its head.
    start: usize,
    /// Has the content that no longer fits into the buffer.
    hasher: Option<Sha256>,
    /// The index of an object's first member.
    members: usize,
    /// Whether an object's keys are so far in the order of `jsonb`.
    in_order: bool,
}

/// The position of an object's encoded member: the key's length, the key, the value.
#[derive(Clone, Copy)]
struct Member {
    start: u32,
    end: u32,
    /// The offset of its key in the text.
    offset: u32,
}

const LENGTH: usize = size_of::<u32>();

impl Member {
    fn bytes(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// Orders by length, then by bytes, as `jsonb` does.
    fn key(self, bytes: &[u8]) -> (u32, &[u8]) {
        let member = &bytes[self.start as usize..];
        let length = member.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        (length, &member[LENGTH..LENGTH + length as usize])
    }
}

fn place(position: usize) -> u32 {
    u32::try_from(position).expect("jsonb texts have fewer than 2^28 bytes")
}

impl Listener for Encoder {
    fn defect(&mut self, defect: Defect) -> Result<(), Defect> {
        Err(defect)
    }

    fn open(&mut self, bracket: u8) {
        self.begin(if bracket == b'[' { b'a' } else { b'o' });
    }

    fn close(&mut self) {
        self.end();
    }

    fn begin_key(&mut self, offset: usize) {
        let start = place(self.bytes.len());
        self.members.push(Member { start, end: start, offset: place(offset) });
        self.bytes.extend_from_slice(&[0; LENGTH]);
        self.in_key = true;
    }

    fn end_key(&mut self) {
        self.in_key = false;
        let Some((last, before)) = self.members.split_last() else { return };
        let start = last.start as usize;
        let length = place(self.bytes.len() - start - LENGTH);
        self.bytes[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
        if let Some(object) = self.open.last_mut()
            && let Some(previous) = before.get(object.members..).and_then(<[Member]>::last)
        {
            object.in_order &= previous.key(&self.bytes) < last.key(&self.bytes);
        }
    }

    fn begin_string(&mut self) {
        self.begin(b's');
    }

    fn end_string(&mut self) {
        self.end();
    }

    fn characters(&mut self, text: &[u8]) {
        if !self.in_key
            && let Some(part) = self.open.last_mut()
            && self.bytes.len() - part.start + text.len() > BUFFER
        {
            part.hash(&mut self.bytes);
            if text.len() > BUFFER {
                part.hasher.get_or_insert_default().update(text);
                return;
            }
        }
        self.bytes.extend_from_slice(text);
    }

    fn character(&mut self, character: char) {
        self.characters(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn number(&mut self, number: &Decimal<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        number.encode_into(&mut self.bytes);
        self.seal(b'n', start, None);
    }

    fn word(&mut self, word: &[u8]) {
        // The first letter with the high bit, which no tag has, is unique for each word.
        self.bytes.push(word[0] | 0x80);
        self.value_ended();
    }
}

impl Encoder {
    fn begin(&mut self, tag: u8) {
        let part = Part { tag, start: self.bytes.len(), hasher: None, members: self.members.len(), in_order: true };
        self.open.push(part);
        self.bytes.extend_from_slice(&[0; HEAD]);
    }

    fn end(&mut self) {
        let Some(part) = self.open.pop() else { return };
        if !part.in_order {
            self.put_in_order(&part);
        }
        self.members.truncate(part.members);
        self.seal(part.tag, part.start, part.hasher);
    }

    /// Writes the head of the content from `start` on, and replaces long content by its digest.
    fn seal(&mut self, tag: u8, start: usize, hasher: Option<Sha256>) {
        let content = start + HEAD;
        let (tag, length) = match hasher {
            None if self.bytes.len() - content <= INLINE => (tag, self.bytes.len() - content),
            hasher => {
                let digest = hasher.unwrap_or_default().chain_update(&self.bytes[content..]).finalize();
                self.bytes.truncate(content);
                self.bytes.extend_from_slice(&digest);
                (tag.to_ascii_uppercase(), digest.len())
            }
        };
        self.bytes[start] = tag;
        self.bytes[start + 1] = u8::try_from(length).expect("what is longer was hashed");
        self.value_ended();
    }

    /// Updates the container of a value that is complete.
    fn value_ended(&mut self) {
        let Some(part) = self.open.last_mut() else { return };
        match part.tag {
            b'o' => {
                if let Some(member) = self.members.last_mut() {
                    member.end = place(self.bytes.len());
                }
            }
            _ if self.bytes.len() - part.start > BUFFER => part.hash(&mut self.bytes),
            _ => {}
        }
    }

    fn put_in_order(&mut self, object: &Part) {
        let bytes = &self.bytes;
        let members = &mut self.members[object.members..];
        let is_in_order = members.is_sorted_by_key(|member| member.key(bytes));
        self.reordered |= !is_in_order;
        // Stable: the last of several values for a key stays the last.
        members.sort_by_key(|member| member.key(bytes));
        let mut ordered = Vec::with_capacity(bytes.len() - object.start - HEAD);
        for (index, member) in members.iter().enumerate() {
            match members.get(index + 1) {
                Some(next) if next.key(bytes) == member.key(bytes) => {
                    let offset = next.offset as usize;
                    self.duplicate = Some(self.duplicate.map_or(offset, |first| first.min(offset)));
                }
                _ => ordered.extend_from_slice(member.bytes(bytes)),
            }
        }
        self.bytes.truncate(object.start + HEAD);
        self.bytes.extend_from_slice(&ordered);
    }
}

impl Part {
    /// Hashes the content so far.
    fn hash(&mut self, bytes: &mut Vec<u8>) {
        let content = self.start + HEAD;
        self.hasher.get_or_insert_default().update(&bytes[content..]);
        bytes.truncate(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(text: &str) -> Vec<u8> {
        read(text.as_bytes(), usize::MAX).unwrap_or_else(|defect| panic!("{defect:?}: {text}")).encoding
    }

    fn same(a: &str, b: &str) -> bool {
        encoding(a) == encoding(b)
    }

    #[test]
    fn equal_jsonb_have_equal_encodings() {
        assert!(same(r#"{"b": 1, "a": [1, 2]}"#, r#" {"a":[1.0,20e-1],"b":1} "#));
        assert!(same(r#"{"a": 1, "a": 2}"#, r#"{"a": 2}"#));
        assert!(same(
            r#"{"b": {"d": 1, "c": [2]}, "a": 3, "b": {"c": [2], "d": 1}}"#,
            r#"{"a": 3, "b": {"c": [2], "d": 1}}"#
        ));
        assert!(same(r#""\u00e9\n\/""#, "\"é\\u000a/\""));
        assert!(same(r#""\ud83d\ude80""#, "\"🚀\""));
        assert!(same("-0", "0.000") && same("1E+2", "100") && same("0.1e1", "1") && same("-1e-2", "-0.01"));
        assert!(same("1e400", &format!("1{}", "0".repeat(400))));
        for length in [60, 64, 65, 4095, 4096, 4097, 20_000] {
            let plain = "é".repeat(length);
            assert!(same(&format!("\"{plain}\""), &format!("\"{}\"", "\\u00e9".repeat(length))), "{length}");
            let numbers = |number: &str| format!("[{}]", vec![number; length].join(","));
            assert!(same(&numbers("1"), &numbers("10e-1")), "{length}");
            let members = |order: &mut dyn Iterator<Item = usize>| {
                order.map(|number| format!("\"{number}\": {number}")).collect::<Vec<_>>().join(",")
            };
            let (up, down) = (members(&mut (0..length)), members(&mut (0..length).rev()));
            assert!(same(&format!("{{{up}}}"), &format!("{{{down}}}")), "{length}");
        }
    }

    #[test]
    fn different_jsonb_have_different_encodings() {
        let long = "x".repeat(5000);
        let [string, other, array] =
            [format!("\"{long}\""), format!("\"{long}x\""), format!("[\"{long}\", \"{long}\"]")];
        for (a, b) in [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("1", "\"1\""),
            ("null", "\"null\""),
            ("[1, 2]", "[2, 1]"),
            ("[]", "{}"),
            ("[]", "\"\""),
            ("0", "\"\""),
            ("[[]]", "[]"),
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            (r#"{"a": 1}"#, r#"{"b": 1}"#),
            ("true", "false"),
            ("9007199254740993", "9007199254740992"),
            (r#"{"a": null}"#, "{}"),
            ("[\"ab\"]", "[\"a\", \"b\"]"),
            ("0.1000000000000000055511151231257827", "0.1"),
            (r#"{"a": 2, "a": 1}"#, r#"{"a": 2}"#),
            (string.as_str(), other.as_str()),
            (string.as_str(), array.as_str()),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn encodings_are_short() {
        for text in [format!("\"{}\"", "x".repeat(100_000)), format!("[{}1]", "1, ".repeat(100_000))] {
            assert_eq!(encoding(&text).len(), 34);
        }
    }

    #[test]
    fn differences_to_what_the_server_prints_are_found() {
        let names = |text: &str| {
            let read = read(text.as_bytes(), usize::MAX).unwrap_or_else(|defect| panic!("{defect:?}: {text}"));
            read.normalizations.iter().map(Normalization::name).collect::<Vec<_>>()
        };
        assert_eq!(names(r#"{"b": 1, "aa": [1.50, "\u001f\n\\ é", {}, []]}"#), Vec::<&str>::new());
        assert_eq!(names(r#"{"aa": 1, "b": 2}"#), ["key-order"]);
        for text in ["[1,2]", "[1 , 2]", "[ ]", "1 ", "{\"a\":1}", "[1,\n2]"] {
            assert_eq!(names(text), ["spacing"], "{text}");
        }
        for text in ["-0", "[-0.0]", "1e0", "1E5"] {
            assert_eq!(names(text), ["number-form"], "{text}");
        }
        for text in [r#""\/""#, r#""\u00e9""#, r#""\u000a""#, r#""\u001F""#, r#""\u0041""#, r#"{"\ud83d\ude80": 1}"#] {
            assert_eq!(names(text), ["escapes"], "{text}");
        }
        assert_eq!(names(r#"{"a": 1, "a": 2}"#), ["duplicate-keys"]);
        assert_eq!(names(r#"{"a":1, "b": 2, "a": -0}"#), ["key-order", "spacing", "number-form", "duplicate-keys"]);
    }

    #[test]
    fn the_first_duplicate_key_is_found() {
        let duplicate = |text: &str| read(text.as_bytes(), usize::MAX).ok().and_then(|read| read.duplicate);
        assert_eq!(duplicate(r#"{"a": 1, "b": 2, "a": 3, "b": 4}"#), Some(17));
        assert_eq!(duplicate(r#"{"a": {"c": 1, "\u0063": 2}, "a": 3}"#), Some(15));
        assert_eq!(duplicate(r#"[{"a": 1}, {"a": 1}]"#), None);
    }
}
