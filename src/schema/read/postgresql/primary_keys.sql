SELECT c.relname::text AS table_name,
       (SELECT array_agg(a.attname::text ORDER BY k.position)
        FROM unnest(p.conkey) WITH ORDINALITY k(number, position)
        JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = k.number) AS columns
FROM pg_constraint p JOIN visible c ON c.oid = p.conrelid
WHERE p.contype = 'p'
