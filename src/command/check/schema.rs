//! Checks of the schema: its revision, its tables, its indexes.

use std::collections::BTreeSet;

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::{DatabaseConnection, DbBackend};

use super::finding::Finding;
use crate::database::failure::DatabaseCause;
use crate::exit_code::ExitCode;
use crate::output::Status;
use crate::schema::drift::ledger_hint;
use crate::schema::early::{self, EarlyColumn};
use crate::schema::model::Schema;
use crate::schema::parent_index::{self, ParentIndex};
use crate::schema::sql::quoted;
use crate::schema::state::{self, Decision, SchemaState, StateError, leftover_hint};
use crate::schema::variant::{self, Match, Variant};
use crate::schema::{diff, expected, row_policy};

/// Whether the database is at the target's revision, or beyond.
pub(crate) async fn revision(connection: &DatabaseConnection, state: &SchemaState, target: Revision) -> Finding {
    match row_policy::refuse(connection, &[ledger::TABLE]).await {
        Err(cause) if state.ledger == Ledger::Empty => Finding::unanswered("revision", &cause),
        _ => at_revision(state, target),
    }
}

fn at_revision(state: &SchemaState, target: Revision) -> Finding {
    const NAME: &str = "revision";
    match state.plan(target) {
        Decision::Nothing { revision } if Revision::from_id(&revision).is_none() => {
            Finding::failed(NAME, ExitCode::Newer, format!("{}: newer than this tool?", state::described(&revision)))
        }
        Decision::Nothing { revision } => Finding::ok(NAME, state::described(&revision)),
        Decision::Upgrade { from, to } => {
            let detail = format!("{from}; `schema.target` asks for {to}: run `tarsy-db init`");
            Finding::failed(NAME, ExitCode::Pending, detail)
        }
        Decision::Create { .. } if state.revision().is_some() => {
            Finding::failed(NAME, ExitCode::Pending, "there is a ledger but no tables: run `tarsy-db init`")
        }
        Decision::Create { .. } => {
            Finding::failed(NAME, ExitCode::Pending, "there is no schema yet: run `tarsy-db init`")
        }
        Decision::Adopt => {
            Finding::failed(NAME, ExitCode::Pending, "the tables have no ledger: run `tarsy-db init` to adopt them")
        }
        Decision::Incomplete { revision, missing } => {
            let ledger =
                revision.map_or("there is no ledger".to_owned(), |revision| format!("the ledger says {revision}"));
            Finding::failed(NAME, ExitCode::Drift, format!("{ledger}, and there is no table {}", missing.join(", ")))
        }
        Decision::Ambiguous { revisions } => {
            let rows = revisions.join(", ");
            let count = revisions.len();
            let detail =
                format!("`alembic_version` has {count} rows: {rows}; find out which one is right, delete the others");
            Finding::failed(NAME, ExitCode::Drift, detail)
        }
        Decision::Leftover { tables } => {
            let left = StateError::Leftover(tables.clone());
            Finding::failed(NAME, ExitCode::Drift, format!("{left}: {}", leftover_hint(&tables)))
        }
    }
}

/// Whether the tables are those of their revision.
pub(crate) async fn tables(connection: &DatabaseConnection, state: &SchemaState, found: &Schema) -> Finding {
    const NAME: &str = "schema";
    if state.is_empty() {
        return Finding::skipped(NAME, "there are no tables yet");
    }
    match closest(connection, state, found).await {
        Ok(Some((revision, closest))) if closest.faults().next().is_some() => {
            let looks_like = looks_like(connection, state, revision, found).await;
            let half_done = half_done(connection, revision, &closest, found).await;
            drifted(NAME, &closest, looks_like, half_done)
        }
        Ok(Some((revision, closest))) => as_expected(NAME, revision, &closest, &early::columns(revision, found)),
        Ok(None) => Finding::skipped(NAME, "this version does not know the shape of that revision"),
        Err(cause) => Finding::skipped(NAME, format!("the expected shape could not be made: {cause}")),
    }
}

