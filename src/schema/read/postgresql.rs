//! Reads a schema from PostgreSQL's catalogs. Needs no privilege on the tables.

use migration::Revision;
use sea_orm::{DbErr, QueryResult};

use crate::database::transaction::Transaction;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Column, ForeignKey, ForeignKeyAction, Index, Schema, Table};
use crate::schema::{definition, visible};

/// Reads the tables to which the names lead in this transaction: those of the schemas of the search path, or the
/// temporary ones. Only of TARSy's tables expressions are read.
pub(crate) async fn read(connection: &Transaction) -> Result<Schema, DbErr> {
    let namespace = connection.namespace();
    let schemas = namespace.path();
    let without_schemas = |definition: String| definition::without_schemas(&definition, schemas);
    let rows = async |sql: &str| visible::rows(connection, sql, []).await;
    let with_expressions =
        async |sql: &str| visible::rows(connection, sql, [visible::texts(&Revision::HEAD.tables())]).await;
    let mut schema = Schema::default();
    for row in rows(TABLES).await? {
        let table = table(&mut schema, &row)?;
        table.schema = row.try_get("", "schema_name")?;
        table.is_unlogged = row.try_get("", "is_unlogged")?;
    }
    for row in with_expressions(COLUMNS).await? {
        let column = Column {
            kind: ColumnKind::of(&without_schemas(row.try_get("", "kind")?)),
            nullable: row.try_get("", "nullable")?,
            default: row.try_get::<Option<_>>("", "default_expression")?.map(without_schemas),
        };
        table(&mut schema, &row)?.columns.insert(row.try_get("", "column_name")?, column);
    }
    for row in rows(PRIMARY_KEYS).await? {
        table(&mut schema, &row)?.primary_key = row.try_get("", "columns")?;
    }
    for row in with_expressions(INDEXES).await? {
        let index = Index {
            columns: row.try_get::<Vec<_>>("", "columns")?.into_iter().map(without_schemas).collect(),
            unique: row.try_get("", "is_unique")?,
            method: row.try_get::<String>("", "method")?.into(),
            operator_classes: row.try_get("", "operator_classes")?,
            predicate: row.try_get::<Option<_>>("", "predicate")?.map(without_schemas),
            valid: row.try_get("", "valid")?,
        };
        table(&mut schema, &row)?.indexes.insert(row.try_get("", "name")?, index);
    }
    for row in with_expressions(CHECKS).await? {
        let (name, definition): (String, String) = (row.try_get("", "name")?, row.try_get("", "definition")?);
        table(&mut schema, &row)?.checks.insert(format!("{name} {}", without_schemas(definition)));
    }
    for row in rows(HOOKS).await? {
        table(&mut schema, &row)?.hooks.insert(row.try_get("", "hook")?);
    }
    for row in rows(FOREIGN_KEYS).await? {
        let foreign_key = ForeignKey {
            name: row.try_get("", "name")?,
            columns: row.try_get("", "columns")?,
            referenced_table: row.try_get("", "referenced_table")?,
            referenced_place: row.try_get("", "referenced_place")?,
            operators: row.try_get("", "operators")?,
            referenced_columns: row.try_get("", "referenced_columns")?,
            on_delete: ForeignKeyAction::named(&row.try_get::<String>("", "on_delete")?),
            on_update: ForeignKeyAction::named(&row.try_get::<String>("", "on_update")?),
            validated: row.try_get("", "validated")?,
            is_deferrable: row.try_get("", "is_deferrable")?,
        };
        table(&mut schema, &row)?.foreign_keys.push(foreign_key);
    }
    schema.tables.retain(|name, table| table.schema.as_ref().is_none_or(|schema| namespace.holds(name, schema)));
    Ok(schema)
}

fn table<'s>(schema: &'s mut Schema, row: &QueryResult) -> Result<&'s mut Table, DbErr> {
    Ok(schema.tables.entry(row.try_get("", "table_name")?).or_default())
}

const TABLES: &str = include_str!("postgresql/tables.sql");
const COLUMNS: &str = include_str!("postgresql/columns.sql");
const PRIMARY_KEYS: &str = include_str!("postgresql/primary_keys.sql");
const INDEXES: &str = include_str!("postgresql/indexes.sql");
const CHECKS: &str = include_str!("postgresql/checks.sql");
const HOOKS: &str = include_str!("postgresql/hooks.sql");
const FOREIGN_KEYS: &str = include_str!("postgresql/foreign_keys.sql");
