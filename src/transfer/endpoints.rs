//! The state of both databases: the source's revision and schema variant, and what the target needs to match them.

use migration::{Revision, ledger};
use sea_orm::DbBackend;

use super::plan::PlanError;
use super::source::unmapped;
use super::target::operation::Operation;
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::url::{Backend, DatabaseUrl};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format::{counted, shell_word};
use crate::schema::drift::Drift;
use crate::schema::early::{self, EarlyColumn};
use crate::schema::error::SchemaError;
use crate::schema::model::Schema;
use crate::schema::state::{Decision, SchemaState};
use crate::schema::state_error::{StateError, described};
use crate::schema::variant::{self, Variant};
use crate::schema::{self, diff, expected, row_policy};

/// Why the source or the target cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// A statement failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The URL is of the wrong backend.
    #[error("{role} {url} is not a {expected} database")]
    Backend {
        /// `the source` or `the target`.
        role: &'static str,
        /// The database URL, with its password masked.
        url: String,
        /// The backend that this role needs.
        expected: Backend,
    },
    /// A source in memory.
    #[error("the source is in memory, where it holds no rows")]
    Memory,
    /// Without `--to`, the target is the database URL, which is not a PostgreSQL one.
    #[error("no PostgreSQL database was named: the database URL ({source_name}) is {url}")]
    NoTarget {
        /// The database URL, with its password masked.
        url: String,
        /// What set it: a flag, a variable, a file or the default.
        source_name: String,
    },
    /// The source is not a TARSy history, or a column of the target has a type that none of TARSy's has.
    #[error(transparent)]
    SourceSchema(#[from] PlanError),
    /// The source has no table or column that its revision has.
    #[error("the source lacks {missing} of its revision {revision}")]
    SourceLacks {
        /// `` `chats`, a table ``.
        missing: String,
        revision: Revision,
        /// The path of its file.
        file: String,
    },
    /// This version does not know the source's revision.
    #[error("the source is at revision `{revision}`, which this version does not know")]
    SourceRevision {
        /// The revision in `alembic_version`.
        revision: String,
    },
    /// The target is at a later revision than the source.
    #[error("the target is at revision {revision}, which is later than the source's revision {source_revision}")]
    TargetBeyond {
        /// The target's revision, as it is shown.
        revision: String,
        /// The source's revision.
        source_revision: Revision,
        /// How many values of `alert_sessions.alert_id` an upgrade of the source would drop; `None` if it drops none.
        dropped: Option<u64>,
    },
    /// The target holds rows and is at an earlier revision than the source.
    #[error("the target holds rows and is at revision {revision}, but the source is at revision {source_revision}")]
    TargetBehind {
        /// The target's revision.
        revision: Revision,
        /// The source's revision.
        source_revision: Revision,
        /// How many values of `alert_sessions.alert_id` an upgrade of the target would drop; `None` if it drops none.
        dropped: Option<u64>,
    },
}

/// Warns in the hint that the upgrade deletes values.
fn dropping(alert_ids: Option<u64>) -> String {
    alert_ids.map_or(String::new(), |rows| {
        let rows = counted(rows, "row");
        format!(" (revision 4 drops the column `alert_sessions.alert_id`, which has values in {rows})")
    })
}

impl Diagnostic for EndpointError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(error) => error.exit_code(),
            Self::Schema(error) => error.exit_code(),
            Self::Backend { .. } | Self::Memory | Self::NoTarget { .. } => ExitCode::Configuration,
            Self::SourceSchema(error) => error.exit_code(),
            Self::SourceLacks { .. } => ExitCode::Drift,
            Self::SourceRevision { .. } | Self::TargetBeyond { .. } | Self::TargetBehind { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Database(error) => return error.hint(),
            Self::Schema(error) => return error.hint(),
            Self::Backend { .. } => {
                "name the SQLite database with `--from` and the PostgreSQL database with `--to` or DATABASE_URL".into()
            }
            Self::Memory => "name a file with `--from`".into(),
            Self::NoTarget { .. } => "name it with `--to postgresql://USER@HOST/DATABASE` or with DATABASE_URL".into(),
            Self::SourceSchema(error) => return error.hint(),
            Self::SourceLacks { file, .. } => {
                format!("run `tarsy-db check --database-url {}`", shell_word(&format!("sqlite:///{file}")))
            }
            Self::SourceRevision { .. } => "use the tarsy-db version that belongs to the source's TARSy release".into(),
            Self::TargetBeyond { dropped, .. } => format!(
                "use a new, empty database as the target, or upgrade a copy of the source to the target's revision with \
                 `tarsy-db init --to` and move the copy{}",
                dropping(*dropped)
            ),
            Self::TargetBehind { source_revision, dropped, .. } => format!(
                "upgrade the target with `tarsy-db init --to {}` or by starting TARSy's backend, then append again{}",
                source_revision.id(),
                dropping(*dropped)
            ),
        })
    }
}

