-- $1: the tables.
SELECT tgrelid::bigint AS of_table, format('trigger %s', tgname) AS hook FROM pg_trigger
WHERE tgrelid = ANY ($1::bigint[]::oid[]) AND NOT tgisinternal AND tgenabled <> 'D'
UNION ALL
SELECT ev_class::bigint, format('rule %s', rulename) FROM pg_rewrite
WHERE ev_class = ANY ($1::bigint[]::oid[]) AND ev_enabled <> 'D'