/// The form that the tables are most like: of the ledger's revision, or where there is none, of any. `None` for
/// revisions that this version does not know.
pub(crate) async fn closest(
    connection: &DatabaseConnection,
    state: &SchemaState,
    found: &Schema,
) -> Result<Option<(Revision, Match)>, DatabaseCause> {
    let Some(revision) = state.revision() else {
        return Ok(Some(variant::best_match(connection, found).await?));
    };
    let Some(revision) = Revision::from_id(revision) else { return Ok(None) };
    let expected = expected::replay_with_early(connection, revision, &early::columns(revision, found)).await?;
    let closest = variant::closest(connection.get_database_backend(), revision, &expected, found);
    Ok(Some((revision, closest)))
}

/// The revision that the tables are of instead of the ledger's, if there is one.
async fn looks_like(
    connection: &DatabaseConnection,
    state: &SchemaState,
    revision: Revision,
    found: &Schema,
) -> Option<Revision> {
    state.revision()?;
    variant::look_alike(connection, revision, found).await.ok().flatten()
}

/// The revision that TARSy's backend was upgrading to when it was interrupted, where that explains every fault.
async fn half_done(
    connection: &DatabaseConnection,
    revision: Revision,
    closest: &Match,
    found: &Schema,
) -> Option<Revision> {
    let backend = connection.get_database_backend();
    let next = Revision::HEAD.since(Some(revision)).next().filter(|_| backend == DbBackend::Sqlite)?;
    let replayed = expected::replay(connection, &BTreeSet::from([next])).await.ok()?;
    let after = variant::closest(backend, next, &replayed[&next], found);
    variant::is_half_done(backend, closest, &after).then_some(next)
}

fn drifted(name: &'static str, closest: &Match, looks_like: Option<Revision>, half_done: Option<Revision>) -> Finding {
    let half_done = half_done
        .map(|next| format!("a part of revision {next} is there: `tarsy-db init --to {}` completes it", next.number()));
    let looks_like =
        looks_like.map(|other| format!("these are the tables of revision {other}: {}", ledger_hint(other)));
    let lines: Vec<_> = half_done.into_iter().chain(looks_like).chain(diff::texts(closest.faults())).collect();
    Finding::failed(name, ExitCode::Drift, lines)
}

/// Tables without a fault; what else sets them apart from what TARSy creates is said.
fn as_expected(name: &'static str, revision: Revision, closest: &Match, early: &[EarlyColumn]) -> Finding {
    let mut lines = vec![format!("as in revision {revision}")];
    if closest.variant != Variant::A {
        lines.push(closest.variant.origin().to_owned());
    }
    if closest.has_doubled_keys {
        lines.push("foreign keys are there twice, as TARSy's own upgrade leaves them: harmless".to_owned());
    }
    if let Some(last) = early.last() {
        let names: Vec<_> = early.iter().map(|column| format!("{}.{}", column.table, column.name)).collect();
        lines.push(format!(
            "columns of later revisions are there already, up to {}, as TARSy's backend creates or leaves them: {}; \
             harmless, its upgrade keeps them",
            last.revision,
            names.join(", ")
        ));
    }
    let status = if closest.differences.is_empty() { Status::Ok } else { Status::Note };
    lines.extend(diff::texts(closest.differences.iter()));
    Finding::new(name, status, lines)
}

/// Whether there is the index that no revision makes.
pub(crate) fn indexes(backend: DbBackend, found: &Schema) -> Finding {
    parent_index(backend, ParentIndex::of(found))
}

