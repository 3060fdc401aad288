-- $1: the tables; $2: those whose expressions may be printed, which waits for a session that has locked the table.
SELECT i.indrelid::bigint AS of_table, i.indexrelid::bigint AS oid, ic.relname::text AS name, i.indisunique AS is_unique,
       i.indisvalid AS valid, am.amname::text AS method,
       CASE WHEN i.indrelid = ANY ($2::bigint[]::oid[]) THEN pg_get_expr(i.indpred, i.indrelid) END AS predicate,
       -- Numbers of columns, of which 0 is an expression, and those of INCLUDE at the end; and their options.
       string_to_array(i.indkey::text, ' ')::int2[] AS columns, string_to_array(i.indoption::text, ' ')::int2[] AS options,
       CASE WHEN 0 = ANY (i.indkey) AND i.indrelid = ANY ($2::bigint[]::oid[]) THEN (
           SELECT array_agg(pg_get_indexdef(i.indexrelid, position, true) ORDER BY position)
           FROM generate_series(1, i.indnkeyatts) position) END AS definitions,
       string_to_array(i.indclass::text, ' ')::bigint[] AS operator_classes
FROM pg_index i
JOIN pg_class ic ON ic.oid = i.indexrelid
JOIN pg_am am ON am.oid = ic.relam
WHERE i.indrelid = ANY ($1::bigint[]::oid[])
