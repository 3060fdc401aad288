//! Sessions that are known by their keys and starts.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, QueryFilter, QueryResult, QuerySelect, QueryTrait};

use super::policy::RetentionPolicy;
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{alert_sessions, select, text};
use crate::history::id_set::IdSet;

/// How many sessions a query names at most: each is in memory several times then.
pub(super) const MOST_NAMED: usize = 1000;

/// A session by its place: sessions are in the order of their starts, and of their keys where several started at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KnownSession {
    /// In microseconds since the epoch.
    pub started_at_us: i64,
    pub session_id: Box<str>,
}

impl KnownSession {
    /// Reads a row of [`query`].
    pub(super) fn of(row: &QueryResult) -> Result<Self, DbErr> {
        let session_id: String = row.try_get("", "known_key")?;
        Ok(Self { started_at_us: row.try_get("", "started_at_us")?, session_id: session_id.into() })
    }
}

/// The query for the sessions that meet a condition.
pub(super) fn query(backend: DbBackend, namespace: &Namespace, is_meant: Condition) -> SelectStatement {
    select::<alert_sessions::Entity>(namespace)
        .expr_as(text(backend, alert_sessions::Column::SessionId.as_column_ref()), "known_key")
        .column(alert_sessions::Column::StartedAtUs)
        .filter(is_meant)
        .into_query()
}

/// Sessions in order, of which there may be many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownSessions {
    sessions: Vec<KnownSession>,
    /// Their indexes, in the order of the keys alone.
    by_key: Vec<usize>,
}

impl From<Vec<KnownSession>> for KnownSessions {
    fn from(mut sessions: Vec<KnownSession>) -> Self {
        sessions.sort_unstable();
        let mut by_key: Vec<_> = (0..sessions.len()).collect();
        by_key.sort_unstable_by(|one, other| sessions[*one].session_id.cmp(&sessions[*other].session_id));
        Self { sessions, by_key }
    }
}

impl KnownSessions {
    /// Those of the sessions with these keys that a policy removes. Reads only.
    ///
    /// # Errors
    /// The database's error.
    pub(super) async fn to_remove(
        connection: &Transaction,
        policy: &RetentionPolicy,
        keys: BTreeSet<String>,
    ) -> Result<Self, DbErr> {
        let backend = connection.backend();
        let mut sessions = Vec::new();
        for named in in_parts(backend, keys.into_iter()) {
            let is_named = named.contains(alert_sessions::Column::SessionId.as_column_ref());
            let query = query(backend, connection.namespace(), policy.is_removable_in_order(backend).add(is_named));
            for row in connection.query_all(&query).await? {
                sessions.push(KnownSession::of(&row)?);
            }
        }
        Ok(sessions.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &KnownSession> {
        self.sessions.iter()
    }

    /// The sessions behind a place.
    pub(super) fn after(&self, place: Option<&KnownSession>) -> impl Iterator<Item = &KnownSession> {
        self.sessions[self.sessions.partition_point(|session| Some(session) <= place)..].iter()
    }

    /// Whether a session with this key is among them, whenever it started.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.by_key.binary_search_by(|index| (*self.sessions[*index].session_id).cmp(key)).is_ok()
    }
}

/// Keys in parts that a query can name.
pub(super) fn in_parts(backend: DbBackend, mut keys: impl Iterator<Item = String>) -> impl Iterator<Item = IdSet> {
    std::iter::from_fn(move || {
        let part: Vec<_> = keys.by_ref().take(MOST_NAMED).collect();
        (!part.is_empty()).then(|| IdSet::bound(backend, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_in_order_and_found_by_their_keys() {
        let session = |started_at_us, key: &str| KnownSession { started_at_us, session_id: key.into() };
        let sessions = KnownSessions::from(vec![session(3, "a"), session(1, "z"), session(1, "b"), session(2, "m")]);
        let after = |place: Option<&KnownSession>| {
            sessions.after(place).map(|session| &*session.session_id).collect::<Vec<_>>().concat()
        };
        assert_eq!(after(None), "bzma");
        assert_eq!(after(Some(&session(1, "b"))), "zma");
        assert_eq!(after(Some(&session(1, "c"))), "zma");
        assert_eq!(after(Some(&session(3, "a"))), "");
        let found = ["a", "b", "m", "z", "", "c", "zz"].map(|key| sessions.contains(key));
        assert_eq!(found, [true, true, true, true, false, false, false]);
    }
}
