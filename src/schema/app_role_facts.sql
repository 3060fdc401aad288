-- What the catalog says of a role. $1: the role; $2, $3: TARSy's tables and their schemas; $4: the schemas of the tables.
WITH settings AS (
    SELECT s.setrole, s.setdatabase, substr(c, length('search_path=') + 1) AS path
    FROM pg_db_role_setting s, unnest(s.setconfig) c
    WHERE starts_with(c, 'search_path=')
      AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
)
SELECT ARRAY(SELECT t.name
             FROM unnest($2::text[], $3::text[]) t (name, schema)
             JOIN pg_namespace n ON n.nspname = t.schema
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')
             WHERE pg_has_role(r.oid, c.relowner, 'MEMBER') ORDER BY 1)
           || ARRAY(SELECT 'the schema ' || n.nspname
                    FROM pg_namespace n
                    WHERE n.nspname = ANY ($4::text[]) AND pg_has_role(r.oid, n.nspowner, 'MEMBER') ORDER BY 1) AS owned,
       -- The server prefers them in this order. Without a setting it is the server's, which is also in force here, unless
       -- the role that is logged in has one of its own.
       coalesce((SELECT path FROM settings WHERE setrole = r.oid ORDER BY setdatabase DESC LIMIT 1),
                (SELECT path FROM settings WHERE setrole = 0 ORDER BY setdatabase DESC LIMIT 1),
                CASE WHEN EXISTS (SELECT FROM settings 
                                    WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = session_user)) THEN p.boot_val
                     ELSE p.reset_val END) AS search_path,
       format('ALTER ROLE %I IN DATABASE %I SET search_path = %s', $1::text, current_database(),
              (SELECT string_agg(quote_ident(name), ', ' ORDER BY place) FROM unnest($4::text[]) WITH ORDINALITY s (name, place)))
           AS set_path
FROM pg_roles r, pg_settings p
WHERE r.rolname = $1 AND p.name = 'search_path'
