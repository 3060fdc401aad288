//! Which sessions are old enough to go: a policy, a plan, and its application batch by batch.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use serde::Serialize;

use super::batch::Batch;
use super::{DEPENDENTS, SESSIONS, TERMINAL_STATUSES};
use crate::connection::{row, rows};
use crate::failure::{Cause, DatabaseError, Doing};
use crate::schema::{Schema, literal, quoted};

/// Which sessions may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Sessions that started before this moment, in microseconds since the epoch, are old.
    pub cutoff_us: i64,
    /// What happens to old sessions that are not over.
    pub active: ActiveSessions,
}

/// What happens to old sessions that are not in a terminal status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveSessions {
    /// They stay.
    Keep,
    /// They go, too.
    Remove,
}

/// How old is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Longer ago than this.
    OlderThan(Duration),
    /// Before this moment.
    Before(DateTime<Utc>),
}

/// Why a retention cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// It would remove everything.
    #[error("a retention of {0} would remove the whole history")]
    NotPositive(String),
    /// It reaches back beyond what a time can say.
    #[error("a retention of {0} reaches back too far")]
    TooLong(String),
    /// It would remove every event, or reaches back beyond what a time can say.
    #[error("events cannot be kept for {0} hours")]
    Events(u32),
}

impl RetentionError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            RetentionError::NotPositive(_) => "the cutoff has to lie in the past; to start anew, use a new database",
            RetentionError::TooLong(_) => "give a number of days, as in `90d`",
            RetentionError::Events(_) => "set EVENT_RETENTION_HOURS to what browsers may need, 24 for a day",
        }
    }
}

impl Policy {
    /// Works out the cutoff.
    ///
    /// # Errors
    /// [`RetentionError`] for a retention that is zero, negative or too long.
    pub fn new(limit: Limit, active: ActiveSessions, now: DateTime<Utc>) -> Result<Self, RetentionError> {
        let cutoff = match limit {
            Limit::OlderThan(age) => {
                let shown = humantime::format_duration(age).to_string();
                if age.is_zero() {
                    return Err(RetentionError::NotPositive(shown));
                }
                let age = chrono::TimeDelta::from_std(age).map_err(|_| RetentionError::TooLong(shown.clone()))?;
                now.checked_sub_signed(age).ok_or(RetentionError::TooLong(shown))?
            }
            Limit::Before(moment) if moment >= now => {
                return Err(RetentionError::NotPositive(format!("everything before {moment}")));
            }
            Limit::Before(moment) => moment,
        };
        Ok(Self { cutoff_us: cutoff.timestamp_micros(), active })
    }

    /// The condition for sessions that started before the cutoff.
    fn is_old(&self, backend: DbBackend) -> String {
        format!("{} AND started_at_us < {}", has_start(backend), self.cutoff_us)
    }
}

/// The condition that a session's start is a number: in SQLite a column may hold anything.
#[must_use]
pub fn has_start(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "started_at_us IS NOT NULL",
        _ => "typeof(started_at_us) = 'integer'",
    }
}

/// The sessions of a database that a policy removes.
#[derive(Debug, Clone)]
pub struct Selection {
    policy: Policy,
    backend: DbBackend,
    /// Sessions that have to stay because rows of other sessions refer to their stages. Such rows are
    /// damage, but a cascade would remove them uncounted, and without one they would stop every batch.
    needed: Vec<String>,
}

impl Selection {
    /// Applies a policy to a database. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database cannot be read.
    pub async fn of(connection: &impl ConnectionTrait, schema: &Schema, policy: Policy) -> Result<Self, DatabaseError> {
        let mut needed = Vec::new();
        for (table, column) in REFERENCES_TO_STAGES {
            let has = |name: &str, column: &str| {
                schema.tables.get(name).is_some_and(|table| table.columns.contains_key(column))
            };
            if !has(table, column) || !has("stage_executions", "execution_id") {
                continue;
            }
            let sql = format!(
                "SELECT DISTINCT s.session_id AS session_id
                 FROM stage_executions s JOIN {table} o ON o.{column} = s.execution_id
                 WHERE s.session_id IS NOT NULL AND (o.session_id IS NULL OR o.session_id <> s.session_id)"
            );
            let action = format!("look for references from {table} to other sessions");
            for row in rows(connection, &sql).await.doing(action.as_str())? {
                needed.push(row.try_get("", "session_id").doing(action.as_str())?);
            }
        }
        Ok(Self { policy, backend: connection.get_database_backend(), needed })
    }

