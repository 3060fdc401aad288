//! Reads a schema from SQLite's pragmas.

use sea_orm::{DbErr, QueryResult};

use crate::database::connection::rows;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Column, ForeignKey, ForeignKeyAction, Index, IndexMethod, Schema, Table};

pub(crate) async fn read(connection: &Transaction) -> Result<Schema, DbErr> {
    let mut schema = Schema::default();
    for row in rows(connection, COLUMNS).await? {
        add_column(table(&mut schema, &row)?, &row)?;
    }
    for row in rows(connection, INDEXES).await? {
        add_index_column(table(&mut schema, &row)?, &row)?;
    }
    for row in rows(connection, TRIGGERS).await? {
        table(&mut schema, &row)?.hooks.insert(row.try_get("", "hook")?);
    }
    for row in rows(connection, FOREIGN_KEYS).await? {
        add_key_column(table(&mut schema, &row)?, &row)?;
    }
    Ok(schema)
}

fn add_column(table: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let name: String = row.try_get("", "column_name")?;
    let kind: String = row.try_get("", "kind")?;
    let column = Column {
        kind: ColumnKind::of(&kind.to_lowercase()),
        nullable: row.try_get::<i32>("", "not_null")? == 0,
        default: row.try_get("", "default_expression")?,
    };
    if row.try_get::<i32>("", "key_position")? > 0 {
        table.primary_key.push(name.clone());
    }
    table.columns.insert(name, column);
    Ok(())
}

/// Reads an index at its first column.
fn add_index_column(table: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let definition: Option<String> = row.try_get("", "definition")?;
    let is_partial = row.try_get::<i32>("", "is_partial")? != 0;
    let index = Index {
        columns: Vec::new(),
        unique: row.try_get::<i32>("", "is_unique")? != 0,
        method: IndexMethod::BTree,
        operator_classes: Vec::new(),
        predicate: definition.filter(|_| is_partial),
        valid: true,
    };
    let column: Option<String> = row.try_get("", "column_name")?;
    let index = table.indexes.entry(row.try_get("", "name")?).or_insert(index);
    // Only an expression has no name.
    let order = if row.try_get::<i32>("", "is_descending")? == 0 { "" } else { " DESC" };
    index.columns.push(column.unwrap_or_else(|| "(expression)".to_owned()) + order);
    index.operator_classes.push(String::new());
    Ok(())
}

/// Reads a foreign key at its first column.
fn add_key_column(table: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let column: String = row.try_get("", "column_name")?;
    // A foreign key without referenced columns refers to the primary key.
    let referenced: Option<String> = row.try_get("", "referenced_column")?;
    if row.try_get::<i32>("", "position")? == 0 {
        let referenced_table: String = row.try_get("", "referenced_table")?;
        table.foreign_keys.push(ForeignKey {
            name: None,
            columns: Vec::new(),
            referenced_place: quoted(&referenced_table),
            referenced_table,
            operators: Vec::new(),
            referenced_columns: Vec::new(),
            on_delete: ForeignKeyAction::named(&row.try_get::<String>("", "on_delete")?),
            on_update: ForeignKeyAction::named(&row.try_get::<String>("", "on_update")?),
            validated: true,
            is_not_enforced: false,
            is_deferrable: false,
        });
    }
    if let Some(foreign_key) = table.foreign_keys.last_mut() {
        foreign_key.columns.push(column);
        foreign_key.referenced_columns.extend(referenced);
    }
    Ok(())
}

fn table<'s>(schema: &'s mut Schema, row: &QueryResult) -> Result<&'s mut Table, DbErr> {
    Ok(schema.tables.entry(row.try_get("", "table_name")?).or_default())
}

const COLUMNS: &str = r"
    SELECT m.name AS table_name, c.name AS column_name, c.type AS kind, c.'notnull' AS not_null,
           c.dflt_value AS default_expression, c.pk AS key_position
    FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND m.rootpage > 0 AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
    ORDER BY m.name, c.pk";

const INDEXES: &str = r"
    SELECT m.name AS table_name, l.name AS name, l.'unique' AS is_unique, l.partial AS is_partial,
           i.sql AS definition, c.name AS column_name, c.'desc' AS is_descending
    FROM sqlite_master m JOIN pragma_index_list(m.name) l JOIN pragma_index_xinfo(l.name) c
    JOIN sqlite_master i ON i.type = 'index' AND i.name = l.name
    WHERE m.type = 'table' AND m.rootpage > 0 AND l.origin <> 'pk' AND c.key = 1
    ORDER BY m.name, l.name, c.seqno";

const TRIGGERS: &str = r"
    SELECT t.tbl_name AS table_name, 'trigger ' || t.name AS hook FROM sqlite_master t
    JOIN sqlite_master m ON m.type = 'table' AND m.rootpage > 0 AND m.name = t.tbl_name
    WHERE t.type = 'trigger'";

const FOREIGN_KEYS: &str = r"
    SELECT m.name AS table_name, f.seq AS position, f.'from' AS column_name, f.'table' AS referenced_table,
           f.'to' AS referenced_column, f.on_delete AS on_delete, f.on_update AS on_update
    FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' AND m.rootpage > 0
    ORDER BY m.name, f.id, f.seq";
