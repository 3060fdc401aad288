-- $1: a table, $2: a column. The sequence that gives the column its numbers, whichever column it belongs to; a default that calls a
-- function may use the one that belongs to the column.
SELECT coalesce(
           (SELECT min(format('%I.%I', n.nspname, c.relname))
            FROM pg_depend f
            JOIN pg_class c ON c.oid = f.refobjid AND c.relkind = 'S'
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid AND f.refclassid = 'pg_class'::regclass),
           CASE WHEN d.oid IS NOT NULL OR a.attidentity <> '' THEN pg_get_serial_sequence($1::text, $2::text) END) AS s
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass($1::text) AND a.attname::text = $2::text
