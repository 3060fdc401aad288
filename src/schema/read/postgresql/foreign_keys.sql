SELECT c.relname::text AS table_name, f.conname::text AS name,
       format('%I.%I', n.nspname, r.relname) AS referenced_place,
       CASE WHEN EXISTS (SELECT FROM visible v WHERE v.oid = r.oid) THEN quote_ident(r.relname)
            ELSE format('%I.%I', n.nspname, r.relname) END AS referenced_table,
       f.convalidated AS validated, f.condeferrable AS is_deferrable,
       (SELECT array_agg(a.attname::text ORDER BY k.position)
        FROM unnest(f.conkey) WITH ORDINALITY k(number, position)
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.position)
        FROM unnest(f.confkey) WITH ORDINALITY k(number, position)
        JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number) AS referenced_columns,
       -- Casts have no schema, and the owner of a type may create one.
       CASE WHEN EXISTS (
           WITH RECURSIVE of_column AS (
               SELECT a.atttypid AS type FROM pg_attribute a
               WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
                  OR a.attrelid = f.confrelid AND a.attnum = ANY (f.confkey)
               UNION SELECT t.typbasetype FROM of_column JOIN pg_type t ON t.oid = type WHERE t.typtype = 'd')
           SELECT FROM of_column JOIN pg_type t ON t.oid = type
           WHERE t.typtype <> 'd' AND t.typnamespace <> 'pg_catalog'::regnamespace
           UNION ALL
           SELECT FROM unnest(f.conpfeqop) k(operator) JOIN pg_operator o ON o.oid = k.operator
           WHERE o.oprnamespace <> 'pg_catalog'::regnamespace) THEN '{}'::text[]
       ELSE (SELECT array_agg(format('OPERATOR(pg_catalog.%s)', o.oprname) ORDER BY k.position)
             FROM unnest(f.conpfeqop) WITH ORDINALITY k(operator, position)
             JOIN pg_operator o ON o.oid = k.operator) END AS operators,
       CASE f.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
            WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_delete,
       CASE f.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
            WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_update
FROM pg_constraint f
JOIN visible c ON c.oid = f.conrelid
JOIN pg_class r ON r.oid = f.confrelid
JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE f.contype = 'f' ORDER BY c.relname, f.conname
