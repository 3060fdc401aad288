//! Privileges that the role lacks on PostgreSQL.

use std::fmt;

use migration::ledger;
use sea_orm::DbErr;

use super::visible;
use crate::database::connection::rows;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::quote::literal;
use crate::database::transaction::Transaction;

/// A privilege that the role lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingPrivilege {
    pub privilege: String,
    /// The names of these tables, or of these sequences.
    pub objects: String,
}

impl fmt::Display for MissingPrivilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.privilege, self.objects)
    }
}

/// The privilege to take numbers from a sequence.
pub(crate) const USAGE: &str = "USAGE";

/// Which of these privileges the role lacks on the existing ones of the tables, and [`USAGE`] on the sequences of their
/// defaults; the right to read comes first. The backend only reads the ledger where it may not upgrade the schema.
pub(crate) async fn lacking(
    connection: &Transaction,
    tables: &[&str],
    privileges: &[&str],
) -> Result<Vec<MissingPrivilege>, DbErr> {
    let found =
        visible::rows(connection, include_str!("privileges.sql"), [tables, privileges].map(visible::texts)).await?;
    let lacking = |row: &sea_orm::QueryResult| {
        Ok(MissingPrivilege { privilege: row.try_get("", "privilege")?, objects: row.try_get("", "objects")? })
    };
    found.iter().map(lacking).collect()
}

/// Makes sure that the role may create tables in the schema where TARSy's belong. The server's own error does not name the
/// GRANT. Does nothing on SQLite.
///
/// # Errors
/// [`ErrorClass::Privilege`] with the GRANT as its hint, or the server's error.
pub(crate) async fn require_create(connection: &Transaction) -> Result<(), DatabaseCause> {
    let namespace = connection.namespace();
    let Some(schema) = namespace.schema_of(ledger::TABLE) else { return Ok(()) };
    let sql = format!(
        "SELECT quote_ident(nspname) AS schema, quote_ident(current_user) AS role FROM pg_namespace
         WHERE nspname = {} AND NOT has_schema_privilege(oid, 'CREATE')",
        literal(schema)
    );
    let Some(row) = rows(connection, &sql).await?.into_iter().next() else { return Ok(()) };
    let [schema, role] = ["schema", "role"].map(|column| row.try_get::<String>("", column));
    let (schema, role) = (schema?, role?);
    let remedy =
        format!("as the owner of the database or a superuser run `GRANT CREATE, USAGE ON SCHEMA {schema} TO {role}`");
    let message = format!("permission denied for schema {schema}");
    Err(DatabaseCause::new(ErrorClass::Privilege, message).with_remedy(remedy))
}

/// Gives a row of the object, the problem and the GRANT if the role may not create temporary tables.
pub(crate) const MISSING_TEMPORARY: &str = include_str!("temporary.sql");

/// Makes sure that the role may create temporary tables. The server's own error names neither the role nor the GRANT.
///
/// # Errors
/// [`ErrorClass::Privilege`] with the GRANT as its hint, or the server's error.
pub(crate) async fn require_temporary(connection: &Transaction) -> Result<(), DatabaseCause> {
    let Some(row) = rows(connection, MISSING_TEMPORARY).await?.into_iter().next() else { return Ok(()) };
    let text = |column| row.try_get_by_index::<String>(column);
    let message = format!("{} {}", text(0)?, text(1)?);
    let remedy = format!("let the owner of the database, or a superuser, run `{}`", text(2)?);
    Err(DatabaseCause::new(ErrorClass::Privilege, message).with_remedy(remedy))
}
