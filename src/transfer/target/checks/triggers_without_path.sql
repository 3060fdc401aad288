-- The load has an empty search path, so that no other role's function can replace one of PostgreSQL's. Such a trigger
-- would find neither its tables nor its functions.
SELECT ours.name,
       format('has the trigger `%s`, whose function %s() has no search_path of its own: during the load it would find'
              || ' only PostgreSQL''s own tables and functions', tgname, f.name),
       format('ALTER FUNCTION %s() SET search_path = ..., or ALTER TABLE %s DISABLE TRIGGER %I, and ENABLE it after the'
              || ' move', f.name, ours.name, tgname)
FROM ours JOIN pg_trigger ON tgrelid = ours.oid JOIN shown_function f ON f.oid = tgfoid
WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 36 <> 0 AND f.is_without_path
