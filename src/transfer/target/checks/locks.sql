-- What the role may not see of another session is left out. A process without a role belongs to the server and
-- releases its locks by itself.
SELECT format('pid %s', a.pid),
       format('(role %s%s%s%s) locks %s', a.usename, ', application `' || a.application_name || '`', ', ' || a.state,
              ', for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::bigint || 's',
              string_agg(DISTINCT coalesce(ours.name, 'the database for another tarsy-db'), ', ')),
       'tarsy-db waits for it up to `--lock-timeout`: stop TARSy''s backend and all other sessions on the target'
FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN ours ON l.locktype = 'relation' AND l.relation = ours.oid
     LEFT JOIN advisory ON l.locktype = 'advisory' AND l.objsubid = 1
                           AND (l.classid::int8 << 32 | l.objid::int8) = advisory.key
WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid <> pg_backend_pid() AND a.usename IS NOT NULL AND (ours.oid IS NOT NULL OR advisory.key IS NOT NULL)
GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start
