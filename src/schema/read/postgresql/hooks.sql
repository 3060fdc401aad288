SELECT c.relname::text AS table_name, h.hook FROM visible c, LATERAL (
    SELECT format('trigger %s', tgname) FROM pg_trigger
    WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D'
    UNION ALL SELECT format('rule %s', rulename) FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled <> 'D'
    UNION ALL SELECT 'row security' WHERE c.relrowsecurity) h(hook)
WHERE c.relkind IN ('r', 'p')
