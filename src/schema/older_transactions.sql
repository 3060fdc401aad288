-- $1: the table, quoted and with its schema. The building of an index waits for each transaction that may have changed
-- rows of the table, and for each older snapshot except that of a vacuum. It cancels an autovacuum.
SELECT l.virtualtransaction AS transaction,
       CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
            ELSE format('pid %s (role %s, application `%s`)', a.pid, a.usename, a.application_name) END AS holder
FROM (
    SELECT virtualtransaction, pid FROM pg_locks
    WHERE granted AND locktype = 'relation' AND relation = to_regclass($1)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND mode NOT IN ('AccessShareLock', 'RowShareLock')
    UNION
    SELECT l.virtualtransaction, l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.backend_xmin IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
) l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.pid IS DISTINCT FROM pg_backend_pid() AND (l.pid IS NULL OR a.usesysid IS NOT NULL)
ORDER BY a.xact_start
