//! Definitions as PostgreSQL prints them, without the schemas of their names.
//!
//! With an empty search path PostgreSQL prints `public.` before what is in TARSy's schema. The expected schema is
//! replayed in temporary tables, and an operator knows the names without it.

use crate::database::quote::quoted;

/// Takes the qualification with one of these schemas away from each name in an expression: from functions, types,
/// collations and operators, and from what `'…'::regclass` names. All other texts are kept.
#[must_use]
pub(crate) fn without_schemas(definition: &str, schemas: &[String]) -> String {
    let mut rest = definition;
    let mut kept = String::with_capacity(definition.len());
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (text, after) = rest.split_at(end_of_quotes(rest, '\''));
            let is_name = after.starts_with("::reg");
            kept.push_str(&if is_name { without_schema_in_text(text, schemas) } else { text.to_owned() });
            rest = after;
        } else if let Some((operator, after)) = operator_of(rest, schemas) {
            kept.push_str(operator);
            rest = after;
        } else if let Some(after) = after_schema(rest, schemas) {
            let (name, after) = after.split_at(length_of_name(after));
            kept.push_str(name);
            rest = after;
        } else {
            let (word, after) = rest.split_at(length_of_name(rest).max(first.len_utf8()));
            kept.push_str(word);
            rest = after;
        }
    }
    kept
}

/// The operator of `OPERATOR(schema.operator)`, and what follows the bracket.
fn operator_of<'d>(rest: &'d str, schemas: &[String]) -> Option<(&'d str, &'d str)> {
    after_schema(rest.strip_prefix("OPERATOR(")?, schemas)?.split_once(')')
}

/// The text in quotes, without the schema at its beginning.
fn without_schema_in_text(text: &str, schemas: &[String]) -> String {
    let inner = text.get(1..text.len() - 1).unwrap_or_default().replace("''", "'");
    let name = after_schema(&inner, schemas).unwrap_or(&inner);
    format!("'{}'", name.replace('\'', "''"))
}

/// What follows `schema.`, if the text begins with one of the schemas.
fn after_schema<'d>(rest: &'d str, schemas: &[String]) -> Option<&'d str> {
    schemas.iter().find_map(|schema| {
        let after = rest.strip_prefix(&quoted(schema)).or_else(|| rest.strip_prefix(schema.as_str()))?;
        after.strip_prefix('.')
    })
}

/// The length of the name, with or without quotes, at the beginning of the text; 0 if there is none.
fn length_of_name(rest: &str) -> usize {
    match rest.starts_with('"') {
        true => end_of_quotes(rest, '"'),
        false => rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len()),
    }
}

/// The length of the text in quotes at the beginning. A doubled quote does not end it.
fn end_of_quotes(rest: &str, quote: char) -> usize {
    let mut places = rest.match_indices(quote).map(|(place, _)| place).skip(1);
    while let Some(place) = places.next() {
        if !rest[place + 1..].starts_with(quote) {
            return place + 1;
        }
        places.next();
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(definition: &str, expected: &str) {
        let schemas = ["public", "my own", "user", "q'\""].map(str::to_owned);
        assert_eq!(without_schemas(definition, &schemas), expected);
    }

    #[test]
    fn names_lose_the_schemas_of_the_path_and_keep_others() {
        becomes("public.f(a, \"my own\".g(b))", "f(a, g(b))");
        becomes("CHECK ((a)::public.kind <> 'x'::\"user\".other)", "CHECK ((a)::kind <> 'x'::other)");
        becomes("character varying COLLATE public.\"C\"", "character varying COLLATE \"C\"");
        becomes("other.f(a) AND republic.f(a)", "other.f(a) AND republic.f(a)");
        becomes("f((public).field, \"a public.b\", x.public)", "f((public).field, \"a public.b\", x.public)");
        becomes("(a OPERATOR(public.=) b) OR (a OPERATOR(other.=) b)", "(a = b) OR (a OPERATOR(other.=) b)");
        becomes("EXCLUDE USING btree (chain_id WITH OPERATOR(public.===))", "EXCLUDE USING btree (chain_id WITH ===)");
    }

    #[test]
    fn texts_are_kept_unless_they_name_an_object() {
        becomes("'public.f'::text || 'it''s public.'", "'public.f'::text || 'it''s public.'");
        becomes("nextval('public.events_id_seq'::regclass)", "nextval('events_id_seq'::regclass)");
        becomes("nextval('\"my own\".\"A\"'::regclass)", "nextval('\"A\"'::regclass)");
        becomes("nextval('\"q''\"\"\".s'::regclass)", "nextval('s'::regclass)");
        becomes("nextval('other.public.s'::regclass)", "nextval('other.public.s'::regclass)");
        becomes("''", "''");
        becomes("E'\\\\'::text, public.f('ä')", "E'\\\\'::text, f('ä')");
    }

    #[test]
    fn a_definition_that_ends_early_is_kept() {
        for definition in ["'public.", "\"public", "public."] {
            assert!(definition.ends_with(&without_schemas(definition, &["public".to_owned()])));
        }
    }
}
