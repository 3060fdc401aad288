//! Drops indexes, primary keys and foreign keys for the load and recreates them afterwards: building a b-tree from all
//! rows at once takes a fraction of the time of growing it row by row.

use std::sync::Arc;

use sqlx::{PgConnection, Row};

use super::error::WriteError;
use super::session::{execute, table_list};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::plan::TablePlan;

/// The dropped indexes and keys with their definitions, including those that an operator added.
pub(crate) struct DroppedIndexes {
    rebuild: Vec<Rebuild>,
}

struct Rebuild {
    name: String,
    phase: Phase,
    sql: String,
}

impl DroppedIndexes {
    pub(crate) async fn take(connection: &mut PgConnection, plan: &[Arc<TablePlan>]) -> Result<Self, DatabaseError> {
        let names: Vec<String> = plan.iter().map(|table| table.name.clone()).collect();
        let rows = sqlx::query(LIST_INDEXES)
            .bind(names)
            .fetch_all(&mut *connection)
            .await
            .context((Verb::List, "the indexes"))?;
        let mut rebuild = Vec::new();
        for row in rows {
            let text = |column: &str| row.try_get::<String, _>(column).context((Verb::List, "the indexes"));
            let name = text("name")?;
            execute(connection, text("drop_statement")?).await.context((Verb::Drop, format!("{name} for the load")))?;
            let verb = if text("kind")? == "foreign key" { "checking" } else { "indexing" };
            let phase = Phase {
                verb,
                subject: text("table_name")?,
                part: Some(format!("{} {}", text("kind")?, text("object")?)),
            };
            rebuild.push(Rebuild { name, phase, sql: text("create_statement")? });
        }
        // FREEZE, which saves a second write of each row, requires a table that this transaction truncated. RESTART
        // IDENTITY gives new sequences: setting an old one is not undone by a rollback.
        execute(connection, format!("TRUNCATE {} RESTART IDENTITY", table_list(plan)))
            .await
            .context((Verb::Truncate, "the empty tables"))?;
        // Foreign keys are dropped first and recreated last.
        rebuild.reverse();
        Ok(Self { rebuild })
    }

    pub(crate) async fn rebuild(
        self,
        connection: &mut PgConnection,
        progress: &dyn Progress,
    ) -> Result<(), WriteError> {
        for Rebuild { name, phase, sql } in self.rebuild {
            let meter = progress.begin(phase, Amount::default());
            let action = Action::from((Verb::Recreate, name));
            execute(connection, sql).await.map_err(|error| WriteError::of(action, error))?;
            meter.finish();
        }
        Ok(())
    }
}

/// Foreign keys first, then indexes without a constraint, then primary keys, with their comments. An index stays if its
/// definition does not contain everything (a tablespace, its use for clustering or replication).
const LIST_INDEXES: &str = "
    SELECT format('foreign key `%s`', f.conname) AS name, 1 AS position, 'foreign key' AS kind, f.conname::text AS object,
           f.conrelid::regclass::text AS table_name,
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
    SELECT format('index `%s`', c.relname), 2, (SELECT upper(amname) FROM pg_am WHERE oid = c.relam), c.relname::text,
           i.indrelid::regclass::text, format('DROP INDEX %s', i.indexrelid::regclass),
           pg_get_indexdef(i.indexrelid)
           || CASE WHEN obj_description(c.oid, 'pg_class') IS NULL THEN ''
                   ELSE format('; COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(c.oid, 'pg_class'))
              END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::regclass[]) AND c.reltablespace = 0
      AND NOT i.indisreplident AND NOT i.indisclustered
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = i.indexrelid AND d.deptype = 'i')
    UNION ALL
    SELECT format('index `%s`', p.conname), 3, 'BTREE', p.conname::text, p.conrelid::regclass::text,
           format('ALTER TABLE %s DROP CONSTRAINT %I', p.conrelid::regclass, p.conname),
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', p.conrelid::regclass, p.conname, pg_get_constraintdef(p.oid))
           || CASE WHEN obj_description(p.oid, 'pg_constraint') IS NULL THEN ''
                   ELSE format('; COMMENT ON CONSTRAINT %I ON %s IS %L', p.conname, p.conrelid::regclass,
                               obj_description(p.oid, 'pg_constraint'))
              END
           || CASE WHEN obj_description(c.oid, 'pg_class') IS NULL THEN ''
                   ELSE format('; COMMENT ON INDEX %s IS %L', c.oid::regclass, obj_description(c.oid, 'pg_class'))
              END
    FROM pg_constraint p JOIN pg_index i ON i.indexrelid = p.conindid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE p.contype = 'p' AND p.conrelid = ANY ($1::regclass[]) AND c.reltablespace = 0 AND c.reloptions IS NULL
      AND NOT i.indisreplident AND NOT i.indisclustered
      -- A view that groups by the key needs it.
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_constraint'::regclass AND d.refobjid = p.oid
                                                AND d.deptype = 'n')
    ORDER BY position, name";
