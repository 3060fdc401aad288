-- Expressions of indexes, constraints and columns call them while rows are loaded.
SELECT format('function %s', f.name),
       format('is called for %s and has no search_path of its own: during the load it finds only PostgreSQL''s own tables'
              || ' and functions', string_agg(called.place, ', ' ORDER BY called.place)),
       format('if it uses others: ALTER FUNCTION %s SET search_path = ...', f.name)
FROM (
    SELECT d.refobjid AS oid, format('index `%s`', c.relname) AS place
    FROM ours JOIN pg_index i ON i.indrelid = ours.oid JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass
    UNION
    SELECT d.refobjid, format('constraint `%s`', k.conname)
    FROM ours JOIN pg_constraint k ON k.conrelid = ours.oid
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass
    UNION
    SELECT d.refobjid, format('column `%s.%s`', ours.relname, a.attname)
    FROM ours JOIN pg_attrdef e ON e.adrelid = ours.oid
    JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid AND d.refclassid = 'pg_proc'::regclass
) called JOIN shown_function f ON f.oid = called.oid
WHERE f.is_without_path
GROUP BY f.oid, f.name
