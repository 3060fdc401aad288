-- $1: the operator classes.
SELECT oid::bigint AS oid, CASE WHEN opcdefault THEN '' ELSE opcname::text END AS name FROM pg_opclass
WHERE oid = ANY ($1::bigint[]::oid[])
