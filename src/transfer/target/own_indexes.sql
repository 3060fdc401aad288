-- The indexes of a table whose entries do not follow from the columns of a plain b-tree: with an expression, a condition,
-- included columns, or another method. `hash` and `jsonb_path_ops` store hashes, which are always short.
-- $1: the table. $2: the temporary table that takes its place in the statements.
-- Under an empty search path the server prints every name in a definition with its schema, unless it is its own.
SELECT c.relname::text AS name, i.indisunique OR x.oid IS NOT NULL AS compares_rows,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attnum > 0
               AND (a.attnum = ANY (i.indkey)
                    OR EXISTS (SELECT FROM pg_depend d
                               WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                                 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                                 AND d.refobjsubid = a.attnum))) AS columns,
       CASE WHEN x.oid IS NULL
            THEN replace(pg_get_indexdef(i.indexrelid), format(' ON %s USING ', i.indrelid::regclass),
                         format(' ON %s USING ', $2::text))
            ELSE format('ALTER TABLE %s ADD %s', $2::text, pg_get_constraintdef(x.oid))
       END AS statement,
       -- The server runs the functions of an index as the owner of its table.
       format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(c.relowner)) AS change_owner
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x'
WHERE i.indrelid = to_regclass($1::text)
  AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR i.indnatts > i.indnkeyatts OR x.oid IS NOT NULL
       OR m.amname NOT IN ('btree', 'hash', 'gin')
       OR (m.amname = 'gin' AND EXISTS (SELECT FROM pg_opclass o
                                        WHERE o.oid = ANY (i.indclass) AND o.opcname <> 'jsonb_path_ops'))
       -- PostgreSQL 14 has no such column.
       OR coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false))
ORDER BY name
