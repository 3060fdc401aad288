//! Changes to columns and indexes that several revisions make. Each function first checks what exists, because the
//! backend's own upgrade on SQLite is not atomic and may have been interrupted.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::manager::Manager;

/// A NOT NULL column. The type is a literal: both backends know these names, and SQLite derives the affinity from the
/// name.
pub(crate) fn required(name: &'static str, kind: &'static str) -> ColumnDef {
    ColumnDef::new(name).custom(kind).not_null().take()
}

/// A column that may be NULL.
pub(crate) fn optional(name: &'static str, kind: &'static str) -> ColumnDef {
    ColumnDef::new(name).custom(kind).null().take()
}

/// The columns of a table; none if the table does not exist.
async fn columns(manager: &Manager<'_>, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = match manager.backend() {
        DbBackend::Postgres => format!(
            "SELECT attname::pg_catalog.text AS answer FROM pg_catalog.pg_attribute
             WHERE attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('{table}')
               AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped"
        ),
        _ => format!("SELECT name AS answer FROM pragma_table_info('{table}')"),
    };
    manager.texts(sql).await
}

pub(crate) async fn has_column(manager: &Manager<'_>, table: &str, column: &str) -> Result<bool, DbErr> {
    Ok(columns(manager, table).await?.iter().any(|name| name == column))
}

/// Adds a column if it is missing. Returns whether it was missing.
pub(crate) async fn add_column(manager: &Manager<'_>, table: &'static str, column: ColumnDef) -> Result<bool, DbErr> {
    if has_column(manager, table, &column.get_column_name()).await? {
        return Ok(false);
    }
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
    Ok(true)
}

/// Creates the missing ones of these indexes: name, table, columns.
pub(crate) async fn create_indexes(
    manager: &Manager<'_>,
    indexes: &[(&'static str, &'static str, &'static [&'static str])],
) -> Result<(), DbErr> {
    for (name, table, columns) in indexes {
        let mut index = Index::create().if_not_exists().name(*name).table(*table).take();
        for column in *columns {
            index.col(*column);
        }
        manager.create_index(index).await?;
    }
    Ok(())
}

/// Drops an index if it exists.
pub(crate) async fn drop_index(manager: &Manager<'_>, name: &str) -> Result<(), DbErr> {
    manager.execute(format!("DROP INDEX IF EXISTS {name}")).await
}

/// Refuses a table with triggers, rules or policies of the operator's that would prevent or change the update of its
/// rows.
pub(crate) async fn require_plain_updates(manager: &Manager<'_>, table: &str) -> Result<(), DbErr> {
    let sql = match manager.backend() {
        DbBackend::Postgres => format!(
            "SELECT pg_catalog.format('trigger %s', tgname) AS answer FROM pg_catalog.pg_trigger
             WHERE tgrelid OPERATOR(pg_catalog.=) '{table}'::pg_catalog.regclass AND NOT tgisinternal
               AND tgenabled OPERATOR(pg_catalog.<>) 'D'
               AND (tgtype OPERATOR(pg_catalog.&) 16) OPERATOR(pg_catalog.<>) 0
             UNION ALL SELECT pg_catalog.format('rule %s', rulename) FROM pg_catalog.pg_rewrite
             WHERE ev_class OPERATOR(pg_catalog.=) '{table}'::pg_catalog.regclass
               AND ev_type OPERATOR(pg_catalog.=) '2' AND ev_enabled OPERATOR(pg_catalog.<>) 'D' ORDER BY 1"
        ),
        _ => format!(
            "SELECT 'trigger ' || name AS answer FROM sqlite_schema
             WHERE type = 'trigger' AND tbl_name = '{table}' AND upper(sql) LIKE '%UPDATE%ON%' ORDER BY 1"
        ),
    };
    let found = manager.texts(sql).await?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(DbErr::Custom(format!(
            "{} of {table} would act on the rows that this revision updates",
            found.join(", ")
        ))),
    }
}
