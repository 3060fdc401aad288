-- The enabled triggers whose functions have no search path of their own, and that fire when rows of tables are removed.
-- $1: the schemas of these tables, $2: their names.
WITH RECURSIVE touched (relation, event) AS (
    SELECT c.oid, 'DELETE'
    FROM unnest($1, $2) t (schema, name)
    JOIN pg_namespace n ON n.nspname = t.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
    UNION
    SELECT next.relation, next.event FROM touched t, LATERAL (
        -- What a removed row takes with it, or changes.
        SELECT f.conrelid, CASE f.confdeltype WHEN 'c' THEN 'DELETE' ELSE 'UPDATE' END
        FROM pg_constraint f
        WHERE f.contype = 'f' AND f.confrelid = t.relation AND t.event = 'DELETE' AND f.confdeltype IN ('c', 'n', 'd')
        UNION ALL
        -- The triggers of a partition are its own.
        SELECT i.inhrelid, t.event FROM pg_inherits i WHERE i.inhparent = t.relation
    ) next (relation, event)
)
SELECT DISTINCT g.tgname::text AS trigger_name, c.relname::text AS table_name, p.oid::regprocedure::text AS function_name
FROM touched t
JOIN pg_trigger g ON g.tgrelid = t.relation
JOIN pg_class c ON c.oid = g.tgrelid
JOIN pg_proc p ON p.oid = g.tgfoid
JOIN pg_language l ON l.oid = p.prolang
WHERE NOT g.tgisinternal
  AND g.tgenabled IN ('A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END)
  AND g.tgtype & CASE t.event WHEN 'DELETE' THEN 8 ELSE 16 END <> 0
  AND l.lanname NOT IN ('internal', 'c')
  AND p.pronamespace <> 'pg_catalog'::regnamespace
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s (setting) WHERE s.setting LIKE 'search\_path=%')
ORDER BY 2, 1
