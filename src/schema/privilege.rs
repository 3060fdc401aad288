//! Privileges on PostgreSQL's tables that the role lacks.

use std::fmt;

use sea_orm::DbErr;

use super::visible;
use crate::database::transaction::Transaction;

/// A privilege that the role lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingPrivilege {
    pub privilege: String,
    /// The names of these tables.
    pub tables: String,
}

impl fmt::Display for MissingPrivilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.privilege, self.tables)
    }
}

/// Which of these privileges the role lacks on the existing ones of the tables; the right to read comes first.
pub(crate) async fn lacking(
    connection: &Transaction,
    tables: &[&str],
    privileges: &[&str],
) -> Result<Vec<MissingPrivilege>, DbErr> {
    let sql = "SELECT p AS privilege, string_agg(c.relname::text, ', ' ORDER BY c.relname) AS tables
               FROM visible c, unnest($3) p
               WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, p)
               GROUP BY p ORDER BY p = 'SELECT' DESC, p";
    let found = visible::rows(connection, sql, [tables, privileges].map(visible::texts)).await?;
    let lacking = |row: &sea_orm::QueryResult| {
        Ok(MissingPrivilege { privilege: row.try_get("", "privilege")?, tables: row.try_get("", "tables")? })
    };
    found.iter().map(lacking).collect()
}
