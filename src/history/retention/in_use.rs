//! Sessions in a terminal status that are still in use, for example by a chat.
//!
//! A session is in use if its last interaction, that of its chat, or the start of an open stage is not older than the
//! cutoff. A stage that a crash left open long ago does not count.

use sea_orm::sea_query::{
    CommonTableExpression, Condition, Expr, ExprTrait, LockType, Query, SelectStatement, UnionType, WithClause,
    WithQuery,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait};

use super::known_sessions::KnownSessions;
use super::policy::RetentionPolicy;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{self, alert_sessions, chats, stage_executions};
use crate::history::tables::{CHATS, SESSIONS, STAGES, TERMINAL_STATUSES};
use crate::schema::model::Schema;

/// When the session or its chat was last used, in microseconds since the epoch. Older revisions lack one or both
/// columns.
const LAST: &str = "last_interaction_at";

/// The columns of [`query_that_locks_chats`]: whether the session is kept, and whether the row is a chat.
pub(crate) const IS_KEPT: &str = "is_kept";
pub(crate) const IS_CHAT: &str = "is_chat";

/// The query for the sessions in use, as `session_id`, among those that are meant: `is_meant` has the condition for the
/// rows of a table.
pub(crate) fn query(
    backend: DbBackend,
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: i64,
    is_meant: impl Fn(&'static str) -> Condition,
) -> SelectStatement {
    let (mut query, of_sessions) = queries(backend, namespace, schema, cutoff_us, &is_meant);
    let is_used = chats::Column::LastInteractionAt.gte(cutoff_us);
    let of_chats = schema
        .has_column(CHATS, LAST)
        .then(|| sessions_of::<chats::Entity>(backend, namespace, is_used, is_meant(CHATS)));
    for other in of_sessions.into_iter().chain(of_chats) {
        query.union(UnionType::Distinct, other);
    }
    query
}

/// The queries for the sessions that are in use for another reason than a chat: because of a stage, or their own time.
fn queries(
    backend: DbBackend,
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: i64,
    is_meant: &impl Fn(&'static str) -> Condition,
) -> (SelectStatement, Option<SelectStatement>) {
    let is_open = stage_executions::Column::StartedAtUs
        .gte(cutoff_us)
        .and(stage_executions::Column::Status.is_not_in(TERMINAL_STATUSES));
    let of_stages = sessions_of::<stage_executions::Entity>(backend, namespace, is_open, is_meant(STAGES));
    // In SQLite text is greater than any number: a value that is not a time counts as in use.
    let is_used = alert_sessions::Column::LastInteractionAt.gte(cutoff_us);
    let of_sessions = schema
        .has_column(SESSIONS, LAST)
        .then(|| sessions_of::<alert_sessions::Entity>(backend, namespace, is_used, is_meant(SESSIONS)));
    (of_stages, of_sessions)
}

/// The query for PostgreSQL that locks the chats of sessions, and waits for those that another session has locked. It
/// returns a row for each chat, and one for each other reason to keep a session: with a cutoff those for which it is in
/// use, and those of `others`, which are queries for `session_id`.
///
/// The chats are judged as they were locked: what their sessions committed during the wait counts.
pub(crate) fn query_that_locks_chats(
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: Option<i64>,
    is_meant: &Expr,
    others: impl Iterator<Item = SelectStatement>,
) -> WithQuery {
    const LOCKED: &str = "locked";
    let mut chats = entity::query::<chats::Entity>(namespace);
    chats.column(chats::Column::SessionId).and_where(is_meant.clone()).lock(LockType::Update);
    let mut is_used = Expr::val(false);
    if let Some(cutoff_us) = cutoff_us.filter(|_| schema.has_column(CHATS, LAST)) {
        chats.column(chats::Column::LastInteractionAt);
        is_used = Expr::col(LAST).is_not_null().and(Expr::col(LAST).gte(cutoff_us));
    }
    let mut query = Query::select()
        .expr_as(entity::text(DbBackend::Postgres, "session_id"), "session_id")
        .expr_as(is_used, IS_KEPT)
        .expr_as(Expr::val(true), IS_CHAT)
        .from(LOCKED)
        .to_owned();
    let is_meant = |_| Condition::all().add(is_meant.clone());
    let in_use = cutoff_us.map(|cutoff_us| queries(DbBackend::Postgres, namespace, schema, cutoff_us, &is_meant));
    let in_use = in_use.into_iter().flat_map(|(of_stages, of_sessions)| [of_stages].into_iter().chain(of_sessions));
    for mut other in in_use.chain(others) {
        other.expr_as(Expr::val(true), IS_KEPT).expr_as(Expr::val(false), IS_CHAT);
        query.union(UnionType::All, other);
    }
    let locked = CommonTableExpression::new().query(chats).table_name(LOCKED).to_owned();
    query.with(WithClause::new().cte(locked).to_owned())
}

/// The query for the sessions of the rows of a table that meet both conditions.
fn sessions_of<E: EntityTrait>(
    backend: DbBackend,
    namespace: &Namespace,
    is_used: Expr,
    is_meant: Condition,
) -> SelectStatement {
    let mut query = entity::query::<E>(namespace);
    query.expr_as(entity::text(backend, "session_id"), "session_id").and_where(is_used).cond_where(is_meant).to_owned()
}

/// The sessions in use among those that a policy removes. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn find(
    connection: &Transaction,
    schema: &Schema,
    policy: &RetentionPolicy,
) -> Result<KnownSessions, DatabaseError> {
    let (backend, namespace) = (connection.backend(), connection.namespace());
    let is_meant = |table| is_of_session(namespace, table, policy.is_removable(backend));
    let query = query(backend, namespace, schema, policy.cutoff_us, is_meant);
    let found = async {
        let rows = connection.query_all(&query).await?;
        let keys = rows.iter().map(|row| row.try_get("", "session_id")).collect::<Result<_, _>>()?;
        KnownSessions::to_remove(connection, policy, keys).await
    };
    found.await.context((Verb::Find, "the sessions in use"))
}

/// The condition that a row of a table is, or belongs to, a session that meets a condition. Few rows are used after the
/// cutoff: each looks up its session. SQLite would gather all sessions for an `IN`.
fn is_of_session(namespace: &Namespace, table: &'static str, is_removable: Condition) -> Condition {
    if table == SESSIONS {
        return is_removable;
    }
    let session = entity::query::<alert_sessions::Entity>(namespace)
        .expr(Expr::cust("1"))
        .and_where(alert_sessions::Column::SessionId.into_expr().equals((table, "session_id")))
        .cond_where(is_removable)
        .to_owned();
    Condition::all().add(Expr::exists(session))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::column_kind::ColumnKind;
    use crate::schema::model::{Column, Table};

    /// A schema in which these tables have the time of the last interaction.
    fn schema(tables: &[&str]) -> Schema {
        let column = Column { kind: ColumnKind::of("bigint"), nullable: true, default: None };
        let table = Table { columns: BTreeMap::from([(LAST.to_owned(), column)]), ..Table::default() };
        Schema { tables: tables.iter().map(|name| ((*name).to_owned(), table.clone())).collect() }
    }

    #[test]
    fn only_columns_that_the_schema_has_are_asked_for() {
        let sql = |backend: DbBackend, schema: &Schema| {
            let is_meant = |table| is_of_session(&Namespace::default(), table, Condition::all().add(Expr::cust("old")));
            backend.build(&query(backend, &Namespace::default(), schema, 5, is_meant)).sql
        };
        let of_session = |table: &str| {
            format!(
                r#"EXISTS(SELECT 1 FROM "alert_sessions" WHERE "alert_sessions"."session_id" = "{table}"."session_id" AND (old))"#
            )
        };
        let stages = r#"SELECT CAST("session_id" AS text) AS "session_id" FROM "stage_executions" WHERE "stage_executions"."started_at_us" >= $1 AND "stage_executions"."status" NOT IN ($2, $3, $4, $5) AND "#;
        let stages = format!("{stages}{}", of_session(STAGES));
        assert_eq!(sql(DbBackend::Postgres, &schema(&[])), stages);
        let chats = r#"SELECT CAST("session_id" AS text) AS "session_id" FROM "chats" WHERE "chats"."last_interaction_at" >= $6 AND "#;
        let expected = format!("{stages} UNION ({chats}{})", of_session(CHATS));
        assert_eq!(sql(DbBackend::Postgres, &schema(&[CHATS])), expected);
        let sqlite = sql(DbBackend::Sqlite, &schema(&[SESSIONS, CHATS]));
        let sessions = r#"SELECT "session_id" AS "session_id" FROM "alert_sessions" WHERE "alert_sessions"."last_interaction_at" >= ? AND (old)"#;
        assert!(sqlite.contains(&format!(" UNION {sessions} UNION ")), "{sqlite}");
    }

    #[test]
    fn chats_are_judged_as_they_were_locked() {
        let of_taken = Expr::col("session_id").eq("s");
        let sql = |cutoff_us: Option<i64>| {
            let query = query_that_locks_chats(
                &Namespace::default(),
                &schema(&[CHATS]),
                cutoff_us,
                &of_taken,
                std::iter::empty(),
            );
            DbBackend::Postgres.build(&query).sql
        };
        let expected = r#"WITH "locked" AS (SELECT "session_id", "last_interaction_at" FROM "chats" WHERE "session_id" = $1 FOR UPDATE) SELECT CAST("session_id" AS text) AS "session_id", "last_interaction_at" IS NOT NULL AND "last_interaction_at" >= $2 AS "is_kept", $3 AS "is_chat" FROM "locked" UNION ALL (SELECT CAST("session_id" AS text) AS "session_id", $4 AS "is_kept", $5 AS "is_chat" FROM "stage_executions" WHERE "stage_executions"."started_at_us" >= $6 AND "stage_executions"."status" NOT IN ($7, $8, $9, $10) AND "session_id" = $11)"#;
        assert_eq!(sql(Some(5)), expected);
        let expected = r#"WITH "locked" AS (SELECT "session_id" FROM "chats" WHERE "session_id" = $1 FOR UPDATE) SELECT CAST("session_id" AS text) AS "session_id", $2 AS "is_kept", $3 AS "is_chat" FROM "locked""#;
        assert_eq!(sql(None), expected);
    }
}
