-- $1: domains. Those whose values have a type of PostgreSQL's own.
WITH RECURSIVE types AS (
    SELECT oid AS domain, oid AS type FROM pg_type WHERE oid = ANY ($1::bigint[]::oid[])
    UNION
    SELECT types.domain, t.typbasetype FROM types JOIN pg_type t ON t.oid = types.type WHERE t.typtype = 'd')
SELECT types.domain::bigint AS oid, t.typname::text AS name FROM types JOIN pg_type t ON t.oid = types.type
WHERE t.typtype <> 'd' AND t.typnamespace = 'pg_catalog'::regnamespace
