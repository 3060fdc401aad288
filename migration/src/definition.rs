//! Changes the foreign keys of a SQLite table where they stand: in the text of its definition.
//!
//! A foreign key is not part of how rows are stored, so that no row has to be written again. This is
//! what SQLite itself recommends for such changes:
//! <https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes>

use std::ops::Range;

use sea_orm_migration::SchemaManager;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::alter;

/// Puts `replacement` in the place of all foreign keys on exactly `column`. A key that does the same, whatever its
/// name, stays as it is if it is the only one.
pub(crate) async fn replace_foreign_keys(
    manager: &SchemaManager<'_>,
    table: &str,
    column: &str,
    replacement: &str,
    is_cascade: bool,
) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let action = if is_cascade { "CASCADE" } else { "NO ACTION" };
    let sql = format!(
        "SELECT s.sql AS definition, v.schema_version AS version,
                (SELECT count(*) = 1 AND max(on_delete) = '{action}' FROM pragma_foreign_key_list('{table}') k
                 WHERE k.\"from\" = '{column}') AS is_there
         FROM sqlite_schema s, pragma_schema_version v WHERE s.type = 'table' AND s.name = '{table}'"
    );
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("there is no table {table}")))?;
    if row.try_get::<i32>("", "is_there")? != 0 {
        return Ok(());
    }
    let definition: String = row.try_get("", "definition")?;
    let edited = with_foreign_key(&definition, column, replacement)
        .ok_or_else(|| DbErr::Custom(format!("the definition of {table} cannot be read")))?;
    let version: i32 = row.try_get("", "version")?;
    alter::execute(manager, "PRAGMA writable_schema = ON").await?;
    // The text that was read must be the one that is replaced: any other describes rows of another form.
    let update = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ? AND sql = ?";
    let values = [Value::from(edited), Value::from(table), Value::from(definition)];
    let updated = connection.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, update, values)).await?;
    if updated.rows_affected() != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    // Tells every connection, this one included, to read the definitions again.
    alter::execute(manager, format!("PRAGMA schema_version = {}", version.wrapping_add(1))).await?;
    alter::execute(manager, "PRAGMA writable_schema = RESET").await
}

/// The definition with `replacement` in the place of all table constraints that are foreign keys on exactly
/// `column`, or at its end if there is none. `None` if the text is not what `CREATE TABLE` takes.
fn with_foreign_key(definition: &str, column: &str, replacement: &str) -> Option<String> {
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

/// Where the tokens of a statement are; white space and comments are between them.
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
            // A doubled quote inside ends one token and begins the next: nothing here depends on it.
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
    fn a_key_is_replaced_where_it_stands() {
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
