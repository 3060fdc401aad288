-- What a role lacks that TARSy's backend needs, what it has beyond that, and how that is granted and revoked.
-- $1: the role; $2, $3: TARSy's tables and their schemas; $4: those of them that will be created; $5: the schema of new tables.
WITH role AS (SELECT oid FROM pg_roles WHERE rolname = $1),
tables AS (
    SELECT t.name, t.schema, c.oid, c.relowner, c.relacl,
           CASE t.name WHEN 'alembic_version' THEN ARRAY['SELECT']
                       ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END AS used
    FROM unnest($2::text[], $3::text[]) t (name, schema)
    LEFT JOIN pg_namespace n ON n.nspname = t.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')
    WHERE c.oid IS NOT NULL OR t.name = ANY ($4::text[])
),
-- The owner of the tables that an upgrade creates.
creator AS (
    SELECT o.oid, o.rolname FROM pg_roles o
    WHERE o.oid = coalesce((SELECT relowner FROM tables WHERE name = 'alert_sessions'),
                           (SELECT oid FROM pg_roles WHERE rolname = current_user))
),
-- Those from which a default takes its numbers.
sequences AS (
    SELECT DISTINCT s.oid, format('%I.%I', n.nspname, s.relname) AS object
    FROM tables t
    JOIN pg_attrdef a ON a.adrelid = t.oid
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    UNION ALL
    SELECT NULL, format('%I.%I', t.schema, 'events_id_seq') FROM tables t WHERE t.name = 'events' AND t.oid IS NULL
),
needed AS (
    SELECT 1 AS place, 'DATABASE' AS kind, quote_ident(current_database()) AS object, 'CONNECT' AS privilege, 1 AS position,
           has_database_privilege(r.oid, current_database(), 'CONNECT') AS is_granted,
           has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') AS may_grant
    FROM role r
    UNION ALL
    SELECT 2, 'SCHEMA', quote_ident(n.nspname), 'USAGE', 1, has_schema_privilege(r.oid, n.oid, 'USAGE'),
           has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION')
    FROM role r, pg_namespace n
    WHERE n.nspname IN (SELECT schema FROM tables)
    UNION ALL
    SELECT 3, 'TABLE', format('%I.%I', t.schema, t.name), p.name, p.position,
           coalesce(has_table_privilege(r.oid, t.oid, p.name), pg_has_role(r.oid, o.oid, 'USAGE')),
           coalesce(has_table_privilege(t.oid, p.name || ' WITH GRANT OPTION'), true)
    FROM role r, creator o, tables t, unnest(t.used) WITH ORDINALITY p (name, position)
    UNION ALL
    SELECT 4, 'SEQUENCE', s.object, 'USAGE', 1,
           coalesce(has_sequence_privilege(r.oid, s.oid, 'USAGE'), pg_has_role(r.oid, o.oid, 'USAGE')),
           coalesce(has_sequence_privilege(s.oid, 'USAGE WITH GRANT OPTION'), true)
    FROM role r, creator o, sequences s
),
lacking AS (
    SELECT place, kind, object, string_agg(privilege, ', ' ORDER BY position) AS privileges, bool_and(may_grant) AS may_grant
    FROM needed WHERE NOT is_granted GROUP BY place, kind, object
),
-- What is granted on the tables of later revisions, and on all others that their owner creates. A role that may act as the
-- owner needs nothing.
later AS (
    SELECT CASE k.type WHEN 'r' THEN 'TABLES' ELSE 'SEQUENCES' END AS kind,
           string_agg(p.name, ', ' ORDER BY p.position) AS privileges,
           CASE WHEN o.rolname <> current_user THEN format('FOR ROLE %I ', o.rolname) ELSE '' END AS for_role,
           pg_has_role(o.oid, 'USAGE') AS is_allowed
    FROM role r, creator o,
         (VALUES ('r', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']), ('S', ARRAY['USAGE'])) k (type, privileges),
         unnest(k.privileges) WITH ORDINALITY p (name, position)
    WHERE NOT pg_has_role(r.oid, o.oid, 'USAGE')
      AND NOT EXISTS (
          SELECT FROM pg_default_acl a
          LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace,
          aclexplode(a.defaclacl) x
          WHERE a.defaclrole = o.oid AND a.defaclobjtype = k.type::"char"
            AND (a.defaclnamespace = 0 OR n.nspname = $5) AND x.grantee = r.oid AND x.privilege_type = p.name)
    GROUP BY k.type, o.oid, o.rolname
),
-- The privileges of tables with their columns, and of schemas.
privileges AS (
    SELECT 'TABLE' AS kind, format('%I.%I', schema, name) AS object, relowner AS owner, relacl AS acl, used FROM tables
    UNION ALL
    SELECT 'TABLE', format('%I.%I', t.schema, t.name), t.relowner, a.attacl, t.used
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND NOT a.attisdropped
    UNION ALL
    SELECT 'SCHEMA', quote_ident(nspname), nspowner, nspacl, ARRAY['USAGE'] FROM pg_namespace WHERE nspname = ANY ($3::text[])
),
-- Those that the backend does not use, and that the role has by itself, as a member of others, or as everyone. With TRIGGER
-- or CREATE it can let the owner run its code. Default privileges of an earlier run are also those of a ledger that is
-- created again. Who may act as the owner has all of them.
beyond AS (
    SELECT p.kind, p.object, x.grantee, x.grantor, x.grantee = r.oid AND x.grantor = p.owner AS is_excess,
           string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type) AS privileges,
           pg_has_role(p.owner, 'USAGE') AS may_revoke, x.grantor <> p.owner AS is_of_another
    FROM role r, privileges p, aclexplode(p.acl) x
    WHERE x.privilege_type <> ALL (p.used) AND NOT pg_has_role(r.oid, p.owner, 'MEMBER')
      AND (x.grantee = 0 OR pg_has_role(r.oid, x.grantee, 'MEMBER'))
    GROUP BY p.kind, p.object, p.owner, x.grantee, x.grantor, r.oid
),
revoked AS (
    SELECT is_excess, may_revoke,
           format('REVOKE %s ON %s %s FROM %s', privileges, kind, string_agg(object, ', ' ORDER BY object),
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS statement,
           -- A privilege is revoked as the one who granted it.
           CASE WHEN is_of_another THEN quote_ident(pg_get_userbyid(grantor)) END AS grantor
    FROM beyond GROUP BY kind, privileges, grantee, grantor, is_excess, may_revoke, is_of_another
    UNION ALL
    SELECT false, true, format('REVOKE %I FROM %I', g.rolname, m.rolname), NULL
    FROM role r, pg_auth_members a
    JOIN pg_roles g ON g.oid = a.roleid
    JOIN pg_roles m ON m.oid = a.member
    WHERE g.rolname IN ('pg_write_all_data', 'pg_maintain') AND pg_has_role(r.oid, m.oid, 'MEMBER')
      AND EXISTS (SELECT FROM tables t WHERE NOT pg_has_role(r.oid, t.relowner, 'MEMBER'))
)
SELECT place, 'needed' AS purpose, may_grant AS is_allowed,
       format('GRANT %s ON %s %s TO %I', privileges, kind, string_agg(object, ', ' ORDER BY object), $1) AS statement
FROM lacking GROUP BY place, kind, privileges, may_grant
UNION ALL
SELECT 5, CASE WHEN is_excess THEN 'excess' ELSE 'shared' END, may_revoke,
       coalesce('SET ROLE ' || grantor || '; ' || statement || '; RESET ROLE', statement) FROM revoked
UNION ALL
SELECT 6, 'later', is_allowed,
       format('ALTER DEFAULT PRIVILEGES %sIN SCHEMA %I GRANT %s ON %s TO %I', for_role, $5::text, privileges, kind, $1) FROM later
ORDER BY place, statement
