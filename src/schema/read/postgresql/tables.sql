SELECT c.relname::text AS table_name, c.nspname::text AS schema_name, c.relpersistence = 'u' AS is_unlogged
FROM visible c WHERE c.relkind IN ('r', 'p')
