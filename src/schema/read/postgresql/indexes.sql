SELECT c.relname::text AS table_name, ic.relname::text AS name, i.indisunique AS is_unique,
       i.indisvalid AS valid, am.amname::text AS method, CASE WHEN c.relname = ANY ($2) THEN pg_get_expr(i.indpred, i.indrelid) END AS predicate,
       (SELECT array_agg(coalesce(a.attname::text, CASE WHEN c.relname = ANY ($2)
                                  THEN pg_get_indexdef(i.indexrelid, k.position::int, true) ELSE 'an expression' END)
                         || CASE WHEN i.indoption[k.position - 1] & 1 = 1 THEN ' DESC' ELSE '' END
                         ORDER BY k.position)
        FROM unnest(i.indkey) WITH ORDINALITY k(number, position)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
        WHERE k.position <= i.indnkeyatts) AS columns,
       (SELECT array_agg(CASE WHEN o.opcdefault THEN '' ELSE o.opcname::text END ORDER BY k.position)
        FROM unnest(i.indclass) WITH ORDINALITY k(class, position)
        JOIN pg_opclass o ON o.oid = k.class) AS operator_classes
FROM pg_index i
JOIN visible c ON c.oid = i.indrelid
JOIN pg_class ic ON ic.oid = i.indexrelid
JOIN pg_am am ON am.oid = ic.relam
WHERE c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conindid = i.indexrelid AND p.contype = 'p')
