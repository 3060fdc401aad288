//! What a role of PostgreSQL may not do to tables.

use std::fmt;

use sea_orm::{ConnectionTrait, DbErr};

use crate::database::connection::rows;

/// A privilege that the role lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingPrivilege {
    /// `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub privilege: String,
    /// On these tables, by name.
    pub tables: String,
}

impl fmt::Display for MissingPrivilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.privilege, self.tables)
    }
}

/// The privileges of these that the role lacks on those of the tables that there are; the right to read comes first.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn lacking(
    connection: &impl ConnectionTrait,
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
