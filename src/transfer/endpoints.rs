//! What both ends are: the revision and shape that the source is at, and what the target has to be for it.

use migration::{Revision, ledger};
use sea_orm::{DatabaseConnection, DbBackend};

use super::plan::PlanError;
use super::source::unmapped;
use super::target::operation::Operation;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::url::Backend;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::drift::Drift;
use crate::schema::early::{self, EarlyColumn};
use crate::schema::error::SchemaError;
use crate::schema::model::Schema;
use crate::schema::state::{self, Decision, SchemaState, StateError};
use crate::schema::variant::{self, Variant};
use crate::schema::{self, diff, expected, row_policy};

/// Why an end cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// A database refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// One end has the wrong backend.
    #[error("{role} {url} is not a {expected} database")]
    Backend {
        /// `the source` or `the target`.
        role: &'static str,
        /// The database, without its password.
        url: String,
        /// What it has to be.
        expected: Backend,
    },
    /// The source is no history.
    #[error(transparent)]
    SourceSchema(#[from] PlanError),
    /// The source stands where this version has never been.
    #[error("the source is at revision `{revision}`, which this version does not know")]
    SourceRevision {
        /// What its ledger says.
        revision: String,
    },
    /// The target stands beyond the source.
    #[error("the target is at revision {revision}, beyond the source's {source_revision}")]
    TargetBeyond {
        /// Where the target stands.
        revision: String,
        /// Where the source stands.
        source_revision: Revision,
        /// How many values of `alert_sessions.alert_id` an upgrade of the source would drop, if it drops them.
        dropped: Option<u64>,
    },
    /// The target holds rows, and stands before the source.
    #[error("the target holds rows at revision {revision}, and the source's are of {source_revision}")]
    TargetBehind {
        /// Where the target stands.
        revision: Revision,
        /// Where the source stands.
        source_revision: Revision,
        /// How many values of `alert_sessions.alert_id` an upgrade of the target would drop, if it drops them.
        dropped: Option<u64>,
    },
}

/// What an upgrade takes away, behind the advice to do one.
fn dropping(alert_ids: Option<u64>) -> String {
    alert_ids.map_or(String::new(), |rows| {
        let rows = counted(rows, "row");
        format!("; revision 4 on the way drops `alert_sessions.alert_id`, which holds values in {rows}")
    })
}

impl Diagnostic for EndpointError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(error) => error.exit_code(),
            Self::Schema(error) => error.exit_code(),
            Self::Backend { .. } => ExitCode::Configuration,
            Self::SourceSchema(error) => error.exit_code(),
            Self::SourceRevision { .. } | Self::TargetBeyond { .. } | Self::TargetBehind { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Database(error) => return error.hint(),
            Self::Schema(error) => return error.hint(),
            Self::Backend { .. } => {
                "give the SQLite database with `--from` and the PostgreSQL one with `--to` or DATABASE_URL".into()
            }
            Self::SourceSchema(error) => return error.hint(),
            Self::SourceRevision { .. } => "use the tarsy-db of that TARSy release".into(),
            Self::TargetBeyond { dropped, .. } => format!(
                "load into a new database; or bring a copy of the source to the target's revision first, \
                 with `tarsy-db init --to`{}",
                dropping(*dropped)
            ),
            Self::TargetBehind { source_revision, dropped, .. } => format!(
                "a database in use is not upgraded by the way: let TARSy's backend do it, or \
                 `tarsy-db init --to {}`, and append again{}",
                source_revision.id(),
                dropping(*dropped)
            ),
        })
    }
}

/// What the source is.
pub(crate) struct SourceState {
    /// Where it stands.
    pub revision: Revision,
    /// The columns of later revisions that it has already.
    pub early: Vec<EarlyColumn>,
    /// How its tables came to be.
    pub variant: Variant,
    /// What it has.
    pub schema: Schema,
    /// What a source of its revision has, with the columns of later revisions that are there.
    pub expected: Schema,
    /// How many values of `alert_sessions.alert_id` an upgrade to a revision without that column would drop.
    pub alert_ids: Option<u64>,
}

