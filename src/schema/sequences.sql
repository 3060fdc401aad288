-- $2: TARSy's tables. Their columns are found by their default, because the owner of the sequence may have changed. Columns of
-- other tables own their sequence. A default that calls a function may use a sequence that no default names.
SELECT t.relname::text AS table_name, format('%I.%I', t.nspname, t.relname) AS table_place, a.attname::text AS column_name,
       CASE WHEN EXISTS (SELECT FROM visible v WHERE v.oid = c.oid) THEN quote_ident(c.relname)
            ELSE format('%I.%I', n.nspname, c.relname) END AS sequence_name,
       format('%I.%I', n.nspname, c.relname) AS sequence_place, c.oid::bigint AS number,
       coalesce(has_column_privilege(t.oid, a.attnum, 'SELECT'), false) AS may_read_column,
       coalesce(has_sequence_privilege(c.oid, 'SELECT'), false) AS may_read_sequence,
       coalesce(has_sequence_privilege(c.oid, 'SELECT, USAGE'), false) AS may_read_last_number,
       c.relpersistence = 'u' AS is_unlogged, s.seqincrement AS increment, s.seqcycle AS is_cycle, s.seqmin AS smallest, s.seqmax AS largest,
       greatest(s.seqmin, CASE a.atttypid WHEN 'smallint'::regtype THEN -32768 WHEN 'integer'::regtype THEN -2147483648
                                          ELSE s.seqmin END) AS smallest_possible,
       least(s.seqmax, CASE a.atttypid WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647
                                       ELSE s.seqmax END) AS largest_possible, t.relname = ANY ($2) AS is_tarsys,
       EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid
                 AND i.deptype IN ('a', 'i') AND i.refobjid = t.oid) AS is_owned
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN (SELECT i.objid AS sequence, i.refobjid AS relation, i.refobjsubid AS number FROM pg_depend i
      WHERE i.classid = 'pg_class'::regclass
        AND (i.deptype = 'i' OR i.deptype = 'a' AND EXISTS (
                 SELECT FROM pg_attrdef d,
                             LATERAL (SELECT array_agg(f.objid) AS defaults FROM pg_depend f WHERE f.refobjid = i.objid
                                      AND f.refclassid = 'pg_class'::regclass AND f.classid = 'pg_attrdef'::regclass) users
                 WHERE d.adrelid = i.refobjid AND d.adnum = i.refobjsubid
                   AND (users.defaults IS NULL OR d.oid = ANY (users.defaults))))
      UNION SELECT f.refobjid, d.adrelid, d.adnum
      FROM pg_depend f JOIN pg_attrdef d ON f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid
      JOIN visible o ON o.oid = d.adrelid AND o.relname = ANY ($2)) u ON u.sequence = s.seqrelid
JOIN visible t ON t.oid = u.relation AND t.relkind IN ('r', 'p')
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.number
WHERE a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
ORDER BY t.relname = ANY ($2) DESC, sequence_name, table_name, column_name
