SELECT name, format('has row-level security, which applies to role `%s` and prevents COPY%s', current_user,
                    (SELECT format(' (policy %s)', string_agg(format('`%s`', polname), ', ' ORDER BY polname))
                     FROM pg_policy WHERE polrelid = ours.oid HAVING count(*) > 0)),
       CASE WHEN pg_has_role(relowner, 'USAGE') THEN
                format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, and FORCE it after the move', name)
            ELSE format('connect as the owner, `%s`, or as a role with BYPASSRLS', pg_get_userbyid(relowner)) END
FROM ours WHERE row_security_active(oid)
