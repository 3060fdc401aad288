//! Gives the tables that an upgrade creates on PostgreSQL the owner and the grants of the existing ones.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::assess::UpgradePlan;
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;

/// The statements that give the new tables the owner and the grants of `alert_sessions`. Otherwise a backend whose role
/// may not change the schema could not use tables that another role has created for it.
pub(crate) async fn statements(connection: &Transaction, plan: &UpgradePlan) -> Result<Vec<String>, DbErr> {
    let created = plan.created_tables();
    if connection.backend() != DbBackend::Postgres || !plan.has_tables() || created.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = connection.table("alert_sessions");
    let asked = |sql| Statement::from_sql_and_values(DbBackend::Postgres, sql, [Value::from(sessions.clone())]);
    let owner = "SELECT pg_get_userbyid(relowner)::text AS name FROM pg_class
                 WHERE oid = to_regclass($1) AND pg_get_userbyid(relowner) <> current_user";
    let owner: Option<String> = match connection.query_one_raw(asked(owner)).await? {
        Some(row) => Some(row.try_get("", "name")?),
        None => None,
    };
    let grants = "SELECT a.privilege_type AS privilege, a.is_grantable,
                         CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee
                  FROM pg_class c, aclexplode(c.relacl) a
                  WHERE c.oid = to_regclass($1) AND a.grantee <> c.relowner ORDER BY 1, 3";
    let grants = connection.query_all_raw(asked(grants)).await?;
    let grants = grants.iter().map(Grant::of).collect::<Result<Vec<_>, DbErr>>()?;
    let namespace = connection.namespace();
    Ok(created.iter().flat_map(|table| of_table(table, namespace, &grants, owner.as_deref())).collect())
}

/// A privilege of a role on `alert_sessions`.
struct Grant {
    privilege: String,
    /// `None` is PUBLIC.
    grantee: Option<String>,
    is_grantable: bool,
}

impl Grant {
    fn of(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            privilege: row.try_get("", "privilege")?,
            grantee: row.try_get("", "grantee")?,
            is_grantable: row.try_get("", "is_grantable")?,
        })
    }

    fn statement(&self, table: &str, namespace: &Namespace) -> String {
        let Self { privilege, grantee, is_grantable } = self;
        let grantee = grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), quoted);
        let mut statement = format!("GRANT {privilege} ON {} TO {grantee}", namespace.table(table));
        if *is_grantable {
            statement.push_str(" WITH GRANT OPTION");
        }
        if table == "events" && privilege == "INSERT" {
            // An INSERT takes a number from the sequence.
            let sequence = namespace.table("events_id_seq");
            write!(statement, "; GRANT USAGE, SELECT ON SEQUENCE {sequence} TO {grantee}")
                .expect("a text takes what is written to it");
        }
        statement
    }
}

/// The grants come first: a role that is no longer the owner may not grant.
fn of_table(table: &str, namespace: &Namespace, grants: &[Grant], owner: Option<&str>) -> Vec<String> {
    let owner = owner.map(|owner| format!("ALTER TABLE {} OWNER TO {}", namespace.table(table), quoted(owner)));
    grants.iter().map(|grant| grant.statement(table, namespace)).chain(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_may_insert_events_may_use_their_sequence() {
        let grant = |privilege: &str, grantee: Option<&str>, is_grantable| Grant {
            privilege: privilege.to_owned(),
            grantee: grantee.map(str::to_owned),
            is_grantable,
        };
        let namespace = Namespace::temporary();
        let grants = [grant("INSERT", Some("back end"), false), grant("SELECT", None, true)];
        assert_eq!(
            of_table("events", &namespace, &grants, Some("owner")),
            [
                r#"GRANT INSERT ON "pg_temp"."events" TO "back end"; GRANT USAGE, SELECT ON SEQUENCE "pg_temp"."events_id_seq" TO "back end""#,
                r#"GRANT SELECT ON "pg_temp"."events" TO PUBLIC WITH GRANT OPTION"#,
                r#"ALTER TABLE "pg_temp"."events" OWNER TO "owner""#,
            ]
        );
        assert_eq!(
            of_table("chats", &namespace, &grants[..1], None),
            [r#"GRANT INSERT ON "pg_temp"."chats" TO "back end""#]
        );
    }
}
