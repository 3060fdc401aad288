//! Sessions in a terminal status that are still in use, for example by a chat.
//!
//! A session is in use if its last interaction, that of its chat, or the start of an open stage is not older than the
//! cutoff. A stage that a crash left open long ago does not count.

use sea_orm::sea_query::{
    CommonTableExpression, Condition, Expr, ExprTrait, LockType, Query, SelectStatement, UnionType, WithClause,
    WithQuery,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{self, alert_sessions, chats, stage_executions};
use crate::history::tables::{CHATS, SESSIONS, TERMINAL_STATUSES};
use crate::schema::model::Schema;

/// When the session or its chat was last used, in microseconds since the epoch. Older revisions lack one or both
/// columns.
const LAST: &str = "last_interaction_at";

/// The columns of [`query_that_locks_chats`]: whether the session is in use, and whether the row is a chat.
pub(crate) const IS_USED: &str = "is_used";
pub(crate) const IS_CHAT: &str = "is_chat";

/// The query for the sessions in use, as `session_id`, among those that meet a condition on `session_id`.
pub(crate) fn query(
    backend: DbBackend,
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: i64,
    is_meant: &Expr,
) -> SelectStatement {
    let mut queries = others(backend, namespace, schema, cutoff_us, is_meant);
    if schema.has_column(CHATS, LAST) {
        let is_used = chats::Column::LastInteractionAt.gte(cutoff_us);
        queries.push(sessions_of::<chats::Entity>(backend, namespace, is_used, is_meant));
    }
    let mut query = queries.remove(0);
    for other in queries {
        query.union(UnionType::Distinct, other);
    }
    query
}

/// The queries for the sessions that are in use for another reason than a chat, at least one.
fn others(
    backend: DbBackend,
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: i64,
    is_meant: &Expr,
) -> Vec<SelectStatement> {
    let is_open = stage_executions::Column::StartedAtUs
        .gte(cutoff_us)
        .and(stage_executions::Column::Status.is_not_in(TERMINAL_STATUSES));
    let mut queries = vec![sessions_of::<stage_executions::Entity>(backend, namespace, is_open, is_meant)];
    // In SQLite text is greater than any number: a value that is not a time counts as in use.
    if schema.has_column(SESSIONS, LAST) {
        let is_used = alert_sessions::Column::LastInteractionAt.gte(cutoff_us);
        queries.push(sessions_of::<alert_sessions::Entity>(backend, namespace, is_used, is_meant));
    }
    queries
}

/// The query for PostgreSQL that locks the chats of sessions, and waits for those that another session has locked. It
/// returns a row for each chat, and for each other reason why a session is in use. With a `cutoff_us` of `None` none is.
///
/// The chats are judged as they were locked: what their sessions committed during the wait counts.
pub(crate) fn query_that_locks_chats(
    namespace: &Namespace,
    schema: &Schema,
    cutoff_us: Option<i64>,
    is_meant: &Expr,
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
        .expr_as(is_used, IS_USED)
        .expr_as(Expr::val(true), IS_CHAT)
        .from(LOCKED)
        .to_owned();
    let of_others = cutoff_us.map(|cutoff_us| others(DbBackend::Postgres, namespace, schema, cutoff_us, is_meant));
    for mut others in of_others.into_iter().flatten() {
        others.expr_as(Expr::val(true), IS_USED).expr_as(Expr::val(false), IS_CHAT);
        query.union(UnionType::All, others);
    }
    let locked = CommonTableExpression::new().query(chats).table_name(LOCKED).to_owned();
    query.with(WithClause::new().cte(locked).to_owned())
}

/// The query for the sessions of the rows of a table that meet both conditions.
fn sessions_of<E: EntityTrait>(
    backend: DbBackend,
    namespace: &Namespace,
    is_used: Expr,
    is_meant: &Expr,
) -> SelectStatement {
    let mut query = entity::query::<E>(namespace);
    query
        .expr_as(entity::text(backend, "session_id"), "session_id")
        .and_where(is_used)
        .and_where(is_meant.clone())
        .to_owned()
}

/// The sessions in use among those that meet a condition. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn find(
    connection: &Transaction,
    schema: &Schema,
    cutoff_us: i64,
    is_removable: Condition,
) -> Result<Vec<String>, DatabaseError> {
    let sessions = entity::keys_of_sessions(connection.namespace(), is_removable);
    let is_meant = of_stages(connection.backend()).in_subquery(sessions);
    let query = query(connection.backend(), connection.namespace(), schema, cutoff_us, &is_meant);
    let action = (Verb::Find, "the sessions in use");
    let found = connection.query_all(&query).await.context(action)?;
    found.iter().map(|row| row.try_get("", "session_id").context(action)).collect()
}

