-- $1 and $2: the halves of the advisory lock's key. $3: the tables. $4: the modes of locks of tables that do not count.
SELECT format('pid %s (role %s, application `%s`%s)', a.pid, a.usename, a.application_name,
              -- A role without privileges sees no more.
              CASE WHEN a.state IS NULL THEN ''
                   ELSE format(', from %s, %s since %s', coalesce(host(a.client_addr), 'a local socket'), a.state,
                               to_char(a.state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
              END) AS holder
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.locktype = 'advisory' AND l.classid = $1::bigint AND l.objid = $2::bigint AND l.objsubid = 1
       OR l.locktype = 'relation' AND l.mode <> ALL ($4) AND l.relation IN (SELECT oid FROM pg_class WHERE relname = ANY ($3)))
ORDER BY l.locktype, a.xact_start LIMIT 1
