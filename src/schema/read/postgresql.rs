//! Reads a schema from PostgreSQL's catalogs. Needs no privilege on the tables.

use sea_orm::{DbErr, QueryResult};

use crate::database::connection::rows;
use crate::database::transaction::Transaction;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Column, ForeignKey, ForeignKeyAction, Index, Schema, Table};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Namespace {
    /// The schemas of the search path, all of them.
    Visible,
    /// The session's temporary tables.
    Temporary,
}

impl Namespace {
    /// The condition that the table `c` is in this namespace.
    fn condition(self) -> &'static str {
        match self {
            Namespace::Visible => {
                "pg_table_is_visible(c.oid) AND c.relpersistence <> 't'
                 AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
            }
            Namespace::Temporary => "c.relnamespace = pg_my_temp_schema()",
        }
    }
}

pub(crate) async fn read(connection: &Transaction, namespace: Namespace) -> Result<Schema, DbErr> {
    let in_namespace = |sql: &str| sql.replace("{is_there}", namespace.condition());
    let mut schema = Schema::default();
    for row in rows(connection, &in_namespace(TABLES)).await? {
        table(&mut schema, &row)?.is_unlogged = row.try_get("", "is_unlogged")?;
    }
    for row in rows(connection, &in_namespace(COLUMNS)).await? {
        let column = Column {
            kind: ColumnKind::of(&row.try_get::<String>("", "kind")?),
            nullable: row.try_get("", "nullable")?,
            default: row.try_get("", "default_expression")?,
        };
        table(&mut schema, &row)?.columns.insert(row.try_get("", "column_name")?, column);
    }
    for row in rows(connection, &in_namespace(PRIMARY_KEYS)).await? {
        table(&mut schema, &row)?.primary_key = row.try_get("", "columns")?;
    }
    for row in rows(connection, &in_namespace(INDEXES)).await? {
        let index = Index {
            columns: row.try_get("", "columns")?,
            unique: row.try_get("", "is_unique")?,
            method: row.try_get::<String>("", "method")?.into(),
            operator_classes: row.try_get("", "operator_classes")?,
            predicate: row.try_get("", "predicate")?,
            valid: row.try_get("", "valid")?,
        };
        table(&mut schema, &row)?.indexes.insert(row.try_get("", "name")?, index);
    }
    for row in rows(connection, &in_namespace(CHECKS)).await? {
        table(&mut schema, &row)?.checks.insert(row.try_get("", "definition")?);
    }
    for row in rows(connection, &in_namespace(HOOKS)).await? {
        table(&mut schema, &row)?.hooks.insert(row.try_get("", "hook")?);
    }
    for row in rows(connection, &in_namespace(FOREIGN_KEYS)).await? {
        let foreign_key = ForeignKey {
            name: row.try_get("", "name")?,
            columns: row.try_get("", "columns")?,
            referenced_table: row.try_get("", "referenced_table")?,
            referenced_columns: row.try_get("", "referenced_columns")?,
            on_delete: ForeignKeyAction::named(&row.try_get::<String>("", "on_delete")?),
            on_update: ForeignKeyAction::named(&row.try_get::<String>("", "on_update")?),
            validated: row.try_get("", "validated")?,
            is_deferrable: row.try_get("", "is_deferrable")?,
        };
        table(&mut schema, &row)?.foreign_keys.push(foreign_key);
    }
    Ok(schema)
}

fn table<'s>(schema: &'s mut Schema, row: &QueryResult) -> Result<&'s mut Table, DbErr> {
    Ok(schema.tables.entry(row.try_get("", "table_name")?).or_default())
}

const TABLES: &str = "
    SELECT c.relname::text AS table_name, c.relpersistence = 'u' AS is_unlogged
    FROM pg_class c WHERE {is_there} AND c.relkind IN ('r', 'p')";

const COLUMNS: &str = "
    SELECT c.relname::text AS table_name, a.attname::text AS column_name,
           format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %s', a.attcollation::regcollation)
                   ELSE '' END AS kind,
           NOT a.attnotnull AS nullable,
           CASE WHEN a.attidentity <> '' THEN 'the next identity' ELSE pg_get_expr(d.adbin, d.adrelid)
                END AS default_expression
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE {is_there} AND c.relkind IN ('r', 'p')";

const PRIMARY_KEYS: &str = "
    SELECT c.relname::text AS table_name,
           (SELECT array_agg(a.attname::text ORDER BY k.position)
            FROM unnest(p.conkey) WITH ORDINALITY k(number, position)
            JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = k.number) AS columns
    FROM pg_constraint p JOIN pg_class c ON c.oid = p.conrelid
    WHERE {is_there} AND p.contype = 'p'";

const INDEXES: &str = "
    SELECT c.relname::text AS table_name, ic.relname::text AS name, i.indisunique AS is_unique,
           i.indisvalid AS valid, am.amname::text AS method, pg_get_expr(i.indpred, i.indrelid) AS predicate,
           (SELECT array_agg(coalesce(a.attname::text, pg_get_indexdef(i.indexrelid, k.position::int, true))
                             || CASE WHEN i.indoption[k.position - 1] & 1 = 1 THEN ' DESC' ELSE '' END
                             ORDER BY k.position)
            FROM unnest(i.indkey) WITH ORDINALITY k(number, position)
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
            WHERE k.position <= i.indnkeyatts) AS columns,
           (SELECT array_agg(CASE WHEN o.opcdefault THEN '' ELSE o.opcname::text END ORDER BY k.position)
            FROM unnest(i.indclass) WITH ORDINALITY k(class, position)
            JOIN pg_opclass o ON o.oid = k.class) AS operator_classes
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_class ic ON ic.oid = i.indexrelid
    JOIN pg_am am ON am.oid = ic.relam
    WHERE {is_there} AND c.relkind IN ('r', 'p')
      AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conindid = i.indexrelid AND p.contype = 'p')";

const CHECKS: &str = "
    SELECT c.relname::text AS table_name, format('%s %s', k.conname, pg_get_constraintdef(k.oid)) AS definition
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE {is_there} AND k.contype IN ('c', 'x')";

const HOOKS: &str = "
    SELECT c.relname::text AS table_name, h.hook FROM pg_class c, LATERAL (
        SELECT format('trigger %s', tgname) FROM pg_trigger
        WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D'
        UNION ALL SELECT format('rule %s', rulename) FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled <> 'D'
        UNION ALL SELECT 'row security' WHERE c.relrowsecurity) h(hook)
    WHERE {is_there} AND c.relkind IN ('r', 'p')";

const FOREIGN_KEYS: &str = "
    SELECT c.relname::text AS table_name, f.conname::text AS name, f.confrelid::regclass::text AS referenced_table,
           f.convalidated AS validated, f.condeferrable AS is_deferrable,
           (SELECT array_agg(a.attname::text ORDER BY k.position)
            FROM unnest(f.conkey) WITH ORDINALITY k(number, position)
            JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS columns,
           (SELECT array_agg(a.attname::text ORDER BY k.position)
            FROM unnest(f.confkey) WITH ORDINALITY k(number, position)
            JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number) AS referenced_columns,
           CASE f.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
                WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_delete,
           CASE f.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
                WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_update
    FROM pg_constraint f
    JOIN pg_class c ON c.oid = f.conrelid
    WHERE {is_there} AND f.contype = 'f' ORDER BY c.relname, f.conname";
