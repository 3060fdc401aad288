//! The SQL statements of the preflight.

use super::obstacle::{ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use crate::schema::privilege::MISSING_TEMPORARY;

/// The operations that a check applies to.
const ANY: &[Operation] = &[Operation::Move, Operation::Append];
const MOVE: &[Operation] = &[Operation::Move];
const APPEND: &[Operation] = &[Operation::Append];

/// Each statement follows [`OURS`] and returns rows of three texts: the object, the problem and what to do. The
/// statements are ASCII: with some encodings the server could not read anything else.
pub(crate) const CHECKS: [(ObstacleKind, ObstacleSeverity, &[Operation], &str); 32] = [
    (ObstacleKind::Standby, ObstacleSeverity::Refusal, ANY, include_str!("checks/standby.sql")),
    (ObstacleKind::ReadOnly, ObstacleSeverity::Refusal, ANY, include_str!("checks/read_only.sql")),
    (ObstacleKind::Encoding, ObstacleSeverity::Refusal, ANY, include_str!("checks/encoding.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, include_str!("checks/no_schema.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, include_str!("checks/create.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, MISSING_TEMPORARY),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, include_str!("checks/ownership.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, include_str!("checks/table_privileges.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, APPEND, include_str!("checks/append_privileges.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, include_str!("checks/ledger_privileges.sql")),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, include_str!("checks/sequence_privileges.sql")),
    (ObstacleKind::Name, ObstacleSeverity::Refusal, ANY, include_str!("checks/names.sql")),
    (ObstacleKind::Name, ObstacleSeverity::Refusal, ANY, include_str!("checks/types.sql")),
    (ObstacleKind::Schema, ObstacleSeverity::Warning, ANY, include_str!("checks/schemas.sql")),
    (ObstacleKind::Inheritance, ObstacleSeverity::Refusal, MOVE, include_str!("checks/partitions.sql")),
    (ObstacleKind::Inheritance, ObstacleSeverity::Warning, ANY, include_str!("checks/inheritance.sql")),
    (ObstacleKind::Unlogged, ObstacleSeverity::Refusal, ANY, include_str!("checks/unlogged.sql")),
    (ObstacleKind::Column, ObstacleSeverity::Refusal, ANY, include_str!("checks/columns.sql")),
    (ObstacleKind::Condition, ObstacleSeverity::Warning, ANY, include_str!("checks/conditions.sql")),
    (ObstacleKind::Function, ObstacleSeverity::Warning, ANY, include_str!("checks/functions.sql")),
    (ObstacleKind::Trigger, ObstacleSeverity::Refusal, ANY, include_str!("checks/triggers_without_path.sql")),
    (ObstacleKind::Trigger, ObstacleSeverity::Warning, ANY, include_str!("checks/triggers.sql")),
    (ObstacleKind::EventTrigger, ObstacleSeverity::Warning, MOVE, include_str!("checks/event_triggers.sql")),
    (ObstacleKind::Rule, ObstacleSeverity::Warning, MOVE, include_str!("checks/rules.sql")),
    (ObstacleKind::Rule, ObstacleSeverity::Warning, APPEND, include_str!("checks/append_rules.sql")),
    (ObstacleKind::RowSecurity, ObstacleSeverity::Refusal, ANY, include_str!("checks/row_security.sql")),
    (ObstacleKind::Publication, ObstacleSeverity::Warning, MOVE, include_str!("checks/publications.sql")),
    (ObstacleKind::Subscription, ObstacleSeverity::Warning, ANY, include_str!("checks/subscriptions.sql")),
    (ObstacleKind::Lock, ObstacleSeverity::Warning, MOVE, include_str!("checks/locks.sql")),
    (ObstacleKind::Prepared, ObstacleSeverity::Refusal, MOVE, include_str!("checks/prepared.sql")),
    (ObstacleKind::SynchronousStandby, ObstacleSeverity::Warning, ANY, include_str!("checks/synchronous_standby.sql")),
    (ObstacleKind::TemporaryFiles, ObstacleSeverity::Warning, MOVE, include_str!("checks/temporary_files.sql")),
];

/// The CTEs of all checks, and their parameters.
pub(crate) const OURS: &str = include_str!("checks/ours.sql");
