-- The foreign keys that this session does not enforce, because triggers of theirs do not fire. A key has triggers on both tables.
SELECT c.relname::text AS child, o.place, setting.is_replica,
       (SELECT string_agg(a.attname, ', ' ORDER BY k.position) FROM unnest(f.conkey) WITH ORDINALITY k (number, position)
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS columns
FROM (SELECT current_setting('session_replication_role') = 'replica' AS is_replica) setting,
     pg_constraint f
JOIN visible c ON c.oid = f.conrelid
JOIN pg_trigger t ON t.tgconstraint = f.oid AND t.tgisinternal
JOIN (SELECT r.oid, format('%I.%I', n.nspname, r.relname) AS place FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace) o
    ON o.oid = t.tgrelid
WHERE f.contype = 'f' AND t.tgenabled IN ('D', CASE WHEN setting.is_replica THEN 'O' ELSE 'R' END)
GROUP BY f.oid, f.conkey, f.conrelid, c.relname, o.place, setting.is_replica
ORDER BY child, columns, o.place
