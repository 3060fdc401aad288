-- $2: TARSy's tables. Their columns are found by their default, because the owner of the sequence may have changed.
SELECT t.relname::text AS table_name, format('%I.%I', t.nspname, t.relname) AS table_place, a.attname::text AS column_name,
       CASE WHEN EXISTS (SELECT FROM visible v WHERE v.oid = c.oid) THEN quote_ident(c.relname)
            ELSE format('%I.%I', n.nspname, c.relname) END AS sequence_name,
       format('%I.%I', n.nspname, c.relname) AS sequence_place, c.oid::bigint AS number,
       has_sequence_privilege(c.oid, 'SELECT') AND has_table_privilege(t.oid, 'SELECT')
           -- Another application's table is not waited for.
           AND (t.relname = ANY ($2) OR NOT EXISTS (
               SELECT FROM pg_locks l WHERE l.relation IN (t.oid, c.oid) AND l.mode = 'AccessExclusiveLock'
                 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))) AS readable,
       s.seqincrement AS increment,
       least(s.seqmax, CASE a.atttypid WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647
                                       ELSE s.seqmax END) AS largest_possible, t.relname = ANY ($2) AS is_tarsys
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN (SELECT i.objid AS sequence, i.refobjid AS relation, i.refobjsubid AS number FROM pg_depend i
      WHERE i.classid = 'pg_class'::regclass AND i.deptype IN ('a', 'i')
      UNION SELECT f.refobjid, d.adrelid, d.adnum
      FROM pg_depend f JOIN pg_attrdef d ON f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid
      JOIN visible o ON o.oid = d.adrelid AND o.relname = ANY ($2)) u ON u.sequence = s.seqrelid
JOIN visible t ON t.oid = u.relation AND t.relkind IN ('r', 'p')
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.number
WHERE s.seqincrement > 0 AND NOT s.seqcycle
  AND a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
