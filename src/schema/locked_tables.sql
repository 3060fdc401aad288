-- $2: the tables. $3: the modes of locks that do not count.
SELECT DISTINCT c.relname::text AS table_name
FROM visible c JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = c.oid
WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND l.granted AND l.mode <> ALL ($3)
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1
