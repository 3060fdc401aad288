SELECT c.oid::bigint AS oid, c.relname::text AS name, quote_ident(c.relname) AS quoted,
       format('%I.%I', c.nspname, c.relname) AS place, c.nspname::text AS schema_name,
       c.relpersistence = 'u' AS is_unlogged, c.relrowsecurity AS has_row_security
FROM visible c WHERE c.relkind IN ('r', 'p')