/// The source's revision and schema.
pub(crate) struct SourceState {
    /// From `alembic_version`, or derived from the tables if there is no ledger.
    pub revision: Revision,
    /// The columns of later revisions that it already has.
    pub early: Vec<EarlyColumn>,
    /// What created its tables, which decides their details.
    pub variant: Variant,
    /// Its tables and columns.
    pub schema: Schema,
    /// The schema of its revision, with the columns in `early`.
    pub expected: Schema,
    /// How many values of `alert_sessions.alert_id` an upgrade would drop; `None` if the column is not there.
    pub alert_ids: Option<u64>,
}

/// Reads the source's revision and schema. `url` is that of its file, for messages.
///
/// # Errors
/// [`EndpointError`] if it is not a TARSy history that this version can read.
pub(crate) async fn inspect_source(source: &Connection, url: &DatabaseUrl) -> Result<SourceState, EndpointError> {
    let ledger_state = source
        .reading(async |reading| SchemaState::read(reading).await)
        .await
        .context((Verb::Read, "the source's ledger"))?;
    let found = source
        .reading(async |reading| schema::read::schema(reading).await)
        .await
        .context((Verb::Read, "the source's schema"))?;
    // Tables that an interrupted upgrade left are reported as unmapped.
    let ledger_state = SchemaState { leftovers: Vec::new(), ..ledger_state };
    let revision = match ledger_state.plan(Revision::BASELINE) {
        Decision::Nothing { revision } | Decision::Refused(StateError::Incomplete { revision: Some(revision), .. }) => {
            Revision::from_id(&revision).ok_or(EndpointError::SourceRevision { revision })?
        }
        Decision::Adopt => {
            variant::best_match(source, &found).await.context((Verb::Determine, "the expected schema"))?.0
        }
        Decision::Refused(StateError::Incomplete { revision: None, .. }) => Revision::BASELINE,
        Decision::Refused(error) => return Err(SchemaError::from(error).into()),
        Decision::Create { .. } => return Err(PlanError::Source("it has none of TARSy's tables".into()).into()),
        Decision::Upgrade { .. } => {
            unreachable!("no revision is earlier than the baseline")
        }
    };
    let early = early::columns(revision, &found);
    let expected = expected::replay_with_early(source, revision, &early)
        .await
        .context((Verb::Determine, "the expected schema"))?;
    if let Some(missing) = first_missing(&expected, &found) {
        return Err(EndpointError::SourceLacks { missing, revision, file: url.to_string() });
    }
    let variant = variant::closest(DbBackend::Sqlite, revision, &expected, &found).variant;
    // Of damaged pages they cannot be counted: SQLite's check of the whole file comes later and lists its findings.
    let alert_ids = dropped_alert_ids(source, &found, revision, None).await.ok().flatten();
    Ok(SourceState { revision, early, variant, schema: found, expected, alert_ids })
}

/// Makes sure that the target does not belong to another application, as far as the role can read that.
///
/// # Errors
/// [`StateError::Foreign`] as an [`EndpointError`].
pub(crate) async fn require_tarsys(target: &Connection) -> Result<(), EndpointError> {
    match target.reading(async |reading| SchemaState::read(reading).await).await {
        Ok(state) => Ok(state.require_tarsys().map_err(SchemaError::from)?),
        Err(_) => Ok(()),
    }
}

/// The first expected table or column that is missing.
fn first_missing(expected: &Schema, found: &Schema) -> Option<String> {
    expected.tables.iter().find_map(|(table, expected)| match found.tables.get(table) {
        None => Some(format!("`{table}`, a table")),
        Some(found) => {
            let mut columns = expected.columns.keys();
            let missing = columns.find(|column| !found.columns.contains_key(*column));
            missing.map(|column| format!("`{table}.{column}`, a column"))
        }
    })
}

