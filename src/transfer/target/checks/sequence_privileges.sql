SELECT shown.name, format('cannot be set by role `%s`: permission denied, needs UPDATE', current_user),
       format('GRANT UPDATE ON SEQUENCE %s TO %I', shown.name, current_user)
FROM ours JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid
     AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class s ON s.oid = d.objid JOIN shown ON shown.oid = s.oid
-- For other relations the function fails, and only CASE guarantees the order of evaluation.
WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') END
