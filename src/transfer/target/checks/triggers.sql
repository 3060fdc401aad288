-- Disabled triggers and replica triggers do not fire. Bits of `tgtype`: 1 row, 2 before, 4 insert, 32 truncate.
SELECT ours.name, format('has the trigger `%s` (%s %s): %s', tgname,
                    CASE WHEN tgtype & 2 = 0 THEN 'after' ELSE 'before' END,
                    CASE WHEN tgtype & 4 = 0 THEN 'truncate' WHEN tgtype & 1 = 0 THEN 'insert, once' ELSE
                         'insert, for each row' END,
                    CASE WHEN tgtype & 7 = 7 THEN 'if it changes or skips a row, the comparison fails and the move is rolled back'
                         ELSE 'it also fires for these old rows' END),
       format('ALTER TABLE %s DISABLE TRIGGER %I, and ENABLE it after the move', ours.name, tgname)
FROM ours JOIN pg_trigger ON tgrelid = ours.oid JOIN shown_function f ON f.oid = tgfoid
WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 36 <> 0 AND NOT f.is_without_path
