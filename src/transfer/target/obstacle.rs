//! What a move would fail at, as data.

use std::fmt;

use serde::Serialize;

use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::counted;

/// What the move would fail at, all of it.
#[derive(Debug, thiserror::Error)]
#[error("{} in the way on the target; nothing was changed", things(.0.len()))]
pub(crate) struct ObstacleError(pub Vec<Obstacle>);

fn things(count: usize) -> String {
    format!("{} {}", counted(count as u64, "thing"), if count == 1 { "is" } else { "are" })
}

impl Diagnostic for ObstacleError {
    /// The code that all obstacles share, so that whoever tries again on some codes does not where one of the obstacles
    /// needs somebody; otherwise that of a refusal.
    fn exit_code(&self) -> ExitCode {
        let mut codes = self.0.iter().map(|obstacle| obstacle.kind.exit_code());
        let first = codes.next().unwrap_or(ExitCode::Refused);
        if codes.all(|code| code == first) { first } else { ExitCode::Refused }
    }

    fn details(&self) -> Details {
        Details::of(&self.0)
    }
}

/// One thing that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What kind of thing.
    pub kind: ObstacleKind,
    /// Where it is: a table, a schema, a setting.
    pub object: String,
    /// What is the matter with it; a sentence together with the object.
    pub what: String,
    /// What the reader can do about it.
    pub advice: String,
    /// Whether the history can be moved all the same.
    pub weight: ObstacleSeverity,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, what, advice, .. } = self;
        write!(f, "{object} {what}; {advice}")
    }
}

/// Whether the history can be moved all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleSeverity {
    /// The move would fail, or prove nothing.
    Refusal,
    /// Worth knowing beforehand.
    Warning,
}

/// What kind of thing is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleKind {
    /// The server is a standby.
    Standby,
    /// The role or the database accepts no writes.
    ReadOnly,
    /// The role may not do what has to be done.
    Privilege,
    /// The database cannot hold every text.
    Encoding,
    /// A table holds rows.
    Rows,
    /// Something else has the name of a table.
    Name,
    /// There are tables of these names in several schemas.
    Schema,
    /// A table has parents, children, or is a part of another.
    Inheritance,
    /// A crash empties a table.
    Unlogged,
    /// A column that a row cannot be without, or that takes no value.
    Column,
    /// A condition that rows have to fulfil.
    Condition,
    /// A trigger that fires while rows are loaded.
    Trigger,
    /// A trigger that fires when the schema is changed.
    EventTrigger,
    /// A rule on rows that are inserted.
    Rule,
    /// Row-level security.
    RowSecurity,
    /// Foreign keys and triggers are switched off for the session.
    ReplicationRole,
    /// What is loaded goes elsewhere, too.
    Publication,
    /// Rows come from elsewhere, too.
    Subscription,
    /// Somebody uses a table.
    Lock,
    /// A prepared transaction holds a table.
    Prepared,
    /// The commit waits for another server.
    SynchronousStandby,
    /// Sorting may take only so much of the disk.
    TemporaryFiles,
    /// The disk is too small.
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

    #[test]
    fn obstacles_have_the_code_that_all_of_them_share() {
        let obstacle = |kind| Obstacle {
            kind,
            object: "the server".to_owned(),
            what: "is in the way".to_owned(),
            advice: "take it away".to_owned(),
            weight: ObstacleSeverity::Refusal,
        };
        let code = |kinds: &[ObstacleKind]| ObstacleError(kinds.iter().copied().map(obstacle).collect()).exit_code();
        assert_eq!(code(&[ObstacleKind::Standby]), ExitCode::Unavailable);
        assert_eq!(code(&[ObstacleKind::Privilege, ObstacleKind::RowSecurity]), ExitCode::Privilege);
        assert_eq!(code(&[ObstacleKind::Privilege, ObstacleKind::Disk]), ExitCode::Refused);
    }
}
