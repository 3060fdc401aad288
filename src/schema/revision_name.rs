//! The names of revisions, as an operator gives them.

use migration::{Revision, UnknownRevision};

/// Parses the name of a revision.
///
/// # Errors
/// What was expected: all revisions and the nearest, if there is one.
pub(crate) fn known_revision(text: &str) -> Result<Revision, String> {
    text.parse().map_err(|error: UnknownRevision| {
        if error != UnknownRevision::Unmatched {
            return error.to_string();
        }
        let names = ["head", "baseline"].into_iter().chain(Revision::all().map(Revision::id));
        let scored = names
            .map(|name| (strsim::jaro_winkler(&text.to_lowercase(), name), name))
            .filter(|(score, _)| *score > 0.8);
        let nearest = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
        let nearest = nearest.map_or(String::new(), |(_, name)| format!("; the nearest is `{name}`"));
        let all = Revision::all().map(|revision| format!("{} {}", revision.number(), revision.id()));
        format!("{error}{nearest}; the revisions are {}", all.collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_revision_is_answered_with_the_nearest_and_all() {
        let message = |text: &str| known_revision(text).expect_err(text);
        assert!(message("heed").contains("; the nearest is `head`; the revisions are 1 ae85467a75d2, 2 "));
        assert!(message("ae85467a75d3").contains("the nearest is `ae85467a75d2`;"));
        assert!(!message("24").contains("nearest"));
        assert_eq!(message("a"), "`a` is the beginning of several revisions");
    }
}
