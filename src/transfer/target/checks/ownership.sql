-- The load drops and recreates indexes and foreign keys, including those of other tables that reference TARSy's.
SELECT string_agg(shown.name, ', ' ORDER BY shown.name),
       format('%s to role `%s`: permission denied for role `%s` to drop and recreate indexes and foreign keys',
              CASE count(*) WHEN 1 THEN 'belongs' ELSE 'belong' END, pg_get_userbyid(o.relowner), current_user),
       format('connect as `%s`, or GRANT %1$I TO %I', pg_get_userbyid(o.relowner), current_user)
FROM (SELECT oid, relowner FROM ours
      UNION SELECT c.oid, c.relowner FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
            WHERE f.contype = 'f' AND f.confrelid IN (SELECT oid FROM ours)) o
JOIN shown ON shown.oid = o.oid
WHERE NOT pg_has_role(o.relowner, 'USAGE')
GROUP BY o.relowner
