-- In the schema in which a table would be created, or hiding a table of another schema.
SELECT format('%s %s', kind, c.relname), 'has the name of one of TARSy''s tables',
       CASE WHEN kind = 'partitioned table' THEN 'use a new database: COPY FREEZE does not support partitioned tables'
            WHEN kind = 'temporary table' THEN 'connect with a new session: it hides the table of that name'
            ELSE format('rename it, or use another database or schema: ALTER %s %s RENAME TO ...',
                        -- In SQL, a composite type is a TYPE.
                        upper(replace(kind, 'composite ', '')), shown.name) END
FROM pg_class c JOIN shown ON shown.oid = c.oid, LATERAL (SELECT CASE WHEN c.relpersistence = 't' THEN 'temporary table' ELSE CASE c.relkind
    WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
    WHEN 'p' THEN 'partitioned table' WHEN 'c' THEN 'composite type' ELSE 'index' END END AS kind) k
WHERE (c.relname IN (SELECT name FROM wanted) OR c.relname = 'alembic_version')
  AND (shown.is_visible OR c.relnamespace = pg_my_temp_schema())
  AND CASE WHEN c.relpersistence = 't' OR c.relkind = 'p' THEN true
           ELSE c.relkind <> 'r' AND (c.relnamespace = (SELECT schema FROM place) OR EXISTS (
               SELECT FROM pg_class t
               WHERE t.relname = c.relname AND t.relkind = 'r' AND t.relnamespace IN (SELECT oid FROM path))) END
