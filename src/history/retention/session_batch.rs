//! Removes the sessions of a selection in batches, each in one transaction.

use std::collections::BTreeSet;

use sea_orm::{DbBackend, DbErr, QueryResult};

use super::in_use;
use super::policy::{ActiveSessions, RetentionPolicy};
use super::selection::{Selection, is_none_of};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::quote::literal;
use crate::history::id_set::IdSet;
use crate::history::removal::batch::{Batch, BatchError};
use crate::history::tables::{CHATS, DEPENDENTS, SESSIONS};
use crate::schema::model::Schema;

/// The number of sessions in one statement.
const PART: usize = 128;

/// A session of the current batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PickedSession {
    /// Its start, in microseconds since the epoch.
    pub started_at_us: i64,
    pub session_id: String,
}

impl PickedSession {
    fn of(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self { started_at_us: row.try_get("", "started_at_us")?, session_id: row.try_get("", "session_id")? })
    }
}

/// The position of a pass over the sessions, from the oldest to the newest.
///
/// Each batch continues where the last one ended: from the beginning it would scan all removed sessions again, as long
/// as a snapshot still sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// The last session of the last batch.
    pub after: Option<PickedSession>,
    /// Sessions that are skipped, because they cannot be removed.
    pub without: BTreeSet<String>,
}

impl Cursor {
    fn condition(&self) -> String {
        let after = self.after.as_ref().map(|PickedSession { started_at_us, session_id }| {
            // The first condition is redundant, but uses the index.
            format!(
                " AND started_at_us >= {started_at_us} AND (started_at_us, session_id) > ({started_at_us}, {})",
                literal(session_id)
            )
        });
        let without = (!self.without.is_empty()).then(|| format!(" AND {}", is_none_of(&self.without)));
        after.into_iter().chain(without).collect()
    }
}

/// The next sessions of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'p> {
    pub(crate) selection: &'p Selection,
    pub(crate) cursor: &'p Cursor,
    /// The maximal number of sessions.
    pub(crate) size: u32,
}

impl Page<'_> {
    fn query(&self) -> String {
        format!(
            "SELECT session_id, started_at_us FROM {SESSIONS} WHERE {}{} ORDER BY started_at_us, session_id LIMIT {}",
            self.selection.condition(),
            self.cursor.condition(),
            self.size
        )
    }
}

/// Picks the next sessions, and begins to remove them in one transaction. Sessions that the backend is writing to are
/// skipped; `None` means that there are no others. The picked sessions are added to `taken`, also on failure.
/// `may_continue` is asked repeatedly.
///
/// # Errors
/// [`BatchError`]; the batch is rolled back. [`ErrorClass::Busy`] if `may_continue` returned false.
pub(crate) async fn remove_batch(
    mut batch: Batch,
    schema: &Schema,
    page: Page<'_>,
    taken: &mut Vec<PickedSession>,
    may_continue: impl Fn() -> bool,
) -> Result<Option<Batch>, BatchError> {
    for row in batch.lock(&page.query()).await? {
        taken.push(PickedSession::of(&row)?);
    }
    if taken.is_empty() {
        return Ok(None);
    }
    lock_chats(&batch, schema, taken).await?;
    let going = without_those_in_use(&batch, schema, &page.selection.policy, taken).await?;
    delete(&mut batch, schema, &going, may_continue).await?;
    Ok(Some(batch))
}

/// Locks the chats of sessions on PostgreSQL: a session that sends a message locks the chat, not the session.
async fn lock_chats(batch: &Batch, schema: &Schema, sessions: &[PickedSession]) -> Result<(), DbErr> {
    if batch.backend() != DbBackend::Postgres || !schema.has_column(CHATS, "session_id") {
        return Ok(());
    }
    let is_taken = IdSet::bound(batch.backend()).contains("session_id");
    for part in sessions.chunks(PART) {
        batch.lock_bound(CHATS, &is_taken, &ids(part)).await?;
    }
    Ok(())
}

/// Removes sessions that came into use since the plan from the list. While the chats are locked no other one can begin.
async fn without_those_in_use(
    batch: &Batch,
    schema: &Schema,
    policy: &RetentionPolicy,
    sessions: &[PickedSession],
) -> Result<Vec<PickedSession>, DbErr> {
    match policy.active {
        ActiveSessions::Keep => {
            let is_taken = IdSet::bound(batch.backend()).contains("session_id");
            let query = in_use::query(schema, policy.cutoff_us, &is_taken);
            let in_use = batch.texts_bound(&query, &ids(sessions)).await?;
            Ok(sessions.iter().filter(|session| !in_use.contains(&session.session_id)).cloned().collect())
        }
        ActiveSessions::Remove => Ok(sessions.to_vec()),
    }
}

/// Deletes sessions and the rows that belong to them.
async fn delete(
    batch: &mut Batch,
    schema: &Schema,
    sessions: &[PickedSession],
    may_continue: impl Fn() -> bool,
) -> Result<(), BatchError> {
    let bound = IdSet::bound(batch.backend());
    // One table after the other, so that the pages of its indexes stay in memory.
    for dependent in DEPENDENTS.iter().filter(|dependent| schema.tables.contains_key(dependent.table)) {
        let condition = dependent.of_sessions(&bound);
        for part in sessions.chunks(PART) {
            batch.delete(dependent.table, &condition, &ids(part)).await?;
            if !may_continue() {
                return Err(DatabaseCause::new(ErrorClass::Busy, "another program has opened the database").into());
            }
        }
    }
    let is_taken = bound.contains("session_id");
    for part in sessions.chunks(PART) {
        batch.delete_exactly(part.len(), SESSIONS, &is_taken, &ids(part)).await?;
    }
    Ok(())
}

/// The keys of sessions as a JSON array.
fn ids(sessions: &[PickedSession]) -> String {
    let ids: Vec<&str> = sessions.iter().map(|session| session.session_id.as_str()).collect();
    serde_json::Value::from(ids).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_continues_after_the_last_session_and_skips_those_that_cannot_be_removed() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.condition(), "");
        cursor.after = Some(PickedSession { started_at_us: 7, session_id: "it's".to_owned() });
        let after = " AND started_at_us >= 7 AND (started_at_us, session_id) > (7, 'it''s')";
        assert_eq!(cursor.condition(), after);
        cursor.without.insert("stuck".to_owned());
        assert_eq!(cursor.condition(), format!("{after} AND session_id NOT IN ('stuck')"));
    }
}
