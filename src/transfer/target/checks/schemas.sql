-- The backend may use the tables of another schema.
SELECT string_agg(shown.name, ', ' ORDER BY shown.name),
       format(CASE WHEN count(*) = 1 THEN 'is' ELSE 'are' END
              || CASE WHEN is_visible THEN ' in another schema than the other tables, which are in schema %s'
                      ELSE ' not used: rows are written to the tables in schema %s' END, schema::regnamespace),
       'make sure that the backend''s role has the same search_path as yours'
FROM pg_class c JOIN shown ON shown.oid = c.oid, place
WHERE c.relname IN (SELECT name FROM wanted) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND c.relnamespace <> schema AND has_schema_privilege(c.relnamespace, 'USAGE')
GROUP BY schema, is_visible
