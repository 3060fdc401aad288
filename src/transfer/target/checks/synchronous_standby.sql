-- What a role may not see is NULL.
SELECT '`synchronous_standby_names`', format('is `%s`, but no synchronous standby is connected: the commit may wait forever', names),
       'make sure that one is connected before the move'
FROM current_setting('synchronous_standby_names') names
WHERE names <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
  AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IS NULL OR sync_state IN ('sync', 'quorum'))