fn parent_index(backend: DbBackend, index: ParentIndex) -> Finding {
    const NAME: &str = "indexes";
    let use_of_it = "for each stage that is removed the whole table is read";
    match index {
        ParentIndex::NotNeeded => Finding::ok(NAME, "no foreign key needs one that TARSy does not make"),
        ParentIndex::Present(name) => Finding::ok(NAME, format!("{name} serves the foreign key to parallel parents")),
        ParentIndex::Invalid(name) => {
            let detail = format!("{name} is invalid, and {use_of_it}: `REINDEX INDEX CONCURRENTLY {}`", quoted(&name));
            Finding::new(NAME, Status::Note, detail)
        }
        ParentIndex::Missing => {
            let detail = vec![
                format!("the foreign key to parallel parents has none, and {use_of_it}: recommended is"),
                parent_index::create_parent_index(backend),
            ];
            Finding::new(NAME, Status::Note, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn state(ledger: Ledger, revision: Revision) -> SchemaState {
        let tables = revision.tables().into_iter().map(|table| (table.to_owned(), BTreeSet::new())).collect();
        SchemaState { ledger, tables, leftovers: Vec::new() }
    }

    fn empty(ledger: Ledger) -> SchemaState {
        SchemaState { tables: BTreeMap::default(), ..state(ledger, Revision::BASELINE) }
    }

    #[test]
    fn the_revision_is_pending_until_the_target_is_reached() {
        let [baseline, head] = [Revision::BASELINE, Revision::HEAD];
        let at = |revision: Revision| state(Ledger::At(revision.id().to_owned()), revision);
        assert_eq!(at_revision(&at(baseline), baseline).status, Status::Ok);
        assert_eq!(at_revision(&at(head), baseline).status, Status::Ok);
        for (pending, says) in [
            (at_revision(&at(baseline), head), "`schema.target` asks for"),
            (at_revision(&empty(Ledger::Missing), head), "there is no schema yet"),
            (at_revision(&empty(Ledger::At(baseline.id().to_owned())), head), "there is a ledger but no tables"),
            (at_revision(&state(Ledger::Missing, baseline), head), "the tables have no ledger"),
        ] {
            assert_eq!((pending.status, pending.exit_code), (Status::Failed, ExitCode::Pending), "{pending:?}");
            assert!(pending.detail.0[0].contains(says), "{pending:?}");
        }
    }

    #[test]
    fn an_unknown_revision_is_newer_and_a_broken_ledger_is_drift() {
        let unknown = at_revision(&state(Ledger::At("0123456789ab".to_owned()), Revision::HEAD), Revision::BASELINE);
        assert_eq!(unknown.exit_code, ExitCode::Newer);
        let several = Ledger::Several(vec!["one".to_owned(), "two".to_owned()]);
        let several = at_revision(&state(several, Revision::HEAD), Revision::BASELINE);
        assert_eq!(several.exit_code, ExitCode::Drift);
        assert!(several.detail.0[0].starts_with("`alembic_version` has 2 rows: one, two; "), "{several:?}");
        let mut incomplete = state(Ledger::Missing, Revision::BASELINE);
        let last = incomplete.tables.pop_last().expect("the baseline has tables").0;
        let incomplete = at_revision(&incomplete, Revision::BASELINE);
        assert_eq!(incomplete.exit_code, ExitCode::Drift);
        assert_eq!(incomplete.detail.0, [format!("there is no ledger, and there is no table {last}")]);
    }

    #[test]
    fn what_explains_the_faults_comes_before_them() {
        let closest = Match { variant: Variant::A, differences: Vec::new(), has_doubled_keys: false };
        let [baseline, head] = [Revision::BASELINE, Revision::HEAD];
        let Finding { exit_code, detail, .. } = drifted("schema", &closest, Some(baseline), Some(head));
        assert_eq!((exit_code, detail.0.len()), (ExitCode::Drift, 2));
        assert!(detail.0[0].starts_with(&format!("a part of revision {head} is there: ")), "{detail:?}");
        assert!(detail.0[1].starts_with(&format!("these are the tables of revision {baseline}: ")), "{detail:?}");
    }

    #[test]
    fn tables_as_expected_say_where_they_come_from() {
        let closest = Match { variant: Variant::B, differences: Vec::new(), has_doubled_keys: true };
        let found = as_expected("schema", Revision::HEAD, &closest, &[]);
        assert_eq!(found.status, Status::Ok);
        assert_eq!(found.detail.0[0], format!("as in revision {}", Revision::HEAD));
        assert_eq!(found.detail.0[1], Variant::B.origin());
        assert!(found.detail.0[2].starts_with("foreign keys are there twice"), "{found:?}");
    }

    #[test]
    fn an_index_that_is_missing_or_invalid_is_a_note_with_its_statement() {
        let postgresql = DbBackend::Postgres;
        assert_eq!(parent_index(postgresql, ParentIndex::NotNeeded).status, Status::Ok);
        let missing = parent_index(postgresql, ParentIndex::Missing);
        assert_eq!(missing.status, Status::Note);
        assert_eq!(missing.detail.0[1], parent_index::create_parent_index(postgresql));
        let invalid = parent_index(postgresql, ParentIndex::Invalid("odd".to_owned()));
        assert_eq!(invalid.status, Status::Note);
        assert!(invalid.detail.0[0].ends_with(&format!("`REINDEX INDEX CONCURRENTLY {}`", quoted("odd"))));
    }
}
