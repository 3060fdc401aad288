-- The columns of these tables ($2) whose types, below domains, are not PostgreSQL's own.
SELECT c.relname::text AS table_name, a.attname::text AS column_name
FROM visible c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname = ANY ($2) AND EXISTS (
    WITH RECURSIVE of_column AS (
        SELECT a.atttypid AS type
        UNION SELECT t.typbasetype FROM of_column JOIN pg_type t ON t.oid = type WHERE t.typtype = 'd')
    SELECT FROM of_column JOIN pg_type t ON t.oid = type
    WHERE t.typtype <> 'd' AND t.typnamespace <> 'pg_catalog'::regnamespace)
