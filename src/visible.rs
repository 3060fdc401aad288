//! Characters that a terminal obeys, that forge a line or that turn the direction of text around, as something to see.
//!
//! Keys, states, names and messages come from databases and servers. Everything that goes out passes one of these, at
//! the edge: tables, errors, logs, progress, questions, JSON.

use std::borrow::Cow;
use std::fmt::Write;

/// A text of one line: whatever would begin another is seen as `\n`.
#[must_use]
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// A text of several lines, all of them our own.
#[must_use]
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    let is_hidden = |character| character != '\n' && is_hidden(character);
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// A JSON document, which means the same afterwards. It has such characters in strings only, where they can be escaped;
/// its own lines stay.
#[must_use]
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    let is_hidden = |character| character != '\n' && is_hidden(character);
    replaced(document, is_hidden, |out, character| {
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    })
}

/// C0, DEL and C1; the marks, embeddings and isolates that change the direction; Unicode's own ends of lines. All of
/// them have four digits.
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
    fn what_a_terminal_obeys_is_seen() {
        let seen = "a\\u{1b}]0;title\\u{7}\\nb\\r\\t\\u{7f}\\u{9b}31m\\u{202e}c\\u{2066}\\u{2028}\\u{61c}é🚀";
        assert_eq!(line(HOSTILE), seen);
        assert_eq!(lines(HOSTILE), seen.replace("\\n", "\n"));
        assert!(matches!(line("plain é 🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE] });
        for document in [format!("{value:#}\n"), value.to_string()] {
            let escaped = json(&document);
            assert!(!escaped.chars().any(|character| character != '\n' && is_hidden(character)), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        }
    }
}
