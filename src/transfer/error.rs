//! Why a history was not moved.

use super::target::obstacle::ObstacleKind;
use migration::Revision;
use serde::Serialize;

use super::source::damage::Damage;
use super::source::lacking::{self, Lacking};
use super::source::snapshot::SnapshotError;
use super::target::conflict::{self, Conflict};
use super::target::obstacle::Obstacle;
use super::target::preflight;
use super::value::hazard::Hazard;
use super::value::policy;
use crate::database::failure::{DatabaseError, ErrorClass};
use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::schema::error::SchemaError;

/// The rows of one table that are not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The table.
    pub table: String,
    /// The rows of the source.
    pub source_rows: u64,
    /// The rows of the target.
    pub target_rows: u64,
    /// The first differences: `primary key: columns`, a missing or an additional row.
    pub differences: Vec<String>,
}

impl Mismatch {
    /// What differs, one difference a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let counts =
            format!("{}: {} rows in the source, {} in the target", self.table, self.source_rows, self.target_rows);
        let rows = self.differences.iter().map(|difference| format!("{} {difference}", self.table));
        std::iter::once(counts).chain(rows).collect()
    }
}

/// Why a history was not moved. The target holds no row of it.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One of the databases refused something.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The source cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The target's schema cannot be used.
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
        expected: crate::database::url::Backend,
    },
    /// Things on the target that the move would fail at.
    #[error("{} in the way on the target; nothing was changed", things(.0.len()))]
    Obstacles(Vec<Obstacle>),
    /// The source is not a TARSy history.
    #[error("the source is not a TARSy history: {0}")]
    SourceSchema(String),
    /// The source stands where this version has never been.
    #[error("the source is at revision `{revision}`, which this version does not know")]
    SourceRevision {
        /// What its ledger says.
        revision: String,
    },
    /// The target stands beyond the source.
    #[error("the target is at revision {revision}, beyond the source's {source_revision}")]
    TargetRevision {
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
    /// The source has what the target has no place for.
    #[error("the target has no place for {} of the source; nothing was changed", items(.0.len()))]
    Lacking(Vec<Lacking>),
    /// `--ignore` names something that is not missing on the target.
    #[error("`--ignore` is for what the target has no place for, which {} is not", .names.join(", "))]
    NotLacking {
        /// The names.
        names: Vec<String>,
    },
    /// The target holds rows.
    #[error("the target already holds rows in {}", .tables.join(", "))]
    TargetNotEmpty {
        /// The tables with rows.
        tables: Vec<String>,
    },
    /// Rows that cannot come to those of the target.
    #[error("{} with the target's own; nothing was changed ({insertable} more could be inserted, {identical} are there already)", conflict::count(.conflicts))]
    Conflicts {
        /// All of them.
        conflicts: Vec<Conflict>,
        /// How many rows could be inserted.
        insertable: u64,
        /// How many rows are there, and the same.
        identical: u64,
    },
    /// The source's file is damaged.
    #[error("the source {path} is damaged: {} of SQLite's integrity check; nothing was written", findings(.damage.total))]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        damage: Damage,
    },
    /// Values that PostgreSQL cannot hold.
    #[error("{} of the source cannot be carried over exactly; nothing was written", values(.0.len()))]
    Hazards(Vec<Hazard>),
    /// The target refused what looked sound.
    #[error("the target refused to {action}; rolled back")]
    Rejected {
        /// What was tried.
        action: String,
        /// Its answer.
        #[source]
        cause: crate::database::failure::DatabaseCause,
    },
    /// The choice of policies makes no sense.
    #[error(transparent)]
    Policies(policy::PolicyError),
    /// The report cannot be written.
    #[error("cannot write the report {path}")]
    Report {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The report of a move that took place is there already.
    #[error("{path} is the report of a move that took place; it may hold the only copy of values that were changed")]
    ReportExists {
        /// The file.
        path: String,
    },
    /// Something else is in the place of the report.
    #[error("{path} is there, and is no report that could be written over")]
    NoReport {
        /// The file.
        path: String,
    },
    /// There is at least one value that cannot be carried over; the whole source has to be looked at for all of them.
    #[error("the source holds values that cannot be carried over exactly; rolled back")]
    Unfit,
    /// What was read back is not what was sent.
    #[error("the target does not hold what the source holds in {}; rolled back", tables(.0))]
    Mismatch(Vec<Mismatch>),
    /// A target that was filled earlier does not hold what the source holds.
    #[error("the target does not hold what the source holds in {}", tables(.0))]
    Different(Vec<Mismatch>),
    /// Somebody wrote to the source meanwhile.
    #[error("the source {path} changed while it was read; rolled back")]
    SourceChanged {
        /// The file.
        path: String,
    },
}

/// What an upgrade takes away, behind the advice to do one.
fn dropping(alert_ids: Option<u64>) -> String {
    alert_ids.map_or(String::new(), |rows| {
        let rows = lacking::counted(rows, "row");
        format!("; revision 4 on the way drops `alert_sessions.alert_id`, which holds values in {rows}")
    })
}

fn values(count: usize) -> String {
    if count == 1 { "1 value".to_owned() } else { format!("{count} values") }
}

fn findings(count: usize) -> String {
    if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") }
}

fn items(count: usize) -> String {
    if count == 1 { "1 item".to_owned() } else { format!("{count} items") }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") }
}

fn tables(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| mismatch.table.as_str()).collect::<Vec<_>>().join(", ")
}

