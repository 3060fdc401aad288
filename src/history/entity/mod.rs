//! SeaORM's entities of TARSy's tables: keys, references, and the columns that queries need. Their relations are what
//! [`crate::history::tables`] reads.
//!
//! SeaORM fixes an entity's schema when it is compiled; ours is found after the login. So statements are begun here, with
//! the schema of the transaction that runs them: nothing global, and two databases in one process do not mix.
//!
//! | module | what it is for |
//! |---|---|
//! | [`chat_user_messages`] | messages of persons in chats |
//! | [`chats`] | chats about sessions |
//! | [`llm_interactions`] | requests to language models |
//! | [`mcp_communications`] | exchanges with MCP servers |
//! | [`stage_executions`] | the steps of sessions |
//! | [`alert_sessions`] | sessions |
//! | [`events`] | notifications for browsers |

pub(crate) mod alert_sessions;
pub(crate) mod chat_user_messages;
pub(crate) mod chats;
pub(crate) mod events;
pub(crate) mod llm_interactions;
pub(crate) mod mcp_communications;
pub(crate) mod stage_executions;

use sea_orm::sea_query::{Asterisk, Condition, DeleteStatement, Expr, ExprTrait, IntoColumnRef, SelectStatement};
use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select};

use crate::database::namespace::Namespace;
use crate::database::quote::quoted;

/// Selects from the table of an entity. Columns are still to be named: a revision may lack some of the entity.
pub(crate) fn select<E: EntityTrait>(namespace: &Namespace) -> Select<E> {
    let mut select = E::find().select_only();
    QueryTrait::query(&mut select).from_clear().from(namespace.table_ref(E::default().table_name()));
    select
}

/// The same as a statement that can be a part of another one.
pub(crate) fn query<E: EntityTrait>(namespace: &Namespace) -> SelectStatement {
    select::<E>(namespace).into_query()
}

/// The query for the keys of the sessions that meet a condition.
pub(crate) fn keys_of_sessions(namespace: &Namespace, is_meant: Condition) -> SelectStatement {
    select::<alert_sessions::Entity>(namespace).column(alert_sessions::Column::SessionId).filter(is_meant).into_query()
}

/// A column as text, for the result of a query. The operator may have given it a type of an extension on PostgreSQL: the
/// driver would look that up with a query of its own, which replaces the unnamed statement.
pub(crate) fn text(backend: DbBackend, column: impl IntoColumnRef) -> Expr {
    match backend {
        DbBackend::Postgres => Expr::col(column).cast_as("text"),
        _ => Expr::col(column),
    }
}

/// The condition that a column holds text in UTF-8. SQLite may hold any value and any bytes in it, of which the key of a
/// session can be none. `None` on PostgreSQL.
///
/// The hexadecimal digits of a UUID are recognised at once; among other texts ASCII, and then those whose characters
/// give the same bytes again.
pub(crate) fn is_text(backend: DbBackend, column: &str) -> Option<Expr> {
    if backend == DbBackend::Postgres {
        return None;
    }
    let sql = format!(
        "typeof({column}) = 'text' AND (unhex({column}, '-') IS NOT NULL
         OR {column} NOT GLOB '*[^' || char(1) || '-' || char(127) || ']*'
         OR {column} = (WITH RECURSIVE again(place, bytes) AS (
                SELECT 1, '' UNION ALL
                SELECT place + 1, bytes || char(unicode(substr({column}, place, 1))) FROM again WHERE place <= length({column}))
            SELECT bytes FROM again ORDER BY place DESC LIMIT 1))"
    );
    Some(Expr::cust(sql))
}

/// A column as text that is shown. SQLite may hold any value in it, and any bytes in a text: these are SQL literals. NULL
/// is NULL on PostgreSQL.
pub(crate) fn shown<C: ColumnTrait>(backend: DbBackend, column: C) -> Expr {
    let name = quoted(column.as_str());
    let literal = format!("quote(iif(typeof({name}) = 'text', CAST({name} AS BLOB), {name}))");
    match is_text(backend, &name) {
        Some(is_text) => Expr::case(is_text, Expr::cust(name)).finally(Expr::cust(literal)).into(),
        None => text(backend, column.as_column_ref()),
    }
}

/// The number of rows.
pub(crate) fn count_rows() -> Expr {
    Expr::col(Asterisk).count()
}

/// Deletes from the table of an entity.
pub(crate) fn delete_many<E: EntityTrait>(namespace: &Namespace) -> DeleteStatement {
    let mut delete = E::delete_many();
    QueryTrait::query(&mut delete).from_table(namespace.table_ref(E::default().table_name()));
    delete.into_query()
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::database::transaction::Transaction;

    #[tokio::test]
    async fn text_is_what_is_stored_as_text_in_utf8() {
        let connection = Transaction::in_memory().await;
        let is_text = async |value: &str| {
            let condition = is_text(DbBackend::Sqlite, "value").expect("a condition");
            let query = SelectStatement::new()
                .expr_as(Expr::cust("count(*)"), "rows")
                .from_subquery(SelectStatement::new().expr_as(Expr::cust(value.to_owned()), "value").to_owned(), "one")
                .and_where(condition)
                .to_owned();
            let row = connection.query_one(&query).await.expect("an answer").expect("a row");
            row.try_get::<i64>("", "rows").expect("a number") == 1
        };
        for value in ["''", "'2570652c-ff4d-450c-a8b3-6b911a5396dd'", "'s 1'", "'\u{e9}'", "'\u{1f680}-\u{fffd}'"] {
            assert!(is_text(value).await, "{value}");
        }
        let bytes = ["ff", "6180", "c0af", "e09fbf", "eda080", "e282", "c328", "f4908080"];
        let no_utf8 = bytes.map(|bytes| format!("CAST(x'{bytes}' AS TEXT)"));
        for value in no_utf8.iter().map(String::as_str).chain(["NULL", "1", "1.5", "x'6162'"]) {
            assert!(!is_text(value).await, "{value}");
        }
        assert_eq!(super::is_text(DbBackend::Postgres, "value"), None);
    }
}
