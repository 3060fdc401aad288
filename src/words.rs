//! Holds the words of messages and comments against the rules of `docs/terms.md`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::database::failure::Verb;

/// Words that leave open who acts, or what is done.
const VAGUE: [&str; 13] = [
    "somebody",
    "nobody",
    "anybody",
    "everybody",
    "whoever",
    "trouble",
    "troubles",
    "mend",
    "mends",
    "mended",
    "mending",
    "heal",
    "heals",
];

/// The Rust files below a directory of the project, with their text.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => directories.push(path),
                Some("rs") if !path.ends_with("words.rs") => {
                    files.push((path.clone(), std::fs::read_to_string(&path).expect("a source file is text")));
                }
                _ => {}
            }
        }
    }
    files
}

#[test]
fn no_vague_word_is_used() {
    let mut found = String::new();
    for (path, text) in ["src", "migration/src", "tests", "examples"].into_iter().flat_map(sources) {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for word in lower.split(|c: char| !c.is_alphabetic()).filter(|word| VAGUE.contains(word)) {
                writeln!(found, "{}:{}: {word}", path.display(), number + 1).expect("a String takes it");
            }
        }
    }
    assert!(found.is_empty(), "say who acts, and what is done:\n{found}");
}

/// A literal may be broken over lines; comments are not messages.
fn program(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.map(str::trim_start).collect::<Vec<_>>().join("\n").replace("\\\n", "")
}

/// Whether the verb behind "cannot" is one of the list, or comes from a format.
fn is_listed(rest: &str) -> bool {
    let is_verb =
        |verb: &Verb| rest.strip_prefix(verb.word()).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    rest.starts_with('{') || Verb::ALL.iter().any(is_verb)
}

#[test]
fn a_message_that_begins_with_cannot_continues_with_a_verb_of_the_list() {
    let mut found = String::new();
    for (path, text) in sources("src") {
        let program = program(&text);
        for rest in program.split("\"cannot ").skip(1).filter(|rest| !is_listed(rest)) {
            let shown = rest.split(['"', '\n']).next().unwrap_or_default();
            writeln!(found, "{}: cannot {shown}", path.display()).expect("a String takes it");
        }
    }
    assert!(found.is_empty(), "`Verb` has the words:\n{found}");
}

#[test]
fn the_manual_lists_the_verbs() {
    let terms = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/terms.md");
    let terms = std::fs::read_to_string(terms).expect("the words of the project").replace('\n', " ");
    let verbs: Vec<_> = Verb::ALL.iter().map(|verb| format!("`{}`", verb.word())).collect();
    assert!(terms.contains(&format!(" {}. ", verbs.join(", "))), "docs/terms.md lists {}", verbs.join(", "));
}
