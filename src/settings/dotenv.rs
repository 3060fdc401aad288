//! The `.env` of the working directory, parsed as TARSy's backend does: with the rules of python-dotenv.
//!
//! The crates for such files have other rules: `dotenvy` replaces `$word` inside a password and rejects spaces in an
//! unquoted value, so the same file could name another database.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::environment::{Environment, lookup_exactly};
use super::error::SettingsError;
use super::key::Key;
use super::setting::{Setting, SettingSource};

/// Variables of tarsy-db that the backend does not read, and that do not count in its file. The direct URL does, because it
/// belongs beside the URL.
const NOT_THE_BACKENDS: [&str; 6] = [
    "DATABASE_URL_FILE",
    "DIRECT_DATABASE_URL_FILE",
    "DATABASE_PASSWORD_FILE",
    "TARSY_DB_CONFIG",
    "TARSY_DB_SCHEMA",
    "TARSY_DB_REQUIRE_TLS",
];

/// The settings in the `.env`; empty if there is no such file.
#[derive(Default)]
pub(crate) struct Dotenv {
    path: PathBuf,
    /// By name in lower case.
    values: BTreeMap<String, String>,
    /// Warnings about ignored lines, without their values.
    pub(crate) warnings: Vec<String>,
}

impl Dotenv {
    /// Reads the file in the working directory.
    ///
    /// # Errors
    /// [`SettingsError::Read`] for a file that cannot be read or is not UTF-8.
    pub(crate) fn read(environment: &Environment) -> Result<Self, SettingsError> {
        let name = Path::new(".env");
        let path = std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
        let unreadable = |source| SettingsError::Read { what: path.display().to_string(), source };
        // The whole path may lead through a directory that this user may not search.
        match std::fs::metadata(name) {
            Ok(metadata) if metadata.is_file() || metadata.file_type().is_fifo() => {}
            // The backend ignores anything but a file as well.
            Ok(_) => return Ok(Self::default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
        }
        let text = std::fs::read_to_string(name).map_err(unreadable)?;
        Self::parse(path, &text, environment)
    }

    fn parse(path: PathBuf, text: &str, environment: &Environment) -> Result<Self, SettingsError> {
        let mut dotenv = Self { path, ..Self::default() };
        let Bindings { bindings, broken } = bindings(text);
        for line in broken {
            dotenv.warn(&format!("line {line} cannot be parsed and is ignored, also by the backend"));
        }
        if text.starts_with('\u{feff}') {
            dotenv.warn("the file begins with a byte order mark: its first line is ignored, also by the backend");
        }
        for (name, value) in interpolated(bindings, environment)? {
            if let Some(name) = NOT_THE_BACKENDS.iter().find(|known| name.eq_ignore_ascii_case(known)) {
                dotenv.warn(&format!("`{name}` is ignored in this file: set it in the environment"));
            }
            let name = name.to_ascii_lowercase();
            match value {
                Some(value) => drop(dotenv.values.insert(name, value)),
                None => drop(dotenv.values.remove(&name)),
            }
        }
        Ok(dotenv)
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{}: {what}", self.path.display()));
    }

    /// A setting that the backend reads too; tarsy-db's own settings are ignored in this file.
    pub(crate) fn text(&self, key: Key) -> Option<Setting<String>> {
        match NOT_THE_BACKENDS.contains(&key.environment) {
            true => None,
            false => self.variable(key.environment),
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<Setting<String>> {
        let value = self.values.get(&name.to_ascii_lowercase())?.clone();
        Some(Setting { value, source: SettingSource::Dotenv { name: name.to_owned(), path: self.path.clone() } })
    }
}

type Binding = (String, Option<String>);

#[derive(Debug, Default, PartialEq)]
struct Bindings {
    /// Names and values in order; a name without `=` has no value.
    bindings: Vec<Binding>,
    /// The lines that cannot be parsed, from 1.
    broken: Vec<usize>,
}

fn bindings(text: &str) -> Bindings {
    // Python converts all line ends to `\n`.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Bindings::default();
    let mut reader = DotenvReader(&text);
    loop {
        reader.skip(is_space);
        if reader.0.is_empty() {
            return found;
        }
        let line = text[..text.len() - reader.0.len()].matches('\n').count() + 1;
        if let Ok(binding) = reader.binding() {
            found.bindings.extend(binding);
        } else {
            found.broken.push(line);
            reader.skip(|c| c != '\n');
        }
    }
}

struct Unparsable;

/// The rest of the text.
struct DotenvReader<'a>(&'a str);

impl<'a> DotenvReader<'a> {
    /// Parses `export NAME = value # comment`, of which only the name is required; `None` for a line with only a comment.
    fn binding(&mut self) -> Result<Option<Binding>, Unparsable> {
        if self.0.strip_prefix("export").is_some_and(|rest| rest.starts_with(is_blank)) {
            self.0 = &self.0["export".len()..];
            self.skip(is_blank);
        }
        let name = self.name()?.map(str::to_owned);
        self.skip(is_blank);
        let mut value = None;
        if let Some(rest) = self.0.strip_prefix('=') {
            self.0 = rest;
            self.skip(is_blank);
            value = Some(self.value()?);
        }
        self.skip(is_blank);
        if self.0.starts_with('#') {
            self.skip(|c| c != '\n');
        }
        match self.0.is_empty() || self.0.starts_with('\n') {
            true => Ok(name.map(|name| (name, value))),
            false => Err(Unparsable),
        }
    }

    fn name(&mut self) -> Result<Option<&'a str>, Unparsable> {
        if self.0.starts_with('#') {
            return Ok(None);
        }
        let name = match self.0.strip_prefix('\'') {
            None => self.skip(|c| !is_space(c) && c != '=' && c != '#'),
            Some(quoted) => {
                let (name, rest) = quoted.split_once('\'').ok_or(Unparsable)?;
                self.0 = rest;
                name
            }
        };
        if name.is_empty() { Err(Unparsable) } else { Ok(Some(name)) }
    }

    fn value(&mut self) -> Result<String, Unparsable> {
        if self.0.starts_with('\'') {
            return self.quoted('\'').map(|text| unescaped(text, |c| "\\'".contains(c).then_some(c)));
        }
        if self.0.starts_with('"') {
            return self.quoted('"').map(|text| unescaped(text, double_quote_escape));
        }
        let line = self.skip(|c| c != '\n');
        // A comment needs a space before it.
        let comment = line.char_indices().zip(line.chars().skip(1)).find(|((_, c), next)| is_space(*c) && *next == '#');
        let value = comment.map_or(line, |((start, _), _)| &line[..start]);
        Ok(value.trim_end_matches(is_space).to_owned())
    }

    /// The text up to the next quote without a backslash before it, otherwise up to the last quote.
    fn quoted(&mut self, quote: char) -> Result<&'a str, Unparsable> {
        let inner = &self.0[1..];
        let plain = inner.match_indices(quote).map(|(end, _)| end).find(|end| !inner[..*end].ends_with('\\'));
        let end = plain.or_else(|| inner.rfind(quote)).ok_or(Unparsable)?;
        self.0 = &inner[end + 1..];
        Ok(&inner[..end])
    }

