//! The relations to which the role's unqualified names lead on PostgreSQL.
//!
//! The catalog is read with an empty search path, so `pg_table_is_visible` would find none of them.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

use crate::database::transaction::Transaction;

/// Defines `visible`, with a row for each relation. `$1` is the path.
const VISIBLE: &str = include_str!("visible.sql");

/// Runs a query on `visible`. Its own values begin at `$2`.
pub(crate) async fn rows(
    connection: &Transaction,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    let path = Value::from(connection.namespace().path().to_vec());
    let values = std::iter::once(path).chain(values);
    let sql = format!("{VISIBLE}{sql}");
    connection.query_all_raw(Statement::from_sql_and_values(connection.backend(), sql, values)).await
}

/// An array of texts.
pub(crate) fn texts(names: &[&str]) -> Value {
    names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
}
