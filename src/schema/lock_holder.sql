-- $1 and $2: the halves of the advisory lock's key. $3: the tables. $4: the modes of locks of tables that do not count; if all
-- count, so does that of a table that another transaction has created and not committed, whose name is not known yet.
-- The strongest lock comes first: a weaker one may be no obstacle.
SELECT CASE WHEN l.pid IS NULL
            THEN coalesce((SELECT format('the prepared transaction `%s` (`ROLLBACK PREPARED` or `COMMIT PREPARED` ends it)', p.gid)
                           FROM pg_prepared_xacts p JOIN pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction
                           WHERE x.virtualtransaction = l.virtualtransaction), 'a prepared transaction')
            WHEN a.usename IS NULL THEN format('pid %s (%s)', a.pid, coalesce(a.backend_type, 'of the server'))
            ELSE format('pid %s (role %s, application `%s`%s)', a.pid, a.usename, a.application_name,
                        -- A role without privileges sees no more.
                        CASE WHEN a.state IS NULL THEN ''
                             ELSE format(', from %s, %s since %s', coalesce(host(a.client_addr), 'a local socket'), a.state,
                                         to_char(a.state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                        END) END AS holder
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND (l.pid IS NULL OR a.pid IS NOT NULL)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.locktype = 'advisory' AND l.classid = $1::bigint AND l.objid = $2::bigint AND l.objsubid = 1
       OR l.locktype = 'relation' AND l.mode <> ALL ($4) AND c.relname = ANY ($3)
       OR l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.oid IS NULL AND cardinality($4) = 0)
ORDER BY l.locktype, c.oid IS NULL,
         array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock',
                              'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'], l.mode),
         a.xact_start
LIMIT 1
