//! The error for tables that do not match their revision.

use migration::Revision;

use super::diff::{self, Difference};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// The tables do not match the revision that the ledger names.
#[derive(Debug, thiserror::Error)]
#[error("the tables do not match revision {revision}{}: {}", likeness(*.looks_like), diff::texts(.faults.iter()).join("; "))]
pub struct Drift {
    pub(crate) revision: Revision,
    pub(crate) faults: Vec<Difference>,
    /// The revision that the tables match, if there is one.
    pub(crate) looks_like: Option<Revision>,
}

impl Drift {
    /// For tables with faults; `None` if there are none.
    #[must_use]
    pub(crate) fn of<'f>(revision: Revision, faults: impl Iterator<Item = &'f Difference>) -> Option<Self> {
        let faults: Vec<_> = faults.cloned().collect();
        (!faults.is_empty()).then(|| Self::new(revision, faults))
    }

    /// For tables that match no other revision either.
    #[must_use]
    pub(crate) fn new(revision: Revision, faults: Vec<Difference>) -> Self {
        Self { revision, faults, looks_like: None }
    }
}

fn likeness(looks_like: Option<Revision>) -> String {
    looks_like.map(|revision| format!(", but match {revision}")).unwrap_or_default()
}

impl Diagnostic for Drift {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Drift
    }

    fn hint(&self) -> Option<String> {
        Some(match self.looks_like {
            Some(revision) => format!("{}; nothing was changed", ledger_hint(revision)),
            None if self.faults.iter().all(|fault| fault.repair.is_some()) => {
                "run `tarsy-db check --fix`, which repairs this; nothing was changed".into()
            }
            None => "`tarsy-db check` shows the differences; nothing was changed".into(),
        })
    }
}

/// The hint for tables that match another revision than the ledger names.
#[must_use]
pub(crate) fn ledger_hint(revision: Revision) -> String {
    format!(
        "if only the ledger is wrong, run `UPDATE alembic_version SET version_num = '{}'`; otherwise restore a \
         backup",
        revision.id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::diff::Severity;
    use crate::schema::repair::Repair;

    fn difference(repair: Option<Repair>) -> Difference {
        Difference { weight: Severity::Drift, text: "missing table chats".to_owned(), repair }
    }

    #[test]
    fn the_hint_is_what_can_be_done_about_these_faults() {
        let rebuild = Repair::RebuildIndex { name: "ix_mine".to_owned(), table: "mine".to_owned() };
        let hint = |faults: Vec<Difference>, looks_like| {
            Drift { looks_like, ..Drift::new(Revision::HEAD, faults) }.hint().expect("there is always one")
        };
        assert!(hint(vec![difference(Some(rebuild.clone()))], None).starts_with("run `tarsy-db check --fix`"));
        assert!(hint(vec![difference(Some(rebuild)), difference(None)], None).starts_with("`tarsy-db check` shows"));
        assert!(hint(vec![difference(None)], Some(Revision::BASELINE)).contains("version_num = 'ae85467a75d2'"));
    }
}
