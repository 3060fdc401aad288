//! Passwords as PostgreSQL hashes them for SCRAM: SASLprep (RFC 4013), but what is prohibited is looked for in the text
//! before its normalization, and a password that SASLprep refuses is used as it is.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use stringprep::tables;
use unicode_normalization::UnicodeNormalization;

/// The length of a block of SHA-256.
const BLOCK: usize = 64;

/// The bytes of which the library makes the same key as PostgreSQL does of the password.
///
/// The library prepares what it gets by RFC 4013, but not if it has the character NUL or is not UTF-8. HMAC fills a key
/// that is shorter than a block up with NUL, and hashes one that is longer. Only one of exactly a block is prepared again.
/// `None` if that changes it, because PostgreSQL refuses to prepare it and RFC 4013 does not.
pub(super) fn scram_key(password: &[u8]) -> Option<Vec<u8>> {
    let mut key = prepared(password).into_owned();
    if key.len() > BLOCK {
        key = Sha256::digest(key).to_vec();
    }
    if key.len() < BLOCK {
        key.push(0);
    }
    let again = std::str::from_utf8(&key).ok().and_then(|text| stringprep::saslprep(text).ok());
    again.is_none_or(|again| again.as_bytes() == key).then_some(key)
}

/// The password as PostgreSQL prepares it.
fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(password) else { return Cow::Borrowed(password) };
    let spaced = text.chars().map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c });
    let mapped: String = spaced.filter(|c| !tables::commonly_mapped_to_nothing(*c)).collect();
    match mapped.is_empty() || mapped.contains(is_prohibited) || mixes_directions(&mapped) {
        true => Cow::Borrowed(password),
        false => Cow::Owned(mapped.nfkc().collect::<String>().into_bytes()),
    }
}

fn is_prohibited(c: char) -> bool {
    tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// Whether a text has letters that are written from right to left, and does not consist of them, or begin and end so.
fn mixes_directions(text: &str) -> bool {
    let right_to_left = tables::bidi_r_or_al;
    text.contains(right_to_left)
        && (text.contains(is_left_to_right) || !text.starts_with(right_to_left) || !text.ends_with(right_to_left))
}

/// As in Unicode 3.2, which SASLprep is made for. The library's table is that of today.
fn is_left_to_right(c: char) -> bool {
    match c {
        '\u{17b4}' | '\u{17b5}' | '\u{1885}' | '\u{1886}' | '𝛁' | '𝛛' | '𝛻' | '𝜕' | '𝜵' | '𝝏' | '𝝯' | '𝞉' | '𝞩'
        | '𝟃' => true,
        '\u{cbf}' | '\u{cc6}' | '\u{1734}' | '\u{2132}' | '\u{2800}'..='\u{28ff}' | '\u{302e}' | '\u{302f}' => false,
        c => tables::bidi_l(c),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The digest of what becomes of a text for each character.
    fn digest(text: fn(char) -> String) -> String {
        let mut digest = Sha256::new();
        for c in '\u{1}'..=char::MAX {
            digest.update(prepared(text(c).as_bytes()));
            digest.update(b"\n");
        }
        STANDARD.encode(digest.finalize())
    }

    // The digests come from `pg_saslprep` of PostgreSQL 17.
    #[test]
    fn each_character_is_prepared_as_postgresql_does() {
        assert_eq!(digest(|c| c.to_string()), "D82GpJ8m67rQhuYqSNFFKKZY8z6vF3E596xVZZT1KXM=");
        let in_hebrew = digest(|c| format!("\u{5d0}{c}\u{5d0}"));
        assert_eq!(in_hebrew, "hztx3dr3DKjKcQO/rsutA+wDzWW8b4oFDMKbsCR7g44=");
    }

    #[test]
    fn a_password_that_fills_its_block_is_the_key() {
        let key = |password: &[u8]| scram_key(password).expect("a key");
        assert_eq!(key(b"password"), b"password\0");
        assert_eq!(key(&[b'x'; BLOCK]), [b'x'; BLOCK]);
        let hashed = [&Sha256::digest([b'x'; BLOCK + 1])[..], b"\0"].concat();
        assert_eq!(key(&[b'x'; BLOCK + 1]), hashed);
    }

    #[test]
    fn a_password_of_a_block_that_the_library_would_change_has_no_key() {
        // PostgreSQL looks for what is prohibited first, RFC 4013 after the normalization.
        let of_length = |length: usize| format!("\u{340}{}", "x".repeat(length - '\u{340}'.len_utf8()));
        assert_eq!(scram_key(of_length(BLOCK).as_bytes()), None);
        for length in [BLOCK - 1, BLOCK + 1] {
            assert!(scram_key(of_length(length).as_bytes()).is_some(), "{length}");
        }
    }
}