impl Diagnostic for TransferError {
    fn exit_code(&self) -> ExitCode {
        match self {
            TransferError::Schema(error) => error.exit_code(),
            TransferError::Database(error) => error.exit_code(),
            TransferError::Snapshot(error) => error.exit_code(),
            TransferError::Hazards(_) | TransferError::Unfit | TransferError::Rejected { .. } => ExitCode::Data,
            TransferError::Mismatch(_) | TransferError::Different(_) => ExitCode::Mismatch,
            TransferError::Policies(_) => ExitCode::Usage,
            TransferError::Damaged { .. } => ExitCode::InputOutput,
            TransferError::Report { .. } => ExitCode::CannotCreate,
            TransferError::SourceChanged { .. } => ExitCode::Busy,
            TransferError::Backend { .. } => ExitCode::Configuration,
            TransferError::Obstacles(obstacles) => obstacles_code(obstacles),
            TransferError::SourceSchema(_) => ExitCode::Drift,
            TransferError::Lacking(_)
            | TransferError::NotLacking { .. }
            | TransferError::ReportExists { .. }
            | TransferError::NoReport { .. }
            | TransferError::TargetNotEmpty { .. }
            | TransferError::TargetBehind { .. }
            | TransferError::Conflicts { .. }
            | TransferError::SourceRevision { .. }
            | TransferError::TargetRevision { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            TransferError::Database(error) => return error.hint(),
            TransferError::Schema(error) => return error.hint(),
            TransferError::Snapshot(error) => return error.hint(),
            TransferError::Backend { .. } => {
                "give the SQLite database with `--from` and the PostgreSQL one with `--to` or DATABASE_URL".into()
            }
            TransferError::SourceRevision { .. } => "use the tarsy-db of that TARSy release".into(),
            TransferError::TargetRevision { dropped, .. } => format!(
                "load into a new database; or bring a copy of the source to the target's revision first, \
                 with `tarsy-db init --to`{}",
                dropping(*dropped)
            ),
            TransferError::Lacking(lacking) => lacking::hint(lacking),
            TransferError::TargetBehind { source_revision, dropped, .. } => format!(
                "a database in use is not upgraded by the way: let TARSy's backend do it, or \
                 `tarsy-db init --to {}`, and append again{}",
                source_revision.id(),
                dropping(*dropped)
            ),
            TransferError::TargetNotEmpty { .. } => preflight::NOT_EMPTY.into(),
            TransferError::Conflicts { .. } => {
                "compare both by these keys: what the target holds is kept, and rows that are not wanted can be removed \
                 from a copy of the source"
                    .into()
            }
            TransferError::Damaged { .. } => {
                "restore a backup, or recover what can be read into a new file (https://www.sqlite.org/recovery.html) \
                 and move that; `--accept-damage --report FILE` moves what can be read of this one, and how many rows or \
                 values are missing or altered then, cannot be known"
                    .into()
            }
            TransferError::Hazards(_) => {
                "mend these values in a copy of the source and move the copy, or choose what is done about a class of \
                 them: `--on CLASS=POLICY`, with `--report FILE`"
                    .into()
            }
            TransferError::ReportExists { .. } | TransferError::NoReport { .. } => "give `--report` another file".into(),
            TransferError::SourceChanged { .. } => {
                "start again, and either stop TARSy's backend before or let it run all the time".into()
            }
            TransferError::Different(_) => {
                "what TARSy wrote to the target since it was moved is only there; values that a policy changed need the \
                 same `--on` as then"
                    .into()
            }
            TransferError::Mismatch(_) => "look for triggers and rules on the target's tables that change rows".into(),
            _ => return None,
        })
    }

    fn details(&self) -> Details {
        match self {
            TransferError::Hazards(hazards) => Details::of(hazards),
            TransferError::Conflicts { conflicts, .. } => Details::of(conflicts),
            TransferError::Damaged { damage, .. } => Details { lines: damage.lines(), document: document(damage) },
            TransferError::Lacking(lacking) => Details::of(lacking),
            TransferError::Obstacles(obstacles) => Details::of(obstacles),
            TransferError::Mismatch(mismatches) | TransferError::Different(mismatches) => {
                Details { lines: mismatches.iter().flat_map(Mismatch::lines).collect(), document: document(mismatches) }
            }
            _ => Details::default(),
        }
    }
}

/// The code that all obstacles share, so that whoever tries again on some codes does not where one of the obstacles
/// needs somebody; otherwise that of a refusal.
fn obstacles_code(obstacles: &[Obstacle]) -> ExitCode {
    let code = |obstacle: &Obstacle| match obstacle.kind {
        ObstacleKind::Privilege | ObstacleKind::RowSecurity => ExitCode::Privilege,
        ObstacleKind::Standby | ObstacleKind::ReadOnly => ExitCode::Unavailable,
        ObstacleKind::Prepared => ExitCode::Busy,
        ObstacleKind::Encoding => ExitCode::Configuration,
        ObstacleKind::Disk => ExitCode::InputOutput,
        _ => ExitCode::Refused,
    };
    let mut codes = obstacles.iter().map(code);
    let first = codes.next().unwrap_or(ExitCode::Refused);
    if codes.all(|code| code == first) { first } else { ExitCode::Refused }
}

/// A refusal of values gets an error of its own; the rest is the database's trouble.
pub(crate) fn rejected(action: impl Into<String>, cause: crate::database::failure::DatabaseCause) -> TransferError {
    let action = action.into();
    match cause.class {
        ErrorClass::Data | ErrorClass::Constraint => TransferError::Rejected { action, cause },
        _ => TransferError::Database(DatabaseError { action, cause }),
    }
}
