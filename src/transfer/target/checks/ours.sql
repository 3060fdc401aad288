-- The CTEs of all checks. $1: the tables to fill; $2: the schema of each; $3: their columns; $4: the role's own search
-- path; $5: the key of tarsy-db's advisory lock.
-- `wanted`: the tables to fill. `known`: their columns. `path`: the schemas of the role's own search path. `shown`: how
-- that role names a relation. `shown_function`: how it names a function, and whether that function's own definition
-- leaves its search path to the caller. `ours`: the wanted tables that exist. `place`: the schema in which missing tables are
-- created. `reset`: how to reset a setting.
WITH wanted AS (SELECT * FROM unnest($1::text[], $2::text[]) AS w(name, schema)),
known AS (SELECT unnest($3::text[]) AS place),
path AS (
    SELECT n.oid, p.position FROM unnest($4::text[]) WITH ORDINALITY AS p(schema, position)
    JOIN pg_namespace n ON n.nspname = p.schema),
shown AS NOT MATERIALIZED (
    SELECT c.oid, v.is_visible,
           CASE WHEN v.is_visible THEN quote_ident(c.relname) ELSE format('%I.%I', n.nspname, c.relname) END AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
        SELECT c.relnamespace IS NOT DISTINCT FROM (
            SELECT path.oid FROM path JOIN pg_class o ON o.relnamespace = path.oid AND o.relname = c.relname
            ORDER BY path.position LIMIT 1) AS is_visible) v),
shown_function AS NOT MATERIALIZED (
    SELECT p.oid, CASE WHEN n.oid IN (SELECT oid FROM path) THEN quote_ident(p.proname)
                       ELSE format('%I.%I', n.nspname, p.proname) END AS name,
           l.lanname NOT IN ('internal', 'c')
           AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search\_path=%') AS is_without_path
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang),
ours AS (
    SELECT c.*, shown.name FROM wanted JOIN pg_namespace n ON n.nspname = wanted.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name JOIN shown ON shown.oid = c.oid
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'),
place AS (
    SELECT (SELECT n.oid FROM wanted JOIN pg_namespace n ON n.nspname = wanted.schema
            WHERE wanted.name = 'alert_sessions') AS schema),
advisory AS (SELECT $5::int8 AS key),
reset AS (
    SELECT name, CASE source
        WHEN 'user' THEN format('ALTER ROLE %I RESET %s', session_user, name)
        WHEN 'database' THEN format('ALTER DATABASE %I RESET %s', current_database(), name)
        WHEN 'database user' THEN
            format('ALTER ROLE %I IN DATABASE %I RESET %s', session_user, current_database(), name)
        ELSE format('remove `%s` from the server''s configuration', name) END AS advice
    FROM pg_settings)
