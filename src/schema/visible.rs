//! The relations to which the role's unqualified names lead on PostgreSQL.
//!
//! The catalog is read with an empty search path, so `pg_table_is_visible` would find none of them.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

use crate::database::quote::literal;
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

/// What a table is that no session can change until the end of the transaction.
pub(crate) struct Held {
    /// False if something else took its place, as a view, whose functions would run with the role's privileges.
    pub is_table: bool,
    /// Whether a query of it would run row policies.
    pub has_row_policies: bool,
}

/// Locks a table before it is read: its name, quoted and with its schema. What the catalog said earlier may no longer be
/// so: between two statements its owner may have put a view in its place.
pub(crate) async fn hold(connection: &Transaction, place: &str) -> Result<Held, DbErr> {
    let sql = format!(
        "LOCK TABLE ONLY {place} IN ACCESS SHARE MODE;
         SELECT relkind IN ('r', 'p') AS is_table, row_security_active(oid) AS has_row_policies
         FROM pg_class WHERE oid = to_regclass({})",
        literal(place)
    );
    let Some(row) = connection.query_one_raw(Statement::from_string(connection.backend(), sql)).await? else {
        return Ok(Held { is_table: false, has_row_policies: false });
    };
    Ok(Held { is_table: row.try_get("", "is_table")?, has_row_policies: row.try_get("", "has_row_policies")? })
}

/// An array of texts.
pub(crate) fn texts(names: &[&str]) -> Value {
    names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
}
