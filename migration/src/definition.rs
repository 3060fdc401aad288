//! Changes a foreign key in the text of a SQLite table's definition.

use std::ops::Range;

/// Replaces all table constraints that are foreign keys on exactly `column`, or appends `replacement` if there is none.
/// `None` if the text is not a `CREATE TABLE` with a column list.
pub(crate) fn with_foreign_key(definition: &str, column: &str, replacement: &str) -> Option<String> {
    let tokens = tokens(definition);
    let open = tokens.iter().position(|token| &definition[token.clone()] == "(")?;
    let close = tokens.iter().rposition(|token| &definition[token.clone()] == ")")?;
    let mut parts = Vec::new();
    let mut is_placed = false;
    let mut start = tokens[open].end;
    let mut depth = 0_u32;
    let mut words: Vec<&str> = Vec::new();
    for token in tokens.get(open + 1..=close)? {
        let text = &definition[token.clone()];
        let is_end = depth == 0 && (text == "," || token.start == tokens[close].start);
        match text {
            "(" => depth += 1,
            ")" if !is_end => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if !is_end {
            words.push(text);
            continue;
        }
        let part = &definition[start..token.start];
        match is_foreign_key_on(&words, column) {
            false => parts.push(part.to_owned()),
            true if is_placed => {}
            true => {
                let space = &part[..part.len() - part.trim_start().len()];
                parts.push(format!("{space}{replacement}"));
                is_placed = true;
            }
        }
        words.clear();
        start = token.end;
    }
    if !is_placed {
        parts.push(format!(" {replacement}"));
    }
    Some(format!("{}{}{}", &definition[..tokens[open].end], parts.join(","), &definition[tokens[close].start..]))
}

/// Whether the words are those of a table constraint `[CONSTRAINT name] FOREIGN KEY (column) …`.
fn is_foreign_key_on(words: &[&str], column: &str) -> bool {
    let is = |word: Option<&&str>, keyword: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(keyword));
    let words = if is(words.first(), "CONSTRAINT") { words.get(2..).unwrap_or_default() } else { words };
    is(words.first(), "FOREIGN")
        && is(words.get(1), "KEY")
        && words.get(3).is_some_and(|name| name.trim_matches(['"', '`', '[', ']', '\'']).eq_ignore_ascii_case(column))
        && is(words.get(4), ")")
}

/// The positions of a statement's tokens, between white space and comments.
/// <https://www.sqlite.org/draft/tokenreq.html>
fn tokens(sql: &str) -> Vec<Range<usize>> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql[at..];
        let after = |mark: &str, skipped: usize| {
            rest[skipped..].find(mark).map_or(sql.len(), |found| at + skipped + found + mark.len())
        };
        let (end, is_token) = match bytes[at] {
            b'-' if rest.starts_with("--") => (after("\n", 2), false),
            b'/' if rest.starts_with("/*") => (after("*/", 2), false),
            b'[' => (after("]", 1), true),
            // A doubled quote ends one token and begins the next, which has no effect here.
            quote @ (b'\'' | b'"' | b'`') => (after(&char::from(quote).to_string(), 1), true),
            byte if byte.is_ascii_whitespace() => (at + 1, false),
            byte if is_word(byte) => (at + rest.bytes().take_while(|byte| is_word(*byte)).count(), true),
            _ => (at + 1, true),
        };
        if is_token {
            tokens.push(at..end);
        }
        at = end;
    }
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "CONSTRAINT fk FOREIGN KEY(a) REFERENCES p (id) ON DELETE CASCADE";

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        assert_eq!(with_foreign_key(before, "a", KEY).as_deref(), Some(after));
    }

    #[test]
    fn a_foreign_key_is_replaced_at_its_position() {
        becomes(
            "CREATE TABLE c (\n\ta VARCHAR NOT NULL, \n\tPRIMARY KEY (b), \n\tFOREIGN KEY(a) REFERENCES p (id)\n)",
            &format!("CREATE TABLE c (\n\ta VARCHAR NOT NULL, \n\tPRIMARY KEY (b), \n\t{KEY})"),
        );
        becomes(
            r#"CREATE TABLE "c" ( "a" X, CONSTRAINT "x" FOREIGN KEY ("a") REFERENCES "p" ("id"), FOREIGN KEY (b) REFERENCES q (id) )"#,
            &format!(r#"CREATE TABLE "c" ( "a" X, {KEY}, FOREIGN KEY (b) REFERENCES q (id) )"#),
        );
    }

    #[test]
    fn doubled_keys_become_one() {
        becomes(
            "CREATE TABLE c (a X, CONSTRAINT f FOREIGN KEY(a) REFERENCES p (id) ON DELETE CASCADE, FOREIGN KEY(a) REFERENCES p (id))",
            &format!("CREATE TABLE c (a X, {KEY})"),
        );
    }

    #[test]
    fn a_missing_key_is_added_and_others_stay() {
        becomes(
            "CREATE TABLE c (a X, FOREIGN KEY (a, b) REFERENCES p (x, y))",
            &format!("CREATE TABLE c (a X, FOREIGN KEY (a, b) REFERENCES p (x, y), {KEY})"),
        );
    }

    #[test]
    fn commas_and_brackets_in_texts_and_comments_mean_nothing() {
        becomes(
            "CREATE TABLE [c(] (a X DEFAULT 'it''s, (', -- FOREIGN KEY(a), (\n b Y /* , ( */, `d,` Z CHECK (b IN (1, 2)))",
            &format!(
                "CREATE TABLE [c(] (a X DEFAULT 'it''s, (', -- FOREIGN KEY(a), (\n b Y /* , ( */, `d,` Z CHECK (b IN (1, 2)), {KEY})"
            ),
        );
    }

    #[test]
    fn what_is_no_definition_is_left_alone() {
        assert_eq!(with_foreign_key("CREATE TABLE c AS SELECT 1", "a", KEY), None);
    }
}