    /// The condition for sessions that go.
    fn condition(&self) -> String {
        let mut parts = vec![self.policy.is_old(self.backend)];
        if self.policy.active == ActiveSessions::Keep {
            parts.push(format!("status IN ('{}')", TERMINAL_STATUSES.join("', '")));
        }
        if !self.needed.is_empty() {
            let ids: Vec<_> = self.needed.iter().map(|id| literal(id)).collect();
            parts.push(format!("session_id NOT IN ({})", ids.join(", ")));
        }
        parts.join(" AND ")
    }
}

/// The columns that point to a stage.
const REFERENCES_TO_STAGES: [(&str, &str); 3] = [
    ("llm_interactions", "stage_execution_id"),
    ("mcp_communications", "stage_execution_id"),
    ("stage_executions", "parent_stage_execution_id"),
];

/// What an application of the policy would remove.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Sessions that go.
    pub sessions: u64,
    /// The start of the oldest of them, in microseconds since the epoch.
    pub oldest_us: Option<i64>,
    /// The start of the newest of them, in microseconds since the epoch.
    pub newest_us: Option<i64>,
    /// Rows and bytes that go, children first.
    pub tables: Vec<TablePlan>,
    /// Old sessions that stay because they are not over.
    pub kept: Vec<KeptSession>,
}

/// What goes from one table.
#[derive(Debug, Clone, Serialize)]
pub struct TablePlan {
    /// Its name.
    pub table: &'static str,
    /// Rows that go.
    pub rows: u64,
    /// Bytes of their values, as they are stored.
    pub bytes: u64,
}

/// An old session that stays.
#[derive(Debug, Clone, Serialize)]
pub struct KeptSession {
    /// Its primary key.
    pub session_id: String,
    /// Why it stays.
    pub status: String,
    /// Its start, in microseconds since the epoch.
    pub started_at_us: i64,
}

impl Plan {
    /// All rows that go.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// All bytes that go.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// Counts what would be removed. Reads only.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub async fn plan(
    connection: &impl ConnectionTrait,
    schema: &Schema,
    selection: &Selection,
) -> Result<Plan, DatabaseError> {
    let sessions = format!("SELECT session_id FROM {SESSIONS} WHERE {}", selection.condition());
    let mut tables = Vec::new();
    for dependent in DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table)) {
        let condition = dependent.belongs.replace("{sessions}", &sessions);
        tables.push(table_plan(connection, schema, dependent.table, &condition).await?);
    }
    tables.push(table_plan(connection, schema, SESSIONS, &selection.condition()).await?);

    let action = "plan the retention";
    let span = format!(
        "SELECT count(*) AS sessions, min(started_at_us) AS oldest, max(started_at_us) AS newest FROM {SESSIONS} WHERE {}",
        selection.condition()
    );
    let span = row(connection, &span).await.doing(action)?;
    let kept = format!(
        "SELECT session_id, status, started_at_us FROM {SESSIONS} WHERE {} AND NOT ({}) \
         ORDER BY started_at_us, session_id",
        selection.policy.is_old(selection.backend),
        selection.condition()
    );
    let kept = rows(connection, &kept).await.doing(action)?;
    let kept = kept.iter().map(|row| {
        Ok(KeptSession {
            session_id: row.try_get("", "session_id")?,
            status: row.try_get("", "status")?,
            started_at_us: row.try_get("", "started_at_us")?,
        })
    });
    Ok(Plan {
        sessions: span.try_get("", "sessions").map(i64::unsigned_abs).doing(action)?,
        oldest_us: span.try_get("", "oldest").doing(action)?,
        newest_us: span.try_get("", "newest").doing(action)?,
        tables,
        kept: kept.collect::<Result<_, DbErr>>().doing(action)?,
    })
}

/// Counts the rows of a table that meet a condition, and their bytes.
pub(super) async fn table_plan(
    connection: &impl ConnectionTrait,
    schema: &Schema,
    table: &'static str,
    condition: &str,
) -> Result<TablePlan, DatabaseError> {
    let size = match connection.get_database_backend() {
        DbBackend::Postgres => "pg_column_size",
        _ => "octet_length",
    };
    let columns = schema.tables.get(table).map(|table| table.columns.keys()).into_iter().flatten();
    let sizes: Vec<_> = columns.map(|column| format!("coalesce({size}({}), 0)", quoted(column))).collect();
    let sql = format!(
        "SELECT count(*) AS row_count, CAST(coalesce(sum({}), 0) AS BIGINT) AS byte_count FROM {table} WHERE {condition}",
        sizes.join(" + ")
    );
    let action = format!("count what goes from {table}");
    let row = row(connection, &sql).await.doing(action.as_str())?;
    let number = |name| row.try_get("", name).map(i64::unsigned_abs).doing(action.as_str());
    Ok(TablePlan { table, rows: number("row_count")?, bytes: number("byte_count")? })
}