/// The session of a row.
fn of_stages(backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => Expr::col("session_id"),
        // With the plus SQLite scans the stages once, instead of looking up those of each session.
        _ => Expr::cust("+session_id"),
    }
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
            let is_meant =
                of_stages(backend).in_subquery(entity::keys_of_sessions(&Namespace::default(), Condition::all()));
            backend.build(&query(backend, &Namespace::default(), schema, 5, &is_meant)).sql
        };
        let keys = r#"(SELECT "alert_sessions"."session_id" FROM "alert_sessions" WHERE TRUE)"#;
        let stages = r#"SELECT CAST("session_id" AS text) AS "session_id" FROM "stage_executions" WHERE "stage_executions"."started_at_us" >= $1 AND "stage_executions"."status" NOT IN ($2, $3, $4, $5) AND "session_id" IN "#;
        assert_eq!(sql(DbBackend::Postgres, &schema(&[])), format!("{stages}{keys}"));
        let chats = r#"SELECT CAST("session_id" AS text) AS "session_id" FROM "chats" WHERE "chats"."last_interaction_at" >= $6 AND "session_id" IN "#;
        assert_eq!(sql(DbBackend::Postgres, &schema(&[CHATS])), format!("{stages}{keys} UNION ({chats}{keys})"));
        let sqlite = sql(DbBackend::Sqlite, &schema(&[SESSIONS, CHATS]));
        let sessions = r#"SELECT "session_id" AS "session_id" FROM "alert_sessions" WHERE "alert_sessions"."last_interaction_at" >= ? AND (+session_id) IN "#;
        assert!(sqlite.contains(&format!(" UNION {sessions}{keys} UNION ")), "{sqlite}");
    }

    #[test]
    fn chats_are_judged_as_they_were_locked() {
        let of_taken = Expr::col("session_id").eq("s");
        let sql = |cutoff_us: Option<i64>| {
            let query = query_that_locks_chats(&Namespace::default(), &schema(&[CHATS]), cutoff_us, &of_taken);
            DbBackend::Postgres.build(&query).sql
        };
        let expected = r#"WITH "locked" AS (SELECT "session_id", "last_interaction_at" FROM "chats" WHERE "session_id" = $1 FOR UPDATE) SELECT CAST("session_id" AS text) AS "session_id", "last_interaction_at" IS NOT NULL AND "last_interaction_at" >= $2 AS "is_used", $3 AS "is_chat" FROM "locked" UNION ALL (SELECT CAST("session_id" AS text) AS "session_id", $4 AS "is_used", $5 AS "is_chat" FROM "stage_executions" WHERE "stage_executions"."started_at_us" >= $6 AND "stage_executions"."status" NOT IN ($7, $8, $9, $10) AND "session_id" = $11)"#;
        assert_eq!(sql(Some(5)), expected);
        let expected = r#"WITH "locked" AS (SELECT "session_id" FROM "chats" WHERE "session_id" = $1 FOR UPDATE) SELECT CAST("session_id" AS text) AS "session_id", $2 AS "is_used", $3 AS "is_chat" FROM "locked""#;
        assert_eq!(sql(None), expected);
    }
}
