//! The condition for the sessions that a policy removes from a database, and other queries about sessions.

use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, IdenStatic, QueryFilter, QuerySelect, QueryTrait};

use super::known_sessions::{KnownSession, KnownSessions, in_parts};
use super::needed::{Needed, Search};
use super::policy::{ActiveSessions, RetentionPolicy, has_start};
use super::{in_use, needed};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{alert_sessions, count_rows, keys_of_sessions, select};
use crate::history::id_set::IdSet;
use crate::schema::model::Schema;

/// Up to this many sessions are looked at one by one, which is exact. What more of them have is estimated from so many.
pub(crate) const FEW: u64 = 1000;

/// How exactly sessions and their rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// In a time that hardly grows with the rows.
    Estimated,
    /// Whatever it takes.
    Exact,
}

/// The sessions of a database that a policy removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub policy: RetentionPolicy,
    backend: DbBackend,
    /// Sessions that are kept because others need them: see [`needed`].
    pub(crate) needed: Needed,
    /// Sessions that are kept because they are in use: see [`in_use`].
    pub(super) in_use: KnownSessions,
}

impl Selection {
    /// Applies a policy to a database. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub(crate) async fn of(
        connection: &Transaction,
        schema: &Schema,
        policy: RetentionPolicy,
        precision: Precision,
    ) -> Result<Self, DatabaseError> {
        let mut selection = Self::presumed(connection, schema, policy).await?;
        selection.needed = selection.find_needed(connection, schema, precision).await?;
        Ok(selection)
    }

    /// The same, as if no session were needed by others. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub(crate) async fn presumed(
        connection: &Transaction,
        schema: &Schema,
        policy: RetentionPolicy,
    ) -> Result<Self, DatabaseError> {
        let backend = connection.backend();
        let in_use = match policy.active {
            ActiveSessions::Keep => in_use::find(connection, schema, &policy).await?,
            ActiveSessions::Remove => KnownSessions::default(),
        };
        Ok(Self { policy, backend, needed: Needed::default(), in_use })
    }

    /// The sessions to keep because others need them. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub(crate) async fn find_needed(
        &self,
        connection: &Transaction,
        schema: &Schema,
        precision: Precision,
    ) -> Result<Needed, DatabaseError> {
        let is_removable = self.policy.is_removable_in_order(self.backend);
        let removable = count(connection, is_removable.clone()).await?;
        if removable == 0 {
            return Ok(Needed::default());
        }
        let sessions = IdSet::all(keys_of_sessions(connection.namespace(), is_removable), self.backend, removable);
        let search = match precision {
            _ if removable <= FEW => Search::Near(&sessions),
            Precision::Exact => Search::Everywhere,
            Precision::Estimated => Search::Stages,
        };
        needed::find(connection, schema, &self.policy, search).await
    }

    /// Old sessions, none of which is kept for another reason than its status.
    #[cfg(test)]
    pub(crate) fn of_policy(backend: DbBackend) -> Self {
        let policy =
            RetentionPolicy { cutoff_us: 5, active: ActiveSessions::Keep, filter: super::policy::Filter::default() };
        Self { policy, backend, needed: Needed::default(), in_use: KnownSessions::default() }
    }

    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The sessions that others need or that are in use, in order.
    pub(super) fn kept(&self) -> Vec<&KnownSession> {
        let mut kept: Vec<_> = self.needed.sessions.iter().chain(self.in_use.iter()).collect();
        kept.sort_unstable();
        kept.dedup();
        kept
    }

    /// The keys of those that are still to be removed by the policy, in parts that a query can name.
    pub(super) fn kept_in_parts(&self, namespace: &Namespace) -> impl Iterator<Item = IdSet> {
        let keys = self.kept().into_iter().map(|session| session.session_id.to_string());
        in_parts(self.backend, keys).map(|part| {
            let is_named = part.contains(alert_sessions::Column::SessionId.as_column_ref());
            let is_meant = self.policy.is_removable_in_order(self.backend).add(is_named);
            IdSet::looked_up(self.backend, keys_of_sessions(namespace, is_meant))
        })
    }

    /// Whether others need a session. One that is in use may no longer be.
    pub(crate) fn is_needed(&self, session_id: &str) -> bool {
        self.needed.sessions.contains(session_id)
    }
}

/// The number of sessions that meet a condition.
pub(super) async fn count(connection: &Transaction, is_meant: Condition) -> Result<u64, DatabaseError> {
    let sessions =
        select::<alert_sessions::Entity>(connection.namespace()).expr_as(count_rows(), "sessions").filter(is_meant);
    let counted = sessions.into_tuple::<i64>().one(connection).await.context((Verb::Count, "old sessions"))?;
    Ok(counted.unwrap_or_default().unsigned_abs())
}

/// Counts the sessions that match the filter and started before the cutoff, whatever their status.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count_old(connection: &Transaction, policy: &RetentionPolicy) -> Result<u64, DatabaseError> {
    count(connection, policy.is_old(connection.backend())).await
}

/// The start of the oldest session, in microseconds since the epoch.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn oldest(connection: &Transaction) -> Result<Option<i64>, DatabaseError> {
    let oldest = select::<alert_sessions::Entity>(connection.namespace())
        .expr_as(alert_sessions::Column::StartedAtUs.min(), "oldest")
        .filter(has_start(connection.backend()));
    let oldest = oldest.into_tuple::<Option<i64>>().one(connection).await;
    Ok(oldest.context((Verb::Find, "the oldest session"))?.flatten())
}

/// Whether any session has this value in a column.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn is_met(
    connection: &Transaction,
    column: alert_sessions::Column,
    value: &str,
) -> Result<bool, DatabaseError> {
    let sessions = select::<alert_sessions::Entity>(connection.namespace())
        .expr_as(Expr::cust("1"), "is_met")
        .filter(column.eq(value))
        .limit(1);
    let action = (Verb::Find, format!("sessions by {}", column.as_str()));
    let met = connection.query_one(QueryTrait::as_query(&sessions)).await.context(action)?;
    Ok(met.is_some())
}
