SELECT ours.name, format('inherits from %s, where its rows will be visible too', shown.name),
       format('if that is not intended: ALTER TABLE %s NO INHERIT %s', ours.name, shown.name)
FROM ours JOIN pg_inherits ON inhrelid = ours.oid JOIN shown ON shown.oid = inhparent WHERE NOT relispartition
UNION ALL
SELECT ours.name, format('has the child table %s, whose rows are visible in it', shown.name),
       format('if that is not intended: ALTER TABLE %s NO INHERIT %s', shown.name, ours.name)
FROM ours JOIN pg_inherits ON inhparent = ours.oid JOIN shown ON shown.oid = inhrelid WHERE relkind = 'r'
