//! Reads a schema from SQLite's pragmas.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::database::connection::rows;
use crate::schema::model::{Column, ForeignKey, Index, Schema};

pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<Schema, DbErr> {
    let mut schema = Schema::default();
    for row in rows(connection, COLUMNS).await? {
        let name: String = row.try_get("", "column_name")?;
        let kind: String = row.try_get("", "kind")?;
        let column = Column {
            kind: kind.to_lowercase(),
            nullable: row.try_get::<i32>("", "not_null")? == 0,
            default: row.try_get("", "default_expression")?,
        };
        let in_key = row.try_get::<i32>("", "key_position")? > 0;
        let table = table(&mut schema, &row)?;
        if in_key {
            table.primary_key.push(name.clone());
        }
        table.columns.insert(name, column);
    }
    for row in rows(connection, INDEXES).await? {
        let definition: Option<String> = row.try_get("", "definition")?;
        let is_partial = row.try_get::<i32>("", "is_partial")? != 0;
        let index = Index {
            columns: Vec::new(),
            unique: row.try_get::<i32>("", "is_unique")? != 0,
            method: "btree".to_owned(),
            operator_classes: Vec::new(),
            predicate: definition.filter(|_| is_partial),
            valid: true,
        };
        let column: Option<String> = row.try_get("", "column_name")?;
        let index = table(&mut schema, &row)?.indexes.entry(row.try_get("", "name")?).or_insert(index);
        // Only an expression has no name.
        let order = if row.try_get::<i32>("", "is_descending")? == 0 { "" } else { " DESC" };
        index.columns.push(column.unwrap_or_else(|| "(expression)".to_owned()) + order);
        index.operator_classes.push(String::new());
    }
    for row in rows(connection, TRIGGERS).await? {
        table(&mut schema, &row)?.hooks.insert(row.try_get("", "hook")?);
    }
    for row in rows(connection, FOREIGN_KEYS).await? {
        let first = row.try_get::<i32>("", "position")? == 0;
        let column: String = row.try_get("", "column_name")?;
        // Without a column the key points to the primary key of the other table.
        let referenced: Option<String> = row.try_get("", "referenced_column")?;
        let foreign_keys = &mut table(&mut schema, &row)?.foreign_keys;
        if first {
            foreign_keys.push(ForeignKey {
                name: None,
                columns: Vec::new(),
                referenced_table: row.try_get("", "referenced_table")?,
                referenced_columns: Vec::new(),
                on_delete: row.try_get("", "on_delete")?,
                on_update: row.try_get("", "on_update")?,
                validated: true,
                is_deferrable: false,
            });
        }
        if let Some(foreign_key) = foreign_keys.last_mut() {
            foreign_key.columns.push(column);
            foreign_key.referenced_columns.extend(referenced);
        }
    }
    Ok(schema)
}

fn table<'s>(schema: &'s mut Schema, row: &QueryResult) -> Result<&'s mut crate::schema::model::Table, DbErr> {
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
