-- Owners can revoke their own privileges.
SELECT name, format('cannot be used by role `%s`: permission denied, needs %s', current_user,
                    string_agg(p, ', ' ORDER BY p)),
       format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), name, current_user)
FROM ours, unnest(ARRAY ['SELECT', 'INSERT', 'TRUNCATE', 'REFERENCES']) p
WHERE pg_has_role(relowner, 'USAGE') AND NOT has_table_privilege(oid, p)
GROUP BY name
