SELECT shown.name,
       format('cannot be used by role `%s`: permission denied, needs %s', current_user,
                    string_agg(p, ', ' ORDER BY p)),
       format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), shown.name, current_user)
FROM pg_class l JOIN shown ON shown.oid = l.oid, unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
WHERE l.relname = 'alembic_version' AND l.relkind = 'r' AND shown.is_visible
  AND NOT has_table_privilege(l.oid, p)
  -- It is written only if tables are created.
  AND (p = 'SELECT' OR (SELECT count(*) FROM ours) < (SELECT count(*) FROM wanted))
GROUP BY shown.name
