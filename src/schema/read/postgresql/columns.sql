-- $1: the tables; $2: those whose expressions may be printed, which waits for a session that has locked the table.
SELECT a.attrelid::bigint AS of_table, a.attnum AS number, a.attname::text AS name,
       format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %s', a.attcollation::regcollation)
               ELSE '' END AS kind,
       NOT a.attnotnull AS nullable,
       CASE WHEN a.attidentity <> '' THEN 'the next identity'
            WHEN a.attrelid = ANY ($2::bigint[]::oid[]) THEN pg_get_expr(d.adbin, d.adrelid) END AS default_expression,
       CASE t.typtype WHEN 'd' THEN a.atttypid::bigint END AS domain,
       t.typnamespace = 'pg_catalog'::regnamespace AS is_of_postgresql
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
