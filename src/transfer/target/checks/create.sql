-- Without this privilege even the owner of a table cannot create an index on it.
SELECT format('schema %s', n.nspname),
       format('cannot be used by role `%s` to create tables and indexes: permission denied, needs CREATE', current_user),
       format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, current_user)
FROM pg_namespace n
WHERE n.oid IN (SELECT relnamespace FROM ours UNION SELECT schema FROM place)
  AND NOT has_schema_privilege(n.oid, 'CREATE')
