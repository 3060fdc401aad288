SELECT shown.name, format('cannot be set by role `%s`: permission denied, needs UPDATE', current_user),
       format('GRANT UPDATE ON SEQUENCE %s TO %I', shown.name, current_user)
FROM ours
JOIN (SELECT d.refobjid AS relation, d.objid AS sequence FROM pg_depend d
      WHERE d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      UNION SELECT a.adrelid, d.refobjid FROM pg_attrdef a
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass) used
    ON used.relation = ours.oid
JOIN pg_class s ON s.oid = used.sequence JOIN shown ON shown.oid = s.oid
-- For other relations the function fails, and only CASE guarantees the order of evaluation.
WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') END
