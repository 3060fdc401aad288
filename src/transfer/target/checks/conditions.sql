SELECT name, format('has a constraint of your own that every row must satisfy: %I %s', conname,
                    pg_get_constraintdef(k.oid)),
       format('if it is not intended for old rows: ALTER TABLE %s DROP CONSTRAINT %I', name, conname)
FROM ours JOIN pg_constraint k ON conrelid = ours.oid WHERE contype IN ('c', 'x')
