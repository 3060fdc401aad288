//! Escapes control characters, line ends and marks of the writing direction, so that they are visible.
//!
//! Keys, statuses, names and messages come from databases and servers. All output passes one of these functions at the
//! edge: tables, errors, logs, progress, questions, JSON.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes a text of one line, line ends included.
#[must_use]
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// Escapes a text of several lines, which are tarsy-db's own.
#[must_use]
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    let is_hidden = |character| character != '\n' && is_hidden(character);
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// Escapes a JSON document, whose value does not change: such characters occur in its strings only. Its line ends stay.
#[must_use]
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    let is_hidden = |character| character != '\n' && is_hidden(character);
    replaced(document, is_hidden, |out, character| {
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    })
}

/// C0, DEL and C1; the marks, embeddings and isolates of the writing direction; Unicode's line and paragraph separators.
/// All of them have at most four hexadecimal digits.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replaced(text: &str, is_hidden: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_hidden(character) {
            true => escape(&mut out, character),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]0;title\u{7}\nb\r\t\u{7f}\u{9b}31m\u{202e}c\u{2066}\u{2028}\u{61c}é🚀";

    #[test]
    fn control_characters_are_visible() {
        let seen = "a\\u{1b}]0;title\\u{7}\\nb\\r\\t\\u{7f}\\u{9b}31m\\u{202e}c\\u{2066}\\u{2028}\\u{61c}é🚀";
        assert_eq!(line(HOSTILE), seen);
        assert_eq!(lines(HOSTILE), seen.replace("\\n", "\n"));
        assert!(matches!(line("plain é 🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaping_json_keeps_its_value() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE] });
        for document in [format!("{value:#}\n"), value.to_string()] {
            let escaped = json(&document);
            assert!(!escaped.chars().any(|character| character != '\n' && is_hidden(character)), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        }
    }
}
