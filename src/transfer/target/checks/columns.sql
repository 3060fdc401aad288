SELECT format('%s.%I', name, attname),
       CASE WHEN attgenerated <> '' THEN 'is a generated column, into which no value can be copied'
            ELSE 'is NOT NULL without a default, and the source has no value for it' END,
       CASE WHEN attgenerated <> '' THEN format('ALTER TABLE %s ALTER %I DROP EXPRESSION', name, attname)
            ELSE format('ALTER TABLE %s ALTER %I DROP NOT NULL, or SET DEFAULT ...', name, attname) END
FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped,
     LATERAL (SELECT format('%s.%s', relname, attname) IN (SELECT place FROM known) AS is_known) k
WHERE CASE WHEN is_known THEN attgenerated <> ''
           ELSE attnotnull AND NOT atthasdef AND attidentity = '' END