/// Finds out what the source is.
///
/// # Errors
/// [`EndpointError`] when it is no history
/// that this version can read.
pub(crate) async fn inspect_source(source: &DatabaseConnection) -> Result<SourceState, EndpointError> {
    let ledger_state = SchemaState::read(source).await.context((Verb::Read, "the source's ledger"))?;
    let found = schema::read::schema(source).await.context((Verb::Read, "the source's schema"))?;
    // What an interrupted upgrade left behind has no place on the target, and is named as such.
    let ledger_state = SchemaState { leftovers: Vec::new(), ..ledger_state };
    let revision = match ledger_state.plan(Revision::BASELINE) {
        Decision::Nothing { revision } | Decision::Incomplete { revision: Some(revision), .. } => {
            Revision::from_id(&revision).ok_or(EndpointError::SourceRevision { revision })?
        }
        Decision::Adopt => {
            variant::best_match(source, &found).await.context((Verb::Determine, "the expected schema"))?.0
        }
        Decision::Incomplete { revision: None, .. } => Revision::BASELINE,
        Decision::Ambiguous { revisions } => return Err(SchemaError::from(StateError::Ambiguous(revisions)).into()),
        Decision::Create { .. } => return Err(PlanError("it has none of TARSy's tables".into()).into()),
        Decision::Upgrade { .. } | Decision::Leftover { .. } => unreachable!("every revision is beyond the baseline"),
    };
    let early = early::columns(revision, &found);
    let expected = expected::replay_with_early(source, revision, &early)
        .await
        .context((Verb::Determine, "the expected schema"))?;
    if let Some(missing) = first_missing(&expected, &found) {
        return Err(PlanError(format!("it is at revision {revision}, but has no {missing}")).into());
    }
    let variant = variant::closest(DbBackend::Sqlite, revision, &expected, &found).variant;
    let alert_ids = dropped_alert_ids(source, &found, revision, None).await?;
    Ok(SourceState { revision, early, variant, schema: found, expected, alert_ids })
}

/// The first table or column that is expected and not there.
fn first_missing(expected: &Schema, found: &Schema) -> Option<String> {
    expected.tables.iter().find_map(|(table, expected)| match found.tables.get(table) {
        None => Some(format!("table {table}")),
        Some(found) => {
            let mut columns = expected.columns.keys();
            let missing = columns.find(|column| !found.columns.contains_key(*column));
            missing.map(|column| format!("column {table}.{column}"))
        }
    })
}

/// What the target has, and what it will have.
pub(crate) struct TargetState {
    /// What it has, once it is at the source's revision.
    pub found: Schema,
    /// What it will have when the rows come.
    pub schema: Schema,
    /// The statements that lead from one to the other.
    pub alterations: Vec<String>,
}

/// Finds out what the target will have at the source's revision, together with the columns of later revisions that the
/// source has. Empty tables also get a shape that takes the source's rows; those that hold rows have to be at the
/// revision already, and their columns stay as they are. Nothing is created before the source was found sound.
///
/// # Errors
/// [`EndpointError::TargetBehind`] or [`EndpointError::TargetBeyond`] where it is at another revision, [`SchemaError`]
/// where it is not what it should be.
pub(crate) async fn inspect_target(
    target: &DatabaseConnection,
    source: &SourceState,
    operation: Operation,
) -> Result<TargetState, EndpointError> {
    let revision = source.revision;
    let (start, found) = start_of_target(target, source).await?;
    if let Some(start) = start.filter(|start| operation == Operation::Append && *start < revision) {
        let dropped = dropped_alert_ids(target, &found, start, Some(revision)).await?;
        return Err(EndpointError::TargetBehind { revision: start, source_revision: revision, dropped });
    }
    let early = early::columns(revision, &found);
    let wanted = early::revisions(revision, early.iter().chain(&source.early));
    let mut replayed = expected::replay(target, &wanted).await.context((Verb::Determine, "the expected schema"))?;
    let mut expected = replayed[&revision].clone();
    early::add(&mut expected, &early, &replayed);
    let before = match start == Some(revision) {
        true => found,
        false => early::as_found(&expected, &early, &found),
    };
    refuse_drift(revision, &expected, &before)?;
    let mut after = before.clone();
    for schema in replayed.values_mut() {
        variant::relax(schema, source.variant);
    }
    early::add(&mut after, &source.early, &replayed);
    if operation == Operation::Move {
        variant::relax(&mut after, source.variant);
    }
    let alterations = variant::alterations(&before, &after);
    Ok(TargetState { found: before, schema: after, alterations })
}

