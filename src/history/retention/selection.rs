//! The sessions that a policy removes from a database: chosen, planned by [`crate::history::retention::plan`], removed batch by batch.

use std::collections::BTreeSet;
use std::fmt;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};
use serde::Serialize;

use super::in_use;
use super::policy::{ActiveSessions, RetentionPolicy, has_start};
use crate::database::connection::{row, rows};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt};
use crate::history::orphans::{self, Reference};
use crate::history::removal::batch::{Batch, BatchError};
use crate::history::tables::{CHATS, DEPENDENTS, IdSet, SESSIONS, STAGES, TERMINAL_STATUSES};
use crate::schema::model::Schema;
use crate::schema::sql::literal;

/// The sessions of a database that a policy removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// What chooses them.
    pub policy: RetentionPolicy,
    backend: DbBackend,
    /// Sessions that have to stay because rows of other sessions refer to their stages. Such rows are
    /// damage, but a cascade would remove them uncounted, and without one they would stop every batch.
    needed: Vec<String>,
    /// Sessions that have to stay because they are in use: see [`in_use`].
    in_use: Vec<String>,
}

impl Selection {
    /// What a policy removes where no row refers to another session's stage, as in all sound databases.
    #[must_use]
    pub(crate) fn optimistic(connection: &impl ConnectionTrait, policy: RetentionPolicy) -> Self {
        Self { policy, backend: connection.get_database_backend(), needed: Vec::new(), in_use: Vec::new() }
    }

    /// Applies a policy to a database. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database cannot be read.
    pub(crate) async fn of(
        connection: &impl ConnectionTrait,
        schema: &Schema,
        policy: RetentionPolicy,
    ) -> Result<Self, DatabaseError> {
        let goes = policy.goes(connection.get_database_backend());
        // Gathered first, and given to what follows as values: a `NOT IN` over a large query PostgreSQL works out anew for
        // each row.
        let mut needed = Vec::new();
        for Reference { child: table, column, .. } in orphans::references_to_stages(schema) {
            let sql = needed_sessions(connection.get_database_backend(), table, column, &goes);
            let action = format!("look for references from {table} to other sessions");
            for row in rows(connection, &sql).await.context(action.as_str())? {
                needed.push(row.try_get("", "session_id").context(action.as_str())?);
            }
        }
        let in_use = match policy.active {
            ActiveSessions::Keep => in_use::find(connection, schema, policy.cutoff_us, &goes).await?,
            ActiveSessions::Remove => Vec::new(),
        };
        Ok(Self { policy, backend: connection.get_database_backend(), needed, in_use })
    }

    /// Whose database it is.
    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The condition for sessions that go.
    pub(crate) fn condition(&self) -> String {
        let goes = self.policy.goes(self.backend);
        match self.needed.is_empty() && self.in_use.is_empty() {
            true => goes,
            false => format!("{goes} AND {}", is_none_of(self.needed.iter().chain(&self.in_use))),
        }
    }

    /// Why an old session stays.
    pub(crate) fn reason(&self, session_id: &str, status: &str) -> KeptReason {
        let is_in = |ids: &[String]| ids.iter().any(|id| id == session_id);
        match self.policy.active {
            ActiveSessions::Keep if !TERMINAL_STATUSES.contains(&status) => KeptReason::NotOver,
            _ if is_in(&self.in_use) => KeptReason::InUse,
            _ if is_in(&self.needed) => KeptReason::Needed,
            _ => KeptReason::NoKey,
        }
    }
}

/// The query for sessions that would go, and whose stages rows of a table refer to that belong to another session.
fn needed_sessions(backend: DbBackend, table: &str, column: &str, goes: &str) -> String {
    let is_old = format!("s.session_id IN (SELECT session_id FROM {SESSIONS} WHERE {goes})");
    if backend == DbBackend::Postgres {
        // Nearly every row has its stage in its own session. Of an anti join PostgreSQL expects few rows, and joins whole
        // tables in parallel; `<>` it takes for a condition that all rows meet.
        return format!(
            "SELECT DISTINCT s.session_id FROM {table} o JOIN {STAGES} s ON s.execution_id = o.{column}
             WHERE o.{column} IS NOT NULL AND {is_old} AND NOT EXISTS (
                 SELECT FROM {STAGES} own WHERE own.execution_id = o.{column} AND own.session_id = o.session_id)"
        );
    }
    // A cross join is made in this order: from the few stages of old sessions by an index, or, where there is none, from
    // the few stages that have a parent.
    let tables = match table {
        STAGES => format!("{table} o CROSS JOIN {STAGES} s"),
        _ => format!("{STAGES} s CROSS JOIN {table} o"),
    };
    format!(
        "SELECT DISTINCT s.session_id AS session_id FROM {tables}
         WHERE o.{column} IS NOT NULL AND o.{column} = s.execution_id AND {is_old}
           AND (o.session_id IS NULL OR o.session_id <> s.session_id)"
    )
}

/// Why an old session stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptReason {
    /// Its status is not a terminal one.
    NotOver,
    /// A chat goes on in it, or a stage was begun after the cutoff.
    InUse,
    /// Rows of other sessions refer to its stages.
    Needed,
    /// In SQLite: its key is no text.
    NoKey,
}

impl fmt::Display for KeptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptReason::NotOver => "not in a terminal status",
            KeptReason::InUse => "in use after the cutoff",
            KeptReason::Needed => "other sessions need its stages",
            KeptReason::NoKey => "its key is not a text",
        })
    }
}

