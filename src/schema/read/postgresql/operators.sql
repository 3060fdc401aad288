-- $1: the operators. Another schema's may be anybody's.
SELECT oid::bigint AS oid, oprname::text AS name FROM pg_operator
WHERE oid = ANY ($1::bigint[]::oid[]) AND oprnamespace = 'pg_catalog'::regnamespace
