-- $1: the tables; $2: those whose expressions may be printed, which waits for a session that has locked the table.
SELECT f.conrelid::bigint AS of_table, f.conname::text AS name, f.contype::text AS kind, f.conkey AS columns,
       CASE f.contype WHEN 'p' THEN f.conindid::bigint END AS primary_index,
       CASE f.contype WHEN 'f' THEN f.confrelid::bigint END AS referenced,
       f.confkey AS referenced_columns, f.conpfeqop::bigint[] AS operators,
       f.convalidated AS validated, f.condeferrable AS is_deferrable,
       -- As JSON, because the column is new in PostgreSQL 18.
       NOT f.convalidated AND NOT coalesce((to_jsonb(f) ->> 'conenforced')::boolean, true) AS is_not_enforced,
       CASE WHEN f.contype IN ('c', 'x') AND f.conrelid = ANY ($2::bigint[]::oid[])
            THEN pg_get_constraintdef(f.oid) END AS definition,
       CASE f.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
            WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_delete,
       CASE f.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
            WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END AS on_update
FROM pg_constraint f
WHERE f.conrelid = ANY ($1::bigint[]::oid[]) AND (f.contype IN ('p', 'f', 'c', 'x') OR f.contype = 'n' AND NOT f.convalidated)
ORDER BY f.conname
