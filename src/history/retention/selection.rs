//! The condition for the sessions that a policy removes from a database, and other queries about sessions.

use std::fmt;

use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, IdenStatic, QueryFilter, QuerySelect, QueryTrait};
use serde::Serialize;

use super::in_use;
use super::policy::{ActiveSessions, RetentionPolicy, has_start};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{alert_sessions, count_rows, keys_of_sessions, select, text};
use crate::history::id_set::is_none_of;
use crate::history::tables::{Reference, STAGES, TERMINAL_STATUSES, references_to_stages};
use crate::schema::model::Schema;

/// The sessions of a database that a policy removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub policy: RetentionPolicy,
    backend: DbBackend,
    /// Sessions that are kept because rows of other sessions refer to their stages. Such rows are damage, but a cascade
    /// would remove them uncounted, and without a cascade they would stop every batch.
    needed: Vec<String>,
    /// Sessions that are kept because they are in use: see [`in_use`].
    in_use: Vec<String>,
}

impl Selection {
    /// What a policy removes if no row refers to another session's stage, as in every intact database.
    #[must_use]
    pub(crate) fn optimistic(connection: &Transaction, policy: RetentionPolicy) -> Self {
        Self { policy, backend: connection.backend(), needed: Vec::new(), in_use: Vec::new() }
    }

    /// Applies a policy to a database. Reads only.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub(crate) async fn of(
        connection: &Transaction,
        schema: &Schema,
        policy: RetentionPolicy,
    ) -> Result<Self, DatabaseError> {
        let backend = connection.backend();
        let is_removable = policy.is_removable(backend);
        let needed = needed(connection, schema, is_removable.clone()).await?;
        let in_use = match policy.active {
            ActiveSessions::Keep => in_use::find(connection, schema, policy.cutoff_us, is_removable).await?,
            ActiveSessions::Remove => Vec::new(),
        };
        Ok(Self { policy, backend, needed, in_use })
    }

    #[must_use]
    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The condition for sessions to remove.
    pub(crate) fn condition(&self) -> Condition {
        let kept = [&self.needed[..], &self.in_use].concat();
        let is_other = (!kept.is_empty())
            .then(|| is_none_of(self.backend, alert_sessions::Column::SessionId.as_column_ref(), kept));
        self.policy.is_removable(self.backend).add_option(is_other)
    }

    /// Why an old session is kept.
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

/// The sessions, among those that meet a condition, whose stages other sessions refer to. They are passed to later
/// queries as values: PostgreSQL would evaluate a `NOT IN` over a large query again for each row.
async fn needed(
    connection: &Transaction,
    schema: &Schema,
    is_removable: Condition,
) -> Result<Vec<String>, DatabaseError> {
    let old = keys_of_sessions(connection.namespace(), is_removable);
    let mut needed = Vec::new();
    for reference in references_to_stages(schema) {
        let query = needed_query(connection.backend(), connection.namespace(), reference, &old);
        let action = Action::from((Verb::Find, format!("references from {} to other sessions", reference.child)));
        for row in connection.query_all(&query).await.context(&action)? {
            needed.push(row.try_get("", "session_id").context(&action)?);
        }
    }
    Ok(needed)
}

/// The query for sessions to remove, whose keys `old` selects, with stages that rows of another session refer to.
fn needed_query(
    backend: DbBackend,
    namespace: &Namespace,
    reference: Reference,
    old: &SelectStatement,
) -> SelectStatement {
    let Reference { child, column, .. } = reference;
    let [children, stages] =
        [(child, "o"), (STAGES, "s")].map(|(table, alias)| namespace.table_ref(table).alias(alias));
    let is_referred_to = Expr::col(("s", "execution_id")).equals(("o", column));
    let mut query = Query::select()
        .distinct()
        .expr_as(text(backend, ("s", "session_id")), "session_id")
        .and_where(Expr::col(("o", column)).is_not_null())
        .and_where(Expr::col(("s", "session_id")).in_subquery(old.clone()))
        .to_owned();
    if backend == DbBackend::Postgres {
        // Nearly every row has its stage in its own session. PostgreSQL expects few rows of an anti join, and joins
        // whole tables in parallel; for `<>` it expects all rows to match.
        let own = Query::select()
            .expr(Expr::cust("1"))
            .from(namespace.table_ref(STAGES).alias("own"))
            .and_where(Expr::col(("own", "execution_id")).equals(("o", column)))
            .and_where(Expr::col(("own", "session_id")).equals(("o", "session_id")))
            .to_owned();
        return query.from(children).inner_join(stages, is_referred_to).and_where(Expr::not_exists(own)).to_owned();
    }
    // A cross join runs in this order: from the few stages of old sessions by an index, or, without an index, from the
    // few stages that have a parent.
    let (first, second) = if child == STAGES { (children, stages) } else { (stages, children) };
    let is_other =
        Expr::col(("o", "session_id")).is_null().or(Expr::col(("o", "session_id")).not_equals(("s", "session_id")));
    query.from(first).cross_join(second).and_where(is_referred_to).and_where(is_other).to_owned()
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
    /// In SQLite: its key is not text.
    NoKey,
}

