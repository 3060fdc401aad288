//! What the documents for contributors name in the source is there.

use std::path::Path;

use crate::support::document::{file_text, project};
use crate::support::{apply, test};

const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/terms.md"];

/// The folders that a path in the documents begins with.
const FOLDERS: [&str; 7] = ["src/", "migration/", "tests/", "examples/", "docs/", "benchsuite/", "completions/"];

/// What a document has between backquotes, each with what comes between it and the next.
fn quoted(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    parts[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn is_path(name: &str) -> bool {
    FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', ' ', '<'])
}

fn is_source(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

#[apply(test)]
fn every_path_that_the_documents_name_is_there() {
    let mut named = 0;
    for document in DOCUMENTS {
        let text = file_text(document);
        let quoted = quoted(&text).into_iter().map(|(name, _)| name).filter(|name| is_path(name)).map(str::to_owned);
        // In a diagram: `["7. binary COPY<br>transfer/target/copy.rs"]`.
        let drawn = text.split("<br>").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        let drawn = drawn.filter(|name| is_source(name)).map(|name| format!("src/{name}"));
        for path in quoted.chain(drawn) {
            assert!(project().join(&path).exists(), "{document} names `{path}`, which is not there");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} paths were found");
}

/// As in "`copy_table` (`src/transfer/target/copy.rs`)".
#[apply(test)]
fn what_the_documents_name_beside_a_file_is_in_that_file() {
    let mut named = 0;
    for document in DOCUMENTS {
        let text = file_text(document);
        for pair in quoted(&text).windows(2) {
            let [(name, between), (path, _)] = pair else { continue };
            if *between == " (" && path.starts_with("src/") && is_source(path) {
                let item = name.rsplit("::").next().unwrap_or(name);
                assert!(file_text(path).contains(item), "{document}: `{item}` is not in `{path}`");
                named += 1;
            }
        }
    }
    assert!(named > 20, "only {named} names were found");
}
