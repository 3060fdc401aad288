-- $1: the schemas of the search path. The first relation of a name hides those of later schemas.
WITH visible AS (
    SELECT DISTINCT ON (c.relname) c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, n.nspname
    FROM unnest($1::text[]) WITH ORDINALITY AS path(name, position)
    JOIN pg_namespace n ON n.nspname = path.name OR path.name = 'pg_temp' AND n.oid = pg_my_temp_schema()
    JOIN pg_class c ON c.relnamespace = n.oid
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND (c.relpersistence = 't') = (path.name = 'pg_temp')
    ORDER BY c.relname, path.position
)
