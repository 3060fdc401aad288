//! A problem on the target, as data.

use std::fmt;

use serde::Serialize;

use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::format::counted;

/// All problems on the target that prevent the move or append.
#[derive(Debug, thiserror::Error)]
#[error("the target cannot take the data: {}; nothing was changed", counted(lines(.0).len() as u64, "problem"))]
pub(crate) struct ObstacleError(pub Vec<Obstacle>);

impl Diagnostic for ObstacleError {
    /// The code that all obstacles share, otherwise that of a refusal: a script that retries on some codes must not
    /// retry if one of the obstacles needs the operator.
    fn exit_code(&self) -> ExitCode {
        let mut codes = self.0.iter().map(|obstacle| obstacle.kind.exit_code());
        let first = codes.next().unwrap_or(ExitCode::Refused);
        if codes.all(|code| code == first) { first } else { ExitCode::Refused }
    }

    fn details(&self) -> Details {
        Details { lines: lines(&self.0), document: document(&self.0), counts: None }
    }
}

/// One line for each obstacle. Obstacles of one kind with the same advice, such as seven tables with rows, share one.
fn lines(obstacles: &[Obstacle]) -> Vec<String> {
    let is_alike = |one: &Obstacle, other: &Obstacle| one.kind == other.kind && one.advice == other.advice;
    let groups = obstacles.chunk_by(is_alike);
    groups
        .map(|group| {
            let problems: Vec<_> =
                group.iter().map(|Obstacle { object, what, .. }| format!("{object} {what}")).collect();
            format!("{}; {}", problems.join(", "), group[0].advice)
        })
        .collect()
}

/// One problem on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// For scripts.
    pub kind: ObstacleKind,
    /// The table, schema, setting or session.
    pub object: String,
    /// The problem; `object` and `what` form a sentence.
    pub what: String,
    /// What the operator can do.
    pub advice: String,
    /// Whether the move is refused.
    pub weight: ObstacleSeverity,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, what, advice, .. } = self;
        write!(f, "{object} {what}; {advice}")
    }
}

/// Whether an obstacle prevents the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleSeverity {
    /// The move would fail, or its result could not be verified.
    Refusal,
    /// The move is possible.
    Warning,
}

/// The kinds of obstacles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleKind {
    /// The server is a standby, which is read-only.
    Standby,
    /// The role or the database accepts no writes.
    ReadOnly,
    /// The role lacks privileges.
    Privilege,
    /// The database cannot hold every text.
    Encoding,
    /// A table holds rows.
    Rows,
    /// Another object has the name of one of TARSy's tables.
    Name,
    /// Several schemas have tables with these names.
    Schema,
    /// A table inherits, is inherited from, or is a partition.
    Inheritance,
    /// A table is UNLOGGED: a crash empties it.
    Unlogged,
    /// A column needs a value that the source does not have, or is generated.
    Column,
    /// A CHECK or exclusion constraint that TARSy did not create.
    Condition,
    /// A function that an index, a constraint or a column calls has no search path of its own.
    Function,
    /// A trigger fires for loaded rows.
    Trigger,
    /// An event trigger fires when indexes are dropped and recreated.
    EventTrigger,
    /// A rule on INSERT.
    Rule,
    /// Row-level security applies to the role.
    RowSecurity,
    /// `session_replication_role` turns off foreign keys and triggers.
    ReplicationRole,
    /// The source's numbers leave none, or few, to a sequence.
    Sequence,
    /// A publication sends the loaded rows to its subscribers.
    Publication,
    /// A subscription writes to a table.
    Subscription,
    /// Another session locks a table.
    Lock,
    /// A prepared transaction locks a table.
    Prepared,
    /// The commit waits for a standby that is not connected.
    SynchronousStandby,
    /// `temp_file_limit` limits the sorts that build indexes.
    TemporaryFiles,
    /// The server's disk has too little free space.
    Disk,
}

impl ObstacleKind {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Privilege | Self::RowSecurity => ExitCode::Privilege,
            Self::Standby | Self::ReadOnly => ExitCode::Unavailable,
            Self::Prepared => ExitCode::Busy,
            Self::Encoding => ExitCode::Configuration,
            Self::Disk => ExitCode::InputOutput,
            _ => ExitCode::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle_at(kind: ObstacleKind, object: &str) -> Obstacle {
        Obstacle {
            kind,
            object: object.to_owned(),
            what: "holds 1 row".to_owned(),
            advice: "use a new database".to_owned(),
            weight: ObstacleSeverity::Refusal,
        }
    }

    #[test]
    fn tables_with_rows_are_one_problem_for_people_and_several_in_json() {
        let [events, chats] = ["events", "chats"].map(|table| obstacle_at(ObstacleKind::Rows, table));
        let error = ObstacleError(vec![obstacle_at(ObstacleKind::Name, "view x"), events, chats]);
        assert_eq!(error.to_string(), "the target cannot take the data: 2 problems; nothing was changed");
        let details = error.details();
        assert_eq!(
            details.lines,
            ["view x holds 1 row; use a new database", "events holds 1 row, chats holds 1 row; use a new database"]
        );
        assert_eq!(details.document.as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn different_codes_become_a_refusal() {
        let obstacle = |kind| obstacle_at(kind, "the server");
        let code = |kinds: &[ObstacleKind]| ObstacleError(kinds.iter().copied().map(obstacle).collect()).exit_code();
        assert_eq!(code(&[ObstacleKind::Standby]), ExitCode::Unavailable);
        assert_eq!(code(&[ObstacleKind::Privilege, ObstacleKind::RowSecurity]), ExitCode::Privilege);
        assert_eq!(code(&[ObstacleKind::Privilege, ObstacleKind::Disk]), ExitCode::Refused);
    }
}
