//! Adds and replaces foreign keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement, Value};

use crate::definition;
use crate::manager::Manager;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) referenced_table: &'static str,
    pub(crate) referenced_column: &'static str,
    pub(crate) on_delete: OnDelete,
}

/// What happens to a row when the row that it refers to is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDelete {
    /// The deletion is refused.
    NoAction,
    /// It is deleted as well.
    Cascade,
}

impl OnDelete {
    fn name(self) -> &'static str {
        match self {
            OnDelete::NoAction => "NO ACTION",
            OnDelete::Cascade => "CASCADE",
        }
    }
}

impl Key {
    /// The constraint in SQL that both backends accept.
    fn definition(&self) -> String {
        let Self { name, column, referenced_table, referenced_column, .. } = self;
        let action = match self.on_delete {
            OnDelete::NoAction => "",
            OnDelete::Cascade => " ON DELETE CASCADE",
        };
        format!("CONSTRAINT {name} FOREIGN KEY({column}) REFERENCES {referenced_table} ({referenced_column}){action}")
    }

    /// Adds the foreign key on PostgreSQL.
    pub(crate) async fn add(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        manager.execute(format!("ALTER TABLE {} ADD {}", self.table, self.definition())).await
    }

    /// Replaces all other foreign keys on exactly its column.
    pub(crate) async fn replace_others(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        let Self { table, column, .. } = self;
        if manager.backend() != DbBackend::Postgres {
            return replace_in_definition(manager, self).await;
        }
        let others = format!(
            "SELECT pg_catalog.format('%I', c.conname) AS answer FROM pg_catalog.pg_constraint c
             JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.conrelid
                  AND c.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum]
             WHERE c.contype OPERATOR(pg_catalog.=) 'f'
               AND c.conrelid OPERATOR(pg_catalog.=) '{table}'::pg_catalog.regclass
               AND a.attname OPERATOR(pg_catalog.=) '{column}' ORDER BY c.conname"
        );
        let mut actions: Vec<_> =
            manager.texts(others).await?.iter().map(|name| format!("DROP CONSTRAINT {name}")).collect();
        actions.push(format!("ADD {}", self.definition()));
        manager.execute(format!("ALTER TABLE {table} {}", actions.join(", "))).await
    }

    /// Whether the table has a foreign key of this name on PostgreSQL.
    pub(crate) async fn is_there(&self, manager: &Manager<'_>) -> Result<bool, DbErr> {
        let Self { name, table, .. } = self;
        let sql = format!(
            "SELECT conname::pg_catalog.text AS answer FROM pg_catalog.pg_constraint
             WHERE conrelid OPERATOR(pg_catalog.=) '{table}'::pg_catalog.regclass
               AND conname OPERATOR(pg_catalog.=) '{name}'"
        );
        Ok(!manager.texts(sql).await?.is_empty())
    }
}

/// As [`Key::replace_others`], on SQLite. An equivalent foreign key is kept, whatever its name, if it is the only one.
///
/// A foreign key does not affect how rows are stored, so no row is rewritten. SQLite recommends this for such changes:
/// <https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes>
async fn replace_in_definition(manager: &Manager<'_>, key: &Key) -> Result<(), DbErr> {
    let Key { table, column, .. } = key;
    let action = key.on_delete.name();
    let sql = format!(
        "SELECT s.sql AS definition, v.schema_version AS version,
                (SELECT count(*) = 1 AND max(on_delete) = '{action}' FROM pragma_foreign_key_list('{table}') k
                 WHERE k.\"from\" = '{column}') AS is_there
         FROM sqlite_schema s, pragma_schema_version v WHERE s.type = 'table' AND s.name = '{table}'"
    );
    let row = manager.query(sql).await?.pop();
    let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("there is no table {table}")))?;
    if row.try_get::<i32>("", "is_there")? != 0 {
        return Ok(());
    }
    let found: String = row.try_get("", "definition")?;
    let edited = definition::with_foreign_key(&found, column, &key.definition())
        .ok_or_else(|| DbErr::Custom(format!("the definition of {table} cannot be parsed")))?;
    let version: i32 = row.try_get("", "version")?;
    manager.execute("PRAGMA writable_schema = ON").await?;
    // Only the definition that was read may be replaced: any other describes rows in another format.
    let update = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ? AND sql = ?";
    let values = [Value::from(edited), Value::from(*table), Value::from(found)];
    if manager.run(Statement::from_sql_and_values(DbBackend::Sqlite, update, values)).await? != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    // Makes every connection, including this one, read the definitions again.
    manager.execute(format!("PRAGMA schema_version = {}", version.wrapping_add(1))).await?;
    manager.execute("PRAGMA writable_schema = RESET").await
}