    /// Takes the characters for which the condition holds.
    fn skip(&mut self, condition: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !condition(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}

/// Python's white space: Unicode's, and four separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

fn double_quote_escape(c: char) -> Option<char> {
    Some(match c {
        '\\' | '\'' | '"' => c,
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        _ => return None,
    })
}

/// Replaces the known escapes; any other backslash stays.
fn unescaped(text: &str, escape: impl Fn(char) -> Option<char>) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let escaped = characters.peek().filter(|_| c == '\\').and_then(|next| escape(*next));
        plain.push(escaped.unwrap_or(c));
        if escaped.is_some() {
            characters.next();
        }
    }
    plain
}

/// Replaces `${NAME}` and `${NAME:-default}` in all values, also in quoted ones: by an earlier value in the file,
/// otherwise by the environment. A name keeps its first position, as in Python's dictionaries.
fn interpolated(bindings: Vec<Binding>, environment: &Environment) -> Result<Vec<Binding>, SettingsError> {
    let mut resolved: Vec<Binding> = Vec::new();
    for (name, value) in bindings {
        let value = value.map(|value| replaced(&value, &resolved, environment)).transpose()?;
        match resolved.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => resolved.push((name, value)),
        }
    }
    Ok(resolved)
}

fn replaced(value: &str, above: &[Binding], environment: &Environment) -> Result<String, SettingsError> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let end = after.find(['}', ':']).unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        let reference = match tail.strip_prefix(":-") {
            Some(tail) => tail.split_once('}'),
            None => tail.strip_prefix('}').map(|tail| ("", tail)),
        };
        if let Some((default, tail)) = reference {
            text.push_str(&variable(name, default, above, environment)?);
            rest = tail;
        } else {
            text.push_str("${");
            rest = after;
        }
    }
    Ok(text + rest)
}

