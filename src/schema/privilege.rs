//! Privileges on PostgreSQL's tables that the role lacks.

use std::fmt;

use sea_orm::DbErr;

use crate::database::connection::rows;
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
    let sql = format!(
        "SELECT p AS privilege, string_agg(c.relname::text, ', ' ORDER BY c.relname) AS tables
         FROM pg_class c, unnest(ARRAY['{}']) p
         WHERE c.relname IN ('{}') AND c.relkind IN ('r', 'p')
           AND pg_table_is_visible(c.oid)
           AND NOT has_table_privilege(c.oid, p)
         GROUP BY p ORDER BY p = 'SELECT' DESC, p",
        privileges.join("', '"),
        tables.join("', '")
    );
    let lacking = |row: &sea_orm::QueryResult| {
        Ok(MissingPrivilege { privilege: row.try_get("", "privilege")?, tables: row.try_get("", "tables")? })
    };
    rows(connection, &sql).await?.iter().map(lacking).collect()
}
