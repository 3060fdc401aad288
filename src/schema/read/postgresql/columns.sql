SELECT c.relname::text AS table_name, a.attname::text AS column_name,
       format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %s', a.attcollation::regcollation)
               ELSE '' END AS kind,
       NOT a.attnotnull AS nullable,
       -- To print an expression waits for a session that has locked its table.
       CASE WHEN a.attidentity <> '' THEN 'the next identity'
            WHEN c.relname = ANY ($2) THEN pg_get_expr(d.adbin, d.adrelid) END AS default_expression
FROM visible c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p')
