//! What an error has beside its message: exit code, hint and details.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::format::number;

/// How many items an error names of a list that may be as long as the history.
pub(crate) const NAMED: usize = 1000;

/// An error that may end the program.
pub(crate) trait Diagnostic: std::error::Error {
    /// The exit code of the process.
    fn exit_code(&self) -> ExitCode;

    /// What the operator can do: a command to paste, or one action.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The items of an error that is a list.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// The items of a list.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// As text, one item a line.
    pub lines: Vec<String>,
    /// As JSON; null if there is no list.
    pub document: serde_json::Value,
    /// If these are the first items of a list that only a report has completely: how many there are.
    pub counts: Option<Counts>,
}

impl Details {
    /// One line for each item.
    pub(crate) fn of<T: Serialize + ToString>(items: &[T]) -> Self {
        let lines = items.iter().map(ToString::to_string).collect();
        Self { lines, document: document(items), counts: None }
    }

    /// The first lines, and where the others are.
    pub(crate) fn first_lines(mut self, limit: usize) -> Vec<String> {
        let listed = self.lines.len() as u64;
        self.lines.truncate(limit);
        let shown = self.lines.len() as u64;
        let (total, place) = match &self.counts {
            Some(counts) => (counts.total(), "`--report FILE`"),
            None => (listed, "`--output json`"),
        };
        // Without any line, the items are shown elsewhere.
        if total > shown && listed > 0 {
            self.lines.push(format!("and {} more: {place} lists all", number(total - shown)));
            self.lines.extend(self.counts.map(|counts| counts.line()));
        }
        self.lines
    }
}

/// How many items a list has, by group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// From the counts of the groups, of which each may occur several times.
    pub(crate) fn of(groups: impl Iterator<Item = (String, u64)>) -> Self {
        let mut counts = BTreeMap::new();
        for (group, count) in groups {
            *counts.entry(group).or_default() += count;
        }
        Self(counts)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(group, count)| (group.as_str(), *count))
    }

    fn line(&self) -> String {
        let groups = self.groups().map(|(group, count)| format!("{group}: {}", number(count)));
        format!("in total {}", groups.collect::<Vec<_>>().join(", "))
    }
}

/// Items as JSON.
pub(crate) fn document(items: &(impl Serialize + ?Sized)) -> serde_json::Value {
    serde_json::to_value(items).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_list_says_how_many_there_are_and_where() {
        let details = |counts: Option<&[(&str, u64)]>| Details {
            counts: counts.map(|counts| Counts::of(counts.iter().map(|(group, count)| ((*group).to_owned(), *count)))),
            ..Details::of(&["one", "two", "three"])
        };
        assert_eq!(details(None).first_lines(3), ["one", "two", "three"]);
        assert_eq!(details(None).first_lines(1), ["one", "and 2 more: `--output json` lists all"]);
        let few = [("nul", 2), ("orphan", 1)];
        assert_eq!(details(Some(&few)).first_lines(3), ["one", "two", "three"]);
        let many = [("nul", 2_000), ("orphan", 1), ("nul", 1)];
        let expected = ["one", "and 2,001 more: `--report FILE` lists all", "in total nul: 2,001, orphan: 1"];
        assert_eq!(details(Some(&many)).first_lines(1), expected);
    }
}
