//! Row policies of PostgreSQL that apply to the role. They hide rows silently: children of hidden sessions look like
//! orphans, and the history looks smaller than it is.
//!
//! Before it decides anything, a command reads rows after [`EVERY_ROW`](crate::database::read_transaction::EVERY_ROW):
//! the server then refuses a query from which a policy would hide rows, as for `pg_dump`:
//! <https://www.postgresql.org/docs/current/ddl-rowsecurity.html>. [`refuse`] does so earlier and names the policies,
//! which the server does not.

use sea_orm::{DbBackend, DbErr};
use serde::Serialize;

use super::visible;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::transaction::Transaction;

/// The policies of a table that apply to the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RowPolicies {
    pub table: String,
    /// Their names; empty if row-level security is on without a policy, which hides every row.
    pub policies: Vec<String>,
    #[serde(skip)]
    role: String,
}

impl RowPolicies {
    /// The sentence for the operator.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let Self { table, policies, role } = self;
        let names: Vec<_> = policies.iter().map(|policy| format!("`{policy}`")).collect();
        match names.len() {
            0 => format!("row-level security without a policy hides all rows of `{table}` from the role `{role}`"),
            1 => format!("the row policy {} on `{table}` may hide rows from the role `{role}`", names[0]),
            _ => format!("the row policies {} on `{table}` may hide rows from the role `{role}`", names.join(", ")),
        }
    }
}

/// The policies that apply to the role on the existing ones of the tables. SQLite has none.
pub(crate) async fn active(connection: &Transaction, tables: &[&str]) -> Result<Vec<RowPolicies>, DbErr> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(Vec::new());
    }
    // Policies for other commands than SELECT hide nothing, but without one for SELECT every row is hidden.
    let sql = "SELECT c.relname::text AS table_name, current_user::text AS role,
                      ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1) AS policies
               FROM visible c
               WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND row_security_active(c.oid)
               ORDER BY 1";
    let found = visible::rows(connection, sql, [visible::texts(tables)]).await?;
    let found = found.iter().map(|row| {
        Ok(RowPolicies {
            table: row.try_get("", "table_name")?,
            policies: row.try_get("", "policies")?,
            role: row.try_get("", "role")?,
        })
    });
    found.collect()
}

/// Makes sure that no policy hides rows of these tables from the role.
///
/// # Errors
/// [`ErrorClass::RowPolicy`] with the names of all policies, or the database's error.
pub(crate) async fn refuse(connection: &Transaction, tables: &[&str]) -> Result<(), DatabaseCause> {
    cause(&active(connection, tables).await?).map_or(Ok(()), Err)
}

/// The error for these policies.
#[must_use]
pub(crate) fn cause(policies: &[RowPolicies]) -> Option<DatabaseCause> {
    let texts: Vec<_> = policies.iter().map(RowPolicies::text).collect();
    (!texts.is_empty()).then(|| DatabaseCause::new(ErrorClass::RowPolicy, texts.join("; ")))
}
