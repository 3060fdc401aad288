SELECT ours.name, format('is a partition of %s: its indexes and foreign keys cannot be dropped', shown.name),
       format('ALTER TABLE %s DETACH PARTITION %s', shown.name, ours.name)
FROM ours JOIN pg_inherits ON inhrelid = ours.oid JOIN shown ON shown.oid = inhparent WHERE relispartition