/// The target's schema before and after the statements that adapt it.
pub(crate) struct TargetState {
    /// Its schema once it is at the source's revision.
    pub found: Schema,
    /// Its schema while rows are copied.
    pub schema: Schema,
    /// The statements that change `found` into `schema`.
    pub alterations: Vec<String>,
}

/// Determines the target's schema at the source's revision, with the columns of later revisions that the source has.
/// Columns of empty tables are also relaxed so that they accept the source's rows. Tables with rows must already be at
/// that revision, and their columns are not relaxed. Reads only: nothing is created here.
///
/// # Errors
/// [`EndpointError::TargetBehind`] or [`EndpointError::TargetBeyond`] if the target is at another revision,
/// [`SchemaError`] if its tables differ from its revision.
pub(crate) async fn inspect_target(
    target: &Connection,
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

/// Returns the target's revision (`None` if it has no tables) and its schema.
///
/// # Errors
/// [`EndpointError::TargetBeyond`] if it is at a later revision than the source.
async fn start_of_target(
    target: &Connection,
    source: &SourceState,
) -> Result<(Option<Revision>, Schema), EndpointError> {
    let revision = source.revision;
    let beyond = |at: Option<Revision>, found: String| EndpointError::TargetBeyond {
        revision: found,
        source_revision: revision,
        dropped: source.alert_ids.filter(|_| drops_alert_ids(revision, at)),
    };
    target
        .reading(async |reading| row_policy::refuse(reading, &[ledger::TABLE]).await)
        .await
        .context((Verb::Read, "the target's ledger"))?;
    let ledger_state = target
        .reading(async |reading| SchemaState::read(reading).await)
        .await
        .context((Verb::Read, "the target's ledger"))?;
    let found = target
        .reading(async |reading| schema::read::schema(reading).await)
        .await
        .context((Verb::Read, "the target's schema"))?;
    let start = match ledger_state.plan(revision) {
        Decision::Create { to } if to > revision => return Err(beyond(Some(to), to.to_string())),
        Decision::Create { .. } => None,
        Decision::Adopt => {
            Some(variant::best_match(target, &found).await.context((Verb::Determine, "the expected schema"))?.0)
        }
        Decision::Upgrade { from, .. } => Some(from),
        Decision::Nothing { revision: at } => match Revision::from_id(&at) {
            Some(at) => Some(at),
            None => return Err(beyond(None, described(&at))),
        },
        Decision::Refused(error) => return Err(SchemaError::from(error).into()),
    };
    match start {
        Some(start) if start > revision => Err(beyond(Some(start), start.to_string())),
        start => Ok((start, found)),
    }
}

/// Whether an upgrade drops `alert_sessions.alert_id`, the only column that a revision drops.
fn drops_alert_ids(from: Revision, to: Option<Revision>) -> bool {
    const DROPS: usize = 4;
    from.number() < DROPS && to.is_none_or(|to| to.number() >= DROPS)
}

/// Counts the values of `alert_sessions.alert_id` if an upgrade would drop them.
async fn dropped_alert_ids(
    connection: &Connection,
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

/// Refuses a target whose tables differ from its revision: a stricter column would reject rows, a missing constraint
/// would accept wrong ones.
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
    fn the_first_missing_table_or_column_is_named() {
        let expected = schema(&[("alert_sessions", &["session_id", "status"]), ("chats", &["chat_id"])]);
        let missing = |found: &[(&str, &[&str])]| first_missing(&expected, &schema(found));
        let sessions: (&str, &[&str]) = ("alert_sessions", &["session_id", "status", "own"]);
        assert_eq!(missing(&[sessions, ("chats", &["chat_id"])]), None);
        assert_eq!(missing(&[sessions]).as_deref(), Some("`chats`, a table"));
        let found: &[(&str, &[&str])] = &[("alert_sessions", &["session_id"])];
        assert_eq!(missing(found).as_deref(), Some("`alert_sessions.status`, a column"));
    }

    #[test]
    fn only_revision_4_drops_alert_ids() {
        let revision = |number: usize| Revision::all().nth(number - 1).expect("a revision");
        assert!(drops_alert_ids(revision(3), Some(revision(4))));
        assert!(drops_alert_ids(revision(1), None));
        assert!(!drops_alert_ids(revision(1), Some(revision(3))));
        assert!(!drops_alert_ids(revision(4), Some(revision(5))));
    }
}
