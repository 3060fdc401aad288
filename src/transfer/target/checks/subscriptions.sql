SELECT format('subscription %I', s.subname),
       format('writes rows of another database to %s', string_agg(ours.name, ', ' ORDER BY ours.name)),
       format('ALTER SUBSCRIPTION %I DISABLE before the move, and check afterwards which rows it still writes', s.subname)
FROM ours JOIN pg_subscription_rel r ON r.srrelid = ours.oid JOIN pg_subscription s ON s.oid = r.srsubid
GROUP BY s.subname
