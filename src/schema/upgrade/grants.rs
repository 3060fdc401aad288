//! Whom new tables belong to on PostgreSQL, and who may use them: as with the tables that were there.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::assess::UpgradePlan;
use crate::database::connection::rows;
use crate::schema::sql::quoted;

/// The statements that give the tables which an upgrade creates the owner and the grants of `alert_sessions`.
/// Otherwise a backend whose role may not change the schema could not use what another role has made for it.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn statements(connection: &impl ConnectionTrait, assess: &UpgradePlan) -> Result<Vec<String>, DbErr> {
    let created = assess.created_tables();
    if connection.get_database_backend() != DbBackend::Postgres || !assess.has_tables() || created.is_empty() {
        return Ok(Vec::new());
    }
    let owner = "SELECT pg_get_userbyid(relowner)::text AS name FROM pg_class
                 WHERE oid = 'alert_sessions'::regclass AND relowner <> current_user::regrole";
    let owner: Option<String> = match rows(connection, owner).await?.first() {
        Some(row) => Some(row.try_get("", "name")?),
        None => None,
    };
    let grants = "SELECT a.privilege_type AS privilege, a.is_grantable,
                         CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee
                  FROM pg_class c, aclexplode(c.relacl) a
                  WHERE c.oid = 'alert_sessions'::regclass AND a.grantee <> c.relowner ORDER BY 1, 3";
    let grants = rows(connection, grants).await?;
    let mut statements = Vec::new();
    for table in created {
        for grant in &grants {
            let privilege: String = grant.try_get("", "privilege")?;
            let grantee: Option<String> = grant.try_get("", "grantee")?;
            let grantee = grantee.map_or_else(|| "PUBLIC".to_owned(), |name| quoted(&name));
            let mut statement = format!("GRANT {privilege} ON {table} TO {grantee}");
            if grant.try_get("", "is_grantable")? {
                statement.push_str(" WITH GRANT OPTION");
            }
            if table == "events" && privilege == "INSERT" {
                // Whoever writes an event takes its number.
                write!(statement, "; GRANT USAGE, SELECT ON SEQUENCE events_id_seq TO {grantee}")
                    .expect("a text takes what is written to it");
            }
            statements.push(statement);
        }
        statements.extend(owner.iter().map(|owner| format!("ALTER TABLE {table} OWNER TO {}", quoted(owner))));
    }
    Ok(statements)
}
