-- A prepared transaction has no session; its locks are found by its transaction ID.
SELECT format('the prepared transaction `%s`', p.gid),
       format('of role %s, prepared at %s, locks %s', p.owner, to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
              string_agg(DISTINCT ours.name, ', ')),
       format('COMMIT PREPARED %L, or ROLLBACK PREPARED %1$L', p.gid)
FROM pg_prepared_xacts p
JOIN pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL AND l.locktype = 'relation'
JOIN ours ON ours.oid = l.relation
GROUP BY p.gid, p.owner, p.prepared