fn variable(name: &str, default: &str, above: &[Binding], environment: &Environment) -> Result<String, SettingsError> {
    if let Some((_, value)) = above.iter().find(|(known, _)| known == name) {
        return Ok(value.clone().unwrap_or_default());
    }
    Ok(lookup_exactly(environment, name)?.unwrap_or_else(|| default.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    fn resolved(text: &str, variables: &[(&str, &str)]) -> Vec<Binding> {
        interpolated(bindings(text).bindings, &environment(variables)).expect("the environment is UTF-8")
    }

    fn binding(name: &str, value: &str) -> Binding {
        (name.to_owned(), Some(value.to_owned()))
    }

    /// What python-dotenv 1.2.2 makes of each text, with `HOST=db` in the environment.
    #[test]
    fn a_text_means_what_python_dotenv_makes_of_it() {
        let cases: [(&str, &[(&str, &str)]); 12] = [
            ("A=1\n  B = 2 \nC=\n# comment\n\nE=5", &[("A", "1"), ("B", "2"), ("C", ""), ("E", "5")]),
            (
                "export A=1\nexport\tB=2\nexport=3\nexported=4",
                &[("A", "1"), ("B", "2"), ("export", "3"), ("exported", "4")],
            ),
            (
                "A=x#y\nB=x #y\nC=#y\nD= # y\nE=x\t# y # z",
                &[("A", "x#y"), ("B", "x"), ("C", "#y"), ("D", "# y"), ("E", "x")],
            ),
            ("A='x # y' # z\nB=\"x # y\" # z\n'C'=3", &[("A", "x # y"), ("B", "x # y"), ("C", "3")]),
            (
                "A=\"a\\n\\t\\\"b\\\\\\q\"\nB='a\\n\\'b\\\\'\nC=a\\nb",
                &[("A", "a\n\t\"b\\\\q"), ("B", "a\\n'b\\"), ("C", "a\\nb")],
            ),
            ("A=\"one\ntwo\"\r\nB='three\rfour'\r\n", &[("A", "one\ntwo"), ("B", "three\nfour")]),
            (
                "A=p$ss$$w$HOST\nB='${HOST}'\nC=\"${HOST}:${PORT:-5432}\"\nD=${C}${A}${NOTHING}\nE=${HOST\nF=${A:x}",
                &[
                    ("A", "p$ss$$w$HOST"),
                    ("B", "db"),
                    ("C", "db:5432"),
                    ("D", "db:5432p$ss$$w$HOST"),
                    ("E", "${HOST"),
                    ("F", "${A:x}"),
                ],
            ),
            ("A=one\nA=two\na=three\nB=${A}", &[("A", "two"), ("a", "three"), ("B", "two")]),
            ("'A=1\nB='2\nC=\"3\nD=4\n=5\nE=6", &[("D", "4"), ("E", "6")]),
            ("A='it\\'\nB=2", &[("A", "it\\"), ("B", "2")]),
            ("A=a\u{a0} # c\nB=\u{a0}b\u{2028}c", &[("A", "a"), ("B", "b\u{2028}c")]),
            ("\u{feff}A=1\nB=2", &[("\u{feff}A", "1"), ("B", "2")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<Binding> = expected.iter().map(|(name, value)| binding(name, value)).collect();
            assert_eq!(resolved(text, &[("HOST", "db")]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_without_a_value_is_not_set_and_hides_the_one_above() {
        let nothing = |name: &str| (name.to_owned(), None);
        assert_eq!(resolved("B\nA=1\nA\nC=${A}", &[]), [nothing("B"), nothing("A"), binding("C", "")]);
    }

    #[test]
    fn the_file_beats_the_environment_inside_of_a_value() {
        assert_eq!(resolved("X=1\nA=${X}", &[("X", "2")])[1], binding("A", "1"));
        assert_eq!(resolved("A=${X}\nX=1", &[("X", "2")])[0], binding("A", "2"));
    }

    #[test]
    fn an_ignored_line_is_reported_by_its_number_without_its_value() {
        let text = "\n# first\nDATABASE_URL='hunter2\nDATABASE_URL_FILE=hunter2\nDATABASE_NAME=\"x\" hunter2\n";
        let read = Dotenv::parse("/app/.env".into(), text, &Environment::new()).expect("it can be parsed");
        let expected = [
            "/app/.env: line 3 cannot be parsed and is ignored, also by the backend",
            "/app/.env: line 5 cannot be parsed and is ignored, also by the backend",
            "/app/.env: `DATABASE_URL_FILE` is ignored in this file: set it in the environment",
        ];
        assert_eq!(read.warnings, expected);
        assert!(read.text(crate::settings::key::URL).is_none());
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_an_error_where_a_value_needs_it() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        let environment = Environment::from([("X".to_owned(), OsString::from_vec(vec![0xff]))]);
        assert!(Dotenv::parse(".env".into(), "A=x", &environment).is_ok());
        assert!(matches!(Dotenv::parse(".env".into(), "A=${X}", &environment), Err(SettingsError::NotUtf8 { .. })));
    }
}