/// Where the target stands, which is not beyond the source, and what it has. It is nowhere if it has no tables.
async fn start_of_target(
    target: &DatabaseConnection,
    source: &SourceState,
) -> Result<(Option<Revision>, Schema), EndpointError> {
    let revision = source.revision;
    let beyond = |at: Option<Revision>, found: String| EndpointError::TargetBeyond {
        revision: found,
        source_revision: revision,
        dropped: source.alert_ids.filter(|_| drops_alert_ids(revision, at)),
    };
    row_policy::refuse(target, &[ledger::TABLE]).await.context((Verb::Read, "the target's ledger"))?;
    let ledger_state = SchemaState::read(target).await.context((Verb::Read, "the target's ledger"))?;
    let found = schema::read::schema(target).await.context((Verb::Read, "the target's schema"))?;
    let start = match ledger_state.plan(revision) {
        Decision::Create { to } if to > revision => return Err(beyond(Some(to), to.to_string())),
        Decision::Create { .. } => None,
        Decision::Adopt => {
            Some(variant::best_match(target, &found).await.context((Verb::Determine, "the expected schema"))?.0)
        }
        Decision::Upgrade { from, .. } => Some(from),
        Decision::Nothing { revision: at } => match Revision::from_id(&at) {
            Some(at) => Some(at),
            None => return Err(beyond(None, state::described(&at))),
        },
        Decision::Incomplete { revision, missing } => {
            return Err(SchemaError::from(StateError::Incomplete { revision, missing }).into());
        }
        Decision::Ambiguous { revisions } => return Err(SchemaError::from(StateError::Ambiguous(revisions)).into()),
        Decision::Leftover { tables } => return Err(SchemaError::from(StateError::Leftover(tables)).into()),
    };
    match start {
        Some(start) if start > revision => Err(beyond(Some(start), start.to_string())),
        start => Ok((start, found)),
    }
}

/// Whether an upgrade drops `alert_sessions.alert_id`, the one column that a revision takes away.
fn drops_alert_ids(from: Revision, to: Option<Revision>) -> bool {
    const DROPS: usize = 4;
    from.number() < DROPS && to.is_none_or(|to| to.number() >= DROPS)
}

/// How many values of `alert_sessions.alert_id` an upgrade drops, if it drops them.
async fn dropped_alert_ids(
    connection: &DatabaseConnection,
    found: &Schema,
    from: Revision,
    to: Option<Revision>,
) -> Result<Option<u64>, EndpointError> {
    match drops_alert_ids(from, to) && found.has_column("alert_sessions", "alert_id") {
        true => {
            let counted = unmapped::count(connection, "alert_id", "alert_sessions").await;
            Ok(Some(counted.context((Verb::Count, "the alert ids"))?))
        }
        false => Ok(None),
    }
}

/// What refuses a row ends the move; what is missing would let a wrong one in.
fn refuse_drift(revision: Revision, expected: &Schema, found: &Schema) -> Result<(), SchemaError> {
    let differences = variant::closest(DbBackend::Postgres, revision, expected, found).differences;
    let faults: Vec<_> = differences.into_iter().filter(|fault| fault.weight == diff::Severity::Drift).collect();
    if faults.is_empty() { Ok(()) } else { Err(Drift::new(revision, faults).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::column_kind::ColumnKind;
    use crate::schema::model::{Column, Table};

    fn schema(tables: &[(&str, &[&str])]) -> Schema {
        let column = || Column { kind: ColumnKind::of("text"), nullable: true, default: None };
        let tables = tables.iter().map(|(name, columns)| {
            let columns = columns.iter().map(|name| ((*name).to_owned(), column())).collect();
            ((*name).to_owned(), Table { columns, ..Table::default() })
        });
        Schema { tables: tables.collect() }
    }

    #[test]
    fn what_a_source_lacks_of_its_revision_is_named() {
        let expected = schema(&[("alert_sessions", &["session_id", "status"]), ("chats", &["chat_id"])]);
        let missing = |found: &[(&str, &[&str])]| first_missing(&expected, &schema(found));
        let sessions: (&str, &[&str]) = ("alert_sessions", &["session_id", "status", "own"]);
        assert_eq!(missing(&[sessions, ("chats", &["chat_id"])]), None);
        assert_eq!(missing(&[sessions]).as_deref(), Some("table chats"));
        let found: &[(&str, &[&str])] = &[("alert_sessions", &["session_id"])];
        assert_eq!(missing(found).as_deref(), Some("column alert_sessions.status"));
    }

    #[test]
    fn alert_ids_are_lost_on_the_way_past_revision_4_alone() {
        let revision = |number: usize| Revision::all().nth(number - 1).expect("a revision");
        assert!(drops_alert_ids(revision(3), Some(revision(4))));
        assert!(drops_alert_ids(revision(1), None));
        assert!(!drops_alert_ids(revision(1), Some(revision(3))));
        assert!(!drops_alert_ids(revision(4), Some(revision(5))));
    }
}
