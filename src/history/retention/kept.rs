//! Old sessions that a policy does not remove: how many there are, and which.

use std::fmt;

use sea_orm::{DbBackend, DbErr, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait, Select};
use serde::Serialize;

use super::policy::ActiveSessions;
use super::selection::{Selection, count, count_old};
use super::stretch::Stretch;
use crate::database::failure::DatabaseError;
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::{self, Column};
use crate::history::entity::{select, shown};
use crate::history::tables::TERMINAL_STATUSES;

/// How many kept sessions a plan lists.
pub(crate) const MOST_KEPT: u64 = 20;

/// An old session that is kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeptSession {
    pub session_id: String,
    pub status: String,
    pub reason: KeptReason,
    /// In microseconds since the epoch.
    pub started_at_us: i64,
}

/// Why an old session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptReason {
    /// Its status is not a terminal one.
    NotOver,
    /// It has a chat in progress, or a stage that started after the cutoff.
    InUse,
    /// Rows of other sessions refer to its stages.
    Needed,
    /// In SQLite: its key is not text in UTF-8.
    NoKey,
}

impl fmt::Display for KeptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptReason::NotOver => "not in a terminal status",
            KeptReason::InUse => "in use after the cutoff",
            KeptReason::Needed => "other sessions refer to its stages",
            KeptReason::NoKey => "its key is not text in UTF-8",
        })
    }
}

/// How many old sessions are kept, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KeptCounts {
    pub not_over: u64,
    pub in_use: u64,
    pub needed: u64,
    pub no_key: u64,
}

impl KeptCounts {
    /// All of them.
    #[must_use]
    pub(crate) fn total(self) -> u64 {
        let Self { not_over, in_use, needed, no_key } = self;
        not_over + in_use + needed + no_key
    }

    /// The reasons that there are, each with its number.
    pub(crate) fn by_reason(self) -> impl Iterator<Item = (KeptReason, u64)> {
        let Self { not_over, in_use, needed, no_key } = self;
        let counts = [
            (KeptReason::NotOver, not_over),
            (KeptReason::InUse, in_use),
            (KeptReason::Needed, needed),
            (KeptReason::NoKey, no_key),
        ];
        counts.into_iter().filter(|(_, sessions)| *sessions > 0)
    }
}

/// Counts the old sessions that are kept. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count_kept(connection: &Transaction, selection: &Selection) -> Result<KeptCounts, DatabaseError> {
    let backend = connection.backend();
    let is_over = selection.policy.is_old(backend).add_option(selection.policy.is_over());
    let (old, over) = (count_old(connection, &selection.policy).await?, count(connection, is_over).await?);
    let removable = match backend {
        DbBackend::Postgres => over,
        _ => count(connection, selection.policy.is_removable(backend)).await?,
    };
    Ok(KeptCounts {
        not_over: old.saturating_sub(over),
        in_use: selection.in_use.iter().count() as u64,
        needed: selection
            .needed
            .sessions
            .iter()
            .filter(|session| !selection.in_use.contains(&session.session_id))
            .count() as u64,
        no_key: over.saturating_sub(removable),
    })
}

/// Calls `take` for the old sessions that are kept, or the first of them, from the oldest to the newest.
///
/// # Errors
/// The database's error, or that of `take`.
pub(crate) async fn each_kept<E: From<DbErr>>(
    connection: &Transaction,
    selection: &Selection,
    most: Option<u64>,
    mut take: impl AsyncFnMut(KeptSession) -> Result<(), E>,
) -> Result<(), E> {
    let mut taken = 0;
    for stretch in selection.stretches() {
        let most = most.map(|most| most.saturating_sub(taken));
        if most == Some(0) {
            break;
        }
        let query = kept_query(connection.backend(), connection.namespace(), &stretch).limit(most);
        let take = async |row: QueryResult| {
            taken += 1;
            let (session_id, status): (String, String) = (row.try_get("", "id")?, row.try_get("", "shown_status")?);
            let reason = reason(selection, &session_id, &status);
            take(KeptSession { session_id, status, reason, started_at_us: row.try_get("", "started_at_us")? }).await
        };
        connection.each(query.build(connection.backend()), take).await?;
    }
    Ok(())
}

fn kept_query(backend: DbBackend, namespace: &Namespace, stretch: &Stretch<'_>) -> Select<alert_sessions::Entity> {
    select::<alert_sessions::Entity>(namespace)
        .expr_as(shown(backend, Column::SessionId), "id")
        .expr_as(shown(backend, Column::Status), "shown_status")
        .column(Column::StartedAtUs)
        .filter(stretch.is_old())
        .filter(stretch.is_removable().not())
        .order_by_asc(Column::StartedAtUs)
        .order_by_asc(Column::SessionId)
}

/// Why a session is kept.
fn reason(selection: &Selection, session_id: &str, status: &str) -> KeptReason {
    match selection.policy.active {
        ActiveSessions::Keep if !TERMINAL_STATUSES.contains(&status) => KeptReason::NotOver,
        _ if selection.in_use.contains(session_id) => KeptReason::InUse,
        _ if selection.is_needed(session_id) => KeptReason::Needed,
        _ => KeptReason::NoKey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::retention::known_sessions::{KnownSession, KnownSessions};

    #[test]
    fn a_session_that_is_kept_has_one_reason() {
        let mut selection = Selection::of_policy(DbBackend::Postgres);
        let sessions = |key: &str| KnownSessions::from(vec![KnownSession { started_at_us: 1, session_id: key.into() }]);
        (selection.needed.sessions, selection.in_use) = (sessions("needed"), sessions("used"));
        assert_eq!(reason(&selection, "needed", "in_progress"), KeptReason::NotOver);
        assert_eq!(reason(&selection, "used", "completed"), KeptReason::InUse);
        assert_eq!(reason(&selection, "needed", "failed"), KeptReason::Needed);
        assert_eq!(reason(&selection, "7", "failed"), KeptReason::NoKey);
        selection.policy.active = ActiveSessions::Remove;
        assert_eq!(reason(&selection, "needed", "in_progress"), KeptReason::Needed);
    }
}
