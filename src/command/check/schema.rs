//! Checks of the schema: its revision, its tables, its indexes.

use std::collections::BTreeSet;

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::DbBackend;
use serde_json::json;

use super::finding::Finding;
use crate::database::connection::Connection;
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::output::Status;
use crate::schema::application::Application;
use crate::schema::drift::ledger_hint;
use crate::schema::early::{self, EarlyColumn};
use crate::schema::model::Schema;
use crate::schema::parent_index::{self, ParentIndex};
use crate::schema::state::{Decision, SchemaState};
use crate::schema::state_error::{StateError, described, in_place_of, leftover_hint};
use crate::schema::variant::{self, Match, Variant};
use crate::schema::{diff, expected, row_policy};

/// Whether the database is at the target's revision or a later one.
pub(crate) async fn revision(reader: &BoundedReader<'_>, state: &SchemaState, target: Revision) -> Finding {
    let refuse = async |reading: &Transaction| row_policy::refuse(reading, &[ledger::TABLE]).await;
    // A policy may hide the revision.
    if state.ledger == Ledger::Empty
        && let Err(cause) = reader.read_catalogs(Rows::Every, refuse).await.map_err(DatabaseCause::from).flatten()
    {
        return Finding::unanswered("revision", &cause);
    }
    at_revision(state, target)
}

/// The code of tables without a recorded revision, which `init` can adopt.
const LEDGER_MISSING: &str = "ledger_missing";

/// The finding about the revision beside that about the tables: `init` does not adopt tables with differences.
pub(crate) fn beside_tables(revision: Finding, tables: &Finding, state: &SchemaState, target: Revision) -> Finding {
    match state.pending(target) {
        Some((what, remedy)) if revision.code == LEDGER_MISSING && tables.status == Status::Failed => {
            revision.saying(format!("{what}: correct the differences below first, then {remedy}"))
        }
        _ => revision,
    }
}

fn at_revision(state: &SchemaState, target: Revision) -> Finding {
    const NAME: &str = "revision";
    let known = state.revision().and_then(Revision::from_id);
    let mut data = json!({
        "revision": state.revision(), "number": known.map(Revision::number), "target": target.id(),
        "target_number": target.number(),
    });
    let pending = |code| {
        let detail = state.pending(target).map(|(what, remedy)| format!("{what}: {remedy}"));
        Finding::failed(NAME, ExitCode::Pending, detail.unwrap_or_default()).because(code)
    };
    let finding = match state.plan(target) {
        Decision::Nothing { revision } if known.is_none() => {
            let detail = format!("{}; probably newer than this version of tarsy-db", described(&revision));
            Finding::failed(NAME, ExitCode::Newer, detail).because("revision_unknown")
        }
        Decision::Nothing { revision } => Finding::ok(NAME, described(&revision)),
        Decision::Upgrade { .. } => pending("upgrade_pending"),
        Decision::Create { .. } if !state.elsewhere.is_empty() => {
            data["schemas"] = json!(state.elsewhere);
            refused(NAME, &StateError::Elsewhere(state.elsewhere.clone())).because("schema_elsewhere")
        }
        Decision::Create { .. } if known.is_some() => pending("tables_pending"),
        Decision::Create { .. } => pending("no_schema"),
        Decision::Adopt => pending(LEDGER_MISSING),
        Decision::Refused(StateError::Incomplete { revision, missing, in_place }) => {
            let ledger = match (revision, &state.ledger) {
                (Some(revision), _) => format!("`alembic_version` records {revision}"),
                (None, Ledger::Missing) => "`alembic_version` is missing".to_owned(),
                (None, _) => state.unrecorded(),
            };
            data["missing_tables"] = json!(missing);
            let detail =
                format!("{ledger}, and these tables are missing: {}{}", missing.join(", "), in_place_of(&in_place));
            Finding::failed(NAME, ExitCode::Drift, detail).because("tables_missing")
        }
        Decision::Refused(error @ StateError::Padded(_)) => refused(NAME, &error).because("ledger_padded"),
        Decision::Refused(StateError::Ambiguous(revisions)) => {
            data["revisions"] = json!(revisions);
            let ambiguous = StateError::Ambiguous(revisions);
            let detail = format!("{ambiguous}; find out which one is right and delete the others");
            Finding::failed(NAME, ExitCode::Drift, detail).because("ledger_ambiguous")
        }
        Decision::Refused(StateError::Leftover(tables)) => {
            data["leftovers"] = json!(tables.iter().map(|left| &left.copy).collect::<Vec<_>>());
            let left = StateError::Leftover(tables.clone());
            let detail = format!("{left}: {}", leftover_hint(&tables));
            Finding::failed(NAME, ExitCode::Drift, detail).because("upgrade_interrupted")
        }
        Decision::Refused(error @ StateError::Foreign(Application::Stranger(_))) => {
            refused(NAME, &error).because("table_blocks_upgrade")
        }
        Decision::Refused(error) => refused(NAME, &error).because("another_application"),
    };
    finding.with(data)
}

