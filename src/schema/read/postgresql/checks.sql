SELECT c.relname::text AS table_name, k.conname::text AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k JOIN visible c ON c.oid = k.conrelid
WHERE k.contype IN ('c', 'x') AND c.relname = ANY ($2)