impl fmt::Display for KeptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptReason::NotOver => "not in a terminal status",
            KeptReason::InUse => "in use after the cutoff",
            KeptReason::Needed => "other sessions refer to its stages",
            KeptReason::NoKey => "its key is not text",
        })
    }
}

/// Counts the sessions that match the filter and started before the cutoff, whatever their status.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn count_old(connection: &Transaction, policy: &RetentionPolicy) -> Result<u64, DatabaseError> {
    let sessions = select::<alert_sessions::Entity>(connection.namespace())
        .expr_as(count_rows(), "sessions")
        .filter(policy.is_old(connection.backend()));
    let counted = sessions.into_tuple::<i64>().one(connection).await.context((Verb::Count, "old sessions"))?;
    Ok(counted.unwrap_or_default().unsigned_abs())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::retention::policy::Filter;

    fn selection(active: ActiveSessions) -> Selection {
        let policy = RetentionPolicy { cutoff_us: 5, active, filter: Filter::default() };
        let [needed, in_use] = ["needed", "used"].map(|id| vec![id.to_owned()]);
        Selection { policy, backend: DbBackend::Postgres, needed, in_use }
    }

    #[test]
    fn what_other_sessions_need_and_what_is_in_use_is_left_out() {
        let selection = selection(ActiveSessions::Remove);
        let is_old = r#"SELECT "alert_sessions"."session_id" FROM "alert_sessions" WHERE "alert_sessions"."started_at_us" IS NOT NULL AND "alert_sessions"."started_at_us" < $1"#;
        let sessions = |selection: &Selection| {
            DbBackend::Postgres.build(&keys_of_sessions(&Namespace::default(), selection.condition()))
        };
        let found = sessions(&selection);
        assert_eq!(found.sql, format!(r#"{is_old} AND "alert_sessions"."session_id" <> ALL($2)"#));
        assert_eq!(found.values.expect("values").0[1], vec!["needed".to_owned(), "used".to_owned()].into());
        let optimistic = Selection { needed: Vec::new(), in_use: Vec::new(), ..selection };
        assert_eq!(sessions(&optimistic).sql, is_old);
    }

    /// The query for sessions whose stages rows of another session need.
    fn needed(backend: DbBackend, child: &'static str, column: &'static str) -> String {
        let reference = Reference { child, column, parent: STAGES, key: "execution_id" };
        let old = keys_of_sessions(&Namespace::default(), Condition::all());
        backend.build(&needed_query(backend, &Namespace::default(), reference, &old)).sql
    }

    #[test]
    fn postgresql_joins_whole_tables_with_an_anti_join() {
        let expected = r#"SELECT DISTINCT CAST("s"."session_id" AS text) AS "session_id" FROM "llm_interactions" AS "o" INNER JOIN "stage_executions" AS "s" ON "s"."execution_id" = "o"."stage_execution_id" WHERE "o"."stage_execution_id" IS NOT NULL AND "s"."session_id" IN (SELECT "alert_sessions"."session_id" FROM "alert_sessions" WHERE TRUE) AND (NOT EXISTS(SELECT 1 FROM "stage_executions" AS "own" WHERE "own"."execution_id" = "o"."stage_execution_id" AND "own"."session_id" = "o"."session_id"))"#;
        assert_eq!(needed(DbBackend::Postgres, "llm_interactions", "stage_execution_id"), expected);
    }

    #[test]
    fn sqlite_joins_in_a_given_order() {
        let of_stages = needed(DbBackend::Sqlite, STAGES, "parent_stage_execution_id");
        let expected = r#" FROM "stage_executions" AS "o" CROSS JOIN "stage_executions" AS "s" WHERE "#;
        assert!(of_stages.contains(expected), "{of_stages}");
        let of_others = needed(DbBackend::Sqlite, "llm_interactions", "stage_execution_id");
        let expected = r#" FROM "stage_executions" AS "s" CROSS JOIN "llm_interactions" AS "o" WHERE "#;
        assert!(of_others.contains(expected), "{of_others}");
        let is_other = r#" AND ("o"."session_id" IS NULL OR "o"."session_id" <> "s"."session_id")"#;
        assert!(of_others.ends_with(is_other), "{of_others}");
    }

    #[test]
    fn a_session_that_is_kept_has_one_reason() {
        let keep = selection(ActiveSessions::Keep);
        assert_eq!(keep.reason("needed", "in_progress"), KeptReason::NotOver);
        assert_eq!(keep.reason("used", "completed"), KeptReason::InUse);
        assert_eq!(keep.reason("needed", "failed"), KeptReason::Needed);
        assert_eq!(keep.reason("7", "failed"), KeptReason::NoKey);
        assert_eq!(selection(ActiveSessions::Remove).reason("needed", "in_progress"), KeptReason::Needed);
    }
}
