-- Plants in the first schema of the search path, for every function and operator of the catalog that takes values of
-- the types below, better matches for arguments that the built-in one would convert first. Each says in the server's log
-- that it ran.
SELECT set_config('planted.schema', quote_ident(current_schema()), false);
SET search_path = '';
SET check_function_bodies = off;

CREATE TEMPORARY TABLE types AS
SELECT t AS type, t::oid IN ('varchar'::regtype, 'text'::regtype, 'name'::regtype, 'int2'::regtype, 'int4'::regtype,
                             'int8'::regtype, 'regclass'::regtype, 'text[]'::regtype) AS is_common
FROM unnest(ARRAY['varchar', 'text', 'name', '"char"', 'int2', 'int4', 'int8', 'oid', 'regclass', 'regtype', 'regnamespace',
                  'bool', 'text[]', 'varchar[]', 'name[]', 'int2[]', 'oid[]', 'int2vector', 'oidvector', 'jsonb', 'float8',
                  'numeric', 'timestamp', 'timestamptz', 'interval']::regtype[]) t;

-- What may be given where a type is wanted.
CREATE TEMPORARY TABLE given AS
SELECT DISTINCT b.type AS given, b.is_common, a.oid AS wanted
FROM pg_temp.types b, pg_type a
WHERE b.type = a.oid
   OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = b.type AND c.casttarget = a.oid AND c.castcontext = 'i')
   OR a.typname IN ('any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray')
   OR (a.typname IN ('anyarray', 'anycompatiblearray') AND b.type::text LIKE '%[]');

DO $$
DECLARE
    f record;
    planted integer := 0;
BEGIN
    FOR f IN
        WITH matches AS (
            SELECT p.proname, p.proretset, r.typtype = 'p' AS is_vague, p.prorettype::regtype AS returned,
                   array_remove(ARRAY[a1.given, a2.given, a3.given], NULL) AS arguments
            FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype
            JOIN LATERAL (SELECT given FROM pg_temp.given WHERE wanted = p.proargtypes[0]) a1 ON true
            LEFT JOIN LATERAL (SELECT given, is_common FROM pg_temp.given WHERE wanted = p.proargtypes[1]) a2 ON p.pronargs > 1
            LEFT JOIN LATERAL (SELECT given FROM pg_temp.given WHERE wanted = p.proargtypes[2] AND is_common) a3 ON p.pronargs > 2
            WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs BETWEEN 1 AND 3
              AND (p.pronargs < 2 OR a2.given IS NOT NULL)
              AND (p.pronargs < 3 OR (a3.given IS NOT NULL AND a2.is_common))
              AND p.proname !~ '(in|out|recv|send)$' AND r.typname NOT IN ('trigger', 'event_trigger', 'internal')
        )
        SELECT DISTINCT ON (proname, arguments) *,
               (SELECT string_agg(format_type(a, NULL), ', ' ORDER BY n) FROM unnest(arguments) WITH ORDINALITY x(a, n)) AS list
        FROM matches m
        WHERE NOT EXISTS (SELECT FROM pg_proc b WHERE b.pronamespace = 'pg_catalog'::regnamespace AND b.proname = m.proname
                          AND b.proargtypes::oid[] = m.arguments::oid[])
    LOOP
        EXECUTE format(
            'CREATE FUNCTION %s.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS $body$ BEGIN RAISE LOG ''PLANTED: %s(%s)''; RETURN %s; END $body$',
            current_setting('planted.schema'), f.proname, f.list, CASE WHEN f.proretset THEN 'SETOF' ELSE '' END,
            CASE WHEN f.is_vague THEN 'text' ELSE format_type(f.returned, NULL) END,
            f.proname, f.list, CASE WHEN f.proretset THEN '' ELSE 'NULL' END);
        planted := planted + 1;
    END LOOP;
    RAISE NOTICE '% functions', planted;
END $$;

DO $$
DECLARE
    o record;
    planted integer := 0;
BEGIN
    FOR o IN
        SELECT row_number() OVER () AS n, matches.*
        FROM (SELECT DISTINCT ON (b.oprname, l.given, r.given) b.oprname,
                     CASE t.typtype WHEN 'p' THEN 'text'::regtype ELSE b.oprresult END AS returned,
                     l.given AS l_type, r.given AS r_type
              FROM pg_operator b JOIN pg_type t ON t.oid = b.oprresult
              JOIN pg_temp.given l ON l.wanted = b.oprleft JOIN pg_temp.given r ON r.wanted = b.oprright
              WHERE b.oprnamespace = 'pg_catalog'::regnamespace) matches
        LEFT JOIN pg_operator exact
               ON exact.oprname = matches.oprname AND exact.oprleft = l_type AND exact.oprright = r_type
        WHERE exact.oid IS NULL
    LOOP
        EXECUTE format(
            'CREATE FUNCTION %s.planted_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $body$ BEGIN RAISE LOG ''PLANTED: %% %s %%'', %L, %L; RETURN NULL; END $body$',
            current_setting('planted.schema'), o.n, format_type(o.l_type, NULL), format_type(o.r_type, NULL), format_type(o.returned, NULL),
            replace(o.oprname, '%', '%%'), format_type(o.l_type, NULL), format_type(o.r_type, NULL));
        EXECUTE format('CREATE OPERATOR %s.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %1$s.planted_%5$s)',
            current_setting('planted.schema'), o.oprname, format_type(o.l_type, NULL), format_type(o.r_type, NULL), o.n);
        planted := planted + 1;
    END LOOP;
    RAISE NOTICE '% operators', planted;
END $$;
