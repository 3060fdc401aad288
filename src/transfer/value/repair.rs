//! Repairs texts: copies them with the faults replaced and everything else unchanged.

use std::ops::Range;

use super::hazard::{Fault, JsonKind};
use super::json::{self, Defect, Listener, MAX_DEPTH};
use super::policy::{Class, Policies, Policy};

/// The maximum number of recorded shifts between a text and its copy.
const MAX_SHIFTS: usize = 1 << 16;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// A copy of a text with some of its bytes replaced.
pub(crate) struct Repaired<'t> {
    original: &'t [u8],
    pub(crate) text: Vec<u8>,
    /// The number of bytes of the original that were copied or replaced.
    done: usize,
    origin: TextOrigin,
}

/// Maps offsets of a copy to those of the original.
#[derive(Default)]
pub(crate) struct TextOrigin {
    /// Pairs of offsets in the copy and in the original; between them both advance together.
    shifts: Vec<(usize, usize)>,
}

impl TextOrigin {
    /// The offset in the original; `None` after too many shifts.
    pub(crate) fn of(&self, offset: usize) -> Option<usize> {
        let before = self.shifts.partition_point(|(copy, _)| *copy <= offset);
        match before.checked_sub(1).map(|index| self.shifts[index]) {
            _ if before == MAX_SHIFTS => None,
            Some((copy, original)) => Some(original + (offset - copy)),
            None => Some(offset),
        }
    }
}

impl<'t> Repaired<'t> {
    pub(crate) fn new(original: &'t [u8]) -> Self {
        Self { original, text: Vec::with_capacity(original.len()), done: 0, origin: TextOrigin::default() }
    }

    pub(crate) fn replace(&mut self, bytes: Range<usize>, replacement: &[u8]) {
        self.text.extend_from_slice(&self.original[self.done..bytes.start]);
        self.text.extend_from_slice(replacement);
        self.done = bytes.end;
        if bytes.len() != replacement.len() && self.origin.shifts.len() < MAX_SHIFTS {
            self.origin.shifts.push((self.text.len(), bytes.end));
        }
    }

    pub(crate) fn finish(mut self) -> (Vec<u8>, TextOrigin) {
        self.text.extend_from_slice(&self.original[self.done..]);
        (self.text, self.origin)
    }
}

/// Replaces what is not UTF-8 by U+FFFD, as [`String::from_utf8_lossy`] does.
pub(crate) fn utf8(text: &[u8]) -> (Vec<u8>, TextOrigin) {
    let mut repaired = Repaired::new(text);
    let mut position = 0;
    for chunk in text.utf8_chunks() {
        let start = position + chunk.valid().len();
        position = start + chunk.invalid().len();
        if position > start {
            repaired.replace(start..position, REPLACEMENT);
        }
    }
    repaired.finish()
}

/// Strips or replaces U+0000. Without a policy it is replaced tentatively, which hides no other fault.
pub(crate) fn nul(text: &[u8], policy: Policy) -> (Vec<u8>, TextOrigin) {
    let mut repaired = Repaired::new(text);
    let replacement = if policy == Policy::Strip { b"" } else { REPLACEMENT };
    for (offset, byte) in text.iter().enumerate() {
        if *byte == 0 {
            repaired.replace(offset..offset + 1, replacement);
        }
    }
    repaired.finish()
}

/// A UTF-8 JSON text after its faults were replaced, by policies or tentatively.
pub(crate) struct RepairedJson {
    pub(crate) text: Vec<u8>,
    pub(crate) origin: TextOrigin,
    /// The first of each class, up to the end or to the first malformed token.
    pub(crate) faults: Vec<Fault>,
    /// The fault that ends the parsing.
    pub(crate) unreadable: Option<Fault>,
}

/// Finds and replaces all faults inside a JSON text.
pub(crate) fn json(text: &[u8], kind: JsonKind, policies: &Policies) -> RepairedJson {
    let mut repairer = Repairer { policies, repaired: Repaired::new(text), faults: Vec::new() };
    let unreadable = json::read(text, kind, MAX_DEPTH, &mut repairer).err().map(|defect| Fault::from(&defect));
    let faults = repairer.faults;
    let (text, origin) = repairer.repaired.finish();
    RepairedJson { text, origin, faults, unreadable }
}

struct Repairer<'t, 'p> {
    policies: &'p Policies,
    repaired: Repaired<'t>,
    faults: Vec<Fault>,
}

impl Listener for Repairer<'_, '_> {
    fn defect(&mut self, defect: Defect) -> Result<(), Defect> {
        let fault = Fault::from(&defect);
        let class = fault.class();
        if self.faults.iter().all(|known| known.class() != class) {
            self.faults.push(fault);
        }
        let token = &self.repaired.original[defect.bytes.clone()];
        let quoted = || [b"\"", token, b"\""].concat();
        let bytes = defect.bytes.clone();
        match (class, self.policies.of(class)) {
            // Replacing one bracket does not help; the policy applies to the whole text.
            (Class::Depth, _) => {}
            (Class::NonFinite | Class::NumberRange, Policy::String) => self.repaired.replace(bytes, &quoted()),
            (Class::NonFinite | Class::NumberRange, _) => self.repaired.replace(bytes, b"null"),
            (_, Policy::Strip) => self.repaired.replace(bytes, b""),
            // Replaced by an escape, so that an ASCII text stays ASCII.
            _ => self.repaired.replace(bytes, b"\\ufffd"),
        }
        Ok(())
    }
}

/// Writes a UTF-8 text without U+0000 as a JSON string, in the form that `jsonb` prints.
pub(crate) fn json_string(text: &[u8]) -> Vec<u8> {
    let mut string = Vec::with_capacity(text.len() + 2);
    string.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => string.extend_from_slice(&[b'\\', *byte]),
            8 => string.extend_from_slice(b"\\b"),
            12 => string.extend_from_slice(b"\\f"),
            b'\n' => string.extend_from_slice(b"\\n"),
            b'\r' => string.extend_from_slice(b"\\r"),
            b'\t' => string.extend_from_slice(b"\\t"),
            0..0x20 => string.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => string.push(*byte),
        }
    }
    string.push(b'"');
    string
}
