//! Indexes and foreign keys, set aside for the load: a b-tree that is built from all rows at once takes a fraction of the
//! time of one that grows row by row.

use std::sync::Arc;

use sqlx::{PgConnection, Row};

use super::load::{execute, table_list};
use super::plan::TablePlan;
use super::{TransferError, rejected};
use crate::failure::{Cause, Doing};
use crate::progress::{Amount, Progress};

/// Indexes and foreign keys that are dropped for the load, as the server defines them: an operator's
/// own come back too.
pub(super) struct SetAside {
    rebuild: Vec<Rebuild>,
}

struct Rebuild {
    name: String,
    sql: String,
}

impl SetAside {
    pub(super) async fn take(connection: &mut PgConnection, plan: &[Arc<TablePlan>]) -> Result<Self, TransferError> {
        let names: Vec<String> = plan.iter().map(|table| table.name.clone()).collect();
        let rows = sqlx::query(ASIDE).bind(names).fetch_all(&mut *connection).await.doing("list the indexes")?;
        let mut rebuild = Vec::new();
        for row in rows {
            let [name, drop, sql] = ["name", "drop_statement", "create_statement"].map(|column| row.try_get(column));
            let name: String = name.doing("list the indexes")?;
            execute(connection, drop.doing("list the indexes")?).await.doing(format!("set {name} aside"))?;
            rebuild.push(Rebuild { name, sql: sql.doing("list the indexes")? });
        }
        // Rows that are frozen from the start need no second write, but only in a table that this
        // transaction has truncated.
        execute(connection, format!("TRUNCATE {}", table_list(plan))).await.doing("truncate the empty tables")?;
        // Foreign keys were dropped first, and come back last.
        rebuild.reverse();
        Ok(Self { rebuild })
    }

    pub(super) async fn rebuild(
        self,
        connection: &mut PgConnection,
        progress: &dyn Progress,
    ) -> Result<(), TransferError> {
        for Rebuild { name, sql } in self.rebuild {
            progress.start(&format!("building {name}"), Amount::default());
            let action = format!("build {name}");
            execute(connection, sql).await.map_err(|error| rejected(action, Cause::from(error)))?;
            progress.finish();
        }
        Ok(())
    }
}

/// Foreign keys first, then indexes that belong to no constraint, comments included. What their
/// definitions do not tell (a tablespace, a role in clustering or replication) keeps an index where it is.
const ASIDE: &str = "
    SELECT format('foreign key %s', f.conname) AS name, 1 AS position,
           format('ALTER TABLE %s DROP CONSTRAINT %I', f.conrelid::regclass, f.conname) AS drop_statement,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', f.conrelid::regclass, f.conname, pg_get_constraintdef(f.oid))
           || CASE WHEN obj_description(f.oid, 'pg_constraint') IS NULL THEN ''
                   ELSE format('; COMMENT ON CONSTRAINT %I ON %s IS %L', f.conname, f.conrelid::regclass,
                               obj_description(f.oid, 'pg_constraint'))
              END AS create_statement
    FROM pg_constraint f
    WHERE f.contype = 'f' AND f.conparentid = 0
      AND (f.conrelid = ANY ($1::regclass[]) OR f.confrelid = ANY ($1::regclass[]))
    UNION ALL
    SELECT format('index %s', c.relname), 2, format('DROP INDEX %s', i.indexrelid::regclass),
           pg_get_indexdef(i.indexrelid)
           || CASE WHEN obj_description(c.oid, 'pg_class') IS NULL THEN ''
                   ELSE format('; COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(c.oid, 'pg_class'))
              END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::regclass[]) AND c.reltablespace = 0
      AND NOT i.indisreplident AND NOT i.indisclustered
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = i.indexrelid AND d.deptype = 'i')
    ORDER BY position, name";
