-- What the catalog says of a role. $1: the role; $2, $3: TARSy's tables and their schemas; $4: the schemas of the tables;
-- $5: whether the search path of this session is that of the server.
WITH settings AS (
    SELECT s.setrole, s.setdatabase, lower(split_part(c, '=', 1)) AS name, substr(c, strpos(c, '=') + 1) AS value
    FROM pg_db_role_setting s, unnest(s.setconfig) c
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
),
obstacles AS (
    SELECT o.oid, v.*
    FROM pg_roles o,
         LATERAL (VALUES (1, NOT o.rolcanlogin, 'it lacks LOGIN', 'LOGIN'),
                         (2, o.rolvaliduntil < now(), 'its password has expired', 'VALID UNTIL ''infinity'''),
                         (3, o.rolconnlimit = 0 AND NOT o.rolsuper, 'its connection limit is 0', 'CONNECTION LIMIT -1')) v (place, is_there, reason, remedy)
    WHERE v.is_there
)
SELECT ARRAY(SELECT t.name
             FROM unnest($2::text[], $3::text[]) t (name, schema)
             JOIN pg_namespace n ON n.nspname = t.schema
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')
             WHERE pg_has_role(r.oid, c.relowner, 'MEMBER') ORDER BY 1)
           || ARRAY(SELECT 'the schema ' || n.nspname
                    FROM pg_namespace n
                    WHERE n.nspname = ANY ($4::text[]) AND pg_has_role(r.oid, n.nspowner, 'MEMBER') ORDER BY 1) AS owned,
       -- Why it cannot log in, and what lets it.
       ARRAY(SELECT reason FROM obstacles o WHERE o.oid = r.oid ORDER BY place) AS obstacles,
       (SELECT format('ALTER ROLE %I %s', r.rolname, string_agg(remedy, ' ' ORDER BY place)) FROM obstacles o WHERE o.oid = r.oid)
           AS open_login,
       -- The tables of which a row policy may hide rows, or refuse them: for some command no policy allows every row. As
       -- the server does, only the rights that the role inherits count.
       ARRAY(SELECT DISTINCT t.name
             FROM unnest($2::text[], $3::text[]) t (name, schema)
             JOIN pg_namespace n ON n.nspname = t.schema
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p'),
             unnest(CASE t.name WHEN 'alembic_version' THEN ARRAY['r'] ELSE ARRAY['r', 'a', 'w', 'd'] END) command
             WHERE c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
               AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
               AND NOT coalesce((
                   SELECT bool_or(p.polpermissive AND p.is_for_all) AND bool_and(p.polpermissive)
                   FROM (SELECT polpermissive,
                                coalesce(pg_get_expr(polqual, polrelid), 'true') = 'true'
                                AND coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true' AS is_for_all
                         FROM pg_policy
                         WHERE polrelid = c.oid AND polcmd::text IN ('*', command)
                           AND (0 = ANY (polroles) OR EXISTS (SELECT FROM pg_roles g WHERE g.oid = ANY (polroles)
                                                                AND pg_has_role(r.oid, g.oid, 'USAGE')))) p), false)
             ORDER BY 1) AS row_secured,
       -- The server prefers them in this order. Without a setting it is the server's, which is known if it is in force here.
       coalesce((SELECT value FROM settings WHERE name = 'search_path' AND setrole IN (0, r.oid)
                 ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC LIMIT 1),
                CASE WHEN $5 THEN p.reset_val ELSE p.boot_val END) AS search_path,
       format('ALTER ROLE %I IN DATABASE %I SET', $1::text, current_database()) AS set,
       (SELECT string_agg(quote_ident(name), ', ' ORDER BY place) FROM unnest($4::text[]) WITH ORDINALITY s (name, place))
           AS path,
       -- Without a setting of the role or the database these are those of the server, which the other checks judge.
       ARRAY(SELECT DISTINCT ON (name) name || '=' || value FROM settings
             WHERE setrole IN (0, r.oid)
               AND name IN ('default_transaction_read_only', 'session_replication_role', 'timezone')
             ORDER BY name, setrole <> 0 DESC, setdatabase <> 0 DESC) AS settings
FROM pg_roles r, pg_settings p
WHERE r.rolname = $1 AND p.name = 'search_path'
