-- Foreign keys first, then indexes without a constraint, then primary keys, with their comments. An index stays if its
-- definition does not contain everything (a tablespace, its use for clustering or replication). $1: the tables.
-- Under an empty search path the server prints every name in a definition with its schema, unless it is its own.
SELECT format('foreign key `%s`', f.conname) AS name, 1 AS position, 'foreign key' AS kind, f.conname::text AS object,
       (SELECT relname::text FROM pg_class WHERE oid = f.conrelid) AS table_name,
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
       (SELECT relname::text FROM pg_class WHERE oid = i.indrelid), format('DROP INDEX %s', i.indexrelid::regclass),
       pg_get_indexdef(i.indexrelid)
       || CASE WHEN obj_description(c.oid, 'pg_class') IS NULL THEN ''
               ELSE format('; COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(c.oid, 'pg_class'))
          END
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY ($1::regclass[]) AND c.reltablespace = 0
  AND NOT i.indisreplident AND NOT i.indisclustered
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = i.indexrelid AND d.deptype = 'i')
UNION ALL
SELECT format('index `%s`', p.conname), 3, 'BTREE', p.conname::text,
       (SELECT relname::text FROM pg_class WHERE oid = p.conrelid),
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
ORDER BY position, name
