-- What calls functions when rows of tables are removed: the caller of a query that follows.
-- $1: the schemas of these tables, $2: their names.
WITH RECURSIVE touched (relation, event, columns) AS (
    SELECT c.oid, 'DELETE', '{}'::name[]
    FROM unnest($1, $2) t (schema, name)
    JOIN pg_namespace n ON n.nspname = t.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
    UNION
    SELECT next.relation, next.event, next.columns FROM touched t, LATERAL (
        -- What a removed row takes with it, or changes.
        SELECT f.conrelid, CASE f.confdeltype WHEN 'c' THEN 'DELETE' ELSE 'UPDATE' END,
               ARRAY (SELECT a.attname FROM pg_attribute a
                      WHERE f.confdeltype <> 'c' AND a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey))
        FROM pg_constraint f
        WHERE f.contype = 'f' AND f.confrelid = t.relation AND t.event = 'DELETE' AND f.confdeltype IN ('c', 'n', 'd')
        UNION ALL
        -- The triggers of a partition are its own.
        SELECT i.inhrelid, t.event, t.columns FROM pg_inherits i WHERE i.inhparent = t.relation
    ) next (relation, event, columns)
), fires (state) AS (
    VALUES ('A'), (CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END)
), caller (class, object, kind, name, relation) AS (
    SELECT 'pg_trigger'::regclass, g.oid, 'trigger', g.tgname, t.relation
    FROM touched t JOIN pg_trigger g ON g.tgrelid = t.relation
    WHERE NOT g.tgisinternal AND g.tgenabled::text IN (SELECT state FROM fires)
      AND CASE t.event
          WHEN 'DELETE' THEN g.tgtype & 8 <> 0
          -- A generated column may be computed from one that changes.
          ELSE g.tgtype & 16 <> 0 AND (cardinality(g.tgattr::int2[]) = 0 OR EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = t.relation AND a.attnum = ANY (g.tgattr::int2[])
                AND (a.attname = ANY (t.columns) OR a.attgenerated <> '')))
          END
    UNION
    SELECT 'pg_rewrite'::regclass, r.oid, 'rule', r.rulename, t.relation
    FROM touched t JOIN pg_rewrite r ON r.ev_class = t.relation
    WHERE r.ev_type = CASE t.event WHEN 'DELETE' THEN '4' ELSE '2' END AND r.ev_enabled::text IN (SELECT state FROM fires)
    UNION
    SELECT 'pg_constraint'::regclass, k.oid, 'constraint', k.conname, t.relation
    FROM touched t JOIN pg_constraint k ON k.conrelid = t.relation WHERE t.event = 'UPDATE' AND k.contype = 'c'
    UNION
    SELECT 'pg_class'::regclass, c.oid, 'index', c.relname, t.relation
    FROM touched t JOIN pg_index i ON i.indrelid = t.relation JOIN pg_class c ON c.oid = i.indexrelid
    WHERE t.event = 'UPDATE'
    UNION
    SELECT 'pg_attrdef'::regclass, e.oid, 'column', a.attname, t.relation
    FROM touched t JOIN pg_attrdef e ON e.adrelid = t.relation
    JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
    WHERE t.event = 'UPDATE' AND (a.attgenerated <> '' OR a.attname = ANY (t.columns))
)