/// Counts the sessions that started before the cutoff, whatever their status.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub async fn count_old(connection: &impl ConnectionTrait, policy: &Policy) -> Result<u64, DatabaseError> {
    let is_old = policy.is_old(connection.get_database_backend());
    let sql = format!("SELECT count(*) AS sessions FROM {SESSIONS} WHERE {is_old}");
    let action = "count old sessions";
    let row = row(connection, &sql).await.doing(action)?;
    row.try_get("", "sessions").map(i64::unsigned_abs).doing(action)
}

/// Begins to remove the oldest sessions of the selection, at most `batch_size` of them, in one transaction.
/// Sessions that the backend is writing to are passed over; `None` means that there are no others.
///
/// # Errors
/// [`DatabaseError`]; the batch is rolled back.
pub async fn remove_batch(
    connection: &DatabaseConnection,
    schema: &Schema,
    selection: &Selection,
    batch_size: u32,
) -> Result<Option<Batch>, DatabaseError> {
    remove(connection, schema, selection, batch_size).await.doing("remove a batch of sessions")
}

async fn remove(
    connection: &DatabaseConnection,
    schema: &Schema,
    selection: &Selection,
    batch_size: u32,
) -> Result<Option<Batch>, Cause> {
    let mut batch = Batch::begin(connection).await?;
    let sessions = format!(
        "SELECT session_id FROM {SESSIONS} WHERE {} ORDER BY started_at_us, session_id LIMIT {batch_size}",
        selection.condition()
    );
    let ids: Vec<String> = batch.lock(&sessions).await?;
    if ids.is_empty() {
        return Ok(None);
    }
    let given = match selection.backend {
        DbBackend::Postgres => "SELECT jsonb_array_elements_text($1::jsonb)",
        _ => "SELECT value FROM json_each($1)",
    };
    let wanted = ids.len();
    let ids = serde_json::Value::from(ids).to_string();
    for dependent in DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table)) {
        let condition = dependent.belongs.replace("{sessions}", given);
        batch.delete(dependent.table, &condition, &ids).await?;
    }
    batch.delete_all(wanted, SESSIONS, &format!("session_id IN ({given})"), &ids).await?;
    Ok(Some(batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_769_904_000_000_000).expect("a moment")
    }

    #[test]
    fn the_cutoff_is_exact_to_the_microsecond() {
        let limit = Limit::OlderThan(Duration::from_hours(90 * 24));
        let policy = Policy::new(limit, ActiveSessions::Keep, now()).expect("a sound retention");
        assert_eq!(policy.cutoff_us, 1_769_904_000_000_000 - 90 * 86_400 * 1_000_000);
    }

    #[test]
    fn a_retention_that_removes_everything_is_refused() {
        for limit in
            [Limit::OlderThan(Duration::ZERO), Limit::Before(now()), Limit::Before(now() + Duration::from_secs(1))]
        {
            let refused = Policy::new(limit, ActiveSessions::Keep, now());
            assert!(matches!(refused, Err(RetentionError::NotPositive(_))), "{limit:?}");
        }
        let endless = Policy::new(Limit::OlderThan(Duration::MAX), ActiveSessions::Keep, now());
        assert!(matches!(endless, Err(RetentionError::TooLong(_))));
    }

    #[test]
    fn only_sessions_that_are_over_and_not_needed_go_unless_told_otherwise() {
        let policy = Policy { cutoff_us: 5, active: ActiveSessions::Keep };
        let keep = Selection { policy, backend: DbBackend::Postgres, needed: vec!["it's".to_owned()] };
        let expected = "started_at_us IS NOT NULL AND started_at_us < 5 \
                        AND status IN ('completed', 'failed', 'cancelled', 'timed_out') AND session_id NOT IN ('it''s')";
        assert_eq!(keep.condition(), expected);
        let policy = Policy { active: ActiveSessions::Remove, ..policy };
        let remove = Selection { policy, backend: DbBackend::Sqlite, needed: Vec::new() };
        assert_eq!(remove.condition(), "typeof(started_at_us) = 'integer' AND started_at_us < 5");
    }
}
