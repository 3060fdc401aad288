//! Links between the documents lead to files and headings that exist.

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::support::document::{pages_in_docs, project};
use crate::support::{apply, test};

const DOCUMENTS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];

#[apply(test)]
fn links_lead_to_files_and_headings() {
    let pages = pages_in_docs().into_iter().map(|path| project().join(path));
    let documents = DOCUMENTS.iter().map(|name| project().join(name)).filter(|path| path.exists());
    let broken: Vec<String> = documents.chain(pages).flat_map(|path| broken_links(&path)).collect();
    assert_eq!(broken, Vec::<String>::new());
}

fn broken_links(document: &Path) -> Vec<String> {
    let text = prose(document);
    let links = Regex::new(r#"\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)""#).expect("a sound pattern");
    let targets = links.captures_iter(&text).map(|link| link.get(1).or(link.get(2)).expect("one of them").as_str());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    let broken = relative.filter(|target| !leads_somewhere(document, target));
    broken.map(|target| format!("{}: {target}", document.display())).collect()
}

fn leads_somewhere(document: &Path, target: &str) -> bool {
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let file: PathBuf = match file {
        "" => document.to_owned(),
        _ => document.parent().expect("a file is in a folder").join(file),
    };
    file.exists() && heading.is_none_or(|heading| anchors(&file).iter().any(|anchor| anchor == heading))
}

/// What GitHub makes of the headings of a document.
fn anchors(document: &Path) -> Vec<String> {
    let text = prose(document);
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// A document without what is in its blocks of code.
fn prose(document: &Path) -> String {
    let text = std::fs::read_to_string(document).unwrap_or_default();
    let blocks = text.split("\n```").enumerate().filter(|(number, _)| number % 2 == 0);
    blocks.map(|(_, block)| block).collect::<Vec<_>>().join("\n")
}
