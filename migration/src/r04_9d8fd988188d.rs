//! Revision 04, `9d8fd988188d`, of 2025-10-10. Parent: `3eafea61046d`.
//!
//! Drops `alert_sessions.alert_id` with its values.

use sea_orm_migration::prelude::*;

use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{drop_index, has_column};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "9d8fd988188d"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        drop_index(manager, "ix_alert_sessions_alert_id").await?;
        if has_column(manager, "alert_sessions", "alert_id").await? {
            let uses = uses(manager).await?;
            if !uses.is_empty() {
                return Err(DbErr::Custom(format!("`alert_id` is used by {}", uses.join(", "))));
            }
            manager.alter_table(Table::alter().table("alert_sessions").drop_column("alert_id").take()).await?;
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// The operator's objects that would silently be dropped with the column on PostgreSQL, or refer to a missing column on
/// SQLite.
async fn uses(manager: &Manager<'_>) -> Result<Vec<String>, DbErr> {
    let sql = match manager.backend() {
        DbBackend::Postgres => {
            "SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) AS answer
             FROM pg_catalog.pg_depend d
             JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid
                  AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
             WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.refobjid OPERATOR(pg_catalog.=) 'alert_sessions'::pg_catalog.regclass
               AND a.attname OPERATOR(pg_catalog.=) 'alert_id'
               AND d.deptype OPERATOR(pg_catalog.=) ANY ('{a,i}')
               -- Since PostgreSQL 18 NOT NULL is a constraint with a name.
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint n
                               WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
                                 AND n.oid OPERATOR(pg_catalog.=) d.objid
                                 AND n.contype OPERATOR(pg_catalog.=) 'n')"
        }
        _ => {
            "SELECT 'foreign key on ' || m.name AS answer
             FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) k
             WHERE m.type = 'table' AND m.rootpage > 0 AND k.\"table\" = 'alert_sessions' AND k.\"to\" = 'alert_id'"
        }
    };
    manager.texts(sql.to_owned()).await
}
