//! What several revisions do in the same way. Everything looks first at what is there, because the
//! backend's own upgrade on SQLite is not atomic and may have done a part of it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

use crate::definition;

/// A migration that tells by which columns it is recognised.
pub(crate) trait Step: MigrationTrait {
    /// The columns, as table and column, that it adds to tables that were there before.
    fn added_columns(&self) -> Vec<(&'static str, &'static str)>;
}

/// A revision that adds columns to one table and does nothing else.
pub(crate) struct AddColumns {
    pub(crate) id: &'static str,
    pub(crate) table: &'static str,
    /// Name and type; all of them may be NULL.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

impl MigrationName for AddColumns {
    fn name(&self) -> &'static str {
        self.id
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AddColumns {
    #[expect(elided_lifetimes_in_paths, reason = "the macro wants the trait's own signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, kind) in self.columns {
            add_column(manager, self.table, optional(name, kind)).await?;
        }
        Ok(())
    }
}

impl Step for AddColumns {
    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        self.columns.iter().map(|(name, _)| (self.table, *name)).collect()
    }
}

/// A NOT NULL column. The type is a literal because both backends know these names by themselves,
/// and SQLite's affinity follows from the name.
pub(crate) fn required(name: &'static str, kind: &'static str) -> ColumnDef {
    ColumnDef::new(name).custom(kind).not_null().take()
}

/// A column that may be NULL.
pub(crate) fn optional(name: &'static str, kind: &'static str) -> ColumnDef {
    ColumnDef::new(name).custom(kind).null().take()
}

/// Runs a statement that cannot be built otherwise.
pub(crate) async fn execute(manager: &SchemaManager<'_>, sql: impl Into<String>) -> Result<(), DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    manager.get_connection().execute_raw(statement).await.map(|_| ())
}

/// The texts that a query gives in its column `answer`.
pub(crate) async fn texts(manager: &SchemaManager<'_>, sql: String) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    let rows = manager.get_connection().query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get("", "answer")).collect()
}

/// The columns of a table; none if there is no such table.
async fn columns(manager: &SchemaManager<'_>, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => format!(
            "SELECT attname::text AS answer FROM pg_attribute
             WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped"
        ),
        _ => format!("SELECT name AS answer FROM pragma_table_info('{table}')"),
    };
    texts(manager, sql).await
}

/// Whether a table has a column.
pub(crate) async fn has_column(manager: &SchemaManager<'_>, table: &str, column: &str) -> Result<bool, DbErr> {
    Ok(columns(manager, table).await?.iter().any(|name| name == column))
}

/// Adds a column if it is missing, and says whether it was.
pub(crate) async fn add_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: ColumnDef,
) -> Result<bool, DbErr> {
    if has_column(manager, table, &column.get_column_name()).await? {
        return Ok(false);
    }
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
    Ok(true)
}

/// Creates indexes that are missing: name, table, columns.
pub(crate) async fn create_indexes(
    manager: &SchemaManager<'_>,
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

/// Drops an index if it is there.
pub(crate) async fn drop_index(manager: &SchemaManager<'_>, name: &str) -> Result<(), DbErr> {
    execute(manager, format!("DROP INDEX IF EXISTS {name}")).await
}

/// Makes sure that nothing of the operator's keeps rows of a table from being filled, or changes more of them.
pub(crate) async fn require_plain_updates(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => format!(
            "SELECT format('trigger %s', tgname) AS answer FROM pg_trigger
             WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 16 <> 0
             UNION ALL SELECT format('rule %s', rulename) FROM pg_rewrite
             WHERE ev_class = '{table}'::regclass AND ev_type = '2' AND ev_enabled <> 'D' ORDER BY 1"
        ),
        _ => format!(
            "SELECT 'trigger ' || name AS answer FROM sqlite_schema
             WHERE type = 'trigger' AND tbl_name = '{table}' AND upper(sql) LIKE '%UPDATE%ON%' ORDER BY 1"
        ),
    };
    let found = texts(manager, sql).await?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(DbErr::Custom(format!("{} of {table} would see rows being filled", found.join(", ")))),
    }
}

/// A foreign key on one column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) referenced_table: &'static str,
    pub(crate) referenced_column: &'static str,
    pub(crate) on_delete: OnDelete,
}

/// What becomes of a row when the one that it points to is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDelete {
    /// It keeps that from being deleted.
    NoAction,
    /// It is deleted as well.
    Cascade,
}

impl Key {
    /// The constraint, as both backends read it.
    fn definition(&self) -> String {
        let Self { name, column, referenced_table, referenced_column, .. } = self;
        let action = match self.on_delete {
            OnDelete::NoAction => "",
            OnDelete::Cascade => " ON DELETE CASCADE",
        };
        format!("CONSTRAINT {name} FOREIGN KEY({column}) REFERENCES {referenced_table} ({referenced_column}){action}")
    }

    /// Adds the key, on PostgreSQL.
    pub(crate) async fn add(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        execute(manager, format!("ALTER TABLE {} ADD {}", self.table, self.definition())).await
    }

    /// Puts this key in the place of every other one on exactly its column.
    pub(crate) async fn replace_others(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let Self { table, column, .. } = self;
        if manager.get_database_backend() != DbBackend::Postgres {
            let is_cascade = self.on_delete == OnDelete::Cascade;
            return definition::replace_foreign_keys(manager, table, column, &self.definition(), is_cascade).await;
        }
        let others = format!(
            "SELECT format('%I', c.conname) AS answer FROM pg_constraint c
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
             WHERE c.contype = 'f' AND c.conrelid = '{table}'::regclass AND a.attname = '{column}' ORDER BY c.conname"
        );
        let mut actions: Vec<_> =
            texts(manager, others).await?.iter().map(|name| format!("DROP CONSTRAINT {name}")).collect();
        actions.push(format!("ADD {}", self.definition()));
        execute(manager, format!("ALTER TABLE {table} {}", actions.join(", "))).await
    }

    /// Whether the table has a key of this name, on PostgreSQL.
    pub(crate) async fn is_there(&self, manager: &SchemaManager<'_>) -> Result<bool, DbErr> {
        let Self { name, table, .. } = self;
        let sql = format!(
            "SELECT conname::text AS answer FROM pg_constraint
             WHERE conrelid = '{table}'::regclass AND conname = '{name}'"
        );
        Ok(!texts(manager, sql).await?.is_empty())
    }
}