fn refused(name: &'static str, error: &StateError) -> Finding {
    let lines = std::iter::once(error.to_string()).chain(error.hint());
    Finding::failed(name, error.exit_code(), lines.collect::<Vec<_>>())
}

/// Whether the tables match their revision.
pub(crate) async fn tables(connection: &Connection, state: &SchemaState, found: &Schema) -> Finding {
    const NAME: &str = "schema";
    if state.is_empty() {
        return Finding::skipped(NAME, "no tables yet");
    }
    match closest(connection, state, found).await {
        Ok(Some((revision, closest))) if closest.faults().next().is_some() => {
            let looks_like = looks_like(connection, state, revision, found).await;
            let half_done = half_done(connection, revision, &closest, found).await;
            let data = json!({
                "revision": revision.id(), "looks_like": looks_like.map(Revision::id),
                "interrupted_upgrade_to": half_done.map(Revision::id), "differences": closest.differences,
            });
            drifted(NAME, &closest, looks_like, half_done).because("drift").with(data)
        }
        Ok(Some((revision, closest))) => {
            let data = json!({
                "revision": revision.id(), "variant": closest.variant.origin(), "differences": closest.differences,
            });
            as_expected(NAME, revision, &closest, &early::columns(revision, found)).with(data)
        }
        Ok(None) => Finding::skipped(NAME, "this version of tarsy-db does not know that revision"),
        Err(cause) => without_replay(NAME, closest_recorded(connection, state, found), &cause),
    }
}

/// The result if the expected schema cannot be created here: what another server recorded still shows that the tables
/// lack something.
fn without_replay(name: &'static str, recorded: Option<(Revision, Match)>, cause: &DatabaseCause) -> Finding {
    let reason = format!("cannot create the expected schema for comparison: {cause}");
    let reason = std::iter::once(reason).chain(cause.hint());
    match recorded {
        Some((revision, closest)) => {
            let lines = diff::texts(closest.faults()).into_iter().chain(reason).collect::<Vec<_>>();
            let data = json!({ "revision": revision.id(), "differences": closest.differences });
            Finding::failed(name, ExitCode::Drift, lines).because("drift").with(data)
        }
        None => Finding::skipped(name, reason.collect::<Vec<_>>()),
    }
}

/// The variant that the tables match best: of the recorded revision, or of any revision if none is recorded. `None` for a
/// revision that this version does not know.
pub(crate) async fn closest(
    connection: &Connection,
    state: &SchemaState,
    found: &Schema,
) -> Result<Option<(Revision, Match)>, DatabaseCause> {
    let Some(revision) = state.revision() else {
        return Ok(Some(variant::best_match(connection, found).await?));
    };
    let Some(revision) = Revision::from_id(revision) else { return Ok(None) };
    // Another server's record of the same schema spares most runs a replay. Only a replay here tells what is wrong.
    if let Some(sound) =
        closest_recorded(connection, state, found).filter(|(_, closest)| closest.faults().next().is_none())
    {
        return Ok(Some(sound));
    }
    let expected = expected::replay_with_early(connection, revision, &early::columns(revision, found)).await?;
    let closest = variant::closest(connection.backend(), revision, &expected, found);
    Ok(Some((revision, closest)))
}

/// The same by what another server recorded. `None` on SQLite, and without a revision that this version knows.
fn closest_recorded(connection: &Connection, state: &SchemaState, found: &Schema) -> Option<(Revision, Match)> {
    let revision = Revision::from_id(state.revision()?)?;
    let recorded = expected::recorded_with_early(connection, revision, &early::columns(revision, found))?;
    Some((revision, variant::closest(connection.backend(), revision, &recorded, found)))
}

/// The revision that the tables match instead of the recorded one, if there is one.
async fn looks_like(
    connection: &Connection,
    state: &SchemaState,
    revision: Revision,
    found: &Schema,
) -> Option<Revision> {
    state.revision()?;
    variant::look_alike(connection, revision, found).await.ok().flatten()
}

/// The revision to which an upgrade by TARSy's backend was interrupted, if that explains every difference.
async fn half_done(connection: &Connection, revision: Revision, closest: &Match, found: &Schema) -> Option<Revision> {
    let backend = connection.backend();
    let next = Revision::HEAD.since(Some(revision)).next().filter(|_| backend == DbBackend::Sqlite)?;
    let replayed = expected::replay(connection, &BTreeSet::from([next])).await.ok()?;
    let after = variant::closest(backend, next, &replayed[&next], found);
    variant::is_half_done(backend, closest, &after).then_some(next)
}

fn drifted(name: &'static str, closest: &Match, looks_like: Option<Revision>, half_done: Option<Revision>) -> Finding {
    let half_done = half_done.map(|next| {
        format!("an upgrade to revision {next} was interrupted: `tarsy-db init --to {}` completes it", next.number())
    });
    let looks_like = looks_like.map(|other| format!("the tables match revision {other}: {}", ledger_hint(other)));
    let lines: Vec<_> = half_done.into_iter().chain(looks_like).chain(diff::texts(closest.faults())).collect();
    Finding::failed(name, ExitCode::Drift, lines)
}

