//! The hazards of a source: how many there are, and the first of them. There may be as many as values, so that only the
//! report has all.

use std::collections::BTreeMap;

use super::hazard::Hazard;
use super::policy::Class;
use crate::diagnostic::{Counts, Details, Diagnostic, NAMED};
use crate::exit_code::ExitCode;
use crate::format::counted;

/// The hazards that were found so far.
#[derive(Debug, Default)]
pub(crate) struct HazardList {
    /// At most [`NAMED`].
    first: Vec<Hazard>,
    /// By table, column and class: of these there are few.
    counts: BTreeMap<(String, String, Class), u64>,
}

impl HazardList {
    pub(crate) fn add(&mut self, hazards: &[Hazard]) {
        self.first.extend(hazards.iter().take(NAMED - self.first.len()).cloned());
        for Hazard { table, column, class, .. } in hazards {
            *self.counts.entry((table.clone(), column.clone(), *class)).or_default() += 1;
        }
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Hazard> {
        self.first.first()
    }

    /// Whether there is one in a table.
    pub(crate) fn has(&self, table: &str, is_wanted: impl Fn(&str, Class) -> bool) -> bool {
        self.counts.keys().any(|(own, column, class)| own == table && is_wanted(column, *class))
    }

    /// How many there are of each class.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(self.counts.iter().map(|((_, _, class), count)| (class.to_string(), *count)))
    }
}

/// Values that cannot be converted exactly.
#[derive(Debug, thiserror::Error)]
#[error("{} of the source cannot be converted exactly; nothing was written", counted(.0.counts().total(), "value"))]
pub(crate) struct HazardError(pub HazardList);

impl Diagnostic for HazardError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Data
    }

    fn hint(&self) -> Option<String> {
        Some(
            "repair these values in a copy of the source and move the copy, or choose a policy for each class: \
             `--on CLASS=POLICY --report FILE`"
                .into(),
        )
    }

    fn details(&self) -> Details {
        Details { counts: Some(self.0.counts()), ..Details::of(&self.0.first) }
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
        let (counts, details) = (list.counts(), HazardError(list).details());
        assert_eq!(counts.total(), 10_000);
        assert_eq!(counts.groups().collect::<Vec<_>>(), [("nul", 9_999), ("null", 1)]);
        assert_eq!((details.lines.len(), details.document.as_array().map(Vec::len)), (NAMED, Some(NAMED)));
        assert!(details.lines[NAMED - 1].starts_with("events `999` payload"), "{}", details.lines[NAMED - 1]);
    }
}
