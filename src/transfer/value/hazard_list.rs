//! The hazards of a source: how many there are, and the first of them. There may be as many as values, so that only the
//! report has all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::hazard::Hazard;
use super::policy::{Class, Policy};
use crate::diagnostic::{Counts, Details, Diagnostic, NAMED};
use crate::exit_code::ExitCode;
use crate::format::counted;

/// The hazards that were found so far.
#[derive(Debug, Default)]
pub(crate) struct HazardList {
    /// At most [`NAMED`].
    first: Vec<Hazard>,
    /// By table, column and class: of these there are few.
    groups: BTreeMap<(String, String, Class), HazardGroup>,
}

/// The values of one column with one class.
#[derive(Debug, Serialize)]
pub(crate) struct HazardGroup {
    pub class: Class,
    pub table: String,
    pub column: String,
    pub count: u64,
    /// The primary key of the first.
    pub example: String,
    /// What is wrong with it.
    pub reason: String,
    /// What PostgreSQL would do with it, or what the server said.
    pub postgresql: String,
    /// The policies that can handle all of them.
    pub policies: Vec<Policy>,
}

impl HazardGroup {
    fn of(hazard: &Hazard) -> Self {
        let Hazard { table, primary_key, column, class, reason, postgresql, policies, .. } = hazard;
        Self {
            class: *class,
            table: table.clone(),
            column: column.clone(),
            count: 0,
            example: primary_key.clone(),
            reason: reason.clone(),
            postgresql: postgresql.clone(),
            policies: policies.to_vec(),
        }
    }
}

impl HazardList {
    pub(crate) fn add(&mut self, hazards: &[Hazard]) {
        self.first.extend(hazards.iter().take(NAMED - self.first.len()).cloned());
        for hazard in hazards {
            let key = (hazard.table.clone(), hazard.column.clone(), hazard.class);
            let group = self.groups.entry(key).or_insert_with(|| HazardGroup::of(hazard));
            group.count += 1;
            group.policies.retain(|policy| hazard.policies.contains(policy));
        }
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Hazard> {
        self.first.first()
    }

    /// Whether there is one in a table.
    pub(crate) fn has(&self, table: &str, is_wanted: impl Fn(&str, Class) -> bool) -> bool {
        self.groups.keys().any(|(own, column, class)| own == table && is_wanted(column, *class))
    }

    /// How many there are of each class.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(self.groups().map(|group| (group.class.to_string(), group.count)))
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &HazardGroup> {
        self.groups.values()
    }
}

/// Values that cannot be converted exactly.
#[derive(Debug, thiserror::Error)]
#[error("{} of the source cannot be converted exactly; nothing was written", counted(.0.counts().total(), "value"))]
pub(crate) struct HazardError(pub HazardList, pub ShownHazards);

/// Where the values of a refusal are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShownHazards {
    /// The text of the error has a line for each.
    Each,
    /// A table counts them; the file of `--report`, if there is one, lists each.
    InTable { report: Option<String> },
}

impl Diagnostic for HazardError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Data
    }

    fn hint(&self) -> Option<String> {
        Some(match &self.1 {
            ShownHazards::Each => {
                "repair these values in a copy of the source and move the copy, or choose a policy for each class: \
                 `--on CLASS=POLICY --report FILE`"
                    .into()
            }
            ShownHazards::InTable { report: None } => "`--report FILE` lists each of these values".into(),
            ShownHazards::InTable { report: Some(path) } => format!("{path} lists each of these values"),
        })
    }

    fn details(&self) -> Details {
        let details = Details { counts: Some(self.0.counts()), ..Details::of(&self.0.first) };
        match self.1 {
            ShownHazards::Each => details,
            ShownHazards::InTable { .. } => Details { lines: Vec::new(), ..details },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::hazard::{Fault, Reason};

    #[test]
    fn of_many_hazards_the_first_are_kept_and_all_are_counted() {
        let hazard = |number: usize| {
            let reason = if number == 0 { Reason::Null } else { Reason::Nul };
            Hazard::new("events", number.to_string(), "payload", &Fault::whole(reason))
        };
        let hazards: Vec<_> = (0..10 * NAMED).map(hazard).collect();
        let mut list = HazardList::default();
        assert!(list.is_empty());
        for some in hazards.chunks(7) {
            list.add(some);
        }
        let (counts, details) = (list.counts(), HazardError(list, ShownHazards::Each).details());
        assert_eq!(counts.total(), 10_000);
        assert_eq!(counts.groups().collect::<Vec<_>>(), [("nul", 9_999), ("null", 1)]);
        assert_eq!((details.lines.len(), details.document.as_array().map(Vec::len)), (NAMED, Some(NAMED)));
        assert!(details.lines[NAMED - 1].starts_with("events `999` payload"), "{}", details.lines[NAMED - 1]);
    }
}