/// Tables without a fault; harmless differences are listed.
fn as_expected(name: &'static str, revision: Revision, closest: &Match, early: &[EarlyColumn]) -> Finding {
    let mut lines = vec![format!("as in revision {revision}")];
    if closest.variant != Variant::A {
        lines.push(closest.variant.origin().to_owned());
    }
    if closest.has_doubled_keys {
        lines.push(
            "some foreign keys exist twice, as TARSy's own upgrade or downgrade leaves them: harmless".to_owned(),
        );
    }
    if let Some(last) = early.last() {
        let names: Vec<_> = early.iter().map(|column| format!("{}.{}", column.table, column.name)).collect();
        lines.push(format!(
            "columns of later revisions, up to {}, already exist, as TARSy's backend creates them: {}; harmless, the \
             upgrade keeps them",
            last.revision,
            names.join(", ")
        ));
    }
    let status = if closest.differences.is_empty() { Status::Ok } else { Status::Note };
    lines.extend(diff::texts(closest.differences.iter()));
    Finding::new(name, status, lines)
}

/// Whether the index exists that no revision creates.
pub(crate) fn indexes(backend: DbBackend, found: &Schema) -> Finding {
    parent_index(backend, ParentIndex::of(found))
}

fn parent_index(backend: DbBackend, index: ParentIndex) -> Finding {
    const NAME: &str = "indexes";
    let scans = "each deleted stage scans the whole table";
    match index {
        ParentIndex::NotNeeded => Finding::ok(NAME, "no index is needed beyond those that TARSy creates"),
        ParentIndex::Present(name) => {
            Finding::ok(NAME, format!("{name} covers `stage_executions.parent_stage_execution_id`"))
        }
        ParentIndex::Invalid(name) => {
            let statement = format!("REINDEX INDEX CONCURRENTLY {}", quoted(&name));
            let detail = format!("{name} is invalid, so {scans}; run `{statement}`");
            let finding = Finding::new(NAME, Status::Note, detail).because("parent_index_invalid");
            finding.with(json!({ "statements": [statement] }))
        }
        ParentIndex::Missing => {
            let statement = parent_index::create_parent_index(backend);
            let detail = vec![
                format!("`stage_executions.parent_stage_execution_id` has no index, so {scans}; run"),
                statement.clone(),
            ];
            let finding = Finding::new(NAME, Status::Note, detail).because("parent_index_missing");
            finding.with(json!({ "statements": [statement] }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::application;

    fn state(ledger: Ledger, revision: Revision) -> SchemaState {
        let tables = revision.tables().into_iter().map(application::identified).collect();
        SchemaState { ledger, tables, ..SchemaState::empty() }
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
            (at_revision(&empty(Ledger::Missing), head), "no schema yet"),
            (
                at_revision(&empty(Ledger::At(baseline.id().to_owned())), head),
                "`alembic_version` exists, but no tables",
            ),
            (at_revision(&state(Ledger::Missing, baseline), head), "the tables have no `alembic_version`"),
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
        let says = "`alembic_version` has 2 rows, and must have one: one (unknown to this version), two ";
        assert!(several.detail.0[0].starts_with(says), "{several:?}");
        let mut incomplete = state(Ledger::Missing, Revision::BASELINE);
        let last = incomplete.tables.pop_last().expect("the baseline has tables").0;
        let incomplete = at_revision(&incomplete, Revision::BASELINE);
        assert_eq!(incomplete.exit_code, ExitCode::Drift);
        assert_eq!(
            incomplete.detail.0,
            [format!("`alembic_version` is missing, and these tables are missing: {last}")]
        );
    }

    #[test]
    fn what_explains_the_faults_comes_before_them() {
        let closest = Match { variant: Variant::A, differences: Vec::new(), has_doubled_keys: false };
        let [baseline, head] = [Revision::BASELINE, Revision::HEAD];
        let Finding { exit_code, detail, .. } = drifted("schema", &closest, Some(baseline), Some(head));
        assert_eq!((exit_code, detail.0.len()), (ExitCode::Drift, 2));
        assert!(detail.0[0].starts_with(&format!("an upgrade to revision {head} was interrupted: ")), "{detail:?}");
        assert!(detail.0[1].starts_with(&format!("the tables match revision {baseline}: ")), "{detail:?}");
    }

    #[test]
    fn tables_as_expected_say_where_they_come_from() {
        let closest = Match { variant: Variant::B, differences: Vec::new(), has_doubled_keys: true };
        let found = as_expected("schema", Revision::HEAD, &closest, &[]);
        assert_eq!(found.status, Status::Ok);
        assert_eq!(found.detail.0[0], format!("as in revision {}", Revision::HEAD));
        assert_eq!(found.detail.0[1], Variant::B.origin());
        assert!(found.detail.0[2].starts_with("some foreign keys exist twice"), "{found:?}");
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