fn is_none_of<'i>(ids: impl IntoIterator<Item = &'i String>) -> String {
    let ids: Vec<_> = ids.into_iter().map(|id| literal(id)).collect();
    format!("session_id NOT IN ({})", ids.join(", "))
}

/// Counts the sessions that are meant and started before the cutoff, whatever their status.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub(crate) async fn count_old(
    connection: &impl ConnectionTrait,
    policy: &RetentionPolicy,
) -> Result<u64, DatabaseError> {
    let is_old = policy.is_old(connection.get_database_backend());
    let sql = format!("SELECT count(*) AS sessions FROM {SESSIONS} WHERE {is_old}");
    let action = "count old sessions";
    let row = row(connection, &sql).await.context(action)?;
    row.try_get("", "sessions").map(i64::unsigned_abs).context(action)
}

/// The start of the oldest session, in microseconds since the epoch.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub(crate) async fn oldest(connection: &impl ConnectionTrait) -> Result<Option<i64>, DatabaseError> {
    let has_start = has_start(connection.get_database_backend());
    let sql = format!("SELECT min(started_at_us) AS oldest FROM {SESSIONS} WHERE {has_start}");
    let action = "look for the oldest session";
    row(connection, &sql).await.context(action)?.try_get("", "oldest").context(action)
}

/// Whether any session has this value in a column.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub(crate) async fn is_met(
    connection: &impl ConnectionTrait,
    column: &str,
    value: &str,
) -> Result<bool, DatabaseError> {
    let value = literal(value);
    let sql = format!("SELECT CAST(EXISTS (SELECT 1 FROM {SESSIONS} WHERE {column} = {value}) AS INTEGER) AS is_met");
    let action = format!("look for sessions by {column}");
    let met = row(connection, &sql).await.and_then(|row| row.try_get::<i32>("", "is_met")).context(action)?;
    Ok(met != 0)
}

/// How many sessions one statement is about.
const PART: usize = 128;

/// A session that a batch has taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PickedSession {
    /// Its start, in microseconds since the epoch.
    pub started_at_us: i64,
    /// Its primary key.
    pub session_id: String,
}

/// How far a pass over the sessions, from the oldest to the newest, has come.
///
/// Each batch goes on where the last one ended: from the beginning, it would walk over all that were removed before for
/// as long as somebody's snapshot still sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// The last session that was taken.
    pub after: Option<PickedSession>,
    /// Sessions that stay, because they cannot be removed.
    pub without: BTreeSet<String>,
}

impl Cursor {
    fn condition(&self) -> String {
        let after = self.after.as_ref().map(|PickedSession { started_at_us, session_id }| {
            // The first of the two leads into the index.
            format!(
                " AND started_at_us >= {started_at_us} AND (started_at_us, session_id) > ({started_at_us}, {})",
                literal(session_id)
            )
        });
        let without = (!self.without.is_empty()).then(|| format!(" AND {}", is_none_of(&self.without)));
        after.into_iter().chain(without).collect()
    }
}

/// Takes the next sessions of a pass, at most `size` of them, and begins to remove them in one transaction. Sessions that
/// the backend is writing to are passed over; `None` means that there are no others. What was taken is added to `taken`,
/// also where it fails. `go_on` is asked now and then.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`ErrorClass::Busy`] where `go_on` said no.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    selection: &Selection,
    pass: &Cursor,
    size: u32,
    taken: &mut Vec<PickedSession>,
    go_on: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    let sessions = format!(
        "SELECT session_id, started_at_us FROM {SESSIONS} WHERE {}{} ORDER BY started_at_us, session_id LIMIT {size}",
        selection.condition(),
        pass.condition()
    );
    for row in batch.lock(&sessions).await? {
        taken.push(taken_of(&row)?);
    }
    if taken.is_empty() {
        return Ok(None);
    }
    let given = IdSet::given(selection.backend);
    let is_taken = given.holds("session_id");
    if selection.backend == DbBackend::Postgres && schema.has_column(CHATS, "session_id") {
        // Whoever sends a message has locked the chat, and not the session.
        for part in taken.chunks(PART) {
            batch.lock_given(CHATS, &is_taken, &ids(part)).await?;
        }
    }
    // Under these locks no other chat can begin: what has begun since the plan was made.
    let going = match selection.policy.active {
        ActiveSessions::Keep => {
            let query = in_use::query(schema, selection.policy.cutoff_us, &is_taken);
            let in_use = batch.texts_given(&query, &ids(taken)).await?;
            taken.iter().filter(|session| !in_use.contains(&session.session_id)).cloned().collect()
        }
        ActiveSessions::Remove => taken.clone(),
    };
    // One table after the other: the pages of its indexes are met again and again while they are in memory.
    for dependent in DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table)) {
        let condition = dependent.belongs(&given);
        for part in going.chunks(PART) {
            batch.delete(dependent.table, &condition, &ids(part)).await?;
            if !go_on() {
                return Err(DatabaseCause::new(ErrorClass::Busy, "somebody else has opened the database").into());
            }
        }
    }
    for part in going.chunks(PART) {
        batch.delete_all(part.len(), SESSIONS, &is_taken, &ids(part)).await?;
    }
    Ok(Some(batch))
}

/// The keys of sessions as a JSON array.
fn ids(sessions: &[PickedSession]) -> String {
    let ids: Vec<&str> = sessions.iter().map(|session| session.session_id.as_str()).collect();
    serde_json::Value::from(ids).to_string()
}

fn taken_of(row: &QueryResult) -> Result<PickedSession, DbErr> {
    Ok(PickedSession { started_at_us: row.try_get("", "started_at_us")?, session_id: row.try_get("", "session_id")? })
}
